package selftest

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// afterCut calls then once floors were cut.
func afterCut(then func(w *world, h *hooked, floors []backend.StreamFloor)) breaking {
	return func(w *world, h *hooked) {
		h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
			report, err := next(ctx, cut)
			if err == nil && len(cut.Floors) > 0 {
				then(w, h, cut.Floors)
			}
			return report, err
		}
	}
}

// noted is a defect that looks at what was cut: see world.cutHead.
func noted(how breaking) breaking {
	return all(how, afterCut(func(w *world, h *hooked, floors []backend.StreamFloor) {
		for _, f := range floors {
			head, _ := h.Subject.Head(context.Background(), f.Stream)
			w.mu.Lock()
			w.cut[f.Stream] = head
			w.mu.Unlock()
		}
	}))
}

// cutHead returns the stream's head when it was cut; the zero head if it was not.
func (w *world) cutHead(stream string) backend.Head {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut[stream]
}

// cutWhole reports whether nothing was left of the stream when it was cut.
func (w *world) cutWhole(stream string) bool {
	h := w.cutHead(stream)
	return h.Version > 0 && h.Unreadable()
}

// refusal changes what comes of a cut that is refused, but for a hold.
func refusal(then func(ctx context.Context, h *hooked, cut backend.Cut, err error) error) breaking {
	return func(_ *world, h *hooked) {
		h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
			report, err := next(ctx, cut)
			if errors.Is(err, backend.ErrInvalid) && !strings.Contains(err.Error(), "Hold") {
				err = then(ctx, h, cut, err)
			}
			return report, err
		}
	}
}

func compactMutants() []mutant {
	return []mutant{
		broken("COMPACT-01", "a cut is noted and nothing goes", func(_ *world, h *hooked) {
			h.compaction = func(ctx context.Context, _ backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
				return next(ctx, backend.Cut{})
			}
		}),
		broken("COMPACT-01", "one more than the cut goes", func(_ *world, h *hooked) {
			h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
				more := slices.Clone(cut.Floors)
				for i := range more {
					more[i].Floor++
				}
				if report, err := next(ctx, backend.Cut{Floors: more}); err == nil {
					return report, nil
				}
				return next(ctx, cut)
			}
		}),
		broken("COMPACT-01", "below the floor a read begins at the floor", noted(func(w *world, h *hooked) {
			var other breaking
			plain := h.read
			other.fromFloor()(w, h)
			begin := h.read
			h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
				if w.cutHead(q.Stream).Version > 0 {
					return begin(ctx, q, next)
				}
				if plain != nil {
					return plain(ctx, q, next)
				}
				return next(ctx, q)
			}
		})),
		broken("COMPACT-02", "records that are written anew get the time of it", afterCut(func(w *world, h *hooked, _ []backend.StreamFloor) {
			eachRecord(func(w *world, _ backend.Query, r *backend.Record) bool { r.Time = r.Time.AddDate(0, 0, 1); return true })(w, h)
		})),
		broken("COMPACT-02", "batches are forgotten", afterCut(func(w *world, h *hooked, _ []backend.StreamFloor) {
			eachRecord(func(w *world, _ backend.Query, r *backend.Record) bool { r.Batch = backend.BatchRef{}; return true })(w, h)
		})),
		broken("COMPACT-02", "the store's last record goes too", afterCut(func(w *world, h *hooked, _ []backend.StreamFloor) {
			last, _ := h.Subject.Last(context.Background())
			eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool { return r.Position != last })(w, h)
		})),
		broken("COMPACT-03", "the newest snapshot goes with what it covers", noted(func(w *world, h *hooked) {
			eachRecord(func(w *world, _ backend.Query, r *backend.Record) bool {
				return r.Kind != backend.Snapshot || r.Version != w.cutHead(r.Stream).Floor-1
			})(w, h)
		})),
		broken("COMPACT-03", "snapshots of what was cut stay", keepSnapshots(func(f backend.StreamFloor) bool { return !f.Delete })),
		broken("COMPACT-04", "a stream of which all was cut begins anew", noted(eachResult(func(h *hooked, b *backend.Batch, r *backend.Result) {
			if r.Err == nil && h.w.cutWhole(b.Stream) {
				r.Version -= h.w.cutHead(b.Stream).Version
			}
		}))),
		broken("COMPACT-04", "a stream of which all was cut is not listed", noted(eachListing(func(w *world, q backend.StreamQuery, list []backend.StreamInfo) []backend.StreamInfo {
			if q.Prefix == "" { // the other rules' images
				return list
			}
			return slices.DeleteFunc(list, func(info backend.StreamInfo) bool { return w.cutWhole(info.Name) && info.Head.Unreadable() })
		}))),
		broken("COMPACT-05", "a deleted stream keeps its newest snapshot", keepSnapshots(func(f backend.StreamFloor) bool { return f.Delete })),
		broken("COMPACT-05", "deleting does not look at the version", func(_ *world, h *hooked) {
			h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
				floors := slices.Clone(cut.Floors)
				for i := range floors {
					if floors[i].Delete {
						floors[i].Floor = 0
					}
				}
				return next(ctx, backend.Cut{Floors: floors})
			}
		}),
		broken("COMPACT-05", "a stream can be deleted once", func(_ *world, h *hooked) {
			h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
				for _, f := range cut.Floors {
					if head, _ := h.Subject.Head(ctx, f.Stream); f.Delete && head.Version > 0 && head.Unreadable() {
						return nil, &backend.OpError{Op: backend.OpCompact, Err: backend.ErrNotFound}
					}
				}
				return next(ctx, cut)
			}
		}),
		broken("COMPACT-06", "a cut that takes too much is done as nothing", refusal(func(context.Context, *hooked, backend.Cut, error) error { return nil })),
		broken("COMPACT-06", "a refused cut is made as far as it goes", refusal(func(ctx context.Context, h *hooked, cut backend.Cut, err error) error {
			for _, f := range cut.Floors {
				h.Subject.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{f}})
			}
			return err
		})),
		broken("COMPACT-06", "a cancelled compaction is made all the same", func(_ *world, h *hooked) {
			h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
				report, err := next(ctx, cut)
				if errors.Is(err, context.Canceled) && len(cut.Floors) > 0 {
					next(context.WithoutCancel(ctx), cut)
				}
				return report, err
			}
		}),
	}
}

