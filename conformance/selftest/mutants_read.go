package selftest

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

func readMutants() []mutant {
	return []mutant{
		broken("READ-01", "From is exclusive", eachQuery(func(_ *world, q *backend.Query) {
			if q.From > 0 {
				q.From++
			}
		})),
		broken("READ-02", "one more than Limit", eachQuery(func(_ *world, q *backend.Query) {
			if q.Limit > 0 {
				q.Limit++
			}
		})),
		broken("READ-03", "a negative limit is none", eachQuery(func(_ *world, q *backend.Query) { q.Limit = max(q.Limit, 0) })),
		broken("READ-04", "the limit is applied before the order", eachReading(nil).reverseAfterLimit()),
		{"READ-04", "the driver does not look at Reverse", variant{driver: func(_ *world, d backend.Driver) backend.Driver { return forwards{d} }}},
		broken("READ-05", "To is exclusive", eachQuery(func(_ *world, q *backend.Query) {
			if q.To > 0 {
				q.To--
			}
		})),
		broken("READ-06", "the second page begins too late", eachQuery(func(_ *world, q *backend.Query) {
			if q.From > 1 && q.To == 0 && q.Limit > 0 && !q.Reverse && q.Kinds == 0 {
				q.From++
			}
		})),
		broken("READ-07", "reads share one buffer", func(w *world, h *hooked) {
			h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
				return func(yield func(backend.Record, error) bool) {
					for r, err := range next(ctx, q) {
						w.borrowed = append(w.borrowed[:0], r.Payload...)
						if err == nil {
							r.Payload = w.borrowed
						}
						if !yield(r, err) {
							return
						}
					}
				}
			}
		}),
		broken("READ-08", "an unknown stream is an error", func(_ *world, h *hooked) {
			h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
				last, _ := h.Subject.Last(ctx)
				if q.Stream != "" && backend.CheckStream(q.Stream) == nil && last > 0 && h.version(q.Stream) == 0 && ctx.Err() == nil && h.closeTimes.Load() == 0 {
					return func(yield func(backend.Record, error) bool) { yield(backend.Record{}, backend.ErrNotFound) }
				}
				return next(ctx, q)
			}
		}),
		broken("READ-09", "a read follows the writers", func(_ *world, h *hooked) {
			h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
				return func(yield func(backend.Record, error) bool) {
					for round := range 2 {
						for r, err := range next(ctx, q) {
							if !yield(r, err) {
								return
							}
							q.From = uint64(r.Position) + 1
							if q.Stream != "" {
								q.From = uint64(r.Version) + 1
							}
						}
						if round == 1 || q.To != 0 || q.Limit != 0 || q.Reverse || snapshotsRead(q) {
							return
						}
					}
				}
			}
		}),
		broken("READ-10", "broken loops use up a pool", leakLoops),
	}
}

// forwards reads in one direction only.
type forwards struct{ backend.Driver }

func (d forwards) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	q.Reverse = false
	return d.Driver.Read(ctx, q)
}

// reverseAfterLimit takes the first records of a limited reverse read, and turns
// them round.
func (breaking) reverseAfterLimit() breaking {
	return func(w *world, h *hooked) {
		h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
			if !q.Reverse || q.Limit <= 0 {
				return next(ctx, q)
			}
			q.Reverse = false
			return func(yield func(backend.Record, error) bool) {
				var all []backend.Record
				for r, err := range next(ctx, q) {
					if err != nil {
						yield(r, err)
						return
					}
					all = append(all, r.Clone())
				}
				for _, r := range slices.Backward(all) {
					if !yield(r, nil) {
						return
					}
				}
			}
		}
	}
}

// leakLoops takes a connection for each loop that is broken off. Appends wait for
// one of fifty.
func leakLoops(w *world, h *hooked) {
	h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
		return func(yield func(backend.Record, error) bool) {
			for r, err := range next(ctx, q) {
				if !yield(r, err) {
					w.lies.Add(1)
					return
				}
			}
		}
	}
	h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
		if w.lies.Load() > 50 {
			<-ctx.Done()
		}
		return next(ctx, b)
	}
}

