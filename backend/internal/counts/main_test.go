package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const doc = "before\n" + begin + "\nold\n" + end + "\nafter\n"

func written(t *testing.T, output string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	err := run(strings.NewReader(output), io.Discard, path)
	b, readErr := os.ReadFile(path)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(b), err
}

func TestTheTableStandsBetweenTheMarkers(t *testing.T) {
	got, err := written(t, "=== RUN   TestX\n    x_test.go:1: attack: SIGKILL: 25 rounds, 7 acknowledged, 0 lost, 1.2 s, 30 states/s\nok  \tpkg\t1s\n")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, "| SIGKILL | 25 rounds | 7 acknowledged, 0 lost |\n"+end+"\nafter\n") || strings.Contains(got, "old") || !strings.HasPrefix(got, "before\n") {
		t.Error(got)
	}
}

// Names of engines, and what was done to which of their files, have commas.
func TestEachEngineHasItsRow(t *testing.T) {
	got, err := written(t, "    rot.go:1: attack: pebble, a flipped bit: 400 cases, 0 refused to open, 9 found, of which 9 were repaired\n    power.go:1: attack: bolt, power cut (ordered; commits are rare): 3 cuts, 7 records\n")
	if err != nil {
		t.Fatal(err)
	}
	want := "| pebble, a flipped bit | 400 cases | 0 refused to open, 9 found, of which 9 were repaired |\n| bolt, power cut (ordered; commits are rare) | 3 cuts | 7 records |\n"
	if !strings.Contains(got, want) {
		t.Error(got)
	}
}

func TestWithoutCountsOrWithAFailureNothingIsWritten(t *testing.T) {
	for _, output := range []string{
		"ok  \tpkg\t1s\n",
		"    x_test.go:1: attack: SIGKILL: 25 rounds\n--- FAIL: TestX (0.1s)\n",
		"    x_test.go:1: attack: SIGKILL: 25 rounds\nFAIL\tpkg\t1s\n",
	} {
		if got, err := written(t, output); err == nil || got != doc {
			t.Errorf("%q: %v %q", output, err, got)
		}
	}
}

func TestTheTableOrTheFailureIsPrinted(t *testing.T) {
	var out strings.Builder
	if err := run(strings.NewReader("    x_test.go:1: attack: SIGKILL: 25 rounds, 0 lost\n"), &out, "-"); err != nil || !strings.Contains(out.String(), "| SIGKILL | 25 rounds | 0 lost |") {
		t.Error(err, out.String())
	}
	out.Reset()
	if err := run(strings.NewReader("    x_test.go:1: it broke\n--- FAIL: TestX (0.1s)\n"), &out, "-"); err == nil || !strings.Contains(out.String(), "it broke") {
		t.Error(err, out.String())
	}
}
