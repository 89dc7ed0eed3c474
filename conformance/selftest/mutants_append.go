package selftest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/papyra-go/papyra/backend"
)

func appendMutants() []mutant {
	payloads := func(change func([]byte) []byte) breaking {
		return eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool { r.Payload = change(r.Payload); return true })
	}
	field := func(change func(*backend.Record)) breaking {
		return eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool { change(r); return true })
	}
	return []mutant{
		broken("APPEND-01", "every third record is lost", eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool { return r.Version%3 != 0 })),
		broken("APPEND-01", "the last record is read twice", eachReading(func(_ *world, _ backend.Query, all []backend.Record) []backend.Record {
			return append(all, all[max(0, len(all)-1):]...)
		})),
		broken("APPEND-02", "payloads are lost", payloads(func([]byte) []byte { return []byte{} })),
		broken("APPEND-02", "payloads are cut at 64 KiB", payloads(func(p []byte) []byte { return p[:min(len(p), 64<<10)] })),
		broken("APPEND-02", "one bit is flipped", payloads(func(p []byte) []byte {
			if len(p) > 4096 {
				p[4096] ^= 4
			}
			return p
		})),
		broken("APPEND-03", "the caller's slices are kept", keepSlices), // hallgren
		broken("APPEND-04", "versions begin at 0", all(
			field(func(r *backend.Record) { r.Version-- }),
			eachResult(func(_ *hooked, _ *backend.Batch, r *backend.Result) { r.Version-- }),
			eachHead(func(h *backend.Head) { h.Version, h.Floor = max(h.Version, 1)-1, max(h.Floor, 1)-1 }))),
		broken("APPEND-05", "a batch's result is its first record's", eachResult(func(_ *hooked, b *backend.Batch, r *backend.Result) { // hallgren
			r.Position -= backend.Position(max(len(b.Records), 1) - 1)
		})),
		broken("APPEND-05", "heads have no floor", eachHead(func(h *backend.Head) { h.Floor = 0 })),
		broken("APPEND-06", "the last two of a batch are swapped", eachBatch(func(_ *world, b *backend.Batch) { // hallgren
			if n := len(b.Records); n > 1 {
				b.Records[n-1], b.Records[n-2] = b.Records[n-2], b.Records[n-1]
			}
		})),
		broken("APPEND-06", "the payloads of a batch's first two are swapped", eachBatch(func(_ *world, b *backend.Batch) {
			if len(b.Records) > 1 {
				b.Records[0].Payload, b.Records[1].Payload = b.Records[1].Payload, b.Records[0].Payload
			}
		})),
		broken("APPEND-06", "the metas of a batch are its first's", eachBatch(func(_ *world, b *backend.Batch) {
			for i := range b.Records {
				b.Records[i].Meta = b.Records[0].Meta
			}
		})),
		broken("APPEND-06", "places in the batch are lost", field(func(r *backend.Record) { r.Batch.Place = 0 })),
		broken("APPEND-07", "an empty batch counts as written", eachResult(func(h *hooked, b *backend.Batch, r *backend.Result) { // Papyra
			if len(b.Records) == 0 && r.Err == nil {
				h.counters().WritesTotal.Add(1)
			}
		})),
		broken("APPEND-08", "a type too long is cut", eachBatch(func(_ *world, b *backend.Batch) {
			for i := range b.Records {
				b.Records[i].Type = b.Records[i].Type[:min(len(b.Records[i].Type), backend.MaxTypeBytes)]
			}
		})),
		broken("APPEND-09", "a refused batch leaves its first record", afterRefusal(func(_ *hooked, err error, b *backend.Batch) bool { // eventhorizon, hallgren
			if !errors.Is(err, backend.ErrConflict) || b.Restore || len(b.Records) < 2 {
				return false
			}
			b.Records = b.Records[:1]
			half := *b
			half.Expected, half.ID = backend.Any, backend.BatchID{}
			*b = half
			return true
		}).butStillRefused()),
		broken("APPEND-10", "meta is lost", field(func(r *backend.Record) { r.Meta = nil })),
		broken("APPEND-10", "times are kept to the second", field(func(r *backend.Record) { r.Time = r.Time.Truncate(time.Second) })),
		broken("APPEND-10", "the schema is lost", field(func(r *backend.Record) { r.Schema = 0 })),
		broken("APPEND-11", "neighbours commit the other way round", crossPositions),
		broken("APPEND-12", "a record is seen after its successor", hideWhileAppending(func(q backend.Query) bool { return storeRead(q) && q.From > 0 }, // bigserial in PostgreSQL
			func(n int) int { return max(0, n-2) })),
		broken("APPEND-13", "zeros alone are taken for empty space", payloads(func(p []byte) []byte {
			if len(p) > 5000 && len(bytes.Trim(p, "\x00")) == 0 {
				return []byte{}
			}
			return p
		})),
		broken("APPEND-14", "names are folded to lower case", foldNames(strings.ToLower)), // hallgren
		broken("APPEND-14", "names lose their last space", foldNames(func(s string) string { return strings.TrimSuffix(s, " ") })),
		broken("APPEND-15", "every numbered record is an event", field(func(r *backend.Record) {
			if r.Kind != backend.Snapshot {
				r.Kind = backend.Event
			}
		})),
		{"APPEND-16", "the clock handed in is not used", opened(func(o *backend.Options) { o.Clock = nil })},
		{"APPEND-17", "the record limit is off by one", opened(func(o *backend.Options) {
			if o.Limits.RecordBytes > 0 {
				o.Limits.RecordBytes++
			}
		})},
	}
}

