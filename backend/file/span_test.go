package file

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"github.com/papyra-go/papyra/backend/internal/disk"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// openInside opens a store in memory, and returns what is behind the backend too.
func openInside(t testing.TB, f disk.FS, opts *Options) (*store, *backend.Backend) {
	t.Helper()
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Clock == nil {
		o.Clock = clock()
	}
	var s *store
	b, err := backend.New(context.Background(), func(ctx context.Context) (_ backend.Driver, err error) {
		if s, err = openStore(ctx, o, func(bool) (disk.FS, error) { return f, nil }); err != nil {
			return nil, err
		}
		return backend.Sequenced(s), nil
	}, &o.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return s, b
}

// seals packs what is full, now: the store was opened with keepLog. What the active
// segment holds is packed too.
func seals(t testing.TB, s *store) {
	t.Helper()
	if _, err := s.fill(); err != nil {
		t.Fatal(err)
	}
	s.reshape.Lock()
	defer s.reshape.Unlock()
	for {
		n, err := s.sealSome(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// grown appends to a store and takes in what was appended.
func grown(t testing.TB, b *backend.Backend, m *model, do func()) {
	t.Helper()
	last, err := b.Last(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	do()
	m.add(t, b, last+1)
}

func TestHeadsAreMergedWhenTheyAreNotMuchLarger(t *testing.T) {
	f := new(faultfs.FS)
	s, b := openInside(t, f, &Options{keepLog: true})
	m := newModel()
	step := func(what string, streams, files int, want uint64) {
		t.Helper()
		grown(t, b, m, func() {
			for i := range streams {
				appendOne(t, b, fmt.Sprintf("stream-%04d", i), what)
			}
		})
		seals(t, s)
		if len(s.view.heads) != files || s.view.heads[0].streams != want {
			t.Fatalf("%s: %d files of heads, the newest of %d streams; want %d, of %d", what, len(s.view.heads), s.view.heads[0].streams, files, want)
		}
		onDisk := 0
		for _, name := range f.Names() {
			if _, ok := headsGeneration(name); ok {
				onDisk++
			}
		}
		if onDisk != files {
			t.Errorf("%s: %d files of heads on the disk, want %d", what, onDisk, files)
		}
		m.check(t, b, what)
		mustBeClean(t, b)
	}
	step("many", 700, 1, 700)
	step("few", 3, 2, 3)      // 700 is more than twice 3
	step("fewer", 2, 2, 3)    // merged with the 3
	step("some", 100, 2, 100) // merged with these, not with the 700
	step("half", 350, 1, 700) // merged with all
	step("a new one", 701, 1, 701)
	b.Close()
	_, b = openInside(t, f, nil)
	m.check(t, b, "reopened")
}

// largeStore has one large stream in several spans and in the log, with small ones beside.
func largeStore(t testing.TB, f *faultfs.FS) (*store, *backend.Backend, *model) {
	t.Helper()
	s, b := openInside(t, f, &Options{keepLog: true})
	m := newModel()
	for round := range 3 {
		grown(t, b, m, func() {
			for i := range 90 {
				appendOne(t, b, "large", strings.Repeat(string(rune('a'+i%26)), 1700+10*round))
				if i%10 == 0 {
					appendOne(t, b, fmt.Sprintf("small-%d-%d", round, i), "x")
					appendOne(t, b, "both", "y")
				}
				if i%30 == 29 {
					_, err := b.SaveSnapshot(context.Background(), backend.Record{Stream: "large", Version: backend.Version(90*round + i - 5), Payload: []byte("state")})
					if err != nil {
						t.Fatal(err)
					}
				}
			}
		})
		if round < 2 {
			seals(t, s)
		}
	}
	if len(s.view.spans) != 2 {
		t.Fatalf("%d spans, want 2", len(s.view.spans))
	}
	for _, sp := range s.view.spans {
		if e, ok, err := sp.find("large"); err != nil || !ok || e.skips < 2 {
			t.Fatalf("the large stream has %d entries in its skip list: %v %v", e.skips, ok, err)
		}
	}
	return s, b, m
}

// lines are those of a stream's records with versions from one to another.
func (m *model) lines(stream string, from, to backend.Version, snapshots bool) (list []string) {
	var all []kept
	for _, k := range m.log {
		if k.stream == stream && k.version >= from && k.version <= to && (k.kind == backend.Snapshot) == snapshots {
			all = append(all, k)
		}
	}
	slices.SortStableFunc(all, func(a, b kept) int { return int(int64(a.version) - int64(b.version)) })
	for _, k := range all {
		list = append(list, k.line)
	}
	return list
}

func TestAnyPartOfAStreamIsReadAcrossSpansAndTheLog(t *testing.T) {
	_, b, m := largeStore(t, new(faultfs.FS))
	m.check(t, b, "whole")
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range 400 {
		from := backend.Version(1 + rng.IntN(275))
		to := from + backend.Version(rng.IntN(200))
		q := backend.Query{Stream: "large", From: uint64(from), To: uint64(to), Reverse: i%2 == 1, Limit: rng.IntN(3) * rng.IntN(40)}
		if i%7 == 0 {
			q.Kinds = backend.KindSet(backend.Snapshot)
		}
		want := m.lines(q.Stream, from, to, q.Kinds != 0)
		if q.Reverse {
			slices.Reverse(want)
		}
		if q.Limit > 0 {
			want = want[:min(len(want), q.Limit)]
		}
		got, err := readAll(b, q)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%+v: %d records, want %d: %v", q, len(got), len(want), err)
		}
	}
}

// A skip list leads to where a version is; if it is damaged, reading takes longer and no
// more.
func TestASkipListLeadsToItsVersion(t *testing.T) {
	f := new(faultfs.FS)
	s, b, m := largeStore(t, f)
	for _, sp := range s.view.spans {
		e, _, err := sp.find("large")
		if err != nil {
			t.Fatal(err)
		}
		farthest := int64(0)
		for v := e.first; v <= e.Version; v++ {
			off, at := sp.skipTo(&e, v)
			if at > v || off < e.off {
				t.Fatalf("version %d is looked for from version %d on, at %d", v, at, off)
			}
			var w window
			begin := off
			for ; at < v; at++ {
				_, _, n, err := sp.hop(&w, off, e.off+e.size, 0)
				if err != nil {
					t.Fatal(err)
				}
				off += int64(n)
			}
			farthest = max(farthest, off-begin)
			var r backend.Record
			d := codec.Decoder{Seed: s.codec}
			if err := sp.load(&w, &d, off, 0, &r); err != nil || r.Version != v || r.Stream != "large" {
				t.Fatalf("at %d there is %s version %d, want %d: %v", off, r.Stream, r.Version, v, err)
			}
		}
		if farthest > skipStep+4096 {
			t.Errorf("from a skip list's entry it is %d bytes to the record", farthest)
		}
		f.Flip(sp.name, sp.frames+e.skip+3, 1)
	}
	m.check(t, b, "with damaged skip lists")
}

func TestStreamsAreListedFromHeadsAndTheLog(t *testing.T) {
	ctx := context.Background()
	f := new(faultfs.FS)
	s, b := openInside(t, f, &Options{keepLog: true})
	var names []string
	add := func(from, to int) {
		for i := from; i < to; i++ {
			name := fmt.Sprintf("%c/%03d", 'a'+i%3, i)
			appendOne(t, b, name, "x")
			names = append(names, name)
		}
	}
	add(0, 500)
	seals(t, s)
	add(500, 520)
	seals(t, s)
	add(520, 560)
	appendOne(t, b, "a/000", "known to all three")
	slices.Sort(names)
	if len(s.view.heads) != 2 {
		t.Fatalf("%d files of heads, want 2", len(s.view.heads))
	}
	check := func(what string) {
		t.Helper()
		for _, prefix := range []string{"", "a/", "b/5", "c/55", "d", "a/000"} {
			for _, after := range []string{"", "a/000", "b/", "b/499", "c/559", "zzz"} {
				for _, limit := range []int{0, 1, 7} {
					var want, got []string
					for _, name := range names {
						if strings.HasPrefix(name, prefix) && name > after && (limit == 0 || len(want) < limit) {
							want = append(want, name)
						}
					}
					for info, err := range b.Streams(ctx, backend.StreamQuery{Prefix: prefix, After: after, Limit: limit}) {
						if err != nil {
							t.Fatal(err)
						}
						if h, err := b.Head(ctx, info.Name); err != nil || h != info.Head {
							t.Errorf("%s: %s is listed at %+v, and is at %+v: %v", what, info.Name, info.Head, h, err)
						}
						got = append(got, info.Name)
					}
					if !slices.Equal(got, want) {
						t.Fatalf("%s: prefix %q after %q limit %d: %q, want %q", what, prefix, after, limit, got, want)
					}
				}
			}
		}
	}
	check("from heads")
	for _, h := range s.view.heads {
		f.Flip(h.name, 100, 1)
	}
	check("from spans, as the heads are damaged")
}

// Several read different spans by position at a time, more than are kept in memory.
func TestReadersOfManySpansDoNotDisturbEachOther(t *testing.T) {
	f := new(faultfs.FS)
	s, b := openInside(t, f, &Options{keepLog: true})
	m := newModel()
	for i := range 5 {
		grown(t, b, m, func() {
			for j := range 40 {
				appendOne(t, b, fmt.Sprintf("s%d", j%7), strings.Repeat(string(rune('a'+i)), 100+j))
			}
		})
		seals(t, s)
	}
	if len(s.view.spans) != 5 {
		t.Fatal(len(s.view.spans))
	}
	type reading struct {
		next func() (backend.Record, error, bool)
		stop func()
		at   int
		step int
	}
	var all []*reading
	for i := range 6 { // each from another span on, half of them backwards
		r := &reading{at: i / 2 * 80, step: 1}
		q := backend.Query{From: uint64(r.at + 1), Kinds: backend.AllKinds}
		if i%2 == 1 {
			r.step = -1
			q = backend.Query{To: uint64(r.at + 1), Kinds: backend.AllKinds, Reverse: true}
		}
		q.To = max(q.To, uint64(r.at+1))
		if r.step == 1 {
			q.To = 200
		}
		r.next, r.stop = iter.Pull2(s.Read(context.Background(), q))
		defer r.stop()
		all = append(all, r)
	}
	for range 60 {
		for i, r := range all {
			rec, err, ok := r.next()
			if r.at < 0 || r.at >= 200 {
				if ok {
					t.Fatalf("reader %d: there is more: %+v %v", i, rec, err)
				}
				continue
			}
			if !ok || err != nil || line(&rec) != m.log[r.at].line {
				t.Fatalf("reader %d at %d: %v %v", i, r.at, ok, err)
			}
			r.at += r.step
		}
	}
	if n := len(s.unfolds.kept); n > unfoldsKept {
		t.Errorf("%d spans are kept in memory", n)
	}
	m.check(t, b, "afterwards")
}

// Positions that lie far apart, as in a store that was restored, or of which most was cut
// away, take neither time nor memory.
func TestPositionsMayLieFarApart(t *testing.T) {
	ctx := context.Background()
	f := new(faultfs.FS)
	s, b := openInside(t, f, &Options{keepLog: true})
	batch := backend.Batch{Stream: "copied", Restore: true}
	for i := range 10 {
		batch.Records = append(batch.Records, backend.Record{Position: backend.Position(1 + i<<40), Version: backend.Version(i + 1), Kind: backend.Event, Time: clock()(), Payload: []byte("x")})
	}
	if _, err := b.Append(ctx, batch); err != nil {
		t.Fatal(err)
	}
	m := newModel()
	m.add(t, b, 1)
	m.check(t, b, "in the log")
	seals(t, s)
	m.check(t, b, "packed")
	mustBeClean(t, b)
}
