//go:build linux

package attack_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
)

// The tests here make, byte by byte, what docs/file-format.md says is damage, a torn tail
// or a newer format, where no failing disk makes it in reasonable time. They were written
// because a mutant survived (package mutants).

// segment is what the manifest says of a segment.
type segment struct {
	name     string
	id, life uint64
}

// manifest reads which store this is, and which segments it lists.
func manifest(t *testing.T, dir string) (store []byte, list []segment) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var s segment
		var id string
		if n, _ := fmt.Sscanf(line, "segment %d life %x", &s.id, &s.life); n == 2 {
			s.name = fmt.Sprintf("%08d.seg", s.id)
			list = append(list, s)
		} else if n, _ := fmt.Sscanf(line, "store %s", &id); n == 1 {
			if store, err = hex.DecodeString(id); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(store) != 16 || len(list) == 0 {
		t.Fatalf("this MANIFEST lists no segments: %s", text)
	}
	return store, list
}

// simple makes a store with so many records in segments of 8 KiB, cleanly closed.
func simple(t *testing.T, records int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	b, err := file.Open(t.Context(), dir, &file.Options{SegmentBytes: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		r := backend.Record{Payload: bytes.Repeat([]byte{'x'}, 300+i)}
		if _, err := b.Append(t.Context(), backend.Batch{Stream: "s", Expected: backend.Any, Records: []backend.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, b)
	return dir
}

// usedBytes is where the bytes of a file end that are not zero, up to a multiple of 8.
func usedBytes(t *testing.T, name string) int64 {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return int64(len(bytes.TrimRight(b, "\x00"))+7) &^ 7
}

// put writes bytes into a file.
func put(t *testing.T, name string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// mustBeRefused opens a store that must be refused with an error.
func mustBeRefused(t *testing.T, dir string, want error) {
	t.Helper()
	b, err := file.Open(context.Background(), dir, nil)
	if err == nil {
		b.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("open: %v, want %v", err, want)
	}
}

func TestAGroupOfANewerFormatIsRefused(t *testing.T) {
	dir := simple(t, 5)
	store, list := manifest(t, dir)
	name := filepath.Join(dir, list[0].name)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := int64(4096)
	for next := at; next+56 < int64(len(b)) && string(b[next:next+2]) == "PG"; next += int64(binary.LittleEndian.Uint32(b[next+4:])) {
		at = next // the last group
	}
	for what, change := range map[string]func(h []byte){
		"another kind": func(h []byte) { h[2] = 9 },
		"other flags":  func(h []byte) { h[3] |= 0x80 },
	} {
		h := bytes.Clone(b[at : at+56])
		change(h)
		seed := bytes.Clone(store)
		for _, n := range []uint64{list[0].id, list[0].life, uint64(at)} {
			seed = binary.LittleEndian.AppendUint64(seed, n)
		}
		binary.LittleEndian.PutUint32(h[52:], crc32.Checksum(append(seed, h[:52]...), crc32.MakeTable(crc32.Castagnoli)))
		put(t, name, at, h)
		opened, err := file.Open(t.Context(), dir, nil)
		if err == nil {
			opened.Close()
		}
		if !errors.Is(err, backend.ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
		if got, _ := os.ReadFile(name); !bytes.Equal(got[at:at+56], h) {
			t.Errorf("%s: it was touched", what)
		}
	}
}

func TestAMarkAloneIsADamagedStoreAndNeverANewOne(t *testing.T) {
	dir := simple(t, 5)
	for _, name := range files(t, dir) {
		if name != "MARK" {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustBeRefused(t, dir, backend.ErrCorrupt)
	if _, err := os.Stat(filepath.Join(dir, "MANIFEST")); err == nil {
		t.Error("a new store was made over it")
	}
}

func TestATornTailIsCutForGood(t *testing.T) {
	dir := simple(t, 5)
	_, list := manifest(t, dir)
	name := filepath.Join(dir, list[0].name)
	put(t, name, usedBytes(t, name), bytes.Repeat([]byte("torn"), 100))
	notices := func() int {
		b := open(t, dir, readOnly())
		defer b.Close()
		report, err := b.Scan(t.Context(), nil)
		if err != nil || !report.Clean() {
			t.Errorf("scan: %v: %v", err, report.Anomalies)
		}
		n := 0
		for _, a := range report.Anomalies {
			if a.Code == backend.TornTail {
				n++
			}
		}
		return n
	}
	if n := notices(); n != 1 {
		t.Errorf("before: %d torn tails are noticed, want 1", n)
	}
	mustClose(t, open(t, dir, nil))
	if n := notices(); n != 0 {
		t.Errorf("after a writing open has cut it: %d torn tails are noticed", n)
	}
	saved, err := filepath.Glob(filepath.Join(dir, "quarantine", "*"))
	if err != nil || len(saved) != 1 {
		t.Errorf("%d files in quarantine, %v: want 1", len(saved), err)
	}
}

func TestAManifestAndAMarkOfAnEarlierTimeAreDamage(t *testing.T) {
	dir := simple(t, 5)
	early := filepath.Join(t.TempDir(), "early")
	if err := copyTree(dir, early); err != nil {
		t.Fatal(err)
	}
	b, err := file.Open(t.Context(), dir, &file.Options{SegmentBytes: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	l := new(ledger)
	for i := range 60 {
		l.append(t, b, 2+i%7)
	}
	mustClose(t, b)
	for _, name := range []string{"MANIFEST", "MANIFEST.copy", "MARK"} {
		if err := os.Rename(filepath.Join(early, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	mustBeRefused(t, dir, backend.ErrCorrupt)
	for _, name := range spans(t, dir) { // the segments tell it, too
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(early, "00000001.seg"), filepath.Join(dir, "00000001.seg")); err != nil {
		t.Fatal(err)
	}
	mustBeRefused(t, dir, backend.ErrCorrupt)
}

func TestBytesInTwoPlacesAboveTheEndAreDamage(t *testing.T) {
	for records := range 40 { // until there is a prepared segment
		dir := simple(t, 6+records)
		_, list := manifest(t, dir)
		if len(list) < 2 {
			continue
		}
		last, spare := filepath.Join(dir, list[len(list)-2].name), filepath.Join(dir, list[len(list)-1].name)
		if usedBytes(t, spare) > 4096 {
			continue
		}
		put(t, last, usedBytes(t, last), []byte("torn here"))
		mustClose(t, open(t, copied(t, dir), nil)) // in one place it is a torn tail
		put(t, spare, 4096, []byte("and there"))
		mustBeRefused(t, dir, backend.ErrCorrupt)
		return
	}
	t.Error("no store had a prepared segment")
}

func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := copyTree(dir, to); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestNoByteOfAManifestCanBeAnother(t *testing.T) {
	dir := simple(t, 5)
	name := filepath.Join(dir, "MANIFEST")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1 // a digit becomes another digit
		put(t, name, 0, b)
		opened, err := file.Open(t.Context(), dir, readOnly())
		if err == nil {
			opened.Close()
		}
		if !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, backend.ErrFormat) {
			t.Errorf("byte %d: %q for %q: %v", at, b[at], whole[at], err)
		}
	}
	put(t, name, 0, whole)
	mustClose(t, open(t, dir, nil))
}

// A group that has a segment to itself, as large ones do, and whose header is damaged, is
// to be named at its own place, and not at the end of what stands before it.
func TestADamagedGroupAloneInItsSegmentIsNamedThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b, err := file.Open(t.Context(), dir, &file.Options{SegmentBytes: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		r := backend.Record{Payload: bytes.Repeat([]byte{'x'}, 9000)}
		if _, err := b.Append(t.Context(), backend.Batch{Stream: "s", Expected: backend.Any, Records: []backend.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, b)
	_, list := manifest(t, dir)
	const at = 4096 + 20
	if err := flip(filepath.Join(dir, list[0].name), at); err != nil {
		t.Fatal(err)
	}
	r := open(t, dir, func() *file.Options { o := readOnly(); o.Startup.Mode = backend.ScanOnly; return o }())
	report, err := r.Scan(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range report.Anomalies {
		if a.File != list[0].name || a.Offset > at || a.Offset+a.Length <= at {
			t.Errorf("a flipped byte in %s offset %d is reported as %v", list[0].name, at, a)
		}
	}
	if len(report.Anomalies) == 0 {
		t.Error("nobody notices")
	}
}
