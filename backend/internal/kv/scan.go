package kv

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"github.com/papyra-go/papyra/backend"
)

// One view of a scan looks at so much.
var (
	scanKeys  = 4096
	scanBytes = 4 << 20
)

// Scan checks what the store says of itself, what the engine keeps, and, if it is full,
// every stream and every position. It goes view by view: each sees all of a moment.
func (l *Log) Scan(ctx context.Context, plan backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(yield func(backend.Anomaly, error) bool) {
		err := l.engine.Check(ctx, plan.Depth, func(a backend.Anomaly) error {
			if !yield(a, nil) {
				return errLoop
			}
			return nil
		})
		if err == nil {
			w := l.newWalk(plan)
			err = w.run(ctx, func(list []finding) error {
				for i := range list {
					if !yield(list[i].Anomaly, nil) {
						return errLoop
					}
				}
				return nil
			})
		}
		if err != nil && !errors.Is(err, errLoop) {
			yield(backend.Anomaly{}, err)
		}
	}
}

// finding is what a walk has found, and what a recovery does about it.
type finding struct {
	backend.Anomaly
	fix  func(Batch) error // nil: nothing
	does string            // what fix does, in a verb
	mode backend.RecoveryMode
	save []byte // bytes that fix gives up
	key  []byte // whose value is wrong; nil: it is not a key's
}

// walk goes through the store, and finds what is wrong with it.
type walk struct {
	l    *Log
	plan backend.ScanPlan
	buffers
	found  []finding // in this view
	bytes  int       // looked at in this view
	keys   int
	total  int64 // looked at before it
	size   int64
	began  state // where the store stood when the walk began; zero if that can't be read
	fixing bool  // what is found is mended before the walk goes on …
	giving bool  // … also what gives something up

	streams streamWalk
	places  placeWalk
	names   []byte // the key of table 's' to go on with
}

func (l *Log) newWalk(plan backend.ScanPlan) *walk {
	w := &walk{l: l, plan: plan, size: l.engine.Facts().Size}
	w.streams.decoder.Seed = l.codec
	w.streams.at = []byte{tableStreams}
	w.places.at = []byte{tablePlaces}
	w.names = firstName
	return w
}

// run walks, and hands out what each view has found when it has ended.
func (w *walk) run(ctx context.Context, report func([]finding) error) error {
	steps := []func(Snapshot) (done bool, err error){w.meta, w.cuts, w.someStreams, w.somePlaces, w.someNames}
	if w.plan.Depth == backend.Quick {
		steps = []func(Snapshot) (bool, error){w.meta, w.newest}
	}
	for _, step := range steps {
		for done := false; !done; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			w.found, w.bytes, w.keys = w.found[:0], 0, 0
			err := w.l.engine.View(func(s Snapshot) (err error) {
				done, err = step(s)
				w.locate(s)
				return err
			})
			if err == nil {
				err = report(w.found)
			}
			if err != nil {
				return err
			}
			if w.total += int64(w.bytes); w.plan.Progress != nil {
				w.plan.Progress(min(w.total, w.size), w.size)
			}
		}
	}
	if w.plan.Progress != nil {
		w.plan.Progress(w.size, w.size)
	}
	return nil
}

// full reports whether this view has looked at enough, n bytes of a key and value more
// among it.
func (w *walk) full(n int) bool {
	w.bytes += n
	w.keys++
	return w.bytes >= scanBytes || w.keys >= scanKeys
}

func (w *walk) add(code backend.AnomalyCode, severity backend.Severity, stream string, v backend.Version, p backend.Position, detail string) *finding {
	w.found = append(w.found, finding{Anomaly: backend.Anomaly{Code: code, Severity: severity, File: w.l.facts.File, Offset: -1, Stream: stream, Version: v, Position: p, Detail: detail}})
	return &w.found[len(w.found)-1]
}

// locate says of what was found in a view where it is on the medium, if the engine can tell.
func (w *walk) locate(s Snapshot) {
	where, ok := s.(Locator)
	for i := range w.found {
		f := &w.found[i]
		if !ok || f.key == nil {
			continue
		}
		if off, n, found := where.Locate(f.key); found {
			f.Offset, f.Length = off, n
		}
	}
}

// under says that the value of a key is what is wrong.
func (f *finding) under(key []byte) *finding {
	f.key = bytes.Clone(key)
	return f
}

// repair says what loses nothing; quarantine what gives something up.
func (f *finding) repair(does string, fix func(Batch) error) {
	f.does, f.mode, f.fix, f.Mendable = does, backend.Repair, fix, true
}

func (f *finding) quarantine(does string, save []byte, fix func(Batch) error) {
	f.does, f.mode, f.save, f.fix = does, backend.Quarantine, save, fix
}
