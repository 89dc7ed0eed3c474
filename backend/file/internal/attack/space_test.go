//go:build linux

package attack_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// prompt is how long an answer may take on a full disk.
const prompt = 2 * time.Second

// full is a store on a small disk that gets full.
type full struct {
	t       *testing.T
	disk    string // where it is mounted
	dir     string
	o       file.Options
	l       *ledger
	b       *backend.Backend
	slowest time.Duration
	refused int // appends answered with ErrNoSpace

	compacted int // compactions that a full disk had room for
}

// ballast is one of three files that are there to be removed.
func (f *full) ballast(i int) string { return filepath.Join(f.disk, fmt.Sprintf("ballast-%d", i)) }

// stuffing is a file that takes what is left.
func (f *full) stuffing() string { return filepath.Join(f.disk, "stuffing") }

// drop removes a ballast, so that there is space again.
func (f *full) drop(i int) {
	f.t.Helper()
	if err := os.Remove(f.ballast(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.t.Fatal(err)
	}
}

// stuff fills the disk to the last byte.
func (f *full) stuff() {
	if err := machine.Stuff(f.stuffing()); err != nil && !errors.Is(err, syscall.ENOSPC) {
		f.t.Fatal(err)
	}
}

// timed notes how long an answer takes.
func (f *full) timed(what string, do func() error) error {
	f.t.Helper()
	begun := time.Now()
	err := do()
	took := time.Since(begun)
	f.slowest = max(f.slowest, took)
	if took > prompt {
		f.t.Errorf("%s took %v on a full disk: %v", what, took, err)
	}
	return err
}

// fill appends until the disk has been full for several appends on end.
func (f *full) fill() {
	f.t.Helper()
	for refused := 0; refused < 8; {
		count := 1 + rand.IntN(30)
		if refused > 0 {
			count = 1 + rand.IntN(2)
		}
		err := f.timed("append", func() error { return f.l.tryAppend(f.b, rand.IntN(streams), count) })
		switch {
		case errors.Is(err, backend.ErrNoSpace) && !errors.Is(err, backend.ErrUnknownOutcome) && !errors.Is(err, backend.ErrPoisoned):
			refused++
			f.refused++
		case err != nil:
			f.t.Fatalf("append on a disk that gets full: %v", err)
		}
	}
}

// TestOnAFullDiskNothingIsLostAndAppendsResume fills real disks.
func TestOnAFullDiskNothingIsLostAndAppendsResume(t *testing.T) {
	machine.NeedRoot(t)
	for _, small := range []int{2 << 20, 5 << 20} {
		t.Run(fmt.Sprintf("tmpfs of %d MiB", small>>20), func(t *testing.T) {
			fillOften(t, machine.Tmpfs(t, small), small/4)
		})
	}
	for _, mkfs := range [][]string{{"-b", "1024"}, {"-b", "4096", "-O", "^has_journal"}} {
		t.Run(fmt.Sprintf("ext4 %v", mkfs), func(t *testing.T) {
			machine.NeedLoop(t)
			v := machine.NewVolume(t, machine.Tmpfs(t, 64<<20), 8<<20, "", mkfs...)
			fillOften(t, v.Dir, 2<<20)
		})
	}
}

func fillOften(t *testing.T, disk string, weight int) {
	f := &full{t: t, disk: disk, dir: filepath.Join(disk, "store"), l: new(ledger)}
	rounds, acked, lost := machine.Rounds(1, 3, 50), 0, 0
	for round := range rounds {
		f.o = file.Options{}
		if round%2 == 0 {
			f.o.SegmentBytes = 8 << 10 << rand.IntN(3)
		}
		for i := range 3 {
			machine.Ballast(t, f.ballast(i), weight)
		}
		f.b = open(t, f.dir, &f.o)
		f.round()
		acked, lost = acked+f.l.acked, lost+f.l.lost
		if t.Failed() {
			t.Fatalf("round %d: the store is %s", round, keep(t, f.dir))
		}
		if err := os.RemoveAll(f.dir); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			_ = os.Remove(f.ballast(i))
		}
		_ = os.Remove(f.stuffing())
		f.l = new(ledger)
	}
	t.Logf("attack: full disk (%s): %d rounds, %d acknowledged, %d lost, %d answered no space, %d compactions found room, slowest answer %v", filepath.Base(t.Name()), rounds, acked, lost, f.refused, f.compacted, f.slowest.Round(time.Millisecond))
}

