package custombackend

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	process "os/exec"
	"path/filepath"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

func TestAURLOpensAStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b.db")
	for _, rawURL := range []string{"sqlite://" + (&url.URL{Path: path}).EscapedPath(), "sqlite://" + (&url.URL{Path: path}).EscapedPath() + "?readonly=true"} {
		b, err := backend.Open(t.Context(), rawURL)
		if err != nil {
			t.Fatal(err)
		}
		if b.Engine() != "sqlite" {
			t.Errorf("engine %s", b.Engine())
		}
		b.Close()
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want a file for its owner alone", info, err)
	}
	for _, bad := range []string{"sqlite://host/s.db", "sqlite:", "sqlite:///s.db?journal=off"} {
		if _, err := backend.Open(t.Context(), bad); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%s: %v: want ErrInvalid", bad, err)
		}
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "none", "s.db"), nil); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("in a directory that is not there: %v: want ErrUnavailable", err)
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "s.db"), &backend.Options{ReadOnly: true}); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("read-only, what is not there: %v: want ErrUnavailable", err)
	}
}

func TestWhatIsNoStoreIsLeftAlone(t *testing.T) {
	text, database, newer := filepath.Join(t.TempDir(), "text"), filepath.Join(t.TempDir(), "database"), filepath.Join(t.TempDir(), "newer")
	if err := os.WriteFile(text, []byte("a long enough text that is no database, nor meant to be one"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, statement := range map[string]string{database: "CREATE TABLE mine (x)", newer: fmt.Sprintf("PRAGMA user_version = %d", format+1)} {
		os.WriteFile(path, nil, 0o600)
		meddle(t, path, statement)
	}
	for _, path := range []string{text, database, newer} {
		before, _ := os.ReadFile(path)
		if _, err := Open(t.Context(), path, nil); !errors.Is(err, backend.ErrFormat) {
			t.Errorf("%s: %v: want ErrFormat", filepath.Base(path), err)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s was changed", filepath.Base(path))
		}
	}
}

func TestAStoreWithoutItsUUIDIsCorrupt(t *testing.T) {
	for _, statement := range []string{"DELETE FROM store", "UPDATE store SET uuid = x'00'"} {
		b, path := fresh(t)
		b.Close()
		meddle(t, path, statement)
		if _, err := Open(t.Context(), path, &backend.Options{Startup: backend.Startup{Mode: backend.IgnoreAnomalies}}); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%s: %v: want ErrCorrupt", statement, err)
		}
	}
}

func TestAReadOnlyHandleFollowsTheWriter(t *testing.T) {
	b, path := fresh(t)
	reader := reopened(t, path, &backend.Options{ReadOnly: true})
	if _, err := b.Append(t.Context(), backend.Batch{Stream: "s", Expected: 5, Records: []backend.Record{{}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "s", Floor: 4}}}); err != nil {
		t.Fatal(err)
	}
	again := reopened(t, path, &backend.Options{ReadOnly: true})
	if got, err := versions(t, again, backend.Query{Stream: "s"}); err != nil || fmt.Sprint(got) != "[4 5 6]" {
		t.Errorf("a reader that was opened after: %v, %v: want [4 5 6]", got, err)
	}
	if got, err := versions(t, reader, backend.Query{Stream: "s"}); err != nil || fmt.Sprint(got) != "[4 5 6]" && fmt.Sprint(got) != "[4 5]" {
		t.Errorf("a reader that was opened before: %v, %v: want [4 5 6]", got, err)
	}
}

func TestCompactionGivesTheRoomBackAndSaysSo(t *testing.T) {
	b, path := fresh(t)
	batch := backend.Batch{Stream: "s", Expected: backend.Any}
	for range 100 {
		batch.Records = append(batch.Records, backend.Record{Payload: make([]byte, 10<<10)})
	}
	if _, err := b.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	report, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "s", Delete: true}}})
	if err != nil || report.RecordsBefore != 106 || report.RecordsAfter != 0 || report.BytesBefore < 1<<20 || report.BytesAfter > 100<<10 {
		t.Errorf("%+v, %v: want 106 records and a megabyte before, none and little after", report, err)
	}
	b.Close()
	if info, err := os.Stat(path); err != nil || info.Size() > 100<<10 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

// What a process that is killed has acknowledged is there, and so is the lock while it
// lives and no longer.
func TestAKilledWriterLosesNothing(t *testing.T) {
	if path := os.Getenv("CUSTOMBACKEND_WRITE"); path != "" {
		b := reopened(t, path, nil)
		for {
			res, err := b.Append(t.Context(), backend.Batch{Stream: "s", Expected: backend.Any, Records: []backend.Record{{}, {}}})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Println(res.Version)
		}
	}
	path := filepath.Join(t.TempDir(), "s.db")
	var acked, stored backend.Version
	for range 3 {
		child := process.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAKilledWriterLosesNothing$")
		child.Env = append(os.Environ(), "CUSTOMBACKEND_WRITE="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 50 && lines.Scan(); n++ {
			if n == 0 {
				if _, err := Open(t.Context(), path, nil); !errors.Is(err, backend.ErrLocked) {
					t.Errorf("a second writer: %v: want ErrLocked", err)
				}
			}
		}
		child.Process.Kill()
		for more := true; more; more = lines.Scan() { // also what it said before it was killed
			fmt.Sscan(lines.Text(), &acked)
		}
		child.Wait()
		b := reopened(t, path, nil)
		h, err := b.Head(t.Context(), "s")
		if stored = h.Version; err != nil || stored < acked || stored%2 != 0 || acked < 100 {
			t.Fatalf("at version %d, %v: want an even one, at least %d", stored, err, acked)
		}
		if report, err := b.Scan(t.Context(), nil); err != nil || !report.Clean() {
			t.Errorf("%+v, %v: want a clean store", report, err)
		}
		b.Close()
	}
}