// keepSnapshots goes on showing the snapshots that cuts take from streams, when asked
// for them.
func keepSnapshots(from func(backend.StreamFloor) bool) breaking {
	return func(w *world, h *hooked) {
		h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
			had := map[string][]backend.Record{}
			for _, f := range cut.Floors {
				for r, err := range h.Subject.Read(ctx, backend.Query{Stream: f.Stream, Kinds: backend.KindSet(backend.Snapshot)}) {
					if err == nil && from(f) && (f.Delete || r.Version+1 < f.Floor) {
						had[f.Stream] = append(had[f.Stream], r.Clone())
					}
				}
			}
			report, err := next(ctx, cut)
			if err == nil {
				for stream, records := range had {
					w.kept[stream] = append(w.kept[stream], records...)
				}
			}
			return report, err
		}
		h.snapshot = func(ctx context.Context, stream string, upTo backend.Version, next snapshotFunc) (backend.Record, error) {
			found, err := next(ctx, stream, upTo)
			for _, r := range w.kept[stream] {
				if errors.Is(err, backend.ErrNotFound) && (upTo == 0 || r.Version <= upTo) && r.Version >= found.Version {
					found = r
				}
			}
			if found.Version > 0 {
				err = nil
			}
			return found, err
		}
	}
}

func moreCompactMutants() []mutant {
	reopened := func(how breaking) breaking {
		return noted(func(w *world, h *hooked) {
			if w.opens > 1 {
				how(w, h)
			}
		})
	}
	ended := func(next func(*hooked, []backend.StreamFloor) error) breaking {
		return func(_ *world, h *hooked) {
			h.compaction = func(ctx context.Context, cut backend.Cut, compact compactFunc) (*backend.CompactionReport, error) {
				if err := next(h, cut.Floors); err != nil {
					return nil, err
				}
				return compact(ctx, cut)
			}
		}
	}
	return []mutant{
		broken("COMPACT-07", "holds are not looked at", func(_ *world, h *hooked) {
			h.hold = func(name string, p backend.Position, next holdFunc) (func(), error) {
				if _, err := next(name, p); err != nil {
					return nil, err
				}
				return next(name, ^backend.Position(0))
			}
		}),
		broken("COMPACT-07", "a hold is never released", func(_ *world, h *hooked) {
			h.hold = func(name string, p backend.Position, next holdFunc) (func(), error) {
				_, err := next(name, p)
				return func() {}, err
			}
		}),
		broken("COMPACT-07", "the newest hold is the only one", func(w *world, h *hooked) {
			h.hold = func(name string, p backend.Position, next holdFunc) (func(), error) {
				if name == "" {
					return next(name, p)
				}
				return next("the one", p)
			}
		}),
		broken("COMPACT-08", "closing forgets the floors", reopened(func(w *world, h *hooked) {
			eachHead(func(head *backend.Head) {
				if head.Floor > 1 && !head.Unreadable() {
					head.Floor = 1
				}
			})(w, h)
		})),
		broken("COMPACT-08", "the last position is that of the newest record left", reopened(func(w *world, h *hooked) {
			h.lastHook = func(p backend.Position, err error) (backend.Position, error) {
				if len(w.cut) == 0 || err != nil {
					return p, err
				}
				for r := range h.Subject.Read(context.Background(), backend.Query{Reverse: true, Limit: 1, Kinds: backend.AllKinds}) {
					p = r.Position
				}
				return p, err
			}
		})),
		broken("COMPACT-08", "closing forgets streams of which all was cut", reopened(eachListing(func(w *world, _ backend.StreamQuery, list []backend.StreamInfo) []backend.StreamInfo {
			return slices.DeleteFunc(list, func(info backend.StreamInfo) bool { return w.cutWhole(info.Name) && info.Head.Unreadable() })
		}))),
		broken("COMPACT-09", "a lower floor is an error", ended(func(h *hooked, floors []backend.StreamFloor) error {
			for _, f := range floors {
				if head, _ := h.Subject.Head(context.Background(), f.Stream); !f.Delete && head.Floor > f.Floor {
					return backend.ErrInvalid
				}
			}
			return nil
		})),
		broken("COMPACT-09", "a lower floor lowers the floor", noted(func(w *world, h *hooked) {
			h.head = func(ctx context.Context, stream string, next headFunc) (backend.Head, error) {
				head, err := next(ctx, stream)
				if low := w.cutHead("low " + stream).Floor; low > 0 {
					head.Floor = min(head.Floor, low)
				}
				return head, err
			}
		}).lowered()),
		broken("COMPACT-09", "a stream that is not there can't be cut", ended(func(h *hooked, floors []backend.StreamFloor) error {
			for _, f := range floors {
				if h.version(f.Stream) == 0 && !f.Delete && f.Floor == 1 && backend.CheckStream(f.Stream) == nil {
					return backend.ErrNotFound
				}
			}
			return nil
		})),
		broken("COMPACT-10", "a retry of what was cut conflicts", noted(eachResult(func(h *hooked, b *backend.Batch, r *backend.Result) {
			if errors.Is(r.Err, backend.ErrCompacted) && h.w.cutHead(b.Stream).Version > 0 {
				r.Err = &backend.ConflictError{Stream: b.Stream, Expected: b.Expected, Actual: h.version(b.Stream)}
			}
		}))),
		broken("COMPACT-10", "a cut forgets the IDs of what is left", noted(eachResult(func(h *hooked, b *backend.Batch, r *backend.Result) {
			if r.Repeated && h.w.cutHead(b.Stream).Version > 0 {
				*r = backend.Result{Err: &backend.ConflictError{Stream: b.Stream, Expected: b.Expected, Actual: h.version(b.Stream)}}
			}
		}))),
		broken("COMPACT-11", "where nothing is left expected 0 is right", noted(conflicting(func(h *hooked, e *backend.ConflictError) bool {
			return h.w.cutWhole(e.Stream) && e.Expected == 0
		}))),
		broken("COMPACT-11", "a cut forgets the epoch", noted(afterRefusal(func(h *hooked, err error, b *backend.Batch) bool {
			var e *backend.FencedError
			if errors.As(err, &e) && h.w.cutWhole(b.Stream) {
				b.Epoch = e.Newest
				return true
			}
			return false
		}))),
		broken("COMPACT-12", "what is appended beside a compaction is not in the new files", loseAppends),
		broken("COMPACT-14", "a read that is overtaken goes on at the floor", func(_ *world, h *hooked) {
			h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
				return func(yield func(backend.Record, error) bool) {
					some := false
					for r, err := range next(ctx, q) {
						if some && errors.Is(err, backend.ErrCompacted) {
							q.From = 0
							next(ctx, q)(yield)
							return
						}
						if some = true; !yield(r, err) {
							return
						}
					}
				}
			}
		}),
		{"COMPACT-13", "a cut leaves what a scan calls a gap", variant{driver: func(_ *world, d backend.Driver) backend.Driver { return &gapFinding{Driver: d} }}},
	}
}

