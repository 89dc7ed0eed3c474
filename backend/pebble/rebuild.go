package pebble

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// rebuildBytes is how much one write of a rebuild writes.
const rebuildBytes = 4 << 20

// Recover makes new files of what can be read of damaged ones, which are saved whole. If
// records are missing, a quarantine alone does: what is not in the new files is in doubt no more.
func (e *engine) Recover(ctx context.Context, plan backend.RecoveryPlan, q *kv.Quarantine) (actions []backend.RecoveryAction, fit bool, err error) {
	if e.damage.Load() == nil {
		odd, err := e.checkTables(ctx)
		if err == nil && odd {
			err = e.turn(ctx)
		}
		if err != nil {
			return nil, false, err
		}
	}
	d := e.damage.Load()
	if d == nil {
		return e.recoverLogs(ctx, plan)
	}
	if plan.Mode != backend.Quarantine && !d.complete {
		return nil, false, nil
	}
	slices.Sort(d.damaged)
	for _, name := range d.damaged {
		a, err := e.save(name, q)
		if err != nil {
			return nil, false, err
		}
		actions = append(actions, a...)
	}
	actions = append(actions, backend.RecoveryAction{Action: "rebuild", File: dbName, Offset: -1, Detail: fmt.Sprintf("%d keys that can be read, in new files", len(d.entries))})
	if plan.DryRun {
		return actions, true, nil
	}
	if err := e.rebuild(ctx, d); err != nil {
		return nil, false, openError(err)
	}
	return actions, true, nil
}

// recoverLogs writes what is in a damaged log, and in memory, to a table.
func (e *engine) recoverLogs(ctx context.Context, plan backend.RecoveryPlan) (actions []backend.RecoveryAction, fit bool, err error) {
	findings, err := e.checkLogs(backend.Full)
	if err != nil || len(findings) == 0 {
		return nil, err == nil, err
	}
	for _, a := range findings {
		actions = append(actions, backend.RecoveryAction{Action: "rewrite", File: a.File, Offset: a.Offset, Length: a.Length, Detail: "what was in the log is in memory, and goes to a table"})
	}
	if !plan.DryRun {
		if err := e.flush(ctx, healWait); err != nil {
			return nil, false, dbError("write a table", err)
		}
	}
	return actions, true, nil
}

// save saves a damaged file.
func (e *engine) save(name string, q *kv.Quarantine) (actions []backend.RecoveryAction, err error) {
	f, err := e.at.fs.Open(e.at.in(name))
	if refused(err) {
		return nil, dbError("save a damaged file", err)
	}
	if err != nil {
		return nil, nil // it is missing, or not a file
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return nil, nil
	}
	saved, err := q.SaveFrom(path.Base(name), f, 0, info.Size())
	if err != nil {
		return nil, err
	}
	return []backend.RecoveryAction{{Action: "save", File: name, Offset: 0, Length: info.Size(), Saved: saved, Detail: "the damaged file"}}, nil
}

// rebuild replaces the files:
//
//	db.tmp is made, whole and durable
//	db.tmp is renamed to db.new         from here on db is not needed any more
//	SEAL and db are removed
//	db.new is renamed to db
func (e *engine) rebuild(ctx context.Context, d *salvaged) error {
	err := e.build(func(to *engine) error {
		for rest := d.entries; len(rest) > 0; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			n := 0
			err := to.Write(func(b kv.Batch) error {
				for size := 0; n < len(rest) && size < rebuildBytes; n++ {
					value, err := d.value(rest[n], nil)
					if err != nil {
						continue // what it was of is missing then, and found to be
					}
					size += len(value)
					if err := b.Set([]byte(rest[n].key), value); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := e.at.fs.Rename(e.at.in(tmpName), e.at.in(newName)); err != nil {
		return err
	}
	if err := e.at.sync(); err != nil {
		return err
	}
	if e.db != nil { // what it still does is in vain
		e.m.fail(errReplaced)
		_ = e.closeDB()
	}
	if err := e.finishRebuild(); err != nil {
		return err
	}
	if err := e.start(); err != nil {
		return err
	}
	e.damage.CompareAndSwap(d, nil) // or it has found more
	d.close()
	return nil
}

var errReplaced = errors.New("the files were replaced")

// finishRebuild does what is left to do once new files have their name.
func (e *engine) finishRebuild() error {
	there, err := e.at.has(newName)
	if err != nil || !there {
		return err
	}
	if err := errors.Join(e.at.drop(sealName), e.at.drop(dbName)); err != nil {
		return err
	}
	if err := e.at.fs.Rename(e.at.in(newName), e.at.in(dbName)); err != nil {
		return err
	}
	return e.at.sync()
}
