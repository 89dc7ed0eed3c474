package backend_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// compacting claims compaction and notes the cuts that reach it.
type compacting struct {
	*eagerLog
	beside bool
	cuts   []backend.Cut
	fault  error
}

func (l *compacting) Info() backend.Info {
	return backend.Info{Engine: "compacting", Capabilities: backend.Capabilities{Compact: true, CompactBeside: l.beside}}
}

func (l *compacting) Compact(_ context.Context, cut backend.Cut) (backend.CompactionStats, error) {
	l.cuts = append(l.cuts, cut)
	return backend.CompactionStats{RecordsBefore: 5, RecordsAfter: 3}, l.fault
}

// Head says what the cuts have made of it.
func (l *compacting) Head(ctx context.Context, stream string) (backend.Head, error) {
	h, err := l.eagerLog.Head(ctx, stream)
	for _, cut := range l.cuts {
		for _, f := range cut.Floors {
			if f.Stream == stream {
				h.Floor = max(h.Floor, f.Floor)
			}
		}
	}
	return h, err
}

func TestACutNeverPassesASnapshotNorAHold(t *testing.T) {
	for _, beside := range []bool{false, true} {
		l := &compacting{eagerLog: &eagerLog{}, beside: beside}
		b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return backend.Sequenced(l), nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for range 5 {
			if _, err := b.Append(t.Context(), one("s")); err != nil {
				t.Fatal(err)
			}
		}
		floor := func(f backend.Version) backend.Cut {
			return backend.Cut{Floors: []backend.StreamFloor{{Stream: "s", Floor: f}}}
		}
		refused := func(what string, cut backend.Cut) {
			t.Helper()
			if _, err := b.Compact(t.Context(), cut); !errors.Is(err, backend.ErrInvalid) || len(l.cuts) > 0 {
				t.Errorf("%s: %v, want ErrInvalid and nothing cut", what, err)
			}
		}
		refused("no snapshot", floor(2))
		if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: "s", Version: 3}); err != nil {
			t.Fatal(err)
		}
		refused("above the snapshot", floor(5))
		refused("the same stream twice", backend.Cut{Floors: []backend.StreamFloor{{Stream: "s", Floor: 2}, {Stream: "s", Floor: 2}}})
		release, err := b.Hold("tailer", 2)
		if err != nil {
			t.Fatal(err)
		}
		refused("above the hold", floor(4))
		refused("deleted above the hold", backend.Cut{Floors: []backend.StreamFloor{{Stream: "s", Delete: true}}})
		moved, err := b.Hold("tailer", 3)
		if err != nil {
			t.Fatal(err)
		}
		release() // of the hold before: no effect
		if report, err := b.Compact(t.Context(), floor(4)); err != nil || report.RecordsAfter != 3 || len(l.cuts) != 1 {
			t.Errorf("at the hold: %+v, %v", report, err)
		}
		moved()
		if n := b.Metrics().Snapshot(); n.CompactCount != 1 || n.CompactErrors != 5 {
			t.Errorf("counted %+v", n)
		}
	}
}

func TestTheDriverGetsACutThatIsFilledInAndTakesSomething(t *testing.T) {
	l := &compacting{eagerLog: &eagerLog{}}
	b := overDriver(t, l)
	audits := backend.SystemStream("x", backend.Audit)
	for _, name := range []string{"a", "b", "c", audits} {
		for range 3 {
			if _, err := b.Append(t.Context(), one(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: "b", Version: 2}); err != nil {
		t.Fatal(err)
	}
	_, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{
		{Stream: audits, Floor: 4}, {Stream: "a", Delete: true}, {Stream: "b", Floor: 3}, {Stream: "c", Floor: 1}, {Stream: "nobody", Delete: true},
	}})
	want := []backend.StreamFloor{{Stream: audits, Floor: 4}, {Stream: "a", Floor: 4, Delete: true}, {Stream: "b", Floor: 3}}
	if err != nil || len(l.cuts) != 1 || !slices.Equal(l.cuts[0].Floors, want) {
		t.Fatalf("%v, cuts %+v, want %+v", err, l.cuts, want)
	}
	// The floors hold now, whatever is asked for.
	if _, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: audits, Floor: 4}, {Stream: "a", Delete: true}, {Stream: "b", Floor: 2}}}); err != nil || len(l.cuts[1].Floors) != 0 {
		t.Errorf("again: %v, cut %+v, want none", err, l.cuts[1])
	}
}

