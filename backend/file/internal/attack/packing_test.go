//go:build linux

package attack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// The tests here are about what happens to records after their log segment is full: they
// are packed, packed again by compactions, and given up by a quarantine.

// tiny makes each few records fill a segment.
func tiny() *file.Options { return &file.Options{SegmentBytes: 8 << 10} }

// add appends a record of so many bytes to a stream, at whatever version.
func add(t *testing.T, b *backend.Backend, stream string, size int) backend.Result {
	t.Helper()
	payload := bytes.Repeat([]byte(stream+" "), size/(len(stream)+1)+1)[:size]
	res, err := b.Append(t.Context(), backend.Batch{Stream: stream, Expected: backend.Any, Records: []backend.Record{{Payload: payload}}})
	if err != nil {
		t.Fatalf("append to %q: %v", stream, err)
	}
	return res
}

// mustCompact compacts.
func mustCompact(t *testing.T, b *backend.Backend, floors ...backend.StreamFloor) {
	t.Helper()
	if _, err := b.Compact(t.Context(), backend.Cut{Floors: floors}); err != nil {
		t.Fatalf("compact: %v", err)
	}
}

// spans are the names of a store's packed files.
func spans(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.span"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// find returns the file of a store that holds some bytes, and where.
func find(t *testing.T, dir, what string) (name string, at int64) {
	t.Helper()
	for _, name := range files(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(b, []byte(what)); i >= 0 {
			return filepath.Join(dir, name), int64(i)
		}
	}
	t.Fatalf("no file holds %q", what)
	return "", 0
}

// TestReadersBesideCompactionSeeNoGap reads streams from their floors, and the whole store,
// while they are appended to, packed, cut and deleted.
func TestReadersBesideCompactionSeeNoGap(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "store"), tiny())
	names := []string{backend.SystemStream("a", backend.Audit), backend.SystemStream("b", backend.Audit), backend.SystemStream("c", backend.Audit)}
	for range 30 {
		for _, name := range names {
			add(t, b, name, 700)
		}
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	reads, overtaken := 0, 0
	for _, name := range names {
		wait.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if _, err := b.Append(context.Background(), backend.Batch{Stream: name, Expected: backend.Any, Records: []backend.Record{{Payload: make([]byte, 700)}}}); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	read := func(q backend.Query) {
		next, step := backend.Version(0), backend.Version(1)
		if q.Reverse {
			step = ^backend.Version(0)
		}
		for r, err := range b.Read(context.Background(), q) {
			if errors.Is(err, backend.ErrCompacted) {
				overtaken++
				return
			}
			if err != nil {
				t.Errorf("reading %q beside a compaction: %v", q.Stream, err)
				return
			}
			if q.Stream != "" && next > 0 && r.Version != next {
				t.Errorf("%q: version %d is given for %d", q.Stream, r.Version, next)
				return
			}
			next = r.Version + step
		}
	}
	wait.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				if reads++; t.Failed() {
					return
				}
				read(backend.Query{Stream: names[i%3]})
				read(backend.Query{Stream: names[i%3], Reverse: true})
				if i%8 == 0 {
					read(backend.Query{})
				}
			}
		}
	})
	rounds := machine.Rounds(12, 60, 300)
	for i := range rounds {
		if t.Failed() {
			break
		}
		name := names[i%3]
		h, err := b.Head(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		f := backend.StreamFloor{Stream: name, Floor: h.Floor + (h.Version+1-h.Floor)*backend.Version(i%4)/3}
		if i%7 == 6 {
			f = backend.StreamFloor{Stream: name, Delete: true}
		}
		if _, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{f}}); err != nil {
			t.Errorf("compact: %v", err)
			break
		}
	}
	close(done)
	wait.Wait()
	t.Logf("attack: readers beside compaction: %d rounds, 0 acknowledged, 0 lost, %d reads, %d of them overtaken", rounds, reads, overtaken)
	mustClose(t, b)
}

