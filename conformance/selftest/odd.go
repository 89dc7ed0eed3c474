package selftest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sort"
	"sync/atomic"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
)

// Oddity is a backend that does something that few do and the contract allows. The
// suite must find it conformant: else it is stricter than the contract.
type Oddity struct {
	Name string
	variant
}

// Harness makes stores of the odd backend.
func (o Oddity) Harness() conformance.Harness { return o.harness() }

// Oddities returns the odd backends.
func Oddities() []Oddity {
	driver := func(name string, wrap func(*world, backend.Driver) backend.Driver) Oddity {
		return Oddity{name, variant{driver: wrap}}
	}
	return []Oddity{
		driver("pages of one", func(_ *world, d backend.Driver) backend.Driver { return pagesOfOne{d} }),
		driver("positions with gaps", func(w *world, d backend.Driver) backend.Driver { return gapped{d, w, 2} }),
		driver("positions with large steps", func(w *world, d backend.Driver) backend.Driver { return gapped{d, w, 1 << 40} }),
		driver("compaction stops appends", func(_ *world, d backend.Driver) backend.Driver { return compactsAlone{d} }),
		driver("several may write", func(_ *world, d backend.Driver) backend.Driver { return sharing{d} }),
		driver("buffers are reused", func(_ *world, d backend.Driver) backend.Driver { return reusing{d} }),
		driver("errors are wrapped again", func(_ *world, d backend.Driver) backend.Driver { return wrapping{d} }),
		driver("a cut ends the reads that it overtakes", func(w *world, d backend.Driver) backend.Driver { return atOnce{d, new(atomic.Int64)} }),
		driver("slow to close", func(_ *world, d backend.Driver) backend.Driver { return lingering{d} }),
		driver("slow to look for what is not there", func(_ *world, d backend.Driver) backend.Driver { return searching{d, true} }),
		driver("empty payloads are nil", func(_ *world, d backend.Driver) backend.Driver { return nilling{d} }),
		{"opens nothing that is damaged", variant{
			opening: func(w *world, _ context.Context, _ *backend.Options) error {
				if damaged, at := w.disk.damage(); len(damaged) > 0 {
					return &backend.CorruptError{File: "log", Offset: at[0]}
				}
				return nil
			},
			driver: func(_ *world, d backend.Driver) backend.Driver { return claiming{Driver: d, compact: true} },
		}},
		{"slow, and shown too soon", variant{log: func(_ *world, l backend.LogDriver) backend.LogDriver { return slow{l} }}},
	}
}

// wrapping wraps every error once more, beside another.
type wrapping struct{ backend.Driver }

func (d wrapping) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("odd engine (7): %w", errors.Join(err, errors.New("try again after tea")))
}

func (d wrapping) Append(ctx context.Context, group []backend.Batch) ([]backend.Result, error) {
	results, err := d.Driver.Append(ctx, group)
	out := append([]backend.Result(nil), results...)
	for i := range out {
		out[i].Err = d.wrap(out[i].Err)
	}
	return out, d.wrap(err)
}

func (d wrapping) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		for r, err := range d.Driver.Read(ctx, q) {
			if !yield(r, d.wrap(err)) {
				return
			}
		}
	}
}

func (d wrapping) Head(ctx context.Context, stream string) (backend.Head, error) {
	h, err := d.Driver.Head(ctx, stream)
	return h, d.wrap(err)
}

func (d wrapping) Compact(ctx context.Context, cut backend.Cut) (backend.CompactionStats, error) {
	stats, err := d.Driver.Compact(ctx, cut)
	return stats, d.wrap(err)
}

// atOnce ends a read of a stream with ErrCompacted when a compaction has begun since.
type atOnce struct {
	backend.Driver
	cuts *atomic.Int64
}

func (d atOnce) Compact(ctx context.Context, cut backend.Cut) (backend.CompactionStats, error) {
	if len(cut.Floors) > 0 {
		d.cuts.Add(1)
	}
	return d.Driver.Compact(ctx, cut)
}

