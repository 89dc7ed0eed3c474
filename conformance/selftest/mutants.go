package selftest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
	"github.com/papyra-go/papyra/conformance"
)

// A mutant is the memory backend with one defect. It must fail exactly its target.
type mutant struct {
	target conformance.ID
	name   string
	variant
}

func broken(target conformance.ID, name string, how breaking) mutant {
	return mutant{target, name, variant{subject: how}}
}

func mutants() []mutant {
	return slices.Concat(openMutants(), appendMutants(), moreAppendMutants(), occMutants(), idemMutants(), readMutants(), moreReadMutants(), filterMutants(), metricMutants(), lockMutants(), claimMutants(), compactMutants(), moreCompactMutants(), retentionMutants(), errorMutants(),
		numberMutants(), wholeMutants(), seamMutants(), ctxMutants(), leakMutants(), partMutants())
}

func openMutants() []mutant {
	reopened := func(how breaking) breaking {
		return func(w *world, h *hooked) {
			if w.opens > 1 {
				how(w, h)
			}
		}
	}
	return []mutant{
		broken("OPEN-01", "an empty store says it is at position 1", func(_ *world, h *hooked) {
			h.lastHook = func(p backend.Position, err error) (backend.Position, error) { return max(p, 1), err }
		}),
		broken("OPEN-01", "a snapshot that is not there is a zero record", func(_ *world, h *hooked) {
			h.snapshot = func(ctx context.Context, stream string, v backend.Version, next snapshotFunc) (backend.Record, error) {
				r, err := next(ctx, stream, v)
				if errors.Is(err, backend.ErrNotFound) {
					err = nil
				}
				return r, err
			}
		}),
		broken("OPEN-02", "the last record was not synced", reopened(eachRecord(func(w *world, _ backend.Query, r *backend.Record) bool { return r.Position != w.last }))),
		broken("OPEN-02", "an empty store after every opening", forgets),
		{"OPEN-02", "a rebuilt head is its newest record's version", variant{log: func(w *world, l backend.LogDriver) backend.LogDriver {
			if w.opens == 0 {
				return l
			}
			return rebuilt{l}
		}}},
		broken("OPEN-03", "positions begin again after opening", reopened(eachResult(func(h *hooked, _ *backend.Batch, r *backend.Result) {
			if !r.Repeated && r.Err == nil {
				r.Position -= h.w.last
			}
		}))),
		{"OPEN-04", "a cancelled open keeps the lock", variant{opening: func(w *world, ctx context.Context, _ *backend.Options) error {
			w.held = w.held || ctx.Err() != nil
			return ctx.Err()
		}}},
		{"OPEN-05", "a refused open truncates", variant{opening: func(w *world, _ context.Context, o *backend.Options) error {
			if o.WriteTimeout < 0 || o.Startup.Timeout < 0 {
				w.store = memory.New()
			}
			return nil
		}}},
		broken("OPEN-06", "the second Close is an error", func(_ *world, h *hooked) {
			h.closeHook = func(next func() error) error {
				if h.closeTimes.Load() > 1 {
					return backend.ErrClosed
				}
				return next()
			}
		}),
		broken("OPEN-07", "Close refuses what is being stored", closeLies),
		broken("OPEN-08", "an append after Close writes nothing and says so to nobody", eachResult(func(_ *hooked, _ *backend.Batch, r *backend.Result) { // Papyra
			if errors.Is(r.Err, backend.ErrClosed) {
				*r = backend.Result{}
			}
		})),
		broken("OPEN-08", "a closed backend has empty streams", func(_ *world, h *hooked) {
			h.head = func(ctx context.Context, stream string, next headFunc) (backend.Head, error) {
				head, err := next(ctx, stream)
				if errors.Is(err, backend.ErrClosed) {
					err = nil
				}
				return head, err
			}
		}),
		broken("OPEN-09", "opening again and again adds a record", func(w *world, h *hooked) {
			if w.opens > 3 {
				h.Subject.Append(context.Background(), backend.Batch{Stream: "$sys/x/lifecycle", Expected: backend.Any, Records: []backend.Record{{Type: "opened"}}})
			}
		}),
		broken("OPEN-10", "Reopen loses the last record", func(w *world, h *hooked) {
			h.reopen = func(ctx context.Context, next func(context.Context) error) error {
				err := next(ctx)
				eachRecord(func(w *world, _ backend.Query, r *backend.Record) bool { return r.Position != w.last })(w, h)
				return err
			}
		}),
		broken("OPEN-16", "an opening finds the first 4,096 records", reopened(func(w *world, h *hooked) {
			if list := w.positions(); len(list) > 4096 {
				eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool { return r.Position <= list[4095] })(w, h)
			}
		})),
		broken("OPEN-16", "an opening counts the first thousand streams twice", reopened(func(w *world, h *hooked) {
			h.streams = func(ctx context.Context, q backend.StreamQuery, next streamsFunc) iter.Seq2[backend.StreamInfo, error] {
				return func(yield func(backend.StreamInfo, error) bool) {
					n := 0
					for info, err := range next(ctx, q) {
						if n++; n == 1000 && !yield(info, err) || !yield(info, err) {
							return
						}
					}
				}
			}
		})),
		{"OPEN-11", "read-only is not", opened(func(o *backend.Options) { o.ReadOnly = false })},
		broken("OPEN-14", "Close keeps the lock", func(w *world, h *hooked) {
			h.closeHook = func(next func() error) error {
				err := next()
				w.mu.Lock()
				defer w.mu.Unlock()
				w.held = true
				return err
			}
		}),
		{"OPEN-15", "a read-only opening that is refused makes the store", variant{opening: func(w *world, _ context.Context, o *backend.Options) error {
			made := w.touched
			if w.touched = true; o.ReadOnly && w.opens == 0 && len(w.disk.groups) == 0 && !made {
				return backend.ErrUnavailable
			}
			return nil
		}}},
		broken("OPEN-12", "Reopen brings a closed backend back", func(_ *world, h *hooked) {
			h.reopen = func(ctx context.Context, next func(context.Context) error) error {
				if h.closeTimes.Load() > 0 {
					return nil
				}
				return next(ctx)
			}
		}),
		broken("OPEN-12", "Reopen waits for a closed backend", func(_ *world, h *hooked) {
			h.reopen = func(ctx context.Context, next func(context.Context) error) error {
				if h.closeTimes.Load() > 0 {
					<-ctx.Done()
					return ctx.Err()
				}
				return next(ctx)
			}
		}),
	}
}

