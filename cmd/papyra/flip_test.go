package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
)

// packedStore makes a closed file store of every part that one has: segments, spans with
// skip lists, heads, marks, snapshots, and a cut stream. It returns its records.
func packedStore(t *testing.T, dir string) map[backend.Position]string {
	t.Helper()
	ctx := context.Background()
	b, err := file.Open(ctx, dir, &file.Options{SegmentBytes: 32 << 10, Options: backend.Options{Clock: ticking()}})
	if err != nil {
		t.Fatal(err)
	}
	add := func(stream string, size int) {
		t.Helper()
		_, err := b.Append(ctx, backend.Batch{Stream: stream, Expected: backend.Any, Records: []backend.Record{
			{Type: "added", Payload: bytes.Repeat([]byte{byte('a' + size%20)}, size)},
			{Type: "noted", Payload: []byte(`{"n":1}`)},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 80 {
		add("large", 1200)
		add(fmt.Sprintf("small/%02d", i%9), 30+i)
	}
	for _, v := range []backend.Version{3, 8} {
		if _, err := b.SaveSnapshot(ctx, backend.Record{Stream: "small/03", Version: v, Type: "state", Payload: []byte("the state")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: "small/03", Floor: 5}}}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		add("large", 1200)
		add(fmt.Sprintf("small/%02d", i%9), 30+i)
	}
	for deadline := time.Now().Add(10 * time.Second); figure(t, b, "segments") > 2 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if figure(t, b, "spans") < 2 || figure(t, b, "heads") == 0 || figure(t, b, "log_bytes") < 8<<10 {
		t.Fatalf("not a store of every part: %v", b.Stats())
	}
	all := readable(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

func figure(t *testing.T, b *backend.Backend, name string) int64 {
	t.Helper()
	for _, s := range b.Stats() {
		if s.Name == name {
			return s.Value
		}
	}
	t.Fatalf("there is no figure %q", name)
	return 0
}

// readable reads position by position all that can be read.
func readable(t *testing.T, b *backend.Backend) map[backend.Position]string {
	t.Helper()
	last, err := b.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[backend.Position]string{}
	for p := backend.Position(1); p <= last; p++ {
		for r, err := range b.Read(t.Context(), backend.Query{From: uint64(p), To: uint64(p), Kinds: backend.AllKinds}) {
			switch {
			case errors.Is(err, backend.ErrCorrupt):
			case err != nil:
				t.Fatal(err)
			default:
				all[p] = fmt.Sprintf("%s %d %v %s %v %d %v %x %x", r.Stream, r.Version, r.Kind, r.Type, r.Time, r.Epoch, r.Batch, r.Payload, r.Meta)
			}
		}
	}
	return all
}

// streamOf is the stream and the version of a line of readable.
func streamOf(line string) (stream string, version backend.Version) {
	_, _ = fmt.Sscan(line, &stream, &version)
	return stream, version
}

// flips are the places, before end, of a file at which a byte is flipped: of the headers at
// the beginning of pages some, of the rest one in so many.
func flips(end, sparse int) (places []int64) {
	for at := range end {
		if at < 144 && at%17 == 8 || at%16384 >= 4096 && at%4096 < 60 && at%23 == 0 || at%sparse == sparse/2 {
			places = append(places, int64(at))
		}
	}
	return places
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
}

// flipByte changes a byte of a file.
func flipByte(t *testing.T, path string, at int64, bits byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= bits
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// scanned runs papyra scan.
func scanned(t *testing.T, dir string) (code int, report *backend.ScanReport, said string) {
	t.Helper()
	var out, stderr bytes.Buffer
	code = run(t.Context(), []string{"scan", "--format", "json", "--store", "file://" + filepath.ToSlash(dir)}, &out, &stderr)
	report = new(backend.ScanReport)
	var shape struct{ Anomalies []anomalyShape }
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &shape); err != nil {
			t.Fatalf("%v: %s", err, out.Bytes())
		}
	}
	for _, a := range shape.Anomalies {
		report.Anomalies = append(report.Anomalies, backend.Anomaly{Code: a.Code, File: a.File, Offset: a.Offset, Length: a.Length, Stream: a.Stream, Version: a.Version, Position: a.Position, Detail: a.Severity})
	}
	return code, report, out.String() + stderr.String()
}

// anomalyShape is an anomaly as scan prints it.
type anomalyShape struct {
	Code     backend.AnomalyCode
	Severity string
	File     string
	Offset   int64
	Length   int64
	Stream   string
	Version  backend.Version
	Position backend.Position
}

// near reports whether a finding's place is that of a byte: its extent covers it; or it
// names what was told from it.
func near(a *backend.Anomaly, file string, at int64) bool {
	return a.File == file && a.Offset >= 0 && a.Offset <= at && (a.Length == 0 || at < a.Offset+a.Length)
}

// A byte is flipped, at one place after the other, in every file of a store. scan says
// where and exits with 2, and if a record is lost it says which. After Recover with
// Quarantine every other record is there, and scan exits with 0.
func TestAnyFlippedByteIsFoundAndCostsOneRecordAtMost(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "store")
	all := packedStore(t, whole)
	if code, _, said := scanned(t, whole); code != exitOK {
		t.Fatalf("a sound store: exit code %d: %s", code, said)
	}
	entries, err := os.ReadDir(whole)
	if err != nil {
		t.Fatal(err)
	}
	sparse := 2999
	if testing.Short() {
		sparse = 19997
	}
	cases, costly := 0, 0
	kinds := map[string]int{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(whole, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		end := len(bytes.TrimRight(content, "\x00")) // what follows are zeros laid ahead, which say nothing
		if e.Name() == "LOCK" || e.Name() == "reserve" || end == 0 {
			continue
		}
		some := sparse
		switch {
		case len(content) < 4096:
			some = 23
		case filepath.Ext(e.Name()) == ".seg": // of which there is little
			some /= 10
		}
		for _, at := range flips(end, some) {
			name := e.Name()
			if name == "MARK" && content[at] == 0 && at%4096 >= 512 {
				continue
			}
			cases++
			kinds[filepath.Ext(name)]++
			costly += flipOne(t, whole, all, name, at, 1<<(at%8))
		}
	}
	for _, name := range []string{"MANIFEST", "MANIFEST.copy"} { // a format that there is not yet, or that there was
		flipOne(t, whole, all, name, int64(len("papyra file store format ")), 1)
		flipOne(t, whole, all, name, int64(len("papyra file store format ")), 3)
	}
	t.Logf("%d bytes flipped, by kind of file %v; %d cost a record", cases, kinds, costly)
	if costly == 0 || kinds[".span"] == 0 || kinds[".seg"] == 0 || kinds[".heads"] == 0 || kinds[".copy"] == 0 {
		t.Error("the places are not well chosen")
	}
}

// flipOne judges one flipped byte, and returns how many records it cost.
func flipOne(t *testing.T, whole string, all map[backend.Position]string, name string, at int64, bits byte) (lost int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	copyDir(t, whole, dir)
	defer os.RemoveAll(dir)
	flipByte(t, filepath.Join(dir, name), at, bits)
	what := fmt.Sprintf("%s byte %d bits %#x", name, at, bits)
	code, report, said := scanned(t, dir)
	switch {
	case name == "MARK": // evidence: a crash while a slot is written leaves the same, and the other one stands
		if code != exitOK || !strings.Contains(said, name) {
			t.Errorf("%s: exit code %d: %s", what, code, said)
		}
	case code != exitAnomalies:
		t.Errorf("%s: exit code %d: %s", what, code, said)
	}
	if !slices.ContainsFunc(report.Anomalies, func(a backend.Anomaly) bool { return near(&a, name, at) }) {
		t.Errorf("%s: not located: %s", what, said)
	}
	b, err := file.Open(t.Context(), dir, &file.Options{Options: backend.Options{Startup: backend.Startup{Mode: backend.IgnoreAnomalies}}})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return 0
	}
	defer b.Close()
	recovered, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine})
	if err != nil || !recovered.After.Clean() {
		t.Errorf("%s: recover: %v, left %v", what, err, recovered.After)
		return 0
	}
	left := readable(t, b)
	for p, line := range left {
		if all[p] != line {
			t.Errorf("%s: a lie at position %d: %s", what, p, line)
		}
	}
	for p, line := range all {
		if left[p] != "" {
			continue
		}
		lost++
		stream, version := streamOf(line)
		if !slices.ContainsFunc(report.Anomalies, func(a backend.Anomaly) bool {
			return a.Stream == stream && (a.Version == version || strings.Contains(line, " snapshot ")) && a.Detail == "damage"
		}) {
			t.Errorf("%s: position %d is lost, and scan does not say that it is %s version %d: %s", what, p, stream, version, said)
		}
	}
	if lost > 1 {
		t.Errorf("%s: %d records are lost", what, lost)
	}
	if err := b.Close(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if code, _, said := scanned(t, dir); code != exitOK {
		t.Errorf("%s: after quarantine: exit code %d: %s", what, code, said)
	}
	return lost
}
