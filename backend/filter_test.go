package backend_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// shelf is a driver over count records that it makes up as they are read, one a
// second from the epoch on: record n stands at position n in the stream
// "row-<n mod 10>/book" and has the type "rare" if n divides by 1,000, else "common".
type shelf struct {
	backend.Driver // nil: a test that gets to it has gone wrong
	count          uint64
	asked          []backend.Query // what Read and Search were asked for
	handed         int             // records handed over
}

func (d *shelf) open(t testing.TB) *backend.Backend {
	return d.openAs(t, d)
}

func (d *shelf) openAs(t testing.TB, as backend.Driver) *backend.Backend {
	t.Helper()
	b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return as, nil }, &backend.Options{Startup: backend.Startup{Mode: backend.IgnoreAnomalies}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func (d *shelf) Info() backend.Info { return backend.Info{Engine: "shelf"} }

func (d *shelf) Close() error { return nil }

func (d *shelf) Last(context.Context) (backend.Position, error) {
	return backend.Position(d.count), nil
}

var rows = [10]string{"row-0/book", "row-1/book", "row-2/book", "row-3/book", "row-4/book", "row-5/book", "row-6/book", "row-7/book", "row-8/book", "row-9/book"}

func (d *shelf) record(n uint64) backend.Record {
	r := backend.Record{Position: backend.Position(n), Version: backend.Version(n/10 + 1), Stream: rows[n%10], Kind: backend.Event, Type: "common", Time: time.Unix(int64(n), 0)}
	if n%1000 == 0 {
		r.Type = "rare"
	}
	return r
}

func (d *shelf) Read(_ context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	d.asked = append(d.asked, q)
	return func(yield func(backend.Record, error) bool) {
		left, to := q.Limit, min(q.To, d.count)
		for n := range to + 1 - min(q.From, to+1) {
			at := q.From + n
			if q.Reverse {
				at = to - n
			}
			d.handed++
			if !yield(d.record(at), nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

func positions(t *testing.T, b *backend.Backend, q backend.Query) (list []uint64) {
	t.Helper()
	for r, err := range b.Read(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, uint64(r.Position))
	}
	return list
}

func TestALimitWithFiltersIsReadInPages(t *testing.T) {
	d := &shelf{count: 1_000_000}
	b := d.open(t)
	for _, c := range []struct {
		q    backend.Query
		want []uint64
		most int // records that may be looked at
	}{
		{backend.Query{Types: []string{"rare"}, Limit: 3}, []uint64{1000, 2000, 3000}, 3000},
		{backend.Query{Types: []string{"rare"}, Limit: 2, Reverse: true}, []uint64{1_000_000, 999_000}, 1001},
		{backend.Query{Prefix: "row-7/", Limit: 2}, []uint64{7, 17}, 17},
		{backend.Query{Prefix: "row-7/", Since: time.Unix(500, 0), Until: time.Unix(517, 0)}, []uint64{507}, 1_000_000},
	} {
		d.asked, d.handed = nil, 0
		if got := positions(t, b, c.q); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.q, got, c.want)
		}
		if d.handed > c.most {
			t.Errorf("%+v: %d records were looked at, want %d at most", c.q, d.handed, c.most)
		}
		if calls := 20 + d.handed/1000; len(d.asked) > calls {
			t.Errorf("%+v: the driver was asked %d times for %d records", c.q, len(d.asked), d.handed)
		}
		for _, q := range d.asked {
			if q.Limit < 1 || q.Limit > 1024 {
				t.Errorf("%+v: the driver was asked for %d records at once", c.q, q.Limit)
			}
			if q.Prefix != "" || q.Types != nil || !q.Since.IsZero() || !q.Until.IsZero() {
				t.Errorf("the driver was asked to select: %+v", q)
			}
		}
	}
}

func TestARecordThatIsLeftOutCostsNoAllocation(t *testing.T) {
	q := backend.Query{Prefix: "row-7/", Types: []string{"rare", "lost"}, Since: time.Unix(1, 0), Until: time.Unix(1<<40, 0)}
	cost := func(count uint64) float64 {
		d := &shelf{count: count}
		b := d.open(t)
		return testing.AllocsPerRun(5, func() {
			d.asked = d.asked[:0]
			if got := positions(t, b, q); got != nil {
				t.Fatal(got)
			}
		})
	}
	const few, many = 2_000, 202_000
	if each := (cost(many) - cost(few)) / (many - few); each > 0.01 { // a page of 1,024 costs some
		t.Errorf("%.3f allocations for each record left out", each)
	}
}

// searching is a shelf that can search by type, and does it roughly: what it yields
// stands in the stream asked for or not.
type searching struct{ *shelf }

func (d searching) Search(_ context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	d.asked = append(d.asked, q)
	return func(yield func(backend.Record, error) bool) {
		left := q.Limit
		for n := (q.From + 999) / 1000 * 1000; n <= min(q.To, d.count); n += 1000 {
			d.handed++
			if !yield(d.record(n), nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

func TestADriverThatCanSearchIsAskedTo(t *testing.T) {
	d := &shelf{count: 1_000_000}
	b := d.openAs(t, searching{d})
	var want []uint64
	for n := range uint64(1000) {
		want = append(want, (n+1)*1000)
	}
	q := backend.Query{Types: []string{"rare"}, Until: time.Unix(1<<40, 0), Prefix: "row-0/"}
	if got := positions(t, b, q); !slices.Equal(got, want) {
		t.Errorf("%d records, want %d in order", len(got), len(want))
	}
	if d.handed > 1000 {
		t.Errorf("%d records were looked at", d.handed)
	}
	for _, asked := range d.asked {
		if !slices.Equal(asked.Types, q.Types) || asked.Prefix != q.Prefix || !asked.Until.Equal(q.Until) {
			t.Errorf("it was asked for %+v", asked)
		}
	}
	d.handed = 0
	if got := positions(t, b, backend.Query{Types: []string{"rare"}, Limit: 300}); !slices.Equal(got, want[:300]) {
		t.Errorf("limit 300: %d records", len(got))
	}
	if d.handed != 300 {
		t.Errorf("limit 300: %d records were looked at", d.handed)
	}
	if got := positions(t, b, backend.Query{Types: []string{"rare"}, Prefix: "row-3/"}); got != nil {
		t.Errorf("what it yields besides comes through: %v", got)
	}
	d.asked = nil
	if got := positions(t, b, backend.Query{To: 10}); len(got) != 10 || len(d.asked) == 0 {
		t.Errorf("a plain read: %v", got)
	}
}

func TestSelectsIsEveryFilterTogether(t *testing.T) {
	at := time.Unix(100, 0)
	r := backend.Record{Stream: "order-1", Kind: backend.Event, Type: "paid", Time: at}
	for _, c := range []struct {
		q    backend.Query
		want bool
	}{
		{backend.Query{}, true},
		{backend.Query{Stream: "another", From: 9, To: 9}, true}, // not filters
		{backend.Query{Prefix: "order-"}, true},
		{backend.Query{Prefix: "order-1"}, true},
		{backend.Query{Prefix: "order-10"}, false},
		{backend.Query{Types: []string{"made", "paid"}}, true},
		{backend.Query{Types: []string{"Paid", "pai", ""}}, false},
		{backend.Query{Since: at, Until: at.Add(1)}, true},
		{backend.Query{Since: at.Add(1)}, false},
		{backend.Query{Until: at}, false},
		{backend.Query{Kinds: backend.KindSet(backend.Audit)}, false},
		{backend.Query{Kinds: backend.KindSet(backend.Audit, backend.Event), Prefix: "o", Types: []string{"paid"}, Since: at}, true},
		{backend.Query{Kinds: backend.KindSet(backend.Audit, backend.Event), Prefix: "o", Types: []string{"made"}, Since: at}, false},
	} {
		if got := c.q.Selects(&r); got != c.want {
			t.Errorf("%+v: %v", c.q, got)
		}
	}
}

func BenchmarkFilteredReplay(b *testing.B) {
	d := &shelf{count: 100_000}
	store := d.open(b)
	b.ReportAllocs()
	for b.Loop() {
		d.asked = d.asked[:0]
		for r, err := range store.Read(b.Context(), backend.Query{Prefix: "row-10"}) {
			b.Fatal(fmt.Sprint(r.Position, err))
		}
	}
	b.ReportMetric(float64(b.N)*float64(d.count)/b.Elapsed().Seconds(), "records/s")
}