// round fills the disk, frees some of it, fills it again, and does there what else there
// is to do with a store.
func (f *full) round() {
	t := f.t
	t.Helper()
	f.fill()
	f.l.check(t, f.b) // reads go on
	f.drop(0)
	if err := f.l.tryAppend(f.b, 3, 5); err != nil {
		t.Errorf("after space was freed, without reopening: %v", err)
	}
	f.fill()
	f.stuff()
	f.fill()
	f.l.check(t, f.b)
	f.work()
	if err := f.timed("close", f.b.Close); err != nil && !errors.Is(err, backend.ErrNoSpace) {
		t.Errorf("close on a full disk: %v", err)
	}
	f.unclean()
	f.readOnly()
	f.reopen()
}

// work compacts and recovers, where the disk has no room for it.
func (f *full) work() {
	t, ctx := f.t, f.t.Context()
	t.Helper()
	if f.b.Capabilities().Compact {
		f.compact()
	}
	for _, mode := range f.modes() {
		strew(f.dir, int(mode))
		err := f.timed("recover", func() error {
			_, err := f.b.Recover(ctx, backend.RecoveryOptions{Mode: mode})
			return err
		})
		if err != nil && !errors.Is(err, backend.ErrNoSpace) {
			t.Errorf("recover %v on a full disk: %v", mode, err)
		}
		if errors.Is(err, backend.ErrNoSpace) { // it loses nothing, and leaves what it could not mend
			f.mendElsewhere()
		}
		f.l.check(t, f.b)
	}
}

func (f *full) modes() []backend.RecoveryMode {
	if f.b.Capabilities().Quarantine {
		return []backend.RecoveryMode{backend.Repair, backend.Quarantine}
	}
	return []backend.RecoveryMode{backend.Repair}
}

// mendElsewhere gives a recovery that met a full disk the room that it needs.
func (f *full) mendElsewhere() {
	t := f.t
	t.Helper()
	f.drop(1)
	if report, err := f.b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Repair}); err != nil || !report.After.Clean() {
		t.Errorf("recover, with space again: %v", err)
	}
}

// compact cuts half of the actor system's own streams, which need no snapshot, and deletes
// another.
func (f *full) compact() {
	t, ctx := f.t, f.t.Context()
	t.Helper()
	var cut backend.Cut
	for i := range 2 {
		s := &f.l.streams[i]
		floor := max(1, s.floor, uint64(len(s.records)/2))
		s.begun = floor
		cut.Floors = append(cut.Floors, backend.StreamFloor{Stream: nameOf(i), Floor: backend.Version(floor)})
	}
	i := 2 + rand.IntN(streams-2)
	s := &f.l.streams[i]
	if n := uint64(len(s.records)); n > 0 {
		s.begun, s.deleting = n+1, n+1
		cut.Floors = append(cut.Floors, backend.StreamFloor{Stream: nameOf(i), Floor: backend.Version(n + 1), Delete: true})
	}
	slices.SortFunc(cut.Floors, func(a, b backend.StreamFloor) int { return strings.Compare(a.Stream, b.Stream) })
	err := f.timed("compact", func() error { _, err := f.b.Compact(ctx, cut); return err })
	switch {
	case err == nil:
		f.compacted++
		s.delete(uint64(len(s.records)) + 1)
		for i := range 2 {
			s := &f.l.streams[i]
			s.floor, s.taken = s.begun, s.begun
		}
	case !errors.Is(err, backend.ErrNoSpace) || errors.Is(err, backend.ErrPoisoned):
		t.Errorf("compact on a full disk: %v", err)
	}
	f.l.check(t, f.b)
}

