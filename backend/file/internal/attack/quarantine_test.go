//go:build linux

package attack_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// ignoring opens a store whatever is wrong with it.
func ignoring(t *testing.T, dir string) *backend.Backend {
	t.Helper()
	o := tiny()
	o.Startup.Mode = backend.IgnoreAnomalies
	return open(t, dir, o)
}

// quarantined has damage put aside, and checks that the holes are known: what is lost of
// positions up to most is met with an error, or was cut away.
func quarantined(t *testing.T, b *backend.Backend, most backend.Position) {
	t.Helper()
	before := contents(t, b)
	report, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine})
	if err != nil || !report.After.Clean() {
		t.Fatalf("quarantine: %v: %+v", err, report)
	}
	after := contents(t, b)
	for at, line := range before {
		if after[at] != line {
			t.Errorf("after quarantine position %d reads %.80q, was %.80q", at, after[at], line)
		}
	}
	marked := 0
	for _, a := range report.After.Anomalies {
		if a.Code == backend.MarkedHole {
			marked++
		}
	}
	if marked == 0 {
		t.Error("a quarantine has marked no hole")
	}
	var corrupt *backend.CorruptError
	for _, err := range b.Read(t.Context(), backend.Query{Kinds: backend.AllKinds}) {
		if err != nil && !errors.As(err, &corrupt) {
			t.Errorf("reading across the hole: %v", err)
		}
	}
	if corrupt == nil {
		t.Error("the store reads across a hole without an error")
	}
	if last, err := b.Last(t.Context()); err != nil || last < most {
		t.Errorf("the last position is %d, %v: %d was given", last, err, most)
	}
	if res := add(t, b, "after it all", 10); res.Position <= most {
		t.Errorf("position %d is given again: %d was", res.Position, most)
	}
}

// The newest records of the log, or of a span, are damaged and given up: their positions and
// versions are never given again.
func TestAfterAQuarantineNoPositionIsGivenAgain(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed %v", packed), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			b := open(t, dir, tiny())
			for range 5 {
				add(t, b, "stays", 300)
			}
			last := add(t, b, "rots", 300).Position
			if packed {
				mustCompact(t, b)
			}
			mustClose(t, b)
			name, at := find(t, dir, "rots rots")
			put(t, name, at-60, bytes.Repeat([]byte{0xa5}, 200)) // the record, its head, and if it is in the log its group's header
			b = ignoring(t, dir)
			quarantined(t, b, last)
			if saved, err := filepath.Glob(filepath.Join(dir, "quarantine", "*")); err != nil || len(saved) == 0 {
				t.Errorf("nothing was saved: %v", err)
			}
			again := contents(t, b)
			mustClose(t, b)
			b = open(t, dir, tiny())
			for at, line := range again {
				if got := contents(t, b)[at]; got != line {
					t.Errorf("opened again, position %d reads %.80q, was %.80q", at, got, line)
				}
			}
			mustCompact(t, b)
			if got := contents(t, b); len(got) != len(again) {
				t.Errorf("compacted, %d records are left of %d", len(got), len(again))
			}
		})
	}
}

// TestAQuarantineOnAFullDiskLosesNothing damages records, and gives them up on a disk that
// has no room for what is packed.
func TestAQuarantineOnAFullDiskLosesNothing(t *testing.T) {
	machine.NeedRoot(t)
	rounds, full := machine.Rounds(3, 8, 100), 0
	for round := range rounds {
		disk := machine.Tmpfs(t, 2<<20)
		dir := filepath.Join(disk, "store")
		b := open(t, dir, tiny())
		for i := range 100 {
			add(t, b, fmt.Sprintf("stream-%d", i%7), 100+rand.IntN(1000))
			if i == 50 {
				add(t, b, "rots", 300)
			}
		}
		if round%2 == 0 {
			mustCompact(t, b)
		}
		healthy := contents(t, b)
		mustClose(t, b)
		name, at := find(t, dir, "rots rots")
		if err := flip(name, at+20); err != nil {
			t.Fatal(err)
		}
		_ = machine.Stuff(filepath.Join(disk, "stuffing"))
		b = ignoring(t, dir)
		begun := time.Now()
		_, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine})
		if took := time.Since(begun); took > prompt {
			t.Errorf("quarantine on a full disk took %v", took)
		}
		if errors.Is(err, backend.ErrNoSpace) {
			full++
		} else if err != nil {
			t.Errorf("quarantine on a full disk: %v", err)
		}
		same := func(what string) {
			t.Helper()
			got := contents(t, b)
			for at, line := range healthy {
				if got[at] != line && !strings.Contains(line, `"rots"`) {
					t.Errorf("%s: position %d reads %.80q, was %.80q", what, at, got[at], line)
				}
			}
		}
		same("after a quarantine on a full disk")
		_ = b.Close()
		if err := os.Remove(filepath.Join(disk, "stuffing")); err != nil {
			t.Fatal(err)
		}
		b = ignoring(t, dir)
		same("opened with room")
		report, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine})
		if err != nil || !report.After.Clean() {
			t.Errorf("quarantine, with room: %v: %+v", err, report)
		}
		same("after a quarantine with room")
		add(t, b, "goes on", 100)
		mustClose(t, b)
		if t.Failed() {
			t.Fatalf("round %d: the store is %s", round, keep(t, dir))
		}
	}
	t.Logf("attack: quarantine on a full disk: %d rounds, 0 acknowledged, 0 lost, %d answered no space", rounds, full)
}

// TestTheReserveLetsAStoreOpenOnAFullDisk kills the holder of a large store and opens it when
// not a byte is free: the manifest is written anew in the room that the reserve gives.
func TestTheReserveLetsAStoreOpenOnAFullDisk(t *testing.T) {
	machine.NeedRoot(t)
	disk := machine.Tmpfs(t, 64<<20)
	dir := filepath.Join(disk, "store")
	b := open(t, dir, &file.Options{})
	for range 18 {
		add(t, b, "large", 1<<20)
	}
	mustClose(t, b)
	c := start(t, plan{Dir: dir, Hold: true, Large: true})
	c.ready(t)
	c.kill()
	_ = c.cmd.Wait()
	if _, err := os.Stat(filepath.Join(dir, "reserve")); err != nil {
		t.Fatalf("a store of 18 MiB has no reserve: %v", err)
	}
	_ = machine.Stuff(filepath.Join(disk, "stuffing"))
	b = open(t, dir, &file.Options{})
	n := 0
	for _, err := range b.Read(t.Context(), backend.Query{Stream: "large"}) {
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != 18 {
		t.Errorf("%d records of 18 are there", n)
	}
	if err := b.Close(); err != nil && !errors.Is(err, backend.ErrNoSpace) {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(disk, "stuffing")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, open(t, dir, &file.Options{}))
	if _, err := os.Stat(filepath.Join(dir, "reserve")); err != nil {
		t.Errorf("with room again there is no reserve: %v", err)
	}
}