// A byte that rots below an open store is met when the record is packed: what can't be read
// is never left out of a span.
func TestRotUnderAnOpenStoreIsNeverPackedAway(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed %v", packed), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			b := open(t, dir, tiny())
			for i := range 6 {
				add(t, b, fmt.Sprintf("stream-%d", i), 300)
			}
			add(t, b, "rots", 300)
			if packed {
				mustCompact(t, b)
			}
			name, at := find(t, dir, "rots rots")
			if err := flip(name, at+20); err != nil {
				t.Fatal(err)
			}
			add(t, b, "later", 300)
			_, err := b.Compact(t.Context(), backend.Cut{})
			if !errors.Is(err, backend.ErrCorrupt) {
				t.Errorf("compact: %v", err)
			}
			_ = b.Close()
			b = ignoring(t, dir)
			report, err := b.Scan(t.Context(), nil)
			if err != nil || report.Clean() {
				t.Errorf("a scan finds nothing: %v", err)
			}
			for _, stream := range []string{"stream-0", "later"} {
				if h, err := b.Head(t.Context(), stream); err != nil || h.Version != 1 {
					t.Errorf("%q: %+v, %v", stream, h, err)
				}
			}
			quarantined(t, b, 8)
		})
	}
}

// One wrong byte in the head of a record is told by the checksums: nothing is given up.
func TestOneWrongByteOfAPackedHeadCostsNothing(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed %v", packed), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			b := open(t, dir, tiny())
			for i := range 9 {
				add(t, b, []string{"early", "the stream of the head", "late"}[i%3], 300)
			}
			if packed {
				mustCompact(t, b)
			}
			healthy := contents(t, b)
			mustClose(t, b)
			name, at := find(t, dir, "the stream of the head")
			if err := flip(name, at+4); err != nil {
				t.Fatal(err)
			}
			b = ignoring(t, dir)
			same := func(what string) {
				t.Helper()
				if got := contents(t, b); !maps.Equal(got, healthy) {
					t.Errorf("%s: %d records of %d read as they did", what, len(got), len(healthy))
				}
			}
			if !packed { // from a span it is an error, until it is mended
				same("damaged")
			}
			report, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine})
			if err != nil || !report.After.Clean() {
				t.Errorf("quarantine: %v: %+v", err, report)
			}
			for _, a := range report.After.Anomalies {
				if a.Code == backend.MarkedHole {
					t.Errorf("a hole was marked: %v", a)
				}
			}
			same("mended")
			mustClose(t, b)
			b = open(t, dir, tiny())
			same("opened again")
		})
	}
}

// What is below a cut, or deleted, is in no file any more, also where it was packed long
// before and with much else.
func TestACompactionTakesWhatIsBelowTheCut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := open(t, dir, tiny())
	sys := backend.SystemStream("cut", backend.Audit)
	for i := range 150 {
		add(t, b, "stays", 2000)
		if i%15 == 0 {
			add(t, b, sys, 300)
			add(t, b, "deleted", 300)
		}
	}
	mustCompact(t, b)
	for range 10 {
		add(t, b, "stays", 300)
	}
	mustCompact(t, b, backend.StreamFloor{Stream: sys, Floor: 8}, backend.StreamFloor{Stream: "deleted", Delete: true})
	left := map[string]int{}
	for _, line := range contents(t, b) {
		left[strings.Fields(line)[0]]++
	}
	if want := map[string]int{`"stays"`: 160, fmt.Sprintf("%q", sys): 3}; !maps.Equal(left, want) {
		t.Errorf("what is left is %v, want %v", left, want)
	}
	mustClose(t, b)
	for _, name := range files(t, dir) {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || bytes.Contains(text, []byte("deleted deleted")) {
			t.Errorf("%s holds what was deleted: %v", name, err)
		}
	}
}

