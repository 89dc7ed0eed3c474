package file

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// cutStore has three spans and a log, all with records of the stream cut, which has a
// snapshot at the end, and returns a cut that takes most of it.
func cutStore(t testing.TB, f *faultfs.FS) (*store, *backend.Backend, *model, backend.Cut) {
	t.Helper()
	s, b := openInside(t, f, &Options{keepLog: true})
	m := newModel()
	for round := range 4 {
		grown(t, b, m, func() {
			for i := range 30 {
				appendOne(t, b, "cut", strings.Repeat("c", 300))
				appendOne(t, b, fmt.Sprintf("kept-%d", i%5), strings.Repeat("k", 100))
			}
		})
		if round < 3 {
			seals(t, s)
		}
	}
	grown(t, b, m, func() {
		if _, err := b.SaveSnapshot(context.Background(), backend.Record{Stream: "cut", Version: 118, Payload: []byte("state")}); err != nil {
			t.Fatal(err)
		}
	})
	if len(s.view.spans) != 3 {
		t.Fatalf("%d spans, want 3", len(s.view.spans))
	}
	return s, b, m, backend.Cut{Floors: []backend.StreamFloor{{Stream: "cut", Floor: 118}}}
}

// after is the model once a cut was made.
func (m *model) after(cut backend.Cut) *model {
	c := &model{log: slices.Clone(m.log), heads: maps.Clone(m.heads)}
	c.cut(cut)
	return c
}

// checkCut compares a store with the model, of which a cut was made or was not: what is
// below the floor is gone for every reader once it was, however much of it is still stored.
func (m *model) checkCut(t testing.TB, b *backend.Backend, cut backend.Cut, what string) (made bool) {
	t.Helper()
	h, err := b.Head(context.Background(), "cut")
	if err != nil {
		t.Fatal(what, err)
	}
	if h.Floor == 1 {
		m.check(t, b, what)
		return false
	}
	m.after(cut).check(t, b, what)
	return true
}

// mustBeTidy checks that the directory holds what the manifest lists and no other part.
func mustBeTidy(t testing.TB, f *faultfs.FS) {
	t.Helper()
	m := mustManifest(t, f)
	listed := m.files()
	for _, name := range f.Names() {
		_, isHeads := headsGeneration(name)
		if (isPart(name) || isHeads || isRubbish(name)) && !listed[name] {
			t.Errorf("%s is left", name)
		}
	}
}

func TestAReaderGoesOnWhileCompactionRemovesItsFiles(t *testing.T) {
	f := new(faultfs.FS)
	s, b, m, cut := cutStore(t, f)
	before := slices.Clone(m.log)
	old := s.view.spans
	forwards, stop := iter.Pull2(s.Read(context.Background(), backend.Query{To: 1 << 40, Kinds: backend.AllKinds}))
	defer stop()
	backwards, stop2 := iter.Pull2(s.Read(context.Background(), backend.Query{Stream: "cut", From: 1, To: 1 << 40, Reverse: true, Kinds: backend.Numbered}))
	defer stop2()
	next := func(what string, next func() (backend.Record, error, bool), want string) {
		t.Helper()
		r, err, ok := next()
		if !ok || err != nil || line(&r) != want {
			t.Fatalf("%s: %v %v: %s, want %s", what, ok, err, line(&r), want)
		}
	}
	versions := m.lines("cut", 1, 1<<40, false)
	slices.Reverse(versions)
	for i := range 10 {
		next("forwards", forwards, before[i].line)
		next("backwards", backwards, versions[i])
	}
	if _, err := b.Compact(context.Background(), cut); err != nil {
		t.Fatal(err)
	}
	m.cut(cut)
	m.check(t, b, "compacted")
	for _, sp := range old {
		if !slices.Contains(f.Names(), sp.name) {
			t.Errorf("%s went while it was read", sp.name)
		}
	}
	for _, k := range before[10:] {
		next("forwards", forwards, k.line)
	}
	for _, want := range versions[10:] {
		next("backwards", backwards, want)
	}
	for _, next := range []func() (backend.Record, error, bool){forwards, backwards} {
		if r, err, ok := next(); ok {
			t.Errorf("there is more: %v %v", r, err)
		}
	}
	mustBeTidy(t, f)
	mustBeClean(t, b)
}

