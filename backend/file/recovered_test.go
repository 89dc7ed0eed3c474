package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// ignoring opens a store whatever is wrong with it, and packs nothing that it is not asked to.
func ignoring() *Options {
	o := &Options{SegmentBytes: 8 << 10, keepLog: true}
	o.Startup.Mode = backend.IgnoreAnomalies
	return o
}

// packedStore makes a store of several spans, closed, with 150 records of five streams. It
// returns what it holds, by position.
func packedStore(t testing.TB) (f *faultfs.FS, lines []string) {
	t.Helper()
	f = new(faultfs.FS)
	b := mustOpenMem(t, f, &Options{SegmentBytes: 8 << 10})
	for i := range 150 {
		appendOne(t, b, fmt.Sprintf("s%d", i%5), strings.Repeat("x", 300))
		if i%30 == 29 {
			settled(t, b)
		}
	}
	lines = mustContents(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if m := mustManifest(t, f); len(m.spans) < 3 {
		t.Fatalf("%d spans", len(m.spans))
	}
	return f, lines
}

func mustManifest(t testing.TB, f *faultfs.FS) manifest {
	t.Helper()
	m, _, err := readManifest(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// nameOf is what a span's file is called.
func nameOf(sp *spanInfo) string { return spanName(sp.first, sp.last, sp.generation) }

func mustScan(t testing.TB, b *backend.Backend) *backend.ScanReport {
	t.Helper()
	report, err := b.Scan(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// mustRecover recovers a store, of which nothing but notices may be left to report.
func mustRecover(t testing.TB, b *backend.Backend, mode backend.RecoveryMode) *backend.RecoveryReport {
	t.Helper()
	report, err := b.Recover(context.Background(), backend.RecoveryOptions{Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	if report.After.Damages > 0 || report.After.Warnings > 0 {
		t.Fatalf("after %v: %v", mode, report.After.Anomalies)
	}
	return report
}

// endOfLog is where the next group goes in a segment.
func endOfLog(f *faultfs.FS, name string) int64 {
	end := len(bytes.TrimRight(f.Bytes(name), "\x00"))
	return int64((end + groupAlign - 1) / groupAlign * groupAlign)
}

// stopper fails the opening of the next span that is written, once it is armed.
type stopper struct {
	armed atomic.Bool
	stop  func() error
}

func (s *stopper) hook(op faultfs.Op) error {
	if op.Kind == faultfs.Open && strings.HasSuffix(op.Name, spanSuffix+tmpSuffix) && s.armed.CompareAndSwap(true, false) {
		return s.stop()
	}
	return nil
}

func TestALostSpanAndADamagedOneAreGivenUpTogether(t *testing.T) {
	f, lines := packedStore(t)
	m := mustManifest(t, f)
	gone, rotten := m.spans[0], m.spans[1]
	at := bytes.Index(f.Bytes(nameOf(&rotten))[headerSize:], []byte("xxx")) + headerSize + 100
	f.Take(nameOf(&gone))
	f.Flip(nameOf(&rotten), int64(at), 16)
	b := mustOpenMem(t, f, ignoring())
	mustRecover(t, b, backend.Quarantine)
	now := mustManifest(t, f)
	if len(now.spans) != len(m.spans)-1 {
		t.Errorf("%d spans are listed of %d, one of which is lost", len(now.spans), len(m.spans))
	}
	for i, sp := range now.spans {
		if i > 0 && (sp.first <= now.spans[i-1].last || sp.from <= now.spans[i-1].to) {
			t.Errorf("%s is listed behind %s", nameOf(&sp), nameOf(&now.spans[i-1]))
		}
	}
	if len(now.holes) != 2 || now.holes[0].from != gone.from || now.holes[0].to != gone.to ||
		now.holes[1].from != now.holes[1].to || now.holes[1].from < rotten.from || now.holes[1].to > rotten.to {
		t.Fatalf("the holes are %+v; lost are %d to %d, and one of %d to %d", now.holes, gone.from, gone.to, rotten.from, rotten.to)
	}
	appendOne(t, b, "fresh", "goes on")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = mustOpenMem(t, f, &Options{SegmentBytes: 8 << 10})
	one := now.holes[1].from
	for _, part := range []struct{ from, to backend.Position }{{gone.to + 1, one - 1}, {one + 1, backend.Position(len(lines))}} {
		got, err := readAll(b, backend.Query{From: uint64(part.from), To: uint64(part.to), Kinds: backend.AllKinds})
		if err != nil || !slices.Equal(got, lines[part.from-1:part.to]) {
			t.Errorf("from %d to %d there are %d records: %v", part.from, part.to, len(got), err)
		}
	}
}

func TestACompactionThatEndedEarlyIsFinishedByTheNext(t *testing.T) {
	const person, secret = "$sys/person/audit", "the secret of somebody"
	for _, row := range []struct {
		what  string
		floor backend.Version
		del   bool
		same  bool // the next compaction has the same cut
		left  int  // of 10
	}{
		{"half of a stream, the same cut again", 6, false, true, 5},
		{"half of a stream, an empty cut", 6, false, false, 5},
		{"all of a stream, the same cut again", 11, false, true, 0},
		{"all of a stream, an empty cut", 11, false, false, 0},
		{"a deleted stream, the same cut again", 11, true, true, 0},
		{"a deleted stream, an empty cut", 11, true, false, 0},
	} {
		t.Run(row.what, func(t *testing.T) {
			f := new(faultfs.FS)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			early := &stopper{stop: func() error { cancel(); return nil }}
			f.Hook = early.hook
			opts := &Options{SegmentBytes: 8 << 10, keepLog: true}
			b := mustOpenMem(t, f, opts)
			for i := range 100 {
				appendOne(t, b, fmt.Sprintf("s%d", i%5), strings.Repeat("x", 300))
				if i%10 == 0 {
					appendOne(t, b, person, secret)
				}
			}
			if _, err := b.Compact(ctx, backend.Cut{}); err != nil {
				t.Fatal(err)
			}
			held := func() (n int) {
				for _, name := range f.Names() {
					n += bytes.Count(f.Bytes(name), []byte(secret))
				}
				return n
			}
			cut := backend.Cut{Floors: []backend.StreamFloor{{Stream: person, Floor: row.floor, Delete: row.del}}}
			early.armed.Store(true)
			if _, err := b.Compact(ctx, cut); !errors.Is(err, context.Canceled) || held() != 10 {
				t.Fatalf("the first compaction: %v; files hold %d", err, held())
			}
			if !row.same {
				cut = backend.Cut{}
			}
			if _, err := b.Compact(context.Background(), cut); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if held() != row.left {
					t.Errorf("files hold %d records of the stream, want %d", held(), row.left)
				}
				if h, err := b.Head(context.Background(), person); err != nil || h.Version != 10 || h.Floor != row.floor {
					t.Error(h, err)
				}
				if got := strings.Count(strings.Join(mustContents(t, b), "\n"), secret); got != row.left {
					t.Errorf("%d records are read by position, want %d", got, row.left)
				}
				if _, err := readAll(b, backend.Query{Stream: person, From: 1}); !errors.Is(err, backend.ErrCompacted) {
					t.Errorf("by stream: %v", err)
				}
				mustBeClean(t, b)
				b.Close()
				b = mustOpenMem(t, f, opts)
			}
		})
	}
}

func TestNoPositionOfALostGroupIsGivenAgain(t *testing.T) {
	f := new(faultfs.FS)
	opts := &Options{keepLog: true}
	b := mustOpenMem(t, f, opts)
	appendOne(t, b, "a", "stays")
	end := endOfLog(f, segmentName(1))
	appendOne(t, b, "a", "is marked durable, and lost all the same")
	b.Close()
	b = mustOpenMem(t, f, opts)
	records := slices.Repeat([]backend.Record{{Payload: []byte("x")}}, 20_000)
	given, err := b.Append(context.Background(), backend.Batch{Stream: "b", Expected: backend.Any, Records: records})
	if err != nil {
		t.Fatal(err)
	}
	f = f.Crash(faultfs.None)
	f.Overwrite(segmentName(1), end, make([]byte, int64(len(f.Bytes(segmentName(1))))-end))
	b = mustOpenMem(t, f, ignoring())
	mustRecover(t, b, backend.Quarantine)
	if res := appendOne(t, b, "c", "new"); res.Position <= given.Position {
		t.Errorf("position %d is given; it was before, up to %d", res.Position, given.Position)
	}
	b.Close()
	b = mustOpenMem(t, f, nil)
	if got, err := readAll(b, backend.Query{Stream: "c"}); err != nil || len(got) != 1 {
		t.Error(got, err)
	}
}

func TestACutThatRotsIsDamageAndThenAMarkedHole(t *testing.T) {
	const stream = "$sys/0/audit"
	f := new(faultfs.FS)
	early := &stopper{stop: func() error { return errors.New("the packing stops") }}
	f.Hook = early.hook
	b := mustOpenMem(t, f, &Options{SegmentBytes: 8 << 10, keepLog: true})
	for i := range 20 {
		appendOne(t, b, fmt.Sprintf("$sys/%d/audit", i%2), "audited")
	}
	at := endOfLog(f, segmentName(1))
	early.armed.Store(true)
	if _, err := b.Compact(context.Background(), backend.Cut{Floors: []backend.StreamFloor{{Stream: stream, Floor: 5}}}); err == nil {
		t.Fatal("the packing did not stop")
	}
	if h, err := b.Head(context.Background(), stream); err != nil || h.Floor != 5 {
		t.Fatal(h, err)
	}
	appendOne(t, b, "$sys/1/audit", "after the cut")
	f = f.Clone()
	f.Flip(segmentName(1), at+groupSize+denseEntry+6, 2) // in the stream's name

	b = mustOpenMem(t, f, ignoring())
	inCut := func(a backend.Anomaly) bool {
		return a.File == segmentName(1) && a.Offset >= at && a.Offset < at+groupMinimum+groupAlign
	}
	if report := mustScan(t, b); report.Damages != 1 || !slices.ContainsFunc(report.Anomalies, func(a backend.Anomaly) bool {
		return a.Severity == backend.Damage && a.Code == backend.BadChecksum && inCut(a)
	}) {
		t.Errorf("before: %v", report.Anomalies)
	}
	if _, err := tryAppend(b, stream, "over the damage"); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("an append before: %v", err)
	}
	mustRecover(t, b, backend.Quarantine)
	for range 2 {
		report := mustScan(t, b)
		if len(report.Anomalies) != 1 || report.Anomalies[0].Code != backend.MarkedHole || !inCut(report.Anomalies[0]) {
			t.Errorf("after quarantine: %v", report.Anomalies)
		}
		if _, err := tryAppend(b, stream, "goes on"); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = mustOpenMem(t, f, &Options{keepLog: true})
	}
}

// rotHeads makes what the heads hold unreadable.
func rotHeads(t testing.TB, f *faultfs.FS) {
	t.Helper()
	heads := mustManifest(t, f).heads
	if len(heads) == 0 {
		t.Fatal("there are no heads")
	}
	for _, h := range heads {
		f.Flip(headsName(h.generation), 100, 1)
	}
}

func TestHeadsThatRotHinderNeitherReadingAStreamNorCompaction(t *testing.T) {
	f, lines := packedStore(t)
	b := mustOpenMem(t, f, ignoring())
	streams, heads := map[string][]string{}, map[string]backend.Head{}
	for s, err := range b.Streams(context.Background(), backend.StreamQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		heads[s.Name] = s.Head
		if streams[s.Name], err = readAll(b, backend.Query{Stream: s.Name}); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	rotHeads(t, f)
	b = mustOpenMem(t, f, ignoring())
	if report := mustScan(t, b); report.Damages > 0 || report.Warnings == 0 {
		t.Errorf("the scan says %v", report.Anomalies)
	}
	same := func() {
		t.Helper()
		if got := mustContents(t, b); !slices.Equal(got, lines) {
			t.Errorf("%d records by position, want %d", len(got), len(lines))
		}
		for name, want := range streams {
			if got, err := readAll(b, backend.Query{Stream: name}); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %d records, want %d: %v", name, len(got), len(want), err)
			}
			if h, err := b.Head(context.Background(), name); err != nil || h != heads[name] {
				t.Errorf("%s: %+v, want %+v: %v", name, h, heads[name], err)
			}
		}
	}
	same()
	appendOne(t, b, "fresh", "to be packed")
	lines = mustContents(t, b)
	if _, err := b.Compact(context.Background(), backend.Cut{}); err != nil {
		t.Fatal(err)
	}
	same()
	mustBeClean(t, b)
}

func TestHeadsThatRotAreMadeAgainByRepair(t *testing.T) {
	f, lines := packedStore(t)
	rotHeads(t, f)
	b := mustOpenMem(t, f, ignoring())
	report := mustRecover(t, b, backend.Repair)
	if len(report.Actions) != 1 || report.Actions[0].Action != "rebuild" {
		t.Errorf("it did %v", report.Actions)
	}
	mustBeClean(t, b)
	n := 0
	for s, err := range b.Streams(context.Background(), backend.StreamQuery{}) {
		if n++; err != nil || s.Head.Version != 30 {
			t.Error(s, err)
		}
	}
	if got := mustContents(t, b); n != 5 || !slices.Equal(got, lines) {
		t.Errorf("%d streams, and %d records of %d", n, len(got), len(lines))
	}
}

// denseGroup makes a store with a group of four records between two others, and returns
// what it holds, and where the group and its padding are.
func denseGroup(t testing.TB) (f *faultfs.FS, lines []string, at, padding, end int64) {
	t.Helper()
	f = new(faultfs.FS)
	b := mustOpenMem(t, f, &Options{keepLog: true})
	appendOne(t, b, "a", "before")
	at = stat(t, b, "log_bytes")
	records := slices.Repeat([]backend.Record{{Type: "t", Payload: []byte("123456789")}}, 4)
	if _, err := b.Append(context.Background(), backend.Batch{Stream: "b", Expected: backend.Any, Records: records}); err != nil {
		t.Fatal(err)
	}
	end = stat(t, b, "log_bytes")
	appendOne(t, b, "a", "behind")
	lines = mustContents(t, b)
	b.Close()
	seg := f.Bytes(segmentName(1))
	padding = at + groupSize + 4*denseEntry
	for i := range int64(4) {
		padding += int64(seg[at+groupSize+i*denseEntry])
	}
	if padding >= end {
		t.Fatal("the group has no padding")
	}
	return f, lines, at, padding, end
}

// mendsAByte flips bits of one byte around a group's records: a warning, no more.
func mendsAByte(t *testing.T, f *faultfs.FS, lines []string, off int64, bits byte) {
	t.Helper()
	f = f.Clone()
	f.Flip(segmentName(1), off, bits)
	what := fmt.Sprintf("bits %#x of the byte at %d", bits, off)
	b, err := openMem(f, ignoring())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer b.Close()
	if got, err := contents(b); err != nil || !slices.Equal(got, lines) {
		t.Errorf("%s: %d records by position, want %d: %v", what, len(got), len(lines), err)
	}
	if got, err := readAll(b, backend.Query{Stream: "b"}); err != nil || len(got) != 4 {
		t.Errorf("%s: %d records by stream, want 4: %v", what, len(got), err)
	}
	if report := mustScan(t, b); report.Damages > 0 || report.Warnings == 0 {
		t.Errorf("%s: the scan says %v", what, report.Anomalies)
	}
	report, err := b.Recover(context.Background(), backend.RecoveryOptions{Mode: backend.Repair})
	if err != nil || len(report.After.Anomalies) > 0 {
		t.Errorf("%s: repair: %v: %v", what, err, report)
		return
	}
	if got, err := contents(b); err != nil || !slices.Equal(got, lines) {
		t.Errorf("%s, repaired: %d records, want %d: %v", what, len(got), len(lines), err)
	}
}

func TestAByteOfADenseGroupsPaddingIsMended(t *testing.T) {
	f, lines, _, padding, end := denseGroup(t)
	for off := padding; off < end; off++ {
		mendsAByte(t, f, lines, off, 1)
	}
}

func TestALengthInADenseGroupsTableThatDoesNotFitIsMended(t *testing.T) {
	f, lines, at, _, _ := denseGroup(t)
	for off := at + groupSize; off < at+groupSize+4*denseEntry; off++ {
		mendsAByte(t, f, lines, off, 0x80)
	}
}

func TestALengthInADenseGroupsTableThatIsOneOffIsMended(t *testing.T) {
	f, lines, at, _, _ := denseGroup(t)
	for i := range int64(4) {
		mendsAByte(t, f, lines, at+groupSize+i*denseEntry, 1)
	}
}

func TestAByteOfARecordsHeadInsideASpanReadsAsItWasAndIsMendedByRepair(t *testing.T) {
	whole, lines := packedStore(t)
	one, err := readAll(mustOpenMem(t, whole.Clone(), nil), backend.Query{Stream: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	sp := mustManifest(t, whole).spans[1]
	body := whole.Bytes(nameOf(&sp))
	name := bytes.Index(body[headerSize:], []byte("\x02s1")) + headerSize + 1 // its length is before it: two bytes alone may be in a checksum
	payload := name + bytes.Index(body[name:], []byte("xxx"))
	for at := name - 5; at < payload; at++ { // from the record's place in the span on, which is one byte, and its envelope's beginning
		f := whole.Clone()
		f.Flip(nameOf(&sp), int64(at), 4)
		b, err := openMem(f, ignoring())
		if err != nil {
			t.Fatal(err)
		}
		if report := mustScan(t, b); len(report.Anomalies) == 0 {
			t.Errorf("%d: nobody notices", at-name)
		}
		for _, reverse := range []bool{false, true} {
			inOrder := func(q backend.Query) ([]string, error) {
				got, err := readAll(b, q)
				if reverse {
					slices.Reverse(got)
				}
				return got, err
			}
			if got, err := inOrder(backend.Query{Kinds: backend.AllKinds, Reverse: reverse}); err != nil || !slices.Equal(got, lines) {
				t.Errorf("%d, backwards %v: %d records, want %d: %v", at-name, reverse, len(got), len(lines), err)
			}
			if at == name-5 { // the record's place: whoever reads by stream goes by it
				continue
			}
			if got, err := inOrder(backend.Query{Stream: "s1", Reverse: reverse}); err != nil || !slices.Equal(got, one) {
				t.Errorf("%d, backwards %v: %d records by stream, want %d: %v", at-name, reverse, len(got), len(one), err)
			}
		}
		report, err := b.Recover(context.Background(), backend.RecoveryOptions{Mode: backend.Repair})
		if err != nil || len(report.After.Anomalies) > 0 {
			t.Errorf("%d: repair: %v: %v", at-name, err, report.After.Anomalies)
		} else if got, err := contents(b); err != nil || !slices.Equal(got, lines) {
			t.Errorf("%d: %d records, want %d: %v", at-name, len(got), len(lines), err)
		} else if got, err := readAll(b, backend.Query{Stream: "s1"}); err != nil || len(got) != 30 {
			t.Errorf("%d: %d records by stream: %v", at-name, len(got), err)
		}
		b.Close()
	}
}

func TestACrashBetweenTheManifestAndItsCopyLeavesAStore(t *testing.T) {
	f := new(faultfs.FS)
	stop := errors.New("the power goes")
	f.Hook = func(op faultfs.Op) error {
		if op.Kind == faultfs.Open && strings.HasPrefix(op.Name, copyName) && op.Flag&os.O_CREATE != 0 {
			return stop
		}
		return nil
	}
	if _, err := openMem(f, nil); err == nil || !strings.Contains(err.Error(), stop.Error()) {
		t.Fatalf("the copy was written: %v", err)
	}
	f.Hook = nil
	f = f.Crash(faultfs.None)
	if !slices.Contains(f.Names(), manifestName) || slices.Contains(f.Names(), copyName) {
		t.Fatalf("left are %v", f.Names())
	}
	reading := &Options{}
	reading.ReadOnly = true
	b := mustOpenMem(t, f, reading)
	if report := mustScan(t, b); report.Damages > 0 || report.Warnings > 0 {
		t.Errorf("read-only: %v", report.Anomalies)
	}
	b.Close()
	b = mustOpenMem(t, f, nil)
	appendOne(t, b, "s", "first")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = mustOpenMem(t, f, reading)
	if got := mustContents(t, b); len(got) != 1 {
		t.Error(got)
	}
}

func TestASpanThatIsMostlyLostCostsFewReadsAndFewHoles(t *testing.T) {
	const streams, each = 2000, 5
	ctx := context.Background()
	f := new(faultfs.FS)
	var reads atomic.Int64
	f.Hook = func(op faultfs.Op) error {
		if op.Kind == faultfs.Read && strings.HasSuffix(op.Name, spanSuffix) {
			reads.Add(1)
		}
		return nil
	}
	b := mustOpenMem(t, f, &Options{keepLog: true})
	for range each {
		var group []backend.Batch
		for s := range streams {
			group = append(group, backend.Batch{Stream: fmt.Sprintf("account/%08d/%s", s, strings.Repeat("n", 40)), Expected: backend.Any, Records: []backend.Record{{Payload: []byte("x")}}})
		}
		if _, err := b.AppendAll(ctx, group); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Compact(ctx, backend.Cut{}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	m := mustManifest(t, f)
	if len(m.spans) != 1 {
		t.Fatalf("%d spans", len(m.spans))
	}
	sp := &m.spans[0]
	quarter := headerSize + (sp.frames-headerSize)/4
	whole := f
	for what, damage := range map[string]func(){
		"cut to a quarter":                       func() { f.Resize(nameOf(sp), quarter) },
		"zeroed but for a quarter and its table": func() { f.Overwrite(nameOf(sp), quarter, make([]byte, sp.frames-quarter)) },
	} {
		t.Run(what, func(t *testing.T) {
			f = whole.Clone()
			f.Hook = whole.Hook
			damage()
			b := mustOpenMem(t, f, ignoring())
			reads.Store(0)
			began := time.Now()
			mustRecover(t, b, backend.Quarantine)
			if n, took := reads.Load(), time.Since(began); n > 20*streams || took > 10*time.Second {
				t.Errorf("it took %d reads and %v", n, took)
			}
			if n := len(mustManifest(t, f).holes); n == 0 || n > 10*each {
				t.Errorf("%d holes are listed, of %d records", n, streams*each)
			}
			appendOne(t, b, "fresh", "goes on")
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			mustOpenMem(t, f, nil)
		})
	}
}
