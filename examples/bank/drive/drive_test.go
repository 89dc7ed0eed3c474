package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheBankSurvivesKill is make run on a small scale; PAPYRA_LONG=1 makes it ten
// times as long.
func TestTheBankSurvivesKill(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, engine := range []string{"file", "bolt", "pebble"} {
		t.Run(engine, func(t *testing.T) {
			c := &config{load: 2 * time.Second, clients: 16, accounts: 12, kills: 1, runs: 1, store: engine}
			if os.Getenv("PAPYRA_LONG") != "" {
				c.load, c.kills = 20*time.Second, 8
			}
			var out bytes.Buffer
			if err := c.all(t.Context(), &out); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			for _, want := range []string{", on " + engine + ", ", "killed " + plural(c.kills, "time"), "0 pending", "0 damages", "writes_total=", "nothing was lost, invented or stuck"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the table does not say %q:\n%s", want, &out)
				}
			}
			t.Logf("\n%s", &out)
		})
	}
}

// TestAKillThatLosesTheTailIsFound takes the end of the log away while the bank is
// down, as if it had never been synced. Either the drive misses what was acknowledged,
// or the store can prove that something is missing and refuses to open.
func TestAKillThatLosesTheTailIsFound(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	c := &config{load: time.Second, clients: 8, accounts: 4, kills: 1, runs: 1, store: "file", meanwhile: func(dir string) { loseTail(t, dir) }}
	var out bytes.Buffer
	err := c.all(t.Context(), &out)
	switch {
	case err == nil:
		t.Fatalf("nothing was found:\n%s", &out)
	case strings.Contains(err.Error(), "corrupt"):
	case !strings.Contains(out.String(), "lost: "):
		t.Errorf("%v\n%s", err, &out)
	}
}

// loseTail overwrites the last 4 KiB that were written to the newest segment.
func loseTail(t *testing.T, dir string) {
	segments, err := filepath.Glob(filepath.Join(dir, "store", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Errorf("no segments: %v", err)
		return
	}
	name := slices.Max(segments)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
		return
	}
	end := len(bytes.TrimRight(text, "\x00"))
	clear(text[max(0, end-4096):end])
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Error(err)
	}
}

func TestWrongFlagsAreWrongUsage(t *testing.T) {
	for _, args := range []string{
		"-nonsense", "more", "-clients 0", "-accounts 1", "-kills 21", "-runs 0", "-seconds 0", "-seconds soon",
		"-store memory://", // with kills
	} {
		_, err := parse(strings.Fields(args), io.Discard)
		if exitCode(t.Context(), err) != exitUsage || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", args, err)
		}
	}
	if c, err := parse([]string{"-store", "memory://", "-serve"}, io.Discard); err != nil || c.kills != 0 {
		t.Errorf("-serve: %+v, %v", c, err)
	}
}
