package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// TestAnExportAroundDamageHoldsAllThatIsWhole flips a bit in one byte of the log after
// the other: at most the batch that is hit is left out, and nothing is written that was
// not in the store.
func TestAnExportAroundDamageHoldsAllThatIsWhole(t *testing.T) {
	const records, batch = 8, 2 // of mkstore: the records, and the most in one batch
	dir := filepath.Join(t.TempDir(), "store")
	if err := mkstore([]string{dir}); err != nil {
		t.Fatal(err)
	}
	whole, said, code := exportOf(t, dir)
	if code != exitOK || len(whole) != records {
		t.Fatalf("of the whole store: exit code %d, %d records: %s", code, len(whole), said)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments %q: %v", segments, err)
	}
	log, err := os.OpenFile(segments[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	data, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(bytes.TrimRight(data, "\x00")); i += 5 {
		flipAt(t, log, int64(i))
		got, said, code := exportOf(t, dir, "--skip-damage")
		flipAt(t, log, int64(i))
		if len(got) < records-batch || code != exitOK && code != exitAnomalies {
			t.Errorf("byte %d: exit code %d, %d records: %s", i, code, len(got), said)
		}
		if told := strings.Contains(said, "left out position"); told != (len(got) < records) || told && code != exitAnomalies {
			t.Errorf("byte %d: exit code %d, %d records, and it says: %s", i, code, len(got), said)
		}
		for line := range got {
			if !whole[line] {
				t.Errorf("byte %d: no such record was in the store: %s", i, line)
			}
		}
	}
}

func flipAt(t *testing.T, f *os.File, at int64) {
	t.Helper()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// exportOf is the lines of an export, what it said on standard error, and its exit code.
func exportOf(t *testing.T, dir string, flags ...string) (lines map[string]bool, said string, code int) {
	t.Helper()
	var out, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"export", "--store", "file://" + filepath.ToSlash(dir)}, flags...), &out, &stderr)
	lines = map[string]bool{}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, `{"position":`) {
			lines[line] = true
		}
	}
	return lines, stderr.String(), code
}

// A span is lost: its positions are told in one line, before and after they are given up.
func TestALostSpanIsLeftOutInOneLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	packedStore(t, dir)
	spans, err := filepath.Glob(filepath.Join(dir, "*.span"))
	if err != nil || len(spans) == 0 {
		t.Fatal(spans, err)
	}
	if err := os.Remove(spans[0]); err != nil {
		t.Fatal(err)
	}
	for _, given := range []bool{false, true} {
		if given {
			recoverWith(t, dir, backend.Startup{Mode: backend.RecoverAnomalies, Full: true, Recovery: backend.Quarantine})
			if said := advised(t, dir, "scan", nil); !strings.Contains(said, "position 1: up to position ") {
				t.Errorf("the hole's end is not told: %s", said)
			}
		}
		_, said, code := exportOf(t, dir, "--skip-damage")
		if n := strings.Count(said, "left out position"); n != 1 || code != exitAnomalies {
			t.Errorf("given up: %v: exit code %d, %d lines: %s", given, code, n, said)
		}
	}
}
