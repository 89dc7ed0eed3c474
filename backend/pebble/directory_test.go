//go:build linux

package pebble

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
)

// Whole records are found in a table, compressed or not, and in a log, also where parts are damaged.
func TestSavedFilesAreSearchedForWholeRecords(t *testing.T) {
	for _, compress := range []bool{false, true} {
		dir := t.TempDir()
		b, err := Open(t.Context(), dir, &Options{Compress: compress, BlockBytes: 512})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err := b.Append(t.Context(), enginetest.Record(200)); err != nil {
				t.Fatal(err)
			}
		}
		logs, _ := filepath.Glob(filepath.Join(dir, dbName, "*.log"))
		found := wholeIn(t, dir, logs)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if found != 100 {
			t.Errorf("compressed %t: %d records found in logs, want 100", compress, found)
		}
		tables, _ := filepath.Glob(filepath.Join(dir, dbName, "*.sst"))
		if found := wholeIn(t, dir, tables); found != 100 {
			t.Errorf("compressed %t: %d records found in tables, want 100", compress, found)
		}
	}
}

// wholeIn is how many records are found in files that were saved.
func wholeIn(t *testing.T, dir string, files []string) int {
	t.Helper()
	found := map[backend.Position]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		saved := directory{}.Saved(fmt.Sprintf("%s-%d-%08x.bytes", filepath.Base(file), len(data), 1))
		if saved.Of != "file" || saved.ID == 0 || saved.Sum != "00000001" {
			t.Errorf("%s is said to be %+v", file, saved)
		}
		list, err := directory{}.Salvage(dir, saved, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if s.Offset < 0 || s.Length <= 0 || s.Offset+s.Length > int64(len(data)) {
				t.Errorf("a record stands at %d, %d bytes, of %d", s.Offset, s.Length, len(data))
			}
			found[s.Record.Position] = true
		}
	}
	return len(found)
}

// What pebble writes without papyra is noticed: files are there, and are gone, that were not
// when the store was closed. papyra debug pebble leaves such commands out for that.
func TestWhatPebbleWritesByItselfIsDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b, err := Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(filepath.Join(dir, FilesName), &pebble.Options{FormatMajorVersion: formatVersion, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte("pa"), nil, pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, nil); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}
