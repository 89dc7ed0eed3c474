package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// model is what a store should hold: the lines of its records.
type model struct {
	log       []kept
	heads     map[string]backend.Head
	snapshots map[string][]kept
}

type kept struct {
	stream   string
	kind     backend.Kind
	version  backend.Version
	position backend.Position
	line     string
}

func newModel() *model {
	return &model{heads: map[string]backend.Head{}, snapshots: map[string][]kept{}}
}

// add takes in what was appended.
func (m *model) add(t testing.TB, b *backend.Backend, from backend.Position) {
	t.Helper()
	for r, err := range b.Read(context.Background(), backend.Query{From: uint64(from), Kinds: backend.AllKinds}) {
		if err != nil {
			t.Fatal(err)
		}
		m.log = append(m.log, kept{r.Stream, r.Kind, r.Version, r.Position, line(&r)})
		m.heads[r.Stream] = m.heads[r.Stream].After(&r)
	}
}

// cut takes away what is below the floors.
func (m *model) cut(cut backend.Cut) {
	for _, f := range cut.Floors {
		h := m.heads[f.Stream]
		if f.Floor <= h.Floor && !f.Delete {
			continue // it takes nothing
		}
		h.Floor = max(h.Floor, f.Floor)
		m.heads[f.Stream] = h
		m.log = slices.DeleteFunc(m.log, func(k kept) bool {
			if k.stream != f.Stream {
				return false
			}
			return f.Takes(&backend.Record{Kind: k.kind, Version: k.version})
		})
	}
}

// check compares a store with the model, in every way in which it can be read.
func (m *model) check(t testing.TB, b *backend.Backend, what string) {
	t.Helper()
	ctx := context.Background()
	var want []string
	for _, k := range m.log {
		want = append(want, k.line)
	}
	compare := func(which string, got, want []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			i := 0
			for i < min(len(got), len(want)) && got[i] == want[i] {
				i++
			}
			t.Fatalf("%s: %s: %d records, want %d; the first that differs is number %d", what, which, len(got), len(want), i)
		}
	}
	got, err := readAll(b, backend.Query{Kinds: backend.AllKinds})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	compare("by position", got, want)
	got, err = readAll(b, backend.Query{Kinds: backend.AllKinds, Reverse: true})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	slices.Reverse(got)
	compare("by position, backwards", got, want)
	listed := map[string]backend.Head{}
	for s, err := range b.Streams(ctx, backend.StreamQuery{}) {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		listed[s.Name] = s.Head
	}
	for name, h := range m.heads {
		if listed[name] != h {
			t.Fatalf("%s: stream %s is listed at %+v, want %+v", what, name, listed[name], h)
		}
		if got, err := b.Head(ctx, name); err != nil || got != h {
			t.Fatalf("%s: stream %s is at %+v, want %+v: %v", what, name, got, h, err)
		}
		for _, kinds := range []backend.Kinds{0, backend.KindSet(backend.Snapshot)} {
			var want []string
			for _, k := range m.log {
				if k.stream == name && (k.kind == backend.Snapshot) == (kinds != 0) {
					want = append(want, k.line)
				}
			}
			if kinds != 0 {
				continue // compared below, by version
			}
			got, err := readAll(b, backend.Query{Stream: name, Kinds: kinds})
			if err != nil {
				t.Fatalf("%s: stream %s: %v", what, name, err)
			}
			compare("stream "+name, got, want)
			got, err = readAll(b, backend.Query{Stream: name, Kinds: kinds, Reverse: true})
			if err != nil {
				t.Fatalf("%s: stream %s backwards: %v", what, name, err)
			}
			slices.Reverse(got)
			compare("stream "+name+" backwards", got, want)
		}
		m.checkSnapshots(t, b, what, name)
	}
	if len(listed) != len(m.heads) {
		t.Fatalf("%s: %d streams listed, want %d", what, len(listed), len(m.heads))
	}
}

func (m *model) checkSnapshots(t testing.TB, b *backend.Backend, what, name string) {
	t.Helper()
	var snaps []kept
	for _, k := range m.log {
		if k.stream == name && k.kind == backend.Snapshot {
			snaps = append(snaps, k)
		}
	}
	slices.SortStableFunc(snaps, func(a, b kept) int { return int(int64(a.version) - int64(b.version)) })
	got, err := readAll(b, backend.Query{Stream: name, Kinds: backend.KindSet(backend.Snapshot)})
	if err != nil {
		t.Fatalf("%s: snapshots of %s: %v", what, name, err)
	}
	var want []string
	for _, k := range snaps {
		want = append(want, k.line)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: snapshots of %s:\n%q\nwant\n%q", what, name, got, want)
	}
}