func (d atOnce) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		began := d.cuts.Load()
		for r, err := range d.Driver.Read(ctx, q) {
			if err == nil && q.Stream != "" && q.From > 1 && d.cuts.Load() != began {
				yield(backend.Record{}, fmt.Errorf("%w: a cut came between", backend.ErrCompacted))
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// lingering takes its time to close.
type lingering struct{ backend.Driver }

func (d lingering) Close() error {
	time.Sleep(2 * time.Millisecond)
	return d.Driver.Close()
}

// nilling hands out nil where nothing was stored.
type nilling struct{ backend.Driver }

func (d nilling) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		for r, err := range d.Driver.Read(ctx, q) {
			if len(r.Payload) == 0 {
				r.Payload = nil
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// sharing claims that several may write.
type sharing struct{ backend.Driver }

func (d sharing) Info() backend.Info {
	info := d.Driver.Info()
	info.Capabilities.Shared = true
	return info
}

// compactsAlone wants nothing beside a compaction.
type compactsAlone struct{ backend.Driver }

func (d compactsAlone) Info() backend.Info {
	info := d.Driver.Info()
	info.Capabilities.CompactBeside = false
	return info
}

// pagesOfOne reads record by record, as an engine with a cursor would.
type pagesOfOne struct{ backend.Driver }

func (d pagesOfOne) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	if q.Stream != "" && q.Kinds.Has(backend.Snapshot) {
		return d.Driver.Read(ctx, q)
	}
	return func(yield func(backend.Record, error) bool) {
		for left := q.Limit; ; {
			one := q
			one.Limit = 1
			found := false
			for r, err := range d.Driver.Read(ctx, one) {
				if !yield(r, err) || err != nil {
					return
				}
				found = true
				at := uint64(r.Position)
				if q.Stream != "" {
					at = uint64(r.Version)
				}
				if q.Reverse {
					q.To = at - 1
				} else {
					q.From = at + 1
				}
			}
			if left--; !found || left == 0 || q.From > q.To {
				return
			}
		}
	}
}

// reusing hands out every payload and meta in the same buffers.
type reusing struct{ backend.Driver }

func (d reusing) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		var payload, meta []byte
		for r, err := range d.Driver.Read(ctx, q) {
			payload, meta = append(payload[:0], r.Payload...), append(meta[:0], r.Meta...)
			if err == nil {
				r.Payload, r.Meta = payload, meta
			}
			if !yield(r, err) {
				return
			}
			for _, b := range [][]byte{payload, meta} {
				for i := range b {
					b[i] = '?'
				}
			}
		}
	}
}

// slow shows records long before it says that they are durable.
type slow struct{ backend.LogDriver }

func (d slow) Append(ctx context.Context, records []backend.Record) error {
	err := d.LogDriver.Append(ctx, records)
	for range 20 {
		runtime.Gosched()
	}
	return err
}

// gapped leaves some positions out after each group, as a counter does that is taken
// before a transaction which is then rolled back.
type gapped struct {
	backend.Driver
	w    *world
	step backend.Position
}

// gap says that positions from inner on are shifted by so many.
type gap struct{ inner, shift backend.Position }

func (d gapped) Append(ctx context.Context, group []backend.Batch) ([]backend.Result, error) {
	if group[0].Restore { // brings positions of its own: the gap that nobody has seen yet is filled
		d.fill(ctx)
	}
	shift := d.shift(^backend.Position(0))
	inner := make([]backend.Batch, len(group))
	for i, b := range group {
		inner[i] = b
		inner[i].Records = append([]backend.Record(nil), b.Records...)
		for j := range inner[i].Records {
			if r := &inner[i].Records[j]; b.Restore {
				r.Position -= min(r.Position, shift)
			}
		}
	}
	results, err := d.Driver.Append(ctx, inner)
	if err != nil {
		return nil, err
	}
	out := append([]backend.Result(nil), results...)
	for i := range out {
		if out[i].Err == nil {
			out[i].Position += d.shift(out[i].Position)
		}
	}
	last, err := d.Driver.Last(ctx)
	d.w.gapsMu.Lock()
	defer d.w.gapsMu.Unlock()
	d.w.gaps = append(d.w.gaps, gap{last + 1, shift + d.step})
	return out, err
}

// fill takes back the gap above the last position.
func (d gapped) fill(ctx context.Context) {
	last, err := d.Driver.Last(ctx)
	d.w.gapsMu.Lock()
	defer d.w.gapsMu.Unlock()
	for n := len(d.w.gaps); err == nil && n > 0 && d.w.gaps[n-1].inner > last; n = len(d.w.gaps) {
		d.w.gaps = d.w.gaps[:n-1]
	}
}

// shift returns what is added to the inner position p.
func (d gapped) shift(p backend.Position) backend.Position {
	d.w.gapsMu.Lock()
	defer d.w.gapsMu.Unlock()
	i := sort.Search(len(d.w.gaps), func(i int) bool { return d.w.gaps[i].inner > p })
	if i == 0 {
		return 0
	}
	return d.w.gaps[i-1].shift
}

// below returns the highest inner position that is shown at or below p.
func (d gapped) below(p uint64) uint64 {
	d.w.gapsMu.Lock()
	defer d.w.gapsMu.Unlock()
	gaps := d.w.gaps
	i := sort.Search(len(gaps), func(i int) bool { return uint64(gaps[i].inner+gaps[i].shift) > p })
	if i > 0 {
		p -= uint64(gaps[i-1].shift)
	}
	if i < len(gaps) {
		p = min(p, uint64(gaps[i].inner)-1)
	}
	return p
}

func (d gapped) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		if q.Stream == "" {
			q.From, q.To = d.below(q.From-1)+1, d.below(q.To)
		}
		for r, err := range d.Driver.Read(ctx, q) {
			r.Position += d.shift(r.Position)
			if !yield(r, err) {
				return
			}
		}
	}
}

func (d gapped) Last(ctx context.Context) (backend.Position, error) {
	p, err := d.Driver.Last(ctx)
	return p + d.shift(p), err
}
