package file

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// A stream of which a cut has left nothing is gone on with, by a restored record of a later
// version, in the segment in which the cut stands: the compaction found no room for the
// next one. The record reads, however it is stored.
func TestARestoredRecordMayFollowTheCutInItsSegment(t *testing.T) {
	const name = "$sys/main/audit"
	ctx, f := context.Background(), new(faultfs.FS)
	opts := &Options{keepLog: true}
	s, b := openInside(t, f, opts)
	reads := func(what string, want ...backend.Version) {
		t.Helper()
		if h, err := b.Head(ctx, name); err != nil || h.Floor != want[0] || h.Version != want[len(want)-1] {
			t.Errorf("%s: the head is %+v, want versions %v: %v", what, h, want, err)
		}
		for _, q := range []backend.Query{{}, {Stream: name}} {
			got, err := sweepRead(b, q)
			if err != nil || len(got) != len(want) {
				t.Errorf("%s, stream %q: %d records, want versions %v: %v", what, q.Stream, len(got), want, err)
				continue
			}
			for i := range got {
				if got[i].version != want[i] {
					t.Errorf("%s, stream %q: version %d, want %d", what, q.Stream, got[i].version, want[i])
				}
			}
		}
	}
	restore := func(p backend.Position, v backend.Version) {
		t.Helper()
		r := backend.Record{Position: p, Version: v, Kind: backend.Audit, Time: time.Unix(1, 0)}
		if _, err := b.Append(ctx, backend.Batch{Stream: name, Restore: true, Records: []backend.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		appendOne(t, b, name, "before")
	}
	seals(t, s)
	for round, p := range []backend.Position{100, 200} { // the cut takes records of a span, then of its own segment
		h, err := b.Head(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		f.Limit(f.Used())
		if _, err := b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: name, Floor: h.Version + 1}}}); !errors.Is(err, backend.ErrNoSpace) {
			t.Fatal(err)
		}
		f.Limit(1 << 40)
		from := h.Version + 15
		restore(p, from)
		restore(p+1, from+1)
		want := []backend.Version{from, from + 1}
		reads("at once", want...)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		s, b = openInside(t, f, opts)
		reads("reopened", want...)
		mustBeClean(t, b)
		if round == 1 {
			seals(t, s)
			reads("packed", want...)
			mustBeClean(t, b)
		}
	}
}

// A floor that a restored record sets is no cut: the snapshot that a cut has left stays.
func TestARestoredRecordTakesNoSnapshot(t *testing.T) {
	ctx, f := context.Background(), new(faultfs.FS)
	opts := &Options{keepLog: true}
	s, b := openInside(t, f, opts)
	for range 5 {
		appendOne(t, b, "a", "before")
	}
	if _, err := b.SaveSnapshot(ctx, backend.Record{Stream: "a", Version: 5, Payload: []byte("state")}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: "a", Floor: 6}}}); err != nil {
		t.Fatal(err)
	}
	r := backend.Record{Position: 100, Version: 20, Kind: backend.Event, Time: time.Unix(1, 0)}
	if _, err := b.Append(ctx, backend.Batch{Stream: "a", Restore: true, Records: []backend.Record{r}}); err != nil {
		t.Fatal(err)
	}
	reads := func(what string, n int) {
		t.Helper()
		kinds := backend.KindSet(backend.Snapshot)
		for _, q := range []backend.Query{{Stream: "a", Kinds: kinds}, {Kinds: kinds}} {
			if got, err := sweepRead(b, q); err != nil || len(got) != n {
				t.Errorf("%s, stream %q: %d snapshots, want %d: %v", what, q.Stream, len(got), n, err)
			}
		}
	}
	reads("at once", 1)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	s, b = openInside(t, f, opts)
	reads("reopened", 1)
	seals(t, s)
	if _, err := b.Compact(ctx, backend.Cut{}); err != nil {
		t.Fatal(err)
	}
	reads("packed", 1)
	if _, err := b.SaveSnapshot(ctx, backend.Record{Stream: "a", Version: 20, Payload: []byte("state")}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: "a", Floor: 7}}}); err != nil {
		t.Fatal(err)
	}
	reads("a cut below the floor", 2)
	if _, err := b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: "a", Floor: 21}}}); err != nil {
		t.Fatal(err)
	}
	reads("cut again", 1)
	mustBeClean(t, b)
}