// lowered notes cuts to lower floors, as heads of "low " and the stream's name.
func (how breaking) lowered() breaking {
	return func(w *world, h *hooked) {
		how(w, h)
		compaction := h.compaction
		h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
			for _, f := range cut.Floors {
				if head, _ := h.Subject.Head(ctx, f.Stream); !f.Delete && f.Floor > 0 && f.Floor < head.Floor {
					w.mu.Lock()
					w.cut["low "+f.Stream] = backend.Head{Floor: f.Floor}
					w.mu.Unlock()
				}
			}
			return compaction(ctx, cut, next)
		}
	}
}

// loseAppends hides one record that was appended while a compaction ran.
func loseAppends(w *world, h *hooked) {
	lost := func() map[backend.Position]bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		lost := map[backend.Position]bool{}
		for n := range w.records {
			lost[backend.Position(n.version)] = true
		}
		return lost
	}
	h.compaction = func(ctx context.Context, cut backend.Cut, next compactFunc) (*backend.CompactionReport, error) {
		before, _ := h.Subject.Last(ctx)
		stop := time.Now().Add(5 * time.Millisecond) // where nobody writes
		for now := before; now == before && time.Now().Before(stop); now, _ = h.Subject.Last(ctx) {
			runtime.Gosched()
		}
		report, err := next(ctx, cut)
		if after, _ := h.Subject.Last(ctx); after > before && err == nil {
			w.mu.Lock()
			w.records[numbers{version: backend.Version(before + 1)}] = backend.Record{}
			w.mu.Unlock()
		}
		return report, err
	}
	h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
		return func(yield func(backend.Record, error) bool) {
			lost := lost()
			for r, err := range next(ctx, q) {
				if err == nil && lost[r.Position] {
					continue
				}
				if !yield(r, err) {
					return
				}
			}
		}
	}
}

// gapFinding finds a gap once something was cut.
type gapFinding struct {
	backend.Driver
	cut bool
}

func (d *gapFinding) Compact(ctx context.Context, cut backend.Cut) (backend.CompactionStats, error) {
	d.cut = d.cut || len(cut.Floors) > 0
	return d.Driver.Compact(ctx, cut)
}

func (d *gapFinding) Scan(ctx context.Context, plan backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	if !d.cut || plan.Depth == backend.Quick {
		return d.Driver.Scan(ctx, plan)
	}
	return func(yield func(backend.Anomaly, error) bool) {
		yield(backend.Anomaly{Code: backend.MissingRecord, Severity: backend.Damage, Offset: -1, Detail: "the stream does not begin with version 1"}, nil)
	}
}
