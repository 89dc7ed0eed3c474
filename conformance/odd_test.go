package conformance_test

import (
	"context"
	"iter"
	"runtime"
	"sort"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
)

// TestOddButAllowedBackendsPass guards against a suite that is stricter than the
// contract: each of these does something that the driver's duties allow.
func TestOddButAllowedBackendsPass(t *testing.T) {
	for name, v := range map[string]*variant{
		"pages of one":        {driver: func(_ *world, d backend.Driver) backend.Driver { return pagesOfOne{d} }},
		"positions with gaps": {driver: func(w *world, d backend.Driver) backend.Driver { return gapped{d, w} }},
		"all is claimed": {driver: func(_ *world, d backend.Driver) backend.Driver {
			return claiming{Driver: d, repair: true, quarantine: true, compact: true}
		}},
		"compaction stops appends": {driver: func(_ *world, d backend.Driver) backend.Driver { return compactsAlone{d} }},
		"nothing is claimed":       {driver: func(_ *world, d backend.Driver) backend.Driver { return claiming{Driver: d} }},
		"several may write":        {driver: func(_ *world, d backend.Driver) backend.Driver { return sharing{d} }},
		"buffers are reused":       {driver: func(_ *world, d backend.Driver) backend.Driver { return reusing{d} }},
		"slow, and shown too soon": {log: func(_ *world, l backend.LogDriver) backend.LogDriver { return slow{l} }},
	} {
		t.Run(name, func(t *testing.T) { conformance.Run(t, v.harness(), conformance.Strict()) })
	}
}

// What rests on a capability that is not claimed is unsupported like it, and not
// blocked: nothing is missing from the report.
func TestABackendThatClaimsNothingIsConformant(t *testing.T) {
	v := variant{driver: func(_ *world, d backend.Driver) backend.Driver { return claiming{Driver: d} }}
	report, err := conformance.Check(t.Context(), v.harness(), conformance.Strict())
	if err != nil {
		t.Fatal(err)
	}
	if report.Verdict != conformance.Conformant || report.Totals[conformance.Blocked] > 0 || report.Totals[conformance.Unsupported] == 0 {
		t.Error(report.Summary())
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

// gapped leaves two positions out after each group, as a counter does that is taken
// before a transaction which is then rolled back.
type gapped struct {
	backend.Driver
	w *world
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
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.w.gaps = append(d.w.gaps, gap{last + 1, shift + 2})
	return out, err
}

// fill takes back the gap above the last position.
func (d gapped) fill(ctx context.Context) {
	last, err := d.Driver.Last(ctx)
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	for n := len(d.w.gaps); err == nil && n > 0 && d.w.gaps[n-1].inner > last; n = len(d.w.gaps) {
		d.w.gaps = d.w.gaps[:n-1]
	}
}

// shift returns what is added to the inner position p.
func (d gapped) shift(p backend.Position) backend.Position {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	i := sort.Search(len(d.w.gaps), func(i int) bool { return d.w.gaps[i].inner > p })
	if i == 0 {
		return 0
	}
	return d.w.gaps[i-1].shift
}

// below returns the highest inner position that is shown at or below p.
func (d gapped) below(p uint64) uint64 {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
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