// unclean opens the store on the full disk, kills the holder, and opens it again.
func (f *full) unclean() {
	t := f.t
	t.Helper()
	f.stuff()
	err := f.timed("open", func() error {
		b, err := file.Open(t.Context(), f.dir, &f.o)
		if err == nil {
			err = b.Close()
		}
		return err
	})
	if err != nil && !errors.Is(err, backend.ErrNoSpace) {
		t.Errorf("open and close on a full disk: %v", err)
	}
	c := start(t, plan{Dir: f.dir, Full: true, Large: f.o.SegmentBytes == 0, Ignore: true, Compact: rand.IntN(2) == 0})
	if m, err := readMessage(c.out); err == nil && m.kind == isReady {
		time.AfterFunc(10*time.Millisecond, c.kill)
		c.listen(t, f.l, nil)
	} else { // it could not open, which is all right if it says why
		_ = c.in.Close()
		_ = c.cmd.Wait()
		if !strings.Contains(c.stderr.String(), backend.ErrNoSpace.Error()) {
			t.Errorf("a child on a full disk: %s", c.stderr.String())
		}
	}
}

// readOnly reads the store as it is.
func (f *full) readOnly() {
	t := f.t
	t.Helper()
	o := f.o
	o.ReadOnly = true
	o.Startup.Mode = backend.ScanOnly
	b, err := file.Open(t.Context(), f.dir, &o)
	if err != nil {
		t.Errorf("open read-only on a full disk: %v", err)
		return
	}
	f.l.check(t, b)
	mustClose(t, b)
}

// reopen opens for writing on the full disk, which may be refused, and then with room.
func (f *full) reopen() {
	t := f.t
	t.Helper()
	f.stuff()
	before := f.l.acked
	err := f.timed("open", func() error {
		b, err := file.Open(t.Context(), f.dir, &f.o)
		if err == nil {
			f.l.check(t, b)
			err = b.Close()
		}
		return err
	})
	if err != nil && !errors.Is(err, backend.ErrNoSpace) {
		t.Errorf("open after a kill on a full disk: %v", err)
	}
	f.drop(1)
	f.drop(2)
	b := open(t, f.dir, &f.o)
	f.l.check(t, b)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) { // what is packed may take the room for a moment
		err := f.l.tryAppend(b, 5, 2)
		if err == nil {
			break
		}
		if !errors.Is(err, backend.ErrNoSpace) || time.Now().After(deadline) {
			t.Errorf("an append after it all: %v", err)
			break
		}
	}
	f.l.check(t, b)
	if _, err := b.Compact(t.Context(), backend.Cut{}); err != nil && !errors.Is(err, backend.ErrNoSpace) { // it may take as much again as there is
		t.Errorf("compact, with space again: %v", err)
	}
	f.l.check(t, b)
	mustClose(t, b)
	if f.l.acked <= before {
		t.Error("nothing was appended in the end")
	}
}

// TestAFileSizeLimitIsAFullDisk lets a child hit RLIMIT_FSIZE, which is met with short
// writes and EFBIG.
func TestAFileSizeLimitIsAFullDisk(t *testing.T) {
	rounds, acked, refused := machine.Rounds(2, 6, 60), 0, 0
	l := new(ledger)
	for round := range rounds {
		dir := filepath.Join(t.TempDir(), "store")
		l = new(ledger)
		c := start(t, plan{Dir: dir, Full: true, Large: true, Compact: round%2 == 1, FileSize: int64(80<<10 + rand.IntN(300<<10))})
		c.ready(t)
		time.AfterFunc(3*time.Second, c.kill)
		n := 0
		c.listen(t, l, func(m message) {
			if m.kind == notWritten {
				if n++; n == 40 {
					c.kill()
				}
			}
		})
		refused += n
		if n == 0 {
			t.Errorf("round %d: no append met the limit", round)
		}
		b := open(t, dir, nil)
		l.check(t, b)
		for i := range streams {
			l.append(t, b, i)
		}
		l.check(t, b)
		mustClose(t, b)
		acked += l.acked
		if t.Failed() {
			t.Fatalf("round %d: the store is %s", round, keep(t, dir))
		}
	}
	t.Logf("attack: file size limit: %d rounds, %d acknowledged, %d lost, %d answered no space", rounds, acked, l.lost, refused)
}
