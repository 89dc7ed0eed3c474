package backend_test

import (
	"context"
	"errors"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// compacting claims compaction and notes the cuts that reach it.
type compacting struct {
	*eagerLog
	beside bool
	cuts   []backend.Cut
}

func (l *compacting) Info() backend.Info {
	return backend.Info{Engine: "compacting", Capabilities: backend.Capabilities{Compact: true, CompactBeside: l.beside}}
}

func (l *compacting) Compact(_ context.Context, cut backend.Cut) (backend.CompactionStats, error) {
	l.cuts = append(l.cuts, cut)
	return backend.CompactionStats{RecordsBefore: 5, RecordsAfter: 3}, nil
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
		moved, err := b.Hold("tailer", 3)
		if err != nil {
			t.Fatal(err)
		}
		release() // of the hold before: no effect
		if report, err := b.Compact(t.Context(), floor(4)); err != nil || report.RecordsAfter != 3 || len(l.cuts) != 1 {
			t.Errorf("at the hold: %+v, %v", report, err)
		}
		moved()
		if n := b.Metrics().Snapshot(); n.CompactCount != 1 || n.CompactErrors != 4 {
			t.Errorf("counted %+v", n)
		}
	}
}
