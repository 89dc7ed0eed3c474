package selftest

import (
	"context"
	"errors"
	"iter"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

func partMutants() []mutant {
	return []mutant{
		broken("BATCH-01", "places are kept in twelve bits", eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool { r.Batch.Place %= 4096; return true })),
		broken("BATCH-02", "the end of the store is read inside a batch", func(w *world, h *hooked) {
			eachQuery(func(w *world, q *backend.Query) {
				if storeRead(*q) && q.Reverse && q.Limit == 1 && w.appends.Load() > 0 {
					last, _ := h.Subject.Last(context.Background())
					q.To = uint64(max(last, 2)) - 1
				}
			})(w, h)
		}),
		broken("BATCH-03", "batches that come together are split", func(w *world, h *hooked) {
			h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
				if w.appends.Load() < 2 || len(b.Records) != 3 || b.Expected != backend.Any || b.Records[0].Type != "e1" {
					return next(ctx, b)
				}
				rest := b
				rest.Records, b.Records = b.Records[1:], b.Records[:1]
				if r, err := next(ctx, b); err != nil {
					return r, err
				}
				return next(ctx, rest)
			}
		}),
		broken("KIND-01", "audits of all systems are numbered together", eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool {
			if strings.HasPrefix(r.Type, "$sys/y/audit#") {
				r.Version += 4
			}
			return true
		})),
		broken("KIND-02", "in reverse dead letters come alone", eachQuery(func(_ *world, q *backend.Query) {
			if storeRead(*q) && q.Reverse && q.Kinds.Has(backend.DeadLetter) && q.Kinds.Has(backend.Audit) && !q.Kinds.Has(backend.Snapshot) {
				q.Kinds = backend.KindSet(backend.DeadLetter)
			}
		})),
		broken("KIND-03", "dead letters are cut with lifecycles", afterCut(func(w *world, h *hooked, floors []backend.StreamFloor) {
			if len(floors) == 1 && floors[0].Stream == "$sys/x/lifecycle" {
				h.Subject.Compact(context.Background(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "$sys/x/deadletter", Floor: 2}}})
			}
		})),
		broken("SNAP-01", "snapshots lose their meta", saving(func(r *backend.Record) { r.Meta = nil })),
		broken("SNAP-01", "snapshots lose their schema", saving(func(r *backend.Record) { r.Schema = 0 })),
		broken("SNAP-02", "the store's own snapshot is handed out", func(w *world, h *hooked) {
			h.snapshot = func(ctx context.Context, stream string, v backend.Version, next snapshotFunc) (backend.Record, error) {
				r, err := next(ctx, stream, v)
				if err != nil {
					return r, err
				}
				at := numbers{stream, backend.Version(r.Position)}
				w.mu.Lock()
				defer w.mu.Unlock()
				if own, ok := w.records[at]; ok && own.Type == r.Type {
					return own, nil
				}
				w.records[at] = r
				return r, nil
			}
		}),
		broken("SNAP-03", "a snapshot that is too large is cut", func(_ *world, h *hooked) {
			h.save = func(ctx context.Context, r backend.Record, next saveFunc) (backend.Position, error) {
				p, err := next(ctx, r)
				if errors.Is(err, backend.ErrTooLarge) {
					r.Payload = r.Payload[:10]
					return next(ctx, r)
				}
				return p, err
			}
		}),
		broken("SNAP-04", "after opening the last saved is the newest", func(w *world, h *hooked) {
			if w.opens < 2 {
				return
			}
			h.snapshot = func(ctx context.Context, stream string, v backend.Version, next snapshotFunc) (backend.Record, error) {
				found, err := next(ctx, stream, v)
				for r, readErr := range h.Subject.Read(ctx, backend.Query{Stream: stream, To: uint64(v), Kinds: backend.KindSet(backend.Snapshot)}) {
					if readErr == nil && err == nil && r.Position > found.Position {
						found = r.Clone()
					}
				}
				return found, err
			}
		}),
		broken("DATA-01", "stream and type are one key", eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool {
			if r.Stream == "sab" && strings.HasPrefix(r.Type, "cd") {
				r.Type, r.Payload = "c", append([]byte(r.Type[1:]), r.Payload...)
			}
			return true
		})),
		broken("DATA-02", "metas are kept up to four kilobytes", eachBatch(func(_ *world, b *backend.Batch) {
			for i := range b.Records {
				if n := len(b.Records[i].Meta); n > 4<<10 && n < 9<<10 {
					b.Records[i].Meta = nil
				}
			}
		})),
		broken("DATA-03", "long runs of one byte are kept too short", eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool {
			if n := len(r.Payload); n >= 64<<10 && n < 1<<20 && r.Payload[0] == r.Payload[n-1] && r.Payload[0] == r.Payload[n/2] && strings.HasPrefix(r.Type, "t") {
				r.Payload = r.Payload[:64<<10]
			}
			return true
		})),
		{"CLAIM-03", "limits are others after opening again", variant{opening: func(w *world, _ context.Context, o *backend.Options) error {
			if w.opens > 0 && o.Limits == (backend.Limits{}) {
				o.Limits.BatchBytes = backend.DefaultMaxBatchBytes - 1
			}
			return nil
		}}},
		{"CONC-01", "a scan beside appends finds damage", variant{driver: func(w *world, d backend.Driver) backend.Driver { return hasty{d, w} }}},
		broken("CONC-02", "a head beside appends is an old one", func(w *world, h *hooked) {
			h.head = func(ctx context.Context, stream string, next headFunc) (backend.Head, error) {
				head, err := next(ctx, stream)
				if stream == "a" && w.appends.Load() > 0 && head.Version > 20 {
					head.Version -= 10
				}
				return head, err
			}
		}),
		broken("CONC-03", "a read beside another loses a record", func(w *world, h *hooked) { // hallgren
			h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
				return func(yield func(backend.Record, error) bool) {
					w.reads.Add(1)
					defer w.reads.Add(-1)
					n := 0
					for r, err := range next(ctx, q) {
						if n++; n == 300 && w.reads.Load() > 1 && w.appends.Load() == 0 {
							continue
						}
						if !yield(r, err) {
							return
						}
					}
				}
			}
		}),
		broken("READ-01", "reading from the middle is an error", func(_ *world, h *hooked) { // eventhorizon
			h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
				if q.Stream != "" && q.From > 1 && h.version(q.Stream) >= backend.Version(q.From) {
					return func(yield func(backend.Record, error) bool) {
						yield(backend.Record{}, &backend.OpError{Op: backend.OpRead, Backend: h.w.opts.Name, Stream: q.Stream, Err: backend.ErrUnsupported})
					}
				}
				return next(ctx, q)
			}
		}),
		broken("CONC-05", "heads beyond two thousand are forgotten", func(w *world, h *hooked) {
			h.head = func(ctx context.Context, stream string, next headFunc) (backend.Head, error) {
				head, err := next(ctx, stream)
				if strings.HasPrefix(stream, "stream-2") && len(stream) == len("stream-2000") {
					head = backend.Head{}
				}
				return head, err
			}
		}),
	}
}

// saving changes snapshots on their way in.
func saving(change func(r *backend.Record)) breaking {
	return func(_ *world, h *hooked) {
		h.save = func(ctx context.Context, r backend.Record, next saveFunc) (backend.Position, error) {
			change(&r)
			return next(ctx, r)
		}
	}
}

// hasty takes what is being appended for damage.
type hasty struct {
	backend.Driver
	w *world
}

func (d hasty) Scan(ctx context.Context, plan backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(yield func(backend.Anomaly, error) bool) {
		if d.w.appends.Load() > 0 && !yield(backend.Anomaly{Code: backend.BadHeader, Severity: backend.Damage, Offset: -1, Detail: "unfinished"}, nil) {
			return
		}
		d.Driver.Scan(ctx, plan)(yield)
	}
}
