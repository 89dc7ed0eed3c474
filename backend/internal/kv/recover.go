package kv

import (
	"context"
	"errors"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// Recover has the engine recover first, and then goes through the store as a full scan
// does: after each view it writes, in one write, what mends that view's findings; and again,
// until nothing is left to do. A dry run writes into memory, so that what it says is what
// would be done.
func (l *Log) Recover(ctx context.Context, plan backend.RecoveryPlan) (stats backend.RecoveryStats, err error) {
	q := newQuarantine(l.dir, plan)
	fit := false
	stats.Actions, fit, err = l.engine.Recover(ctx, plan, q)
	if err != nil || !fit { // a mode may not be enough for what the engine would have to give up
		return stats, err
	}
	on, load := l, l.loadAgain
	if plan.DryRun {
		on = &Log{engine: newOverlay(l.engine), dir: l.dir, facts: l.facts}
		load = on.load
	}
	if err := load(); err != nil {
		return stats, err
	}
	for range mendPasses {
		before := len(stats.Actions)
		w := on.newWalk(backend.ScanPlan{Depth: backend.Full})
		w.fixing, w.giving = true, plan.Mode == backend.Quarantine
		err := w.run(ctx, func(list []finding) error {
			actions, err := on.mend(list, plan.Mode, q)
			stats.Actions = append(stats.Actions, actions...)
			return err
		})
		err = errors.Join(err, load()) // also if it was stopped: what it has written stands
		if err != nil || len(stats.Actions) == before {
			return stats, err
		}
	}
	return stats, nil
}

// mendPasses bounds how often a recovery goes through the store: what the positions tell of
// streams is only seen when all streams have been passed.
const mendPasses = 5

// loadAgain is load after a recovery has changed what the store says. If that can't be read,
// nothing is appended on what was known before.
func (l *Log) loadAgain() error {
	err := l.load()
	if err != nil {
		err = fmt.Errorf("%w: what a recovery has left can't be read: %w", backend.ErrPoisoned, err)
		l.unfit.Store(&err)
	}
	return err
}

// mend does something about findings, as far as the mode allows.
func (l *Log) mend(list []finding, mode backend.RecoveryMode, q *Quarantine) (actions []backend.RecoveryAction, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	defer l.tidyArena()
	var fixes []func(Batch) error
	for i := range list {
		f := &list[i]
		if f.fix == nil || f.mode > mode {
			continue
		}
		a := backend.RecoveryAction{Action: f.does, File: f.File, Offset: -1, Length: int64(len(f.save)), Stream: f.Stream, Version: f.Version, Position: f.Position, Detail: f.where() + f.Detail}
		if len(f.save) > 0 {
			if a.Saved, err = q.Save(fmt.Sprintf("position-%d", f.Position), f.save); err != nil {
				return nil, err
			}
		}
		actions, fixes = append(actions, a), append(fixes, f.fix)
	}
	if len(fixes) == 0 {
		return nil, nil
	}
	n := noted{values: map[string][]byte{}}
	for _, fix := range fixes {
		if err := fix(&n); err != nil {
			return nil, err
		}
	}
	if err := l.countIn(&n); err != nil {
		return nil, err
	}
	if err := l.engine.Write(n.write); err != nil {
		return nil, err
	}
	return actions, nil
}

// where says which record or stream a finding is about.
func (f *finding) where() string {
	switch {
	case f.Stream != "" && f.Version > 0:
		return fmt.Sprintf("stream %q version %d: ", f.Stream, f.Version)
	case f.Stream != "":
		return fmt.Sprintf("stream %q: ", f.Stream)
	case f.Position > 0:
		return fmt.Sprintf("position %d: ", f.Position)
	}
	return ""
}

// errLoop says that someone does not want to hear more.
var errLoop = errors.New("the loop has ended")
