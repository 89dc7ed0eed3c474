package selftest

import (
	"context"
	"errors"
	"runtime"

	"github.com/papyra-go/papyra/backend"
)

func occMutants() []mutant {
	after := func(n int, how func(h *hooked, err error, b *backend.Batch) bool) breaking {
		return afterRefusal(func(h *hooked, err error, b *backend.Batch) bool { return h.w.opens > n && how(h, err, b) })
	}
	unfence := func(_ *hooked, err error, b *backend.Batch) bool {
		var e *backend.FencedError
		if errors.As(err, &e) {
			b.Epoch = e.Newest
		}
		return e != nil
	}
	return []mutant{
		broken("OCC-01", "a stale version is accepted", conflicting(func(_ *hooked, e *backend.ConflictError) bool { return e.Expected > 0 && e.Expected < e.Actual })),
		broken("OCC-02", "expected 0 means no check", conflicting(func(_ *hooked, e *backend.ConflictError) bool { return e.Expected == 0 })), // eventhorizon, NEventStore
		broken("OCC-03", "check, then act", func(_ *world, h *hooked) {
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				if b.ID.IsZero() && !b.Restore && b.Expected != backend.Any && h.version(b.Stream) == b.Expected {
					runtime.Gosched()
					b.Expected = backend.Any
				}
				return next(ctx, b)
			}
		}),
		broken("OCC-04", "a future version is accepted", conflicting(func(_ *hooked, e *backend.ConflictError) bool { return e.Expected > e.Actual })),
		broken("OCC-05", "expectations are forgotten by closing", conflicting(func(h *hooked, _ *backend.ConflictError) bool { return h.w.opens > 1 })),
		broken("OCC-06", "Any is the version read just before", func(_ *world, h *hooked) {
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				if b.ID.IsZero() && !b.Restore && b.Expected == backend.Any {
					b.Expected = h.version(b.Stream)
					runtime.Gosched()
				}
				return next(ctx, b)
			}
		}),
		broken("OCC-07", "a cancelled append is written all the same", func(_ *world, h *hooked) {
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				r, err := next(context.WithoutCancel(ctx), b)
				if err == nil && ctx.Err() != nil {
					return backend.Result{}, ctx.Err()
				}
				return r, err
			}
		}),
		broken("OCC-08", "an older epoch writes", afterRefusal(unfence)),
		broken("OCC-09", "closing forgets the epoch", after(1, unfence)),
	}
}

func idemMutants() []mutant {
	repeats := func(when func(h *hooked, b *backend.Batch) error) breaking {
		return eachResult(func(h *hooked, b *backend.Batch, r *backend.Result) {
			if r.Repeated {
				if err := when(h, b); err != nil {
					*r = backend.Result{Err: err}
				}
			}
		})
	}
	conflict := func(b *backend.Batch, h *hooked) error {
		return &backend.ConflictError{Stream: b.Stream, Expected: b.Expected, Actual: h.version(b.Stream)}
	}
	return []mutant{
		broken("IDEM-01", "a batch sent again conflicts", repeats(func(h *hooked, b *backend.Batch) error { return conflict(b, h) })),
		broken("IDEM-01", "a batch sent again is written again", func(_ *world, h *hooked) {
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				r, err := next(ctx, b)
				if r.Repeated {
					b.ID, b.Expected = backend.BatchID{}, backend.Any
					return next(ctx, b)
				}
				return r, err
			}
		}),
		broken("IDEM-02", "an ID is enough", func(_ *world, h *hooked) {
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				res, err := next(ctx, b)
				if errors.Is(err, backend.ErrConflict) && !b.ID.IsZero() {
					for r := range h.Subject.Read(ctx, backend.Query{Stream: b.Stream, From: uint64(b.Expected) + 1, Limit: 1}) {
						if r.Batch.ID == b.ID {
							return backend.Result{Version: b.Expected + backend.Version(len(b.Records)), Position: r.Position, Repeated: true}, nil
						}
					}
				}
				return res, err
			}
		}),
		broken("IDEM-03", "closing forgets the IDs", repeats(func(h *hooked, b *backend.Batch) error {
			if h.w.opens > 1 {
				return conflict(b, h)
			}
			return nil
		})),
		broken("IDEM-04", "equal batches at one time are both written", func(_ *world, h *hooked) {
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				if !b.ID.IsZero() && b.Expected != backend.Any && h.version(b.Stream) == b.Expected {
					for range 4 {
						runtime.Gosched()
					}
					b.Expected = h.version(b.Stream)
				}
				return next(ctx, b)
			}
		}),
		broken("IDEM-06", "an ID is known in every stream", func(w *world, h *hooked) {
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if k, ok := w.results[b.ID]; ok && k.stream != b.Stream {
					k.result.Repeated = true
					return k.result, nil
				}
				r, err := next(ctx, b)
				if err == nil && !b.ID.IsZero() {
					w.results[b.ID] = known{b.Stream, r}
				}
				return r, err
			}
		}),
		broken("IDEM-07", "an ID with Any is dropped", eachBatch(func(_ *world, b *backend.Batch) {
			if b.Expected == backend.Any {
				b.ID = backend.BatchID{}
			}
		})),
		broken("IDEM-08", "the epoch is judged before the ID", repeats(func(h *hooked, b *backend.Batch) error {
			if head, _ := h.Subject.Head(context.Background(), b.Stream); head.Epoch > b.Epoch {
				return &backend.FencedError{Stream: b.Stream, Epoch: b.Epoch, Newest: head.Epoch}
			}
			return nil
		})),
		broken("IDEM-09", "a retry in the same group conflicts", func(_ *world, h *hooked) {
			h.appendAll = func(ctx context.Context, all []backend.Batch, next appendAllFunc) ([]backend.Result, error) {
				results, err := next(ctx, all)
				for i := range results {
					if results[i].Repeated {
						results[i] = backend.Result{Err: conflict(&all[i], h)}
					}
				}
				return results, err
			}
		}),
		broken("IDEM-10", "below the floor a retry conflicts", eachResult(func(h *hooked, b *backend.Batch, r *backend.Result) {
			if errors.Is(r.Err, backend.ErrCompacted) {
				r.Err = conflict(b, h)
			}
		})),
	}
}