// There are more streams in old heads than are merged at each packing: the newest file that
// has a stream tells where it stands.
func TestTheNewestHeadsTellWhereAStreamStands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := open(t, dir, tiny())
	want := map[string]backend.Version{}
	grow := func(stream string, size int) {
		want[stream] = add(t, b, stream, size).Version
	}
	for i := range 300 {
		grow(fmt.Sprintf("stream-%03d", i), 10)
	}
	mustCompact(t, b)
	for range 4 {
		for i := range 12 {
			grow(fmt.Sprintf("stream-%03d", 25*i), 500)
		}
		mustCompact(t, b)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*.heads")); len(names) < 2 {
		t.Errorf("there is one file of heads alone: the test tests nothing: %v", names)
	}
	check := func() {
		t.Helper()
		for stream, version := range want {
			if h, err := b.Head(t.Context(), stream); err != nil || h.Version != version || h.Floor != 1 {
				t.Errorf("%q: %+v, %v: want version %d", stream, h, err, version)
			}
			n := backend.Version(0)
			for r, err := range b.Read(t.Context(), backend.Query{Stream: stream}) {
				if n++; err != nil || r.Version != n {
					t.Errorf("%q: version %d for %d: %v", stream, r.Version, n, err)
					break
				}
			}
			if n != version {
				t.Errorf("%q reads up to version %d of %d", stream, n, version)
			}
		}
	}
	mustClose(t, b)
	b = open(t, dir, tiny())
	check()
	mustCompact(t, b, backend.StreamFloor{Stream: "stream-025", Delete: true}, backend.StreamFloor{Stream: "stream-026", Delete: true})
	delete(want, "stream-025")
	delete(want, "stream-026")
	mustClose(t, b)
	b = open(t, dir, tiny())
	check()
	for stream, version := range map[string]backend.Version{"stream-025": 5, "stream-026": 1} {
		if h, err := b.Head(t.Context(), stream); err != nil || h.Version != version || h.Floor != version+1 {
			t.Errorf("deleted %q: %+v, %v: want version %d", stream, h, err, version)
		}
	}
	report, err := b.Scan(t.Context(), nil)
	if err != nil || !report.Clean() || len(report.Anomalies) > 0 {
		t.Errorf("scan: %v: %v", err, report.Anomalies)
	}
}

// Manifest, its copy and the mark are older than the spans beside them: that is never taken
// for a store that a crash left.
func TestAnOldManifestBesideNewerSpansIsDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := open(t, dir, tiny())
	add(t, b, "s", 300)
	mustClose(t, b)
	early := copied(t, dir)
	b = open(t, dir, tiny())
	for range 100 {
		add(t, b, "s", 300)
	}
	mustCompact(t, b)
	mustClose(t, b)
	for _, name := range []string{"MANIFEST", "MANIFEST.copy", "MARK"} {
		if err := os.Rename(filepath.Join(early, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if segment := filepath.Join(early, "00000001.seg"); len(spans(t, dir)) > 0 {
		_ = os.Rename(segment, filepath.Join(dir, "00000001.seg"))
	}
	before := spans(t, dir)
	mustBeRefused(t, dir, backend.ErrCorrupt)
	if after := spans(t, dir); !slices.Equal(before, after) {
		t.Errorf("the spans were %v, and are %v", before, after)
	}
}

// A skip list that rots costs time alone.
func TestASkipListThatRotsIsNeverBelieved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b := open(t, dir, tiny())
	const records = 400
	for range records {
		add(t, b, "long", 900)
	}
	mustCompact(t, b)
	mustClose(t, b)
	text, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
	if err != nil {
		t.Fatal(err)
	}
	flips := 0
	for line := range strings.Lines(string(text)) {
		var first, last, generation uint64
		var frames, skips int64
		if n, _ := fmt.Sscanf(line, "span %d-%d generation %d life", &first, &last, &generation); n != 3 {
			continue
		}
		fields := strings.Fields(line)
		for i, f := range fields {
			switch f {
			case "frames":
				_, _ = fmt.Sscan(fields[i+1], &frames)
			case "skips":
				_, _ = fmt.Sscan(fields[i+1], &skips)
			}
		}
		name := filepath.Join(dir, fmt.Sprintf("%08d-%08d.%d.span", first, last, generation))
		for at := frames; at < skips; at += 1 + rand.Int64N(5) {
			flips++
			if err := flip(name, at); err != nil {
				t.Fatal(err)
			}
			b := ignoring(t, dir)
			for range 8 {
				v := 1 + rand.Uint64N(records)
				n := 0
				for r, err := range b.Read(t.Context(), backend.Query{Stream: "long", From: v, To: v}) {
					if n++; err != nil || uint64(r.Version) != v {
						t.Errorf("byte %d of %s: version %d for %d: %v", at, name, r.Version, v, err)
					}
				}
				if n != 1 {
					t.Errorf("byte %d of %s: version %d is there %d times", at, name, v, n)
				}
			}
			mustClose(t, b)
			if err := flip(name, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if flips == 0 {
		t.Error("there is no skip list: the test tests nothing")
	}
}