// kindless reads records of every kind, of the store and of streams.
type kindless struct{ backend.Driver }

func (d kindless) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	store := q
	store.Kinds = backend.AllKinds
	if q.Stream != "" {
		store.Stream, store.From, store.To, store.Limit = "", 1, uint64(backend.Any), 0
	}
	return func(yield func(backend.Record, error) bool) {
		left := q.Limit
		for r, err := range d.Driver.Read(ctx, store) {
			if v := uint64(r.Version); err == nil && q.Stream != "" && (r.Stream != q.Stream || v < q.From || v > q.To) {
				continue
			}
			if left--; !yield(r, err) || left == 0 {
				return
			}
		}
	}
}

// butStillRefused answers with the refusal although something was written.
func (how breaking) butStillRefused() breaking {
	return func(w *world, h *hooked) {
		how(w, h)
		inner := h.append
		h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
			var refusal error
			r, err := inner(ctx, b, func(ctx context.Context, b backend.Batch) (backend.Result, error) {
				r, err := next(ctx, b)
				refusal = cmp.Or(refusal, err)
				return r, err
			})
			if refusal != nil {
				return backend.Result{}, refusal
			}
			return r, err
		}
	}
}

// keepSlices answers reads from the slices that callers passed to Append.
func keepSlices(w *world, h *hooked) {
	h.append = func(ctx context.Context, b backend.Batch, next appendFunc) (backend.Result, error) {
		res, err := next(ctx, b)
		w.mu.Lock()
		defer w.mu.Unlock()
		for i := range b.Records {
			if err == nil && !b.Restore && !res.Repeated {
				w.records[numbers{b.Stream, res.Version - backend.Version(len(b.Records)-1-i)}] = b.Records[i]
			}
		}
		return res, err
	}
	eachRecord(func(w *world, _ backend.Query, r *backend.Record) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if kept, ok := w.records[numbers{r.Stream, r.Version}]; ok && r.Kind != backend.Snapshot {
			r.Payload = append(kept.Payload[:0:0], kept.Payload...)
		}
		if r.Payload == nil {
			r.Payload = []byte{}
		}
		return true
	})(w, h)
}

// crossPositions swaps positions 1 and 2, 3 and 4, … everywhere.
func crossPositions(w *world, h *hooked) {
	cross := func(p backend.Position) backend.Position {
		if p == 0 {
			return 0
		}
		return (p - 1 ^ 1) + 1
	}
	all(eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool { r.Position = cross(r.Position); return true }),
		eachResult(func(_ *hooked, _ *backend.Batch, r *backend.Result) { r.Position = cross(r.Position) }))(w, h)
	h.lastHook = func(p backend.Position, err error) (backend.Position, error) { return cross(p), err }
	h.save = func(ctx context.Context, r backend.Record, next saveFunc) (backend.Position, error) {
		p, err := next(ctx, r)
		return cross(p), err
	}
}

