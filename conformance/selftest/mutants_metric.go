package selftest

import (
	"context"
	"errors"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/metrics"
)

func metricMutants() []mutant {
	minus := func(n int) uint64 { return -uint64(n) }
	return []mutant{
		broken("METRIC-01", "snapshots are not counted", func(_ *world, h *hooked) {
			h.save = func(ctx context.Context, r backend.Record, next saveFunc) (backend.Position, error) {
				p, err := next(ctx, r)
				if err == nil {
					h.counters().WritesTotal.Add(minus(1))
				}
				return p, err
			}
		}),
		broken("METRIC-01", "batches are counted, not records", eachResult(func(h *hooked, b *backend.Batch, r *backend.Result) {
			if n := len(b.Records); r.Err == nil && n > 1 && !r.Repeated {
				h.counters().WritesTotal.Add(minus(n - 1))
			}
		})),
		broken("METRIC-02", "meta is not counted", eachResult(func(h *hooked, b *backend.Batch, r *backend.Result) {
			for i := range b.Records {
				if r.Err == nil && !r.Repeated {
					h.counters().BytesWritten.Add(minus(len(b.Records[i].Meta)))
				}
			}
		})),
		broken("METRIC-03", "refusals are not counted", eachResult(func(h *hooked, _ *backend.Batch, r *backend.Result) {
			if r.Err != nil && !errors.Is(r.Err, backend.ErrClosed) {
				h.counters().WriteErrors.Add(minus(1))
			}
		})),
		broken("METRIC-04", "an append after Close counts as written", eachResult(func(h *hooked, b *backend.Batch, r *backend.Result) { // Papyra
			if errors.Is(r.Err, backend.ErrClosed) {
				h.counters().WritesTotal.Add(uint64(len(b.Records)))
			}
		})),
		broken("METRIC-05", "a recovery counts as a scan too", func(_ *world, h *hooked) { // Papyra
			h.recovered = func(err error) {
				if err == nil {
					h.counters().ScanCount.Add(1)
				}
			}
		}),
		broken("METRIC-07", "concurrent updates are lost", eachResult(func(h *hooked, _ *backend.Batch, r *backend.Result) {
			if r.Err == nil && h.w.appends.Load() > 1 {
				h.counters().WritesTotal.Add(minus(1))
			}
		})),
		broken("METRIC-08", "records are counted when the backend is idle", func(w *world, h *hooked) {
			eachResult(func(h *hooked, b *backend.Batch, r *backend.Result) {
				if r.Err == nil {
					h.counters().WritesTotal.Add(minus(len(b.Records)))
					w.lies.Add(int32(len(b.Records)))
				}
			})(w, h)
			h.metrics = func(*metrics.Counters) {
				if w.appends.Load() == 0 {
					h.counters().WritesTotal.Add(uint64(w.lies.Swap(0)))
				}
			}
		}),
		broken("METRIC-09", "a snapshot that is read counts as a scan", func(_ *world, h *hooked) {
			h.snapshot = func(ctx context.Context, stream string, v backend.Version, next snapshotFunc) (backend.Record, error) {
				r, err := next(ctx, stream, v)
				if err == nil {
					h.counters().ScanCount.Add(1)
				}
				return r, err
			}
		}),
		{"METRIC-11", "counters handed in are replaced", opened(func(o *backend.Options) { o.Counters = nil })},
		broken("METRIC-12", "a retry counts as written", eachResult(func(h *hooked, b *backend.Batch, r *backend.Result) {
			if r.Repeated {
				h.counters().WritesTotal.Add(uint64(len(b.Records)))
			}
		})),
	}
}
