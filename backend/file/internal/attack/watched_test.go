//go:build linux

package attack_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// The tests here look at each byte of small stores, and at what is missing from them. They
// were written because a mutant survived (package mutants).

// anomalies scans a store, whatever is wrong with it; nil if it can't be opened.
func anomalies(t *testing.T, dir string) []backend.Anomaly {
	t.Helper()
	o := readOnly()
	o.Startup.Mode = backend.IgnoreAnomalies
	b := open(t, dir, o)
	defer b.Close()
	report, err := b.Scan(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return report.Anomalies
}

// eachFlip flips one bit of each byte of a part of a file, and has something done about it.
func eachFlip(t *testing.T, name string, from, to int64, do func(at int64)) {
	t.Helper()
	for at := from; at < to; at++ {
		if err := flip(name, at); err != nil {
			t.Fatal(err)
		}
		do(at)
		if err := flip(name, at); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoByteOfAMarkCanBeAnother(t *testing.T) {
	dir := simple(t, 5)
	name := filepath.Join(dir, "MARK")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := range b {
		if b[at] == 0 {
			continue
		}
		eachFlip(t, name, int64(at), int64(at)+1, func(int64) {
			for _, a := range anomalies(t, dir) {
				if a.File == "MARK" {
					return
				}
			}
			t.Errorf("a flipped byte %d of MARK is not reported", at)
		})
	}
}

func TestEachByteOfAGroupIsWatched(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := open(t, dir, nil)
	for i := range 3 {
		batch := backend.Batch{Stream: "s", Expected: backend.Any, Records: make([]backend.Record, 1+i)}
		if _, err := b.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, b)
	_, list := manifest(t, dir)
	name := filepath.Join(dir, list[0].name)
	eachFlip(t, name, 4096, usedBytes(t, name), func(at int64) {
		for _, a := range anomalies(t, dir) {
			if a.File == list[0].name && a.Severity != backend.Notice {
				return
			}
		}
		t.Errorf("a flipped byte at offset %d of the log is not reported", at)
	})
}

// Full scans look at the headers of segments that hold nothing, too.
func TestEachPartOfAnEmptySegmentIsWatched(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := open(t, dir, tiny())
	for range 40 {
		add(t, b, "s", 700)
	}
	mustCompact(t, b)
	mustClose(t, b)
	_, list := manifest(t, dir)
	name := list[len(list)-1].name
	for at := int64(0); at < 4096; at += 61 {
		eachFlip(t, filepath.Join(dir, name), at, at+1, func(at int64) {
			for _, a := range anomalies(t, dir) {
				if a.File == name && a.Severity != backend.Notice {
					return
				}
			}
			t.Errorf("a flipped byte at offset %d of %s is not reported", at, name)
		})
	}
}

// Each position of a span with gaps reads as it did, or is an error: a record whose position
// rots is never passed over.
func TestNoPositionOfASpanIsPassedOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := open(t, dir, tiny())
	for i := range 40 {
		add(t, b, []string{"stays", "gone", "gone"}[i%3], 10)
	}
	mustCompact(t, b, backend.StreamFloor{Stream: "gone", Delete: true})
	healthy := contents(t, b)
	mustClose(t, b)
	names := spans(t, dir)
	if len(names) != 1 {
		t.Fatalf("want one span: %v", names)
	}
	eachFlip(t, names[0], 4096, 4096+700, func(at int64) {
		b := ignoring(t, dir)
		defer b.Close()
		for p := range healthy {
			met := false
			for r, err := range b.Read(t.Context(), backend.Query{From: uint64(p), To: uint64(p)}) {
				met = true
				if err != nil && !errors.Is(err, backend.ErrCorrupt) || err == nil && r.Position != p {
					t.Errorf("byte %d: position %d: %v", at, p, err)
				}
			}
			if !met {
				t.Errorf("byte %d: position %d is passed over", at, p)
			}
		}
	})
}

func TestASpanThatIsMissingIsDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := open(t, dir, tiny())
	for range 40 {
		add(t, b, "s", 700)
	}
	mustCompact(t, b)
	add(t, b, "later", 700)
	mustClose(t, b)
	for _, name := range spans(t, dir) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	mustBeRefused(t, dir, backend.ErrCorrupt)
	b = ignoring(t, dir)
	if _, err := b.Append(t.Context(), backend.Batch{Stream: "later", Expected: backend.Any, Records: make([]backend.Record, 1)}); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("an append to a store that lacks a span: %v", err)
	}
	quarantined(t, b, 41)
}

// A cut that could be seen is durable, also where there was no room to pack anything.
func TestACutThatWasSeenStays(t *testing.T) {
	machine.NeedRoot(t)
	disk := machine.Tmpfs(t, 1<<20)
	dir := filepath.Join(disk, "store")
	b := open(t, dir, tiny())
	stream := backend.SystemStream("cut", backend.Audit)
	for range 60 {
		add(t, b, stream, 700)
	}
	mustCompact(t, b)
	add(t, b, stream, 700)
	_ = machine.Stuff(filepath.Join(disk, "stuffing"))
	_, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: stream, Floor: 40}}})
	if !errors.Is(err, backend.ErrNoSpace) {
		t.Errorf("compact on a full disk: %v", err)
	}
	seen, err := b.Head(t.Context(), stream)
	if err != nil || seen.Floor != 40 && seen.Floor != 1 {
		t.Errorf("%+v, %v", seen, err)
	}
	killed := copied(t, dir) // as if the process had been killed now
	mustClose(t, b)
	again := open(t, killed, tiny())
	if h, err := again.Head(t.Context(), stream); err != nil || h.Floor < seen.Floor {
		t.Errorf("the stream began at %d, and after a crash at %+v: %v", seen.Floor, h, err)
	}
	mustClose(t, again)
	if seen.Floor != 40 {
		t.Logf("the cut itself found no room: %+v", seen)
	}
}