// positions are those of all records that are stored.
func (w *world) positions() (list []backend.Position) {
	for r, err := range w.store.Read(context.Background(), backend.Query{From: 1, To: uint64(backend.Any), Kinds: backend.AllKinds}) {
		if err == nil {
			list = append(list, r.Position)
		}
	}
	return list
}

// rebuilt takes a stream's version from its newest record, snapshot or not.
type rebuilt struct{ backend.LogDriver }

func (d rebuilt) Head(ctx context.Context, stream string) (backend.Head, error) {
	head, err := d.LogDriver.Head(ctx, stream)
	for r, err := range d.LogDriver.Read(ctx, backend.Query{From: 1, To: uint64(backend.Any), Kinds: backend.AllKinds}) {
		if err == nil && r.Stream == stream {
			head.Version = r.Version
		}
	}
	return head, err
}

// closeLies makes appends that are stored while Close begins say ErrClosed.
func closeLies(w *world, h *hooked) {
	h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
		r, err := next(ctx, b)
		if err == nil && w.closing.Load() {
			w.lies.Add(1)
			return backend.Result{}, fmt.Errorf("%w: while closing", backend.ErrClosed)
		}
		return r, err
	}
	h.closeHook = func(next func() error) error {
		if h.closeTimes.Load() > 1 { // another may have it open by now
			return next()
		}
		w.closing.Store(true)
		for w.lies.Load() == 0 && w.appends.Load() > 0 {
			runtime.Gosched()
		}
		return next()
	}
}