// A compaction is cancelled at each of its writes: the cut may stand or not, nothing else
// is lost, and the next one comes to its end.
func TestACompactionThatIsCancelledLosesNothing(t *testing.T) {
	cancelled := 0
	for at := 1; ; at++ {
		f := new(faultfs.FS)
		_, b, m, cut := cutStore(t, f)
		ctx, cancel := context.WithCancel(context.Background())
		var n atomic.Int64
		f.Fail(&faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Write, faultfs.Sync, faultfs.Rename}, Times: faultfs.Forever, When: func(op faultfs.Op) bool {
			if op.Name != markName && n.Add(1) == int64(at) {
				cancel()
			}
			return false
		}})
		_, err := b.Compact(ctx, cut)
		f.Heal()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled at write %d: %v", at, err)
		}
		what := fmt.Sprintf("cancelled at write %d", at)
		if made := m.checkCut(t, b, cut, what); !made && err == nil {
			t.Fatalf("%s: nothing was cut", what)
		}
		mustBeTidy(t, f)
		if _, err := b.Compact(context.Background(), cut); err != nil {
			t.Fatalf("%s: again: %v", what, err)
		}
		m.cut(cut)
		m.check(t, b, what+", done again")
		mustBeClean(t, b)
		mustBeTidy(t, f)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err != nil {
			cancelled++
		}
		if int64(at) > n.Load() {
			break // all of it
		}
	}
	if cancelled < 5 {
		t.Errorf("%d compactions were cancelled", cancelled)
	}
}

