package file

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// write-golden makes testdata/v2 and what goes with it where there is none. A golden store
// is never changed: a new format version gets one of its own beside it. Those of version 1
// were written by the code of that version.
var writeGolden = flag.Bool("write-golden", false, "write testdata/v2, v2-torn and future, if they do not exist")

// goldens are the stores that released versions wrote, which must open for ever. Those
// named torn were not closed, and end in a torn group.
var goldens = []string{"v1", "v1-torn", "v2", "v2-torn"}

// goldenStore copies a golden store, and returns what it holds.
func goldenStore(t *testing.T, name string) (dir string, want []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".records"))
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "store")
	copyTree(t, filepath.Join("testdata", name), dir)
	return dir, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// goldenLines is what a store holds: its records, holes, and, unless of version 1, where
// its streams stand.
func goldenLines(t testing.TB, b *backend.Backend, name string) (lines []string) {
	t.Helper()
	for from, more := uint64(1), true; more; {
		more = false
		for r, err := range b.Read(context.Background(), backend.Query{From: from, Kinds: backend.AllKinds}) {
			var ce *backend.CorruptError
			switch {
			case errors.As(err, &ce) && ce.Position > 0:
				lines = append(lines, fmt.Sprintf("%d %s@%d is lost", ce.Position, ce.Stream, ce.Version))
				from, more = uint64(ce.Position)+1, true
			case err != nil:
				t.Fatal(err)
			default:
				lines = append(lines, line(&r))
			}
		}
	}
	if strings.HasPrefix(name, "v1") {
		return lines
	}
	for s, err := range b.Streams(context.Background(), backend.StreamQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("stream %s %+v", s.Name, s.Head))
	}
	return lines
}