func TestDeletingNamesTheVersionThatTheStreamIsAt(t *testing.T) {
	b := open(t, nil)
	if _, err := b.Append(t.Context(), one("s")); err != nil {
		t.Fatal(err)
	}
	for _, floor := range []backend.Version{1, 3} {
		_, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "s", Floor: floor, Delete: true}}})
		var conflict *backend.ConflictError
		if !errors.As(err, &conflict) || conflict.Expected != floor-1 || conflict.Actual != 1 {
			t.Errorf("floor %d: %v, want a conflict of version %d with 1", floor, err, floor-1)
		}
	}
	if _, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "s", Floor: 2, Delete: true}}}); err != nil {
		t.Error(err)
	}
	if h, err := b.Head(t.Context(), "s"); err != nil || h != (backend.Head{Version: 1, Floor: 2}) {
		t.Errorf("head %+v, %v", h, err)
	}
}

func TestWhatAFloorTakes(t *testing.T) {
	event, snapshot := backend.Event, backend.Snapshot
	for _, c := range []struct {
		floor   backend.Version
		del     bool
		kind    backend.Kind
		version backend.Version
		takes   bool
	}{
		{5, false, event, 4, true},
		{5, false, event, 5, false},
		{5, false, snapshot, 3, true},
		{5, false, snapshot, 4, false}, // what follows it is all there
		{5, false, snapshot, 5, false},
		{5, true, event, 4, true},
		{5, true, snapshot, 4, true},
		{5, true, event, 5, false}, // appended since
		{5, true, snapshot, 5, false},
		{1, false, snapshot, 1, false},
	} {
		f := backend.StreamFloor{Floor: c.floor, Delete: c.del}
		if got := f.Takes(&backend.Record{Kind: c.kind, Version: c.version}); got != c.takes {
			t.Errorf("floor %d, delete %v: takes %v of version %d: %v", c.floor, c.del, c.kind, c.version, got)
		}
	}
}

func TestAStreamOfWhichAllWasCutCanBeRestoredAnywhereAbove(t *testing.T) {
	b := open(t, nil)
	restored := func(v backend.Version, p backend.Position) error {
		_, err := b.Append(t.Context(), backend.Batch{Stream: "s", Restore: true, Records: []backend.Record{{Kind: backend.Event, Version: v, Position: p, Time: planTime}}})
		return err
	}
	if _, err := b.Append(t.Context(), one("s")); err != nil {
		t.Fatal(err)
	}
	if err := restored(7, 20); !errors.Is(err, backend.ErrConflict) {
		t.Errorf("a gap: %v", err)
	}
	if _, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "s", Delete: true}}}); err != nil {
		t.Fatal(err)
	}
	if err := restored(1, 20); !errors.Is(err, backend.ErrConflict) {
		t.Errorf("a version given before: %v", err)
	}
	if err := restored(7, 20); err != nil {
		t.Error(err)
	}
	if h, err := b.Head(t.Context(), "s"); err != nil || h != (backend.Head{Version: 7, Floor: 7}) {
		t.Errorf("head %+v, %v", h, err)
	}
}

func TestAPoisonedBackendDoesNotCompact(t *testing.T) {
	l := &compacting{eagerLog: &eagerLog{}, fault: fmt.Errorf("%w: the sync failed", backend.ErrPoisoned)}
	b := overDriver(t, l)
	for range 2 {
		if _, err := b.Compact(t.Context(), backend.Cut{}); !errors.Is(err, backend.ErrPoisoned) {
			t.Errorf("Compact: %v", err)
		}
	}
	if len(l.cuts) != 1 {
		t.Errorf("%d cuts reached the driver, want the one that poisoned it", len(l.cuts))
	}
	if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("Append: %v", err)
	}
	l.fault = nil
	if err := b.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Compact(t.Context(), backend.Cut{}); err != nil {
		t.Errorf("Compact after Reopen: %v", err)
	}
}
