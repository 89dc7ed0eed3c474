package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
)

// groupsOf returns where the groups of a segment begin.
func groupsOf(t *testing.T, path string) (at []int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for off := 4096; off+56 <= len(data); {
		if binary.LittleEndian.Uint16(data[off:]) != 0x4750 { // see docs/file-format.md
			break
		}
		at = append(at, off)
		off += int(binary.LittleEndian.Uint32(data[off+4:]))
	}
	return at
}

// damage changes bytes of a file.
func damage(t *testing.T, path string, places ...int) {
	t.Helper()
	for _, at := range places {
		flipByte(t, path, int64(at), 0x41)
	}
}

// command runs a command line and returns what it said; its exit code must be as wanted.
func command(t *testing.T, want int, args ...string) string {
	t.Helper()
	var out, stderr bytes.Buffer
	if code := run(t.Context(), args, &out, &stderr); code != want {
		t.Errorf("papyra %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), stderr.String())
	}
	return out.String() + stderr.String()
}

// A group whose header is lost takes its records with it, though they are whole: they can't
// be read, as nothing proves their times. Quarantine keeps them, and they can be had.
func TestRecordsOfAGroupWhoseHeaderIsLostCanBeHadFromQuarantine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b, err := file.Open(t.Context(), dir, &file.Options{Options: backend.Options{Clock: ticking()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(t.Context(), b, "plain"); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	url := "file://" + filepath.ToSlash(dir)
	whole := strings.Split(command(t, exitOK, "export", "--store", url), "\n")
	segments, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	groups := groupsOf(t, segments[0])
	damage(t, segments[0], groups[1]+8, groups[1]+9) // of positions 3 and 4: the sequence

	command(t, exitAnomalies, "scan", "--store", url)
	command(t, exitOK, "recover", "--mode", "quarantine", "--yes", "--store", url)
	before := hashTree(t, dir)
	var list listShape
	if err := json.Unmarshal([]byte(command(t, exitOK, "quarantine", "list", "--format", "json", "--store", url)), &list); err != nil {
		t.Fatal(err)
	}
	holes := 0
	for _, x := range list.Files {
		holes += len(x.Holes)
	}
	if len(list.Files) == 0 || holes < 2 || len(list.OtherHoles) > 0 {
		t.Fatalf("quarantine holds %+v", list)
	}
	out := filepath.Join(t.TempDir(), "had.ndjson")
	said := command(t, exitOK, "quarantine", "export", "--store", url, "--out", out)
	had, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if want := whole[3] + "\n" + whole[4] + "\n"; records(string(had)) != want {
		t.Errorf("had\n%swant\n%s(%s)", had, want, said)
	}
	if !strings.Contains(said, "2 records found whole; the times of 0") {
		t.Errorf("says %s", said)
	}
	if after := hashTree(t, dir); after != before {
		t.Errorf("the store was changed:\n%s\n%s", before, after)
	}
}

// The time of a record whose group's header says what can't be is that of the record before.
func TestATimeThatCanNotBeIsThatOfTheRecordBefore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	if err := mkstore([]string{dir}); err != nil {
		t.Fatal(err)
	}
	url := "file://" + filepath.ToSlash(dir)
	segments, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	groups := groupsOf(t, segments[0])
	damage(t, segments[0], groups[1]+46, groups[1]+47) // the base time
	command(t, exitOK, "recover", "--mode", "quarantine", "--yes", "--store", url)
	said := command(t, exitOK, "quarantine", "export", "--store", url)
	if !strings.Contains(said, "2 records found whole; the times of 2") || strings.Count(said, `"time":"2026-01-02T03:04:06.000000001Z"`) != 2 {
		t.Errorf("says %s", said)
	}
}

// hashTree is what treehash prints.
func hashTree(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	if err := hashFiles(&all, dir); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// What stands in quarantine is compared with the store: what it has, what it has not, and
// what is another store's.
func TestWhatLiesInQuarantineIsComparedWithTheStore(t *testing.T) {
	dir, longer, foreign := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "longer"), filepath.Join(t.TempDir(), "foreign")
	for _, d := range []string{dir, foreign} {
		if err := mkstore([]string{d}); err != nil {
			t.Fatal(err)
		}
	}
	copyDir(t, dir, longer)
	b, err := openWriting(t.Context(), longer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(t.Context(), backend.Batch{Stream: "beyond", Expected: backend.Any, Records: []backend.Record{{Type: "x", Payload: []byte("1")}}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "quarantine"), 0o700); err != nil {
		t.Fatal(err)
	}
	url := "file://" + filepath.ToSlash(dir)
	for name, from := range map[string]string{"longer.seg": longer, "foreign.seg": foreign} {
		data, err := os.ReadFile(filepath.Join(from, "00000001.seg"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "quarantine", name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said := command(t, exitOK, "quarantine", "show", "longer.seg", "--store", url)
	if strings.Count(said, "stored offset ") != 8 || strings.Count(said, "other  offset ") != 1 || !strings.Contains(said, ": position 9: beyond version 1 event x") {
		t.Errorf("of a longer segment: %s", said)
	}
	if said := command(t, exitOK, "quarantine", "show", "foreign.seg", "--store", url); !strings.Contains(said, "no whole record stands in it") {
		t.Errorf("of another store's segment: %s", said)
	}
	if said := command(t, exitOK, "quarantine", "export", "--store", url); strings.Contains(said, "beyond") || !strings.Contains(said, "0 records found whole") {
		t.Errorf("export: %s", said)
	}
	whole := records(command(t, exitOK, "export", "--store", "file://"+filepath.ToSlash(longer), "--from", "9"))
	if said := command(t, exitOK, "quarantine", "export", "--all", "--store", url); !strings.HasPrefix(records(said), whole) || !strings.Contains(said, "1 record found whole") {
		t.Errorf("export --all: %swant %s", said, whole)
	}
}

// Whatever bytes lie in quarantine: what is found there was appended, at that position.
func TestSalvageFindsOnlyWhatWasAppended(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	if err := mkstore([]string{dir, "many"}); err != nil {
		t.Fatal(err)
	}
	engine, _ := backend.SchemeOf("file")
	salvage := func(s backend.Saved, data []byte, holes []backend.Anomaly) []backend.Salvaged {
		t.Helper()
		found, err := engine.Directory.Salvage(dir, s, data, holes)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	segments, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	data, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.TrimRight(data, "\x00")
	appended := map[backend.Position]*backend.Record{}
	for _, f := range salvage(backend.Saved{Offset: -1}, data, nil) {
		appended[f.Record.Position] = &f.Record
	}
	if len(appended) != 1008 {
		t.Fatalf("%d records are found in a whole segment, want 1008", len(appended))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 300 {
		from := rng.IntN(len(data))
		piece := bytes.Clone(data[from:min(len(data), from+rng.IntN(3000))])
		for range rng.IntN(10) {
			if len(piece) > 0 {
				piece[rng.IntN(len(piece))] ^= byte(1 + rng.IntN(255))
			}
		}
		x := backend.Saved{Offset: int64(from), Length: int64(len(piece))}
		var holes []backend.Anomaly
		for range 3 {
			holes = append(holes, backend.Anomaly{Position: backend.Position(rng.IntN(1008)), Offset: int64(from + rng.IntN(3000)), Length: 1})
		}
		for _, f := range salvage(x, piece, holes) {
			found++
			if want := appended[f.Record.Position]; want == nil || !same(want, &f.Record) {
				t.Fatalf("found %+v, appended was %+v", f.Record, want)
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d records were found: the test tests little", found)
	}
}

// records are the lines of an export that are records.
func records(export string) (out string) {
	for line := range strings.Lines(export) {
		if strings.HasPrefix(line, `{"position":`) {
			out += line
		}
	}
	return out
}