func TestTheGoldenStoresOpen(t *testing.T) {
	if *writeGolden {
		makeGolden(t)
	}
	for _, name := range goldens {
		for _, readOnly := range []bool{true, false} {
			dir, want := goldenStore(t, name)
			opts := &Options{}
			opts.ReadOnly = readOnly
			opts.Startup.Full = true
			b := openAt(t, dir, opts)
			if got := goldenLines(t, b, name); !slices.Equal(got, want) {
				t.Errorf("%s: %d lines\n%s\nwant %d\n%s", name, len(got), strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
			}
			if !readOnly {
				appendOne(t, b, "last", "after a long time")
				goldenIsClean(t, b, name)
				if torn := stat(t, b, "torn_bytes") > 0; torn != strings.HasSuffix(name, "-torn") {
					t.Errorf("%s: torn: %v", name, torn)
				}
			}
		}
	}
}

// goldenIsClean scans a golden store: nothing is wrong but the hole of those that have one.
func goldenIsClean(t *testing.T, b *backend.Backend, name string) {
	t.Helper()
	report, err := b.Scan(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	holes := 0
	for _, a := range report.Anomalies {
		if a.Code != backend.MarkedHole || a.Severity != backend.Notice {
			t.Errorf("%s: %v", name, a)
		}
		holes++
	}
	if want := strings.Count(name, "v2"); holes != want {
		t.Errorf("%s: %d holes, want %d", name, holes, want)
	}
}

// A store of an older version becomes one of this version when something is written to
// it, and holds the same then, however it is packed.
func TestAGoldenStoreIsUpgradedAndCompacted(t *testing.T) {
	ctx := context.Background()
	for _, name := range goldens {
		dir, want := goldenStore(t, name)
		b := openAt(t, dir, nil)
		for round := range 3 {
			if _, err := b.Compact(ctx, backend.Cut{}); err != nil {
				t.Fatal(err)
			}
			if stat(t, b, "spans") == 0 || stat(t, b, "segments") > 2 {
				t.Errorf("%s: not packed: %v", name, b.Stats())
			}
			if got := goldenLines(t, b, name); !slices.Equal(got, want) {
				t.Errorf("%s, round %d: %d lines, want %d", name, round, len(got), len(want))
			}
			goldenIsClean(t, b, name)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{manifestName, copyName} {
				content, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil || !bytes.HasPrefix(content, []byte("papyra file store format 2\n")) {
					t.Errorf("%s: %s is not of this version: %.30q %v", name, file, content, err)
				}
			}
			b = openAt(t, dir, nil)
		}
		h, err := b.Head(ctx, "last")
		if err != nil {
			t.Fatal(err)
		}
		if res := appendOne(t, b, "last", "after a long time"); res.Version != h.Version+1 {
			t.Errorf("%s: appended at %+v, want version %d", name, res, h.Version+1)
		}
	}
}

func TestTheGoldenStoreHasEveryPart(t *testing.T) {
	dir, _ := goldenStore(t, "v2")
	opts := &Options{}
	opts.ReadOnly = true
	b := openAt(t, dir, opts)
	for name, least := range map[string]int64{"segments": 2, "log_bytes": 2 * headerSize, "spans": 3, "heads": 1, "holes": 1} {
		if got := stat(t, b, name); got < least {
			t.Errorf("%s: %d, want at least %d", name, got, least)
		}
	}
	skips := false
	content, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseManifest(content)
	if err != nil {
		t.Fatal(err)
	}
	for _, sp := range m.spans {
		skips = skips || sp.skips > sp.frames
	}
	if !skips {
		t.Error("no span has skip lists")
	}
}

func TestAFutureFormatIsRefusedUntouched(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	copyTree(t, filepath.Join("testdata", "future"), dir)
	before := hash(t, dir)
	for _, readOnly := range []bool{true, false} {
		opts := &Options{}
		opts.ReadOnly = readOnly
		opts.Startup.Mode = backend.RecoverAnomalies
		if _, err := Open(context.Background(), dir, opts); !errors.Is(err, backend.ErrFormat) {
			t.Error(err)
		}
	}
	if hash(t, dir) != before {
		t.Error("touched")
	}
}

// What is written behind -write-golden depends on nothing but the code.
func TestGoldenStoresAreMadeTheSameEachTime(t *testing.T) {
	var first map[string][]byte
	for range 2 {
		f := new(faultfs.FS)
		b := goldenHistory(t, f)
		b.Close()
		files := map[string][]byte{}
		for _, name := range f.Names() {
			if name != lockName && name != markName && !f.IsFolder(name) { // who wrote it; how often the clock let it be marked
				files[name] = f.Content(name)
			}
		}
		if first == nil {
			first = files
			continue
		}
		if got, want := slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(first)); !slices.Equal(got, want) {
			t.Fatalf("%q\nand\n%q", got, want)
		}
		for name := range files {
			if !bytes.Equal(files[name], first[name]) {
				t.Errorf("%s differs", name)
			}
		}
	}
}

// goldenHistory makes a store of every part and returns it, open: spans, of which one has
// skip lists, and segments behind them; heads; a stream that was cut, one that was deleted;
// snapshots; records that were restored with gaps; a hole that quarantine has marked.
func goldenHistory(t *testing.T, f *faultfs.FS) *backend.Backend {
	t.Helper()
	cryptotest.SetGlobalRandom(t, 2)
	ctx := context.Background()
	now := clock()
	opts := &Options{SegmentBytes: 8 << 10}
	opts.Clock = now
	opts.keepLog = true // so that packing comes in its turn
	s, b := openInside(t, f, opts)
	seal := true
	packed := func(do func() error) {
		t.Helper()
		err := do()
		s.preparer.wait.Wait()
		if err == nil && seal {
			err = s.sealFull(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add := func(stream string, epoch uint64, sizes ...int) {
		t.Helper()
		h, err := b.Head(ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		meta, err := backend.MakeMeta("trace", fmt.Sprint(h.Version))
		if err != nil {
			t.Fatal(err)
		}
		batch := backend.Batch{Stream: stream, Expected: h.Version, Epoch: max(epoch, h.Epoch), ID: backend.BatchID{byte(len(stream)), byte(h.Version + 1)}}
		for i, size := range sizes {
			batch.Records = append(batch.Records, backend.Record{Type: fmt.Sprintf("type-%d", i), Schema: uint32(size), Meta: meta, Payload: bytes.Repeat([]byte{byte('a' + size%26)}, size)})
		}
		packed(func() error { _, err := b.Append(ctx, batch); return err })
	}
	snapshot := func(stream string, v backend.Version) {
		t.Helper()
		h, err := b.Head(ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		packed(func() error {
			_, err := b.SaveSnapshot(ctx, backend.Record{Stream: stream, Version: v, Epoch: h.Epoch, Type: "state", Payload: fmt.Appendf(nil, "the state of %s at %d", stream, v)})
			return err
		})
	}
	round := func(n int) {
		t.Helper()
		for i := range n {
			add(fmt.Sprintf("s%d", i%5), uint64(i/7), 10*i, 3)
			if i%4 == 0 {
				add("large", 0, 1500, 1500)
			}
		}
	}
	round(30)
	for v := range backend.Version(3) {
		snapshot("s1", 2*v+1)
		snapshot("s2", 3*v+1)
	}
	add("person", 0, 100, 200)
	snapshot("person", 2)
	at := time.Unix(1e9, 0)
	last, err := b.Last(ctx)
	if err != nil {
		t.Fatal(err)
	}
	packed(func() error {
		_, err := b.Append(ctx, backend.Batch{Stream: "copied", Restore: true, Records: []backend.Record{
			{Position: last + 100, Version: 7, Kind: backend.Event, Time: at, Payload: []byte("from elsewhere")},
			{Position: last + 105, Version: 7, Kind: backend.Snapshot, Time: at, Payload: []byte("state")},
			{Position: last + 200, Version: 8, Kind: backend.Event, Time: at, Payload: []byte("from elsewhere, too")}}})
		return err
	})
	for range 12 {
		add("large", 0, 1500, 1600)
	}
	cut := backend.Cut{Floors: []backend.StreamFloor{{Stream: "person", Floor: 3, Delete: true}, {Stream: "s1", Floor: 5}, {Stream: "s2", Floor: 3}}}
	if _, err := b.Compact(ctx, cut); err != nil {
		t.Fatal(err)
	}
	round(12)
	snapshot("s3", 4)
	round(10)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	goldenHole(t, f)
	s, b = openInside(t, f, opts)
	seal = false // what follows stays in the log
	round(8)
	snapshot("s4", 2)
	if err := s.cut(ctx, []backend.StreamFloor{{Stream: "s2", Floor: 3}}); err != nil { // which it has: a cut in the log
		t.Fatal(err)
	}
	add("last", 0, 2000)
	return b
}

// goldenHole damages a record in the newest span that has one of its kind, and puts it
// aside.
func goldenHole(t *testing.T, f *faultfs.FS) {
	t.Helper()
	name, at := "", int64(-1)
	for _, file := range f.Names() {
		if _, _, _, ok := parseSpanName(file); !ok {
			continue
		}
		if i := inside(f, file, strings.Repeat("w", 50)); i >= headerSize {
			name, at = file, i
		}
	}
	f.Flip(name, at, 1)
	opts := &Options{SegmentBytes: 8 << 10, keepLog: true}
	opts.Startup = backend.Startup{Mode: backend.RecoverAnomalies, Full: true, Recovery: backend.Quarantine}
	b := mustOpenMem(t, f, opts)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func makeGolden(t *testing.T) {
	if _, err := os.Stat("testdata/v2"); err == nil {
		t.Fatal("testdata/v2 is there, and stays as it is")
	}
	write := func(f *faultfs.FS, name string) {
		for _, file := range f.Names() {
			if f.IsFolder(file) {
				continue
			}
			path := filepath.Join("testdata", name, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f.Bytes(file), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	records := func(b *backend.Backend, name string) {
		if err := os.WriteFile(filepath.Join("testdata", name+".records"), []byte(strings.Join(goldenLines(t, b, name), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := new(faultfs.FS)
	b := goldenHistory(t, f)
	records(b, "v2")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	write(f, "v2")

	opts := &Options{SegmentBytes: 8 << 10, keepLog: true}
	b = mustOpenMem(t, f, opts)
	appendOne(t, b, "last", "acknowledged, not marked")
	torn := f.Clone()
	records(b, "v2-torn")
	name := ""
	for _, file := range torn.Names() { // the newest segment with groups
		if content := torn.Bytes(file); strings.HasSuffix(file, segmentSuffix) && !zero(content[headerSize:]) {
			name = file
		}
	}
	end := (len(bytes.TrimRight(torn.Content(name), "\x00")) + groupAlign - 1) / groupAlign * groupAlign
	torn.Overwrite(name, int64(end), []byte("PG\x01\x00 the beginning of a group that never was"))
	write(torn, "v2-torn")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	if err := os.RemoveAll("testdata/future"); err != nil {
		t.Fatal(err)
	}
	m, err := parseManifest(f.Bytes(manifestName))
	if err != nil {
		t.Fatal(err)
	}
	m.format = FormatVersion + 1
	f.Put(manifestName, m.encode())
	f.Put(copyName, m.encode())
	write(f, "future")
}
