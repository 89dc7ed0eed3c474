package selftest

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/papyra-go/papyra/backend"
)

// The functions here are the ways in which mutants break a Subject. Each returns
// a function for variant.subject.

type breaking func(*world, *hooked)

// eachBatch changes the batches on their way in. The records may be changed: they
// are copies.
func eachBatch(change func(w *world, b *backend.Batch)) breaking {
	return func(w *world, h *hooked) {
		copied := func(b backend.Batch) backend.Batch {
			b.Records = slices.Clone(b.Records)
			change(w, &b)
			return b
		}
		h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
			return next(ctx, copied(b))
		}
		h.appendAll = func(ctx context.Context, all []backend.Batch, next appendAllFunc) ([]backend.Result, error) {
			all = slices.Clone(all)
			for i := range all {
				all[i] = copied(all[i])
			}
			return next(ctx, all)
		}
	}
}

// eachResult changes what Append and AppendAll answer.
func eachResult(change func(h *hooked, b *backend.Batch, r *backend.Result)) breaking {
	return func(w *world, h *hooked) {
		h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
			r, err := next(ctx, b)
			r.Err = err
			change(h, &b, &r)
			return r, r.Err
		}
		h.appendAll = func(ctx context.Context, all []backend.Batch, next appendAllFunc) ([]backend.Result, error) {
			results, err := next(ctx, all)
			for i := range results {
				change(h, &all[i], &results[i])
			}
			return results, err
		}
	}
}

// afterRefusal sends a refused batch again, changed, if again says so.
func afterRefusal(again func(h *hooked, err error, b *backend.Batch) bool) breaking {
	return func(w *world, h *hooked) {
		h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
			r, err := next(ctx, b)
			if err != nil && again(h, err, &b) {
				return next(ctx, b)
			}
			return r, err
		}
	}
}

// conflicting is afterRefusal for batches without an ID that conflict; when says
// for which, and they are then written all the same.
func conflicting(when func(h *hooked, e *backend.ConflictError) bool) breaking {
	return afterRefusal(func(h *hooked, err error, b *backend.Batch) bool {
		var e *backend.ConflictError
		if b.Restore || !b.ID.IsZero() || !errors.As(err, &e) || !when(h, e) {
			return false
		}
		b.Expected = backend.Any
		return true
	})
}

// eachRecord changes the records that are read (copies), or leaves them out.
func eachRecord(change func(w *world, q backend.Query, r *backend.Record) (keep bool)) breaking {
	return func(w *world, h *hooked) {
		h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
			return func(yield func(backend.Record, error) bool) {
				for r, err := range next(ctx, q) {
					if r = r.Clone(); err == nil && !change(w, q, &r) {
						continue
					}
					if !yield(r, err) {
						return
					}
				}
			}
		}
	}
}

// eachQuery changes what is asked for.
func eachQuery(change func(w *world, q *backend.Query)) breaking {
	return func(w *world, h *hooked) {
		h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
			return func(yield func(backend.Record, error) bool) {
				changed := q
				change(w, &changed)
				next(ctx, changed)(yield)
			}
		}
	}
}

// eachReading changes all that a read yields, at once.
func eachReading(change func(w *world, q backend.Query, all []backend.Record) []backend.Record) breaking {
	return func(w *world, h *hooked) {
		h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
			return func(yield func(backend.Record, error) bool) {
				var all []backend.Record
				for r, err := range next(ctx, q) {
					if err != nil {
						yield(r, err)
						return
					}
					all = append(all, r.Clone())
				}
				for _, r := range change(w, q, all) {
					if err := h.ended(ctx, backend.OpRead); err != nil {
						yield(backend.Record{}, err)
						return
					}
					if !yield(r, nil) {
						return
					}
				}
			}
		}
	}
}

// eachHead changes heads.
func eachHead(change func(*backend.Head)) breaking {
	return func(w *world, h *hooked) {
		h.head = func(ctx context.Context, stream string, next headFunc) (backend.Head, error) {
			head, err := next(ctx, stream)
			change(&head)
			return head, err
		}
	}
}

// eachListing changes a listing of streams.
func eachListing(change func(w *world, q backend.StreamQuery, list []backend.StreamInfo) []backend.StreamInfo) breaking {
	return func(w *world, h *hooked) {
		h.streams = func(ctx context.Context, q backend.StreamQuery, next streamsFunc) iter.Seq2[backend.StreamInfo, error] {
			return func(yield func(backend.StreamInfo, error) bool) {
				var list []backend.StreamInfo
				for info, err := range next(ctx, q) {
					if err != nil {
						yield(info, err)
						return
					}
					list = append(list, info)
				}
				for _, info := range change(w, q, list) {
					if err := h.ended(ctx, backend.OpStreams); err != nil {
						yield(backend.StreamInfo{}, err)
						return
					}
					if !yield(info, nil) {
						return
					}
				}
			}
		}
	}
}

// all breaks in several ways that are one defect.
func all(ways ...breaking) breaking {
	return func(w *world, h *hooked) {
		for _, way := range ways {
			way(w, h)
		}
	}
}

// opened is a mutant that changes the options it is opened with.
func opened(change func(*backend.Options)) variant {
	return variant{opening: func(_ *world, _ context.Context, o *backend.Options) error { change(o); return nil }}
}

// storeRead reports whether q is a plain or full read of the whole store.
func storeRead(q backend.Query) bool { return q.Stream == "" }

func snapshotsRead(q backend.Query) bool { return q.Kinds == backend.KindSet(backend.Snapshot) }

// ended is what a loop ends with once its context has.
func (h *hooked) ended(ctx context.Context, op backend.Op) error {
	if err := ctx.Err(); err != nil {
		return &backend.OpError{Op: op, Backend: h.w.opts.Name, Err: err}
	}
	return nil
}