// The disk is full at one place of a compaction after the other.
func TestACompactionOnAFullDiskLosesNothing(t *testing.T) {
	full := 0
	for room := int64(0); room < 200<<10; room += 7001 {
		f := new(faultfs.FS)
		_, b, m, cut := cutStore(t, f)
		f.Limit(f.Used() + room)
		_, err := b.Compact(context.Background(), cut)
		what := fmt.Sprintf("%d bytes of room", room)
		if err != nil && !errors.Is(err, backend.ErrNoSpace) {
			t.Fatalf("%s: %v", what, err)
		}
		m.checkCut(t, b, cut, what)
		if err != nil {
			full++
		}
		if err := b.Poisoned(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		mustBeTidy(t, f)
		f.Limit(0)
		grown(t, b, m, func() { appendOne(t, b, "kept-1", "there is room again") })
		if _, err := b.Compact(context.Background(), cut); err != nil {
			t.Fatalf("%s: again: %v", what, err)
		}
		m.cut(cut)
		m.check(t, b, what+", and then enough")
		mustBeClean(t, b)
		mustBeTidy(t, f)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if full < 5 {
		t.Errorf("the disk was full %d times", full)
	}
}

// A crash comes at each step of packing and compacting. Opening reads the same and leaves
// no file that nothing lists.
func TestPackingThatACrashEndsLeavesNothingBehind(t *testing.T) {
	f := new(faultfs.FS)
	_, b, m, cut := cutStore(t, f)
	log := f.Record()
	if _, err := b.Compact(context.Background(), cut); err != nil {
		t.Fatal(err)
	}
	crashes, leftovers := 0, 0
	log.Replay(func(i int, next *faultfs.Event, now *faultfs.FS) bool {
		for _, keep := range []faultfs.Choice{faultfs.None, faultfs.All} {
			dir := now.Crash(keep)
			before := len(dir.Names())
			_, b := openInside(t, dir, &Options{keepLog: true})
			what := fmt.Sprintf("a crash before event %d, %v", i, next)
			m.checkCut(t, b, cut, what)
			mustBeClean(t, b)
			mustBeTidy(t, dir)
			if len(dir.Names()) < before {
				leftovers++
			}
			if err := b.Close(); err != nil {
				t.Fatal(what, err)
			}
			crashes++
		}
		return !t.Failed()
	})
	if crashes < 40 || leftovers == 0 {
		t.Errorf("%d crashes, of which %d left something to be removed", crashes, leftovers)
	}
}

func TestAStreamThatWasDeletedGoesOnAboveItsLastVersion(t *testing.T) {
	ctx := context.Background()
	f := new(faultfs.FS)
	s, b, m, _ := cutStore(t, f)
	gone := backend.Cut{Floors: []backend.StreamFloor{{Stream: "cut", Floor: 121, Delete: true}}}
	if _, err := b.Compact(ctx, gone); err != nil {
		t.Fatal(err)
	}
	m.cut(gone)
	m.log = slices.DeleteFunc(m.log, func(k kept) bool { return k.stream == "cut" })
	m.check(t, b, "deleted")
	grown(t, b, m, func() {
		if res := appendOne(t, b, "cut", "back"); res.Version != 121 {
			t.Errorf("it goes on at %+v", res)
		}
		if _, err := b.SaveSnapshot(ctx, backend.Record{Stream: "cut", Version: 121, Payload: []byte("new")}); err != nil {
			t.Fatal(err)
		}
	})
	for _, what := range []string{"in the log", "in a span", "in one span with what was before"} {
		m.check(t, b, "new events "+what)
		mustBeClean(t, b)
		switch what {
		case "in the log":
			seals(t, s)
		case "in a span":
			if _, err := b.Compact(ctx, backend.Cut{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.Close()
	_, b = openInside(t, f, nil)
	m.check(t, b, "reopened")
}

// A stream of which all was cut but a snapshot is restored in another store, and goes on.
func TestACutStreamIsRestored(t *testing.T) {
	ctx := context.Background()
	_, from, m, cut := cutStore(t, new(faultfs.FS))
	grown(t, from, m, func() { // of one stream nothing is left but the snapshot
		for range 3 {
			appendOne(t, from, "state alone", "x")
		}
		if _, err := from.SaveSnapshot(ctx, backend.Record{Stream: "state alone", Version: 3, Payload: []byte("state")}); err != nil {
			t.Fatal(err)
		}
	})
	cut.Floors = append(cut.Floors, backend.StreamFloor{Stream: "state alone", Floor: 4})
	if _, err := from.Compact(ctx, cut); err != nil {
		t.Fatal(err)
	}
	m.cut(cut)
	to := new(faultfs.FS)
	s, b := openInside(t, to, &Options{keepLog: true})
	n := 0
	for r, err := range from.Read(ctx, backend.Query{Kinds: backend.AllKinds}) {
		if err != nil {
			t.Fatal(err)
		}
		stream := r.Stream
		r.Stream, r.Payload, r.Meta = "", slices.Clone(r.Payload), slices.Clone(r.Meta)
		batch := backend.Batch{Stream: stream, Restore: true, Epoch: r.Epoch, Records: []backend.Record{r}}
		if _, err := b.Append(ctx, batch); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if n++; n%40 == 0 {
			seals(t, s)
		}
	}
	same := func(what string) {
		t.Helper()
		want, got := mustContents(t, from), mustContents(t, b)
		if !slices.Equal(got, want) {
			t.Fatalf("%s: %d records, want %d", what, len(got), len(want))
		}
		for name := range m.heads {
			w, err := from.Head(ctx, name)
			if h, e := b.Head(ctx, name); err != nil || e != nil || h != w {
				t.Errorf("%s: %s is at %+v, want %+v: %v %v", what, name, h, w, err, e)
			}
		}
		mustBeClean(t, b)
	}
	same("restored")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	s, b = openInside(t, to, &Options{keepLog: true})
	same("restored, and reopened")
	if _, err := b.Compact(ctx, backend.Cut{}); err != nil {
		t.Fatal(err)
	}
	same("packed")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, b = openInside(t, to, nil)
	same("reopened")
	for name, want := range map[string]backend.Version{"cut": 121, "state alone": 4} {
		if res := appendOne(t, b, name, "on"); res.Version != want {
			t.Errorf("%s goes on at %+v, want version %d", name, res, want)
		}
	}
}

// A handle that only reads goes on with what it has opened while a writer removes it.
func TestAReadOnlyHandleReadsOnWhileAWriterCompacts(t *testing.T) {
	f := new(faultfs.FS)
	_, b, m, cut := cutStore(t, f)
	opts := &Options{}
	opts.ReadOnly = true
	_, r := openInside(t, f, opts)
	if _, err := b.Compact(context.Background(), cut); err != nil {
		t.Fatal(err)
	}
	m.check(t, r, "opened before")
	m.cut(cut)
	m.check(t, b, "the writer")
	_, r = openInside(t, f, opts)
	m.check(t, r, "opened behind")
}

// One process packs and compacts; handles that only read come and go beside it.
func TestAReadOnlyOpenBesideAPackingWriterSeesAWholeStore(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	w := openAt(t, dir, &Options{SegmentBytes: 8 << 10})
	var wrote atomic.Int64
	done := make(chan error, 1)
	quit, stop := context.WithCancel(ctx)
	go func() {
		for i := 0; quit.Err() == nil; i++ {
			_, err := w.Append(ctx, backend.Batch{Stream: fmt.Sprintf("s%d", i%4), Expected: backend.Any, Records: []backend.Record{{Type: "t", Payload: []byte(strings.Repeat("x", 500))}}})
			if err == nil && i%60 == 59 {
				_, err = w.Compact(ctx, backend.Cut{})
			}
			if err != nil {
				done <- err
				return
			}
			wrote.Add(1)
		}
		done <- nil
	}()
	opts := &Options{}
	opts.ReadOnly = true
	looks := 0
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); looks++ {
		least := wrote.Load()
		r, err := Open(ctx, dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for rec, err := range r.Read(ctx, backend.Query{}) {
			if n++; err != nil || int64(rec.Position) != n {
				t.Fatalf("record %d is at %d: %v", n, rec.Position, err)
			}
		}
		if n < least {
			t.Errorf("%d records, of %d that were acknowledged", n, least)
		}
		for i := range 4 {
			v := backend.Version(0)
			for rec, err := range r.Read(ctx, backend.Query{Stream: fmt.Sprintf("s%d", i)}) {
				if v++; err != nil || rec.Version != v {
					t.Fatalf("version %d is %d: %v", v, rec.Version, err)
				}
			}
		}
		report, err := r.Scan(ctx, nil)
		if err != nil || !report.Clean() {
			t.Fatalf("%v: %v", err, report.Anomalies)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if looks < 3 || stat(t, w, "packs") < 3 {
		t.Errorf("%d looks, %d spans were packed", looks, stat(t, w, "packs"))
	}
}

// A compaction fails behind its cut. What can be seen of it a power cut does not take back.
func TestACutThatCanBeSeenSurvivesAPowerCut(t *testing.T) {
	f := new(faultfs.FS)
	_, b, m, cut := cutStore(t, f)
	f.Fail(&faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Open}, Name: "*" + spanSuffix + tmpSuffix, Times: faultfs.Forever, Err: syscall.ENOSPC})
	if _, err := b.Compact(context.Background(), cut); !errors.Is(err, backend.ErrNoSpace) {
		t.Fatal(err)
	}
	if !m.checkCut(t, b, cut, "it has failed") {
		t.Fatal("nothing was cut")
	}
	_, b = openInside(t, f.Crash(faultfs.None), &Options{keepLog: true})
	if !m.checkCut(t, b, cut, "after a power cut") {
		t.Error("the cut is gone")
	}
	mustBeClean(t, b)
}
