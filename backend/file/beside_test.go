package file

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

func TestReadersScansAndListingsRunBesideAppends(t *testing.T) {
	b := mustOpenMem(t, new(faultfs.FS), &Options{SegmentBytes: 16 << 10})
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for w := range 4 {
		wait.Go(func() {
			for i := range 150 {
				if _, err := tryAppend(b, fmt.Sprintf("s%d-%d", w, i%10), fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var readers sync.WaitGroup
	for _, look := range []func() error{
		func() error { return positions(ctx, b, backend.Query{}) },
		func() error { return positions(ctx, b, backend.Query{Reverse: true}) },
		func() error { _, err := readAll(b, backend.Query{Stream: "s1-3"}); return err },
		func() error { _, err := readAll(b, backend.Query{Stream: "s2-3", Reverse: true}); return err },
		func() error {
			report, err := b.Scan(context.Background(), nil)
			if err == nil && len(report.Anomalies) > 0 {
				err = fmt.Errorf("scan: %v", report.Anomalies)
			}
			return err
		},
		func() error {
			for _, err := range b.Streams(context.Background(), backend.StreamQuery{Prefix: "s"}) {
				if err != nil {
					return err
				}
			}
			b.Stats()
			return nil
		},
	} {
		readers.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				if err := look(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	cancel()
	readers.Wait()
	if got := mustContents(t, b); len(got) != 600 {
		t.Errorf("%d records", len(got))
	}
}

// positions reads the whole store and checks that positions have no gap.
func positions(ctx context.Context, b *backend.Backend, q backend.Query) error {
	last := backend.Position(0)
	for r, err := range b.Read(context.Background(), q) {
		if err != nil {
			return err
		}
		if last != 0 && r.Position-last != 1 && last-r.Position != 1 {
			return fmt.Errorf("position %d after %d", r.Position, last)
		}
		last = r.Position
	}
	return nil
}

// Large groups have waypoints inside them, forwards and backwards, dense and sparse.
func TestLargeGroupsAreReadFromAnyPosition(t *testing.T) {
	for _, gaps := range []bool{false, true} {
		f := new(faultfs.FS)
		b := mustOpenMem(t, f, nil)
		batch := backend.Batch{Stream: "big", Expected: backend.Any, Restore: gaps}
		for i := range 3000 {
			r := backend.Record{Type: "t", Payload: fmt.Appendf(nil, "%0100d", i)}
			if gaps {
				r.Position, r.Version, r.Kind, r.Time = backend.Position(3*i+1), backend.Version(i+1), backend.Event, clock()()
			}
			batch.Records = append(batch.Records, r)
		}
		appendOne(t, b, "before", "x")
		if gaps {
			for i := range batch.Records {
				batch.Records[i].Position += 10
			}
		}
		if _, err := b.Append(context.Background(), batch); err != nil {
			t.Fatal(err)
		}
		appendOne(t, b, "after", "x")
		for range 2 {
			all := mustContents(t, b)
			if len(all) != 3002 {
				t.Fatalf("%d records", len(all))
			}
			for _, reverse := range []bool{false, true} {
				for from := 1; from < 9100; from += 733 {
					got, err := readAll(b, backend.Query{From: uint64(from), To: uint64(from + 700), Reverse: reverse})
					if err != nil {
						t.Fatal(err)
					}
					want := between(all, from, from+700, reverse)
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Fatalf("from %d, reverse %v: %d records, want %d", from, reverse, len(got), len(want))
					}
				}
			}
			mustBeClean(t, b)
			b.Close()
			b = mustOpenMem(t, f, nil)
		}
	}
}

func between(lines []string, from, to int, reverse bool) (out []string) {
	for i := range lines {
		l := lines[i]
		if reverse {
			l = lines[len(lines)-1-i]
		}
		var p int
		if _, err := fmt.Sscanf(l, "%d ", &p); err == nil && p >= from && p <= to {
			out = append(out, l)
		}
	}
	return out
}

// A cut that is made while a scan goes on is not in what the scan has walked.
func TestACutBesideAScanIsNoDamage(t *testing.T) {
	ctx := context.Background()
	_, b := openInside(t, new(faultfs.FS), &Options{keepLog: true})
	const name = "$sys/main/audit"
	for range 5 {
		appendOne(t, b, name, "x")
	}
	cut := false
	report, err := b.Scan(ctx, &backend.ScanOptions{Progress: func(int64, int64) {
		if cut {
			return
		}
		cut = true
		if _, err := b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: name, Floor: 4}}}); err != nil {
			t.Error(err)
		}
	}})
	if err != nil || !cut || !report.Clean() {
		t.Errorf("a cut was made: %v; found: %v %v", cut, report.Anomalies, err)
	}
}
