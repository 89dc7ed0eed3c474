package main

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// killed runs papyra on a store and kills it after so long; it reports whether it was
// alive then. A negative time lets it end, and it must end well.
func killed(t *testing.T, after time.Duration, args ...string) bool {
	t.Helper()
	cmd := exec.Command("papyra", args...)
	if after < 0 {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("papyra %q: %v: %s", args, err, out)
		}
		return false
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	_ = cmd.Process.Kill() // it may have ended
	var ended *exec.ExitError
	return errors.As(cmd.Wait(), &ended) && !ended.Exited()
}

// killRounds is how often a command is killed, at moments spread over the time that it
// takes.
func killRounds() int {
	if testing.Short() {
		return 6
	}
	return 15
}

// A recovery is killed at any moment: what could be read before can be read after it, the
// next recovery comes to the end of the first, and nothing else is lost than what was.
func TestARecoveryKilledAtAnyMomentLosesNothing(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "store")
	all := packedStore(t, whole)
	parts := partsOf(t, whole)
	damaged := filepath.Join(t.TempDir(), "damaged")
	copyDir(t, whole, damaged)
	for _, part := range []string{"a payload in a segment", "a payload in a span", "heads", "a mark"} {
		flipByte(t, filepath.Join(damaged, parts[part].file), parts[part].at, 0x41)
	}
	args := func(dir string) []string {
		return []string{"recover", "--mode", "quarantine", "--yes", "--store", "file://" + filepath.ToSlash(dir)}
	}
	measured := filepath.Join(t.TempDir(), "measured")
	copyDir(t, damaged, measured)
	start := time.Now()
	killed(t, -1, args(measured)...)
	took := time.Since(start)
	lost := 0
	mustHold(t, measured, all, func(string) { lost++ })
	if lost != 2 {
		t.Fatalf("%d records are lost, want the 2 whose payloads were damaged", lost)
	}
	inside, rounds := 0, killRounds()
	for range rounds {
		dir := filepath.Join(t.TempDir(), "store")
		copyDir(t, damaged, dir)
		for range 2 {
			if killed(t, took/4+rand.N(took*3/4), args(dir)...) {
				inside++
			} else {
				took -= took / 8 // the one that was measured was slower than most
			}
		}
		killed(t, -1, args(dir)...)
		advised(t, dir, "scan", nil)
		lost := 0
		mustHold(t, dir, all, func(string) { lost++ })
		if lost != 2 {
			t.Fatalf("%d records are lost, want 2", lost)
		}
	}
	t.Logf("%d of %d were killed; a recovery takes %v", inside, 2*rounds, took)
	if inside < rounds/3 {
		t.Errorf("only %d of %d were killed before their end: the test tests little", inside, 2*rounds)
	}
}

// A compaction is killed at any moment: the store is clean, and holds all but what was to
// go.
func TestACompactionKilledAtAnyMomentLosesNothing(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "store")
	all := packedStore(t, whole)
	args := func(dir string) []string {
		return []string{"compact", "--max-records", "event=2", "--yes", "--store", "file://" + filepath.ToSlash(dir)}
	}
	measured := filepath.Join(t.TempDir(), "measured")
	copyDir(t, whole, measured)
	start := time.Now()
	killed(t, -1, args(measured)...)
	took := time.Since(start)
	gone := map[string]bool{}
	left := mustHold(t, measured, all, func(line string) { gone[line] = true })
	if len(gone) == 0 || left+len(gone) != len(all) {
		t.Fatalf("of %d records %d went and %d are left", len(all), len(gone), left)
	}
	mayGo := func(line string) {
		if !gone[line] {
			t.Errorf("%s is gone", line)
		}
	}
	inside, rounds := 0, killRounds()
	for range rounds {
		dir := filepath.Join(t.TempDir(), "store")
		copyDir(t, whole, dir)
		for range 2 {
			if killed(t, took/4+rand.N(took*3/4), args(dir)...) {
				inside++
			} else {
				took -= took / 8 // the one that was measured was slower than most
			}
			advised(t, dir, "scan", nil)
		}
		mustHold(t, dir, all, mayGo)
		killed(t, -1, args(dir)...)
		if n := mustHold(t, dir, all, mayGo); n != left {
			t.Errorf("%d records are left, want %d", n, left)
		}
	}
	t.Logf("%d of %d were killed; a compaction takes %v", inside, 2*rounds, took)
	if inside < rounds/3 {
		t.Errorf("only %d of %d were killed before their end: the test tests little", inside, 2*rounds)
	}
}