// hideWhileAppending leaves one record out of the reads that which selects and that
// begin while appends are under way.
func hideWhileAppending(which func(backend.Query) bool, hidden func(n int) int) breaking {
	return func(w *world, h *hooked) {
		h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
			return func(yield func(backend.Record, error) bool) {
				busy := w.appends.Load() > 0 && which(q)
				var all []backend.Record
				for r, err := range next(ctx, q) {
					if err != nil {
						yield(r, err)
						return
					}
					all = append(all, r.Clone())
				}
				for i, r := range all {
					if busy && len(all) > 1 && i == hidden(len(all)) {
						continue
					}
					if !yield(r, nil) {
						return
					}
				}
			}
		}
	}
}

// foldNames stores and finds streams under a folded name.
func foldNames(fold func(string) string) breaking {
	return func(w *world, h *hooked) {
		eachBatch(func(_ *world, b *backend.Batch) {
			if folded := fold(b.Stream); folded != b.Stream && utf8.ValidString(b.Stream) && b.Stream[0] != '$' {
				b.Stream, b.Expected = folded, backend.Any
			}
		})(w, h)
		eachQuery(func(_ *world, q *backend.Query) { q.Stream = fold(q.Stream) })(w, h)
	}
}

func moreAppendMutants() []mutant {
	return []mutant{
		broken("APPEND-18", "with a refusal among them, results are in another order", func(w *world, h *hooked) {
			h.appendAll = func(ctx context.Context, b []backend.Batch, next appendAllFunc) ([]backend.Result, error) {
				results, err := next(ctx, b)
				if slices.ContainsFunc(results, func(r backend.Result) bool { return r.Err != nil }) {
					slices.Reverse(results)
				}
				return results, err
			}
		}),
		broken("APPEND-19", "restored epochs are lost", eachBatch(func(_ *world, b *backend.Batch) {
			for i := range b.Records {
				if b.Restore {
					b.Records[i].Epoch = 0
				}
			}
		})),
		broken("APPEND-19", "restored times are the clock's", eachBatch(func(_ *world, b *backend.Batch) {
			for i := range b.Records {
				if b.Restore && !b.Records[i].Time.IsZero() {
					b.Records[i].Time = time.Now()
				}
			}
		})),
		broken("APPEND-20", "a restored record that does not fit is numbered anew", afterRefusal(func(_ *hooked, err error, b *backend.Batch) bool {
			if !b.Restore || !errors.Is(err, backend.ErrConflict) {
				return false
			}
			b.Restore, b.Expected = false, backend.Any
			return true
		})),
		broken("APPEND-21", "readers see batches half written", func(w *world, h *hooked) {
			eachQuery(func(w *world, q *backend.Query) {
				if !storeRead(*q) && q.Reverse && w.appends.Load() > 0 {
					q.To = uint64(h.version(q.Stream)) - 1
				}
			})(w, h)
		}),
		broken("APPEND-22", "snapshots show in plain reads", eachQuery(func(_ *world, q *backend.Query) {
			if storeRead(*q) && q.Kinds == 0 {
				q.Kinds = backend.AllKinds
			}
		})),
		{"APPEND-22", "the driver does not look at Kinds", variant{driver: func(_ *world, d backend.Driver) backend.Driver { return kindless{d} }}},
		broken("APPEND-23", "a snapshot of the future is one of the present", func(_ *world, h *hooked) {
			h.save = func(ctx context.Context, r backend.Record, next saveFunc) (backend.Position, error) {
				p, err := next(ctx, r)
				if errors.Is(err, backend.ErrConflict) && h.version(r.Stream) > 0 {
					r.Version = h.version(r.Stream)
					return next(ctx, r)
				}
				return p, err
			}
		}),
		broken("APPEND-24", "times are read back in another location", eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool {
			r.Time = r.Time.In(time.FixedZone("here", 7200))
			return true
		})),
	}
}