// work appends at random, saves snapshots, and cuts.
func (m *model) work(t testing.TB, b *backend.Backend, rng *rand.Rand, n int) {
	t.Helper()
	ctx := context.Background()
	for range n {
		name := fmt.Sprintf("stream-%d", rng.IntN(12))
		last, err := b.Last(ctx)
		if err != nil {
			t.Fatal(err)
		}
		switch h := m.heads[name]; {
		case rng.IntN(10) == 0 && h.Version > 0:
			_, err = b.SaveSnapshot(ctx, backend.Record{Stream: name, Version: 1 + backend.Version(rng.Int64N(int64(h.Version))), Payload: bytes.Repeat([]byte("s"), rng.IntN(300))})
		default:
			batch := backend.Batch{Stream: name, Expected: h.Version, Epoch: h.Epoch, ID: backend.BatchID{1, byte(rng.IntN(250))}}
			for range 1 + rng.IntN(4) {
				batch.Records = append(batch.Records, backend.Record{Type: "t", Payload: bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(700))})
			}
			_, err = b.Append(ctx, batch)
		}
		if err != nil {
			t.Fatal(err)
		}
		m.add(t, b, last+1)
	}
}

// randomCut is a cut that the backend accepts.
func (m *model) randomCut(rng *rand.Rand) (cut backend.Cut) {
	for name, h := range m.heads {
		newest := backend.Version(0)
		for _, k := range m.log {
			if k.stream == name && k.kind == backend.Snapshot {
				newest = max(newest, k.version)
			}
		}
		if newest >= h.Floor && newest > 0 && rng.IntN(2) == 0 {
			cut.Floors = append(cut.Floors, backend.StreamFloor{Stream: name, Floor: h.Floor + backend.Version(rng.Int64N(int64(newest-h.Floor+2)))})
		}
	}
	slices.SortFunc(cut.Floors, func(a, b backend.StreamFloor) int { return strings.Compare(a.Stream, b.Stream) })
	return cut
}

// settled waits until nothing is left to be packed.
func settled(t testing.TB, b *backend.Backend) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if stat(t, b, "segments") <= 2 || time.Now().After(deadline) {
			return
		}
	}
}

func TestAStoreReadsTheSameHoweverItIsPacked(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			f := new(faultfs.FS)
			opts := &Options{SegmentBytes: 8 << 10}
			b := mustOpenMem(t, f, opts)
			m := newModel()
			for round := range 6 {
				m.work(t, b, rng, 60)
				settled(t, b)
				what := fmt.Sprintf("round %d", round)
				m.check(t, b, what)
				mustBeClean(t, b)
				cut := backend.Cut{}
				if round%2 == 1 {
					cut = m.randomCut(rng)
				}
				if _, err := b.Compact(context.Background(), cut); err != nil {
					t.Fatal(err)
				}
				m.cut(cut)
				m.check(t, b, what+", compacted")
				mustBeClean(t, b)
				m.work(t, b, rng, 5)
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				b = mustOpenMem(t, f, opts)
				m.check(t, b, what+", reopened")
				mustBeClean(t, b)
			}
			if stat(t, b, "spans") == 0 {
				t.Error("nothing was packed")
			}
		})
	}
}

func TestNoByteOfADeletedStreamIsLeftAfterCompaction(t *testing.T) {
	for where, segmentBytes := range map[string]int64{"in spans": 8 << 10, "in the log": 0} {
		t.Run(where, func(t *testing.T) { noByteIsLeft(t, segmentBytes) })
	}
}

func noByteIsLeft(t *testing.T, segmentBytes int64) {
	ctx := context.Background()
	f := new(faultfs.FS)
	b := mustOpenMem(t, f, &Options{SegmentBytes: segmentBytes})
	for i := range 200 {
		appendOne(t, b, fmt.Sprintf("s%d", i%5), strings.Repeat("x", 200))
		if i%10 == 0 {
			appendOne(t, b, "person", "the secret of somebody")
		}
	}
	if _, err := b.SaveSnapshot(ctx, backend.Record{Stream: "person", Version: 20, Payload: []byte("the secret of somebody")}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: "person", Floor: 21, Delete: true}}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range f.Names() {
		if bytes.Contains(f.Bytes(name), []byte("secret")) {
			t.Errorf("%s still holds it", name)
		}
	}
	mustBeClean(t, b)
	for range 2 {
		if h, err := b.Head(ctx, "person"); err != nil || h.Version != 20 || h.Floor != 21 {
			t.Fatal(h, err)
		}
		if _, err := b.Snapshot(ctx, "person", 0); !errors.Is(err, backend.ErrNotFound) {
			t.Error(err)
		}
		b.Close()
		b = mustOpenMem(t, f, nil)
	}
	if res := appendOne(t, b, "person", "back"); res.Version != 21 {
		t.Error(res)
	}
	mustBeClean(t, b)
}

func TestNoMoreThanSoManySpansHaveTheirFilesOpen(t *testing.T) {
	f := new(faultfs.FS)
	b := mustOpenMem(t, f, &Options{SegmentBytes: 8 << 10})
	for i := 0; stat(t, b, "spans") < openMost+20; i++ {
		appendOne(t, b, fmt.Sprintf("s%d", i%3), strings.Repeat("x", 7000))
		settled(t, b)
	}
	for range 2 { // each read needs all of them
		if _, err := readAll(b, backend.Query{Stream: "s1"}); err != nil {
			t.Fatal(err)
		}
		if n := len(f.Handles()); n > openMost+20 {
			t.Fatalf("%d files are open", n)
		}
	}
	mustBeClean(t, b)
}