func moreReadMutants() []mutant {
	return []mutant{
		broken("READ-12", "a read below the floor begins at the floor", eachQuery(nil).fromFloor()),
		broken("READ-13", "a scan loses the last record", func(w *world, h *hooked) {
			h.scanned = func() {
				last, _ := h.Subject.Last(context.Background())
				eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool { return r.Position != last })(w, h)
			}
		}),
		broken("READ-14", "a lock is held while the loop body runs", func(w *world, h *hooked) {
			h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
				return func(yield func(backend.Record, error) bool) {
					w.lies.Add(1)
					defer w.lies.Add(-1)
					next(ctx, q)(yield)
				}
			}
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				for w.lies.Load() > 0 && ctx.Err() == nil {
					runtime.Gosched()
				}
				return next(ctx, b)
			}
		}),
		broken("READ-15", "Kinds is not looked at", eachQuery(func(_ *world, q *backend.Query) {
			if storeRead(*q) && q.Kinds != backend.AllKinds && q.Kinds&^backend.AllKinds == 0 {
				q.Kinds = 0
			}
		})),
		broken("READ-16", "snapshots come by position", eachReading(func(_ *world, q backend.Query, all []backend.Record) []backend.Record {
			if snapshotsRead(q) && !storeRead(q) {
				slices.SortFunc(all, func(a, b backend.Record) int { return cmp.Compare(a.Position, b.Position) })
			}
			return all
		})),
		broken("READ-16", "of one version's snapshots a page is read", eachReading(func(_ *world, q backend.Query, all []backend.Record) []backend.Record {
			if snapshotsRead(q) && !storeRead(q) {
				all = all[:min(len(all), 256)]
			}
			return all
		})),
		broken("READ-17", "the last snapshot saved is the newest", func(_ *world, h *hooked) {
			h.snapshot = func(ctx context.Context, stream string, upTo backend.Version, next snapshotFunc) (backend.Record, error) {
				found, err := next(ctx, stream, upTo)
				if err != nil {
					return found, err
				}
				for r := range h.Subject.Read(ctx, backend.Query{Stream: stream, Kinds: backend.KindSet(backend.Snapshot), To: uint64(upTo)}) {
					if r.Position > found.Position {
						found = r.Clone()
					}
				}
				return found, nil
			}
		}),
		broken("READ-17", "upTo is not looked at", func(_ *world, h *hooked) {
			h.snapshot = func(ctx context.Context, stream string, _ backend.Version, next snapshotFunc) (backend.Record, error) {
				return next(ctx, stream, 0)
			}
		}),
		broken("READ-18", "streams are listed in a collated order", eachListing(func(_ *world, _ backend.StreamQuery, list []backend.StreamInfo) []backend.StreamInfo { // PostgreSQL
			slices.SortFunc(list, func(a, b backend.StreamInfo) int {
				return cmp.Or(cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), cmp.Compare(a.Name, b.Name))
			})
			return list
		})),
		broken("READ-18", "streams are listed in any order", eachListing(func(_ *world, _ backend.StreamQuery, list []backend.StreamInfo) []backend.StreamInfo { // a map's
			rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			return list
		})),
		broken("READ-18", "a prefix is a pattern", func(_ *world, h *hooked) {
			h.streams = func(ctx context.Context, q backend.StreamQuery, next streamsFunc) iter.Seq2[backend.StreamInfo, error] {
				q.Prefix = strings.TrimSuffix(q.Prefix, "/")
				return next(ctx, q)
			}
		}),
		broken("READ-19", "a reverse read ends after a thousand", eachReading(func(_ *world, q backend.Query, all []backend.Record) []backend.Record {
			if q.Reverse {
				all = all[:min(len(all), 1000)]
			}
			return all
		})),
		broken("READ-20", "snapshots are gone while one is saved", func(w *world, h *hooked) {
			h.snapshot = func(ctx context.Context, stream string, upTo backend.Version, next snapshotFunc) (backend.Record, error) {
				if w.saves.Load() > 0 {
					return backend.Record{}, backend.ErrNotFound
				}
				return next(ctx, stream, upTo)
			}
		}),
		broken("READ-21", "a listing loses one beside a new stream", func(w *world, h *hooked) {
			eachListing(func(w *world, _ backend.StreamQuery, list []backend.StreamInfo) []backend.StreamInfo {
				if w.appends.Load() > 0 {
					return list[min(1, len(list)):]
				}
				return list
			})(w, h)
		}),
	}
}

// fromFloor asks again without From where that lies below the floor.
func (breaking) fromFloor() breaking {
	return func(w *world, h *hooked) {
		h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
			return func(yield func(backend.Record, error) bool) {
				for r, err := range next(ctx, q) {
					if errors.Is(err, backend.ErrCompacted) {
						q.From = 0
						next(ctx, q)(yield)
						return
					}
					if !yield(r, err) {
						return
					}
				}
			}
		}
	}
}
