package faultfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend/internal/disk"
)

const rw = os.O_RDWR | os.O_CREATE

func open(t testing.TB, f *FS, name string) disk.File {
	t.Helper()
	h, err := f.Open(name, rw)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, h disk.File, off int64, s string) {
	t.Helper()
	if _, err := h.WriteAt([]byte(s), off); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyWhatWasSyncedIsSureToSurvive(t *testing.T) {
	f := new(FS)
	h := open(t, f, "a")
	put(t, h, 0, "synced")
	do(t, h.Sync())
	if got := f.Crash(None).Names(); len(got) > 0 {
		t.Errorf("a name that was not synced: %v", got)
	}
	do(t, f.SyncDir("."))
	put(t, h, 0, "SYNCED and more")
	if got := f.Crash(None).Content("a"); string(got) != "synced" {
		t.Errorf("%q", got)
	}
	if got := f.Crash(All).Content("a"); string(got) != "SYNCED and more" {
		t.Errorf("%q", got)
	}
	if got := f.Crash(Bits(0b01)).Content("a"); string(got) != "synced\x00\x00\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("the size alone: %q", got)
	}
	if n := f.Unsynced(); n != 2 {
		t.Errorf("%d unsynced", n)
	}
	do(t, f.Rename("a", "b"))
	if got := f.Crash(None).Names(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("%v", got)
	}
	do(t, f.SyncDir("."))
	if got := f.Crash(None).Names(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%v", got)
	}
}

func TestAWriteTearsAtSectors(t *testing.T) {
	f := new(FS)
	h := open(t, f, "a")
	put(t, h, 0, string(bytes.Repeat([]byte{1}, 2000)))
	do(t, h.Sync())
	do(t, f.SyncDir("."))
	put(t, h, 100, string(bytes.Repeat([]byte{2}, 1500)))
	got := f.Crash(Bits(0b0101)).Content("a")
	want := slices.Concat(bytes.Repeat([]byte{1}, 100), bytes.Repeat([]byte{2}, 412), bytes.Repeat([]byte{1}, 512),
		bytes.Repeat([]byte{2}, 512), bytes.Repeat([]byte{1}, 464))
	if !bytes.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestACloneChangesWithNobody(t *testing.T) {
	f := new(FS)
	rng := rand.New(rand.NewPCG(1, 1))
	h := open(t, f, "a")
	want := []byte{}
	var clones []*FS
	var wants [][]byte
	for range 300 {
		off, n := rng.IntN(20_000), rng.IntN(9000)
		if rng.IntN(5) == 0 {
			do(t, h.Truncate(int64(off)))
			want = append(slices.Clip(want), make([]byte, 20_000)...)[:off]
		} else {
			p := bytes.Repeat([]byte{byte(rng.IntN(3))}, n+1)
			put(t, h, int64(off), string(p))
			if off+len(p) > len(want) {
				want = append(want, make([]byte, off+len(p)-len(want))...)
			}
			want = slices.Clone(want)
			copy(want[off:], p)
		}
		if rng.IntN(3) == 0 {
			do(t, h.Sync())
		}
		clones, wants = append(clones, f.Clone()), append(wants, slices.Clone(want))
	}
	for i, c := range clones {
		if !bytes.Equal(c.Content("a"), wants[i]) {
			t.Fatalf("clone %d is not what it was", i)
		}
		got := make([]byte, 100)
		h, err := c.Open("a", os.O_RDONLY)
		do(t, err)
		n, err := h.ReadAt(got, int64(len(wants[i]))-50)
		if len(wants[i]) >= 50 && (n != 50 || err != io.EOF || !bytes.Equal(got[:n], wants[i][len(wants[i])-50:])) {
			t.Fatalf("clone %d: read %d, %v", i, n, err)
		}
	}
}

func TestAReplayGoesThroughTheSameStates(t *testing.T) {
	f := new(FS)
	put(t, open(t, f, "before"), 0, "it was recorded")
	l := f.Record()
	var states []*FS
	f.Hook = func(op Op) error {
		if op.Kind.Changes() {
			states = append(states, f.Clone())
		}
		return nil
	}
	work(t, f, 20)
	i := 0
	l.Replay(func(_ int, next *Event, now *FS) bool {
		if next == nil || !next.Kind.Changes() {
			return true
		}
		for _, keep := range []uint64{0, 1, 2, 0x5555, ^uint64(0)} {
			a, b := now.Crash(Bits(keep)), states[i].Crash(Bits(keep))
			if !slices.Equal(a.Names(), b.Names()) {
				t.Fatalf("%d, before %v: %v and %v", i, next, a.Names(), b.Names())
			}
			for _, name := range a.Names() {
				if !bytes.Equal(a.Content(name), b.Content(name)) {
					t.Fatalf("%d, before %v: %s differs", i, next, name)
				}
			}
		}
		i++
		return true
	})
	if i != len(states) || i < 100 {
		t.Errorf("%d of %d states", i, len(states))
	}
}

// work writes, syncs, replaces and removes files as a log does.
func work(t testing.TB, f *FS, rounds int) {
	rng := rand.New(rand.NewPCG(2, 2))
	_ = f.Mkdir("q")
	for i := range rounds {
		name := fmt.Sprintf("%d.seg", i%12)
		h := open(t, f, name+".tmp")
		put(t, h, 0, string(make([]byte, 64<<10)))
		put(t, h, 4096, fmt.Sprint(i))
		do(t, h.Sync())
		do(t, f.Rename(name+".tmp", name))
		do(t, f.SyncDir("."))
		for j := range 5 {
			put(t, h, int64(5000+300*j), string(bytes.Repeat([]byte{byte(i)}, 1+rng.IntN(900))))
			if rng.IntN(3) > 0 {
				do(t, h.Datasync())
			}
		}
		if rng.IntN(4) == 0 {
			do(t, f.Rename(name, "q/"+name))
		}
		if i%7 == 6 {
			do(t, h.Truncate(5000))
			f.LoseUnsynced(name)
		}
		do(t, h.Close())
	}
}

func TestFaultsFailTheCallsTheyName(t *testing.T) {
	f := new(FS)
	h := open(t, f, "a.seg")
	once := &Fault{Kinds: []Kind{Write}, Name: "*.seg", Skip: 1, Err: syscall.EIO}
	f.Fail(once)
	put(t, h, 0, "goes well")
	if _, err := h.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	put(t, h, 0, "goes well again")
	put(t, open(t, f, "b"), 0, "another name")
	if n := f.Hits(once); n != 1 {
		t.Errorf("%d hits", n)
	}
	f.Heal()
	f.Fail(&Fault{Kinds: []Kind{Sync}, Times: Forever, Err: syscall.EIO, Lose: None})
	do(t, f.SyncDir("."))
	for range 2 {
		if err := h.Sync(); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
	}
	f.Heal()
	do(t, h.Sync())
	if got := f.Crash(All).Content("a.seg"); len(got) > 0 {
		t.Errorf("dropped pages are on the disk: %q", got)
	}
	if got := f.Content("a.seg"); string(got) != "goes well again" {
		t.Errorf("programs see %q", got)
	}
	put(t, h, 5, "ONE MORE")
	do(t, h.Sync())
	if got := f.Crash(None).Content("a.seg"); string(got) != "\x00\x00\x00\x00\x00ONE MORE" {
		t.Errorf("%q", got)
	}
}

func TestASmallDiskIsFullAndHasSpaceAgain(t *testing.T) {
	f := new(FS)
	f.Limit(1000)
	a, b := open(t, f, "a"), open(t, f, "b")
	put(t, a, 0, string(make([]byte, 600)))
	if n, err := b.WriteAt(make([]byte, 600), 0); n != 400 || !errors.Is(err, syscall.ENOSPC) {
		t.Error(n, err)
	}
	put(t, b, 0, string(make([]byte, 400))) // over what is there
	if err := b.Truncate(401); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	do(t, b.Truncate(100))
	put(t, a, 600, string(make([]byte, 300)))
	do(t, f.Remove("a"))
	if n := f.Used(); n != 1000 {
		t.Errorf("an open file gave %d bytes back", 1000-n)
	}
	do(t, a.Close())
	if n := f.Used(); n != 100 {
		t.Errorf("%d used", n)
	}
	f.Limit(0)
	put(t, b, 0, string(make([]byte, 5000)))
	if open := f.Handles(); !slices.Equal(open, []string{"b"}) {
		t.Error(open)
	}
}

func TestCrashStatesAreCheap(t *testing.T) {
	f := new(FS)
	l := f.Record()
	work(t, f, 100)
	rng := rand.New(rand.NewPCG(3, 3))
	n, begun := 0, time.Now()
	l.Replay(func(_ int, _ *Event, now *FS) bool {
		for range 20 {
			now.Crash(Some(rng))
			n++
		}
		return true
	})
	took := time.Since(begun)
	t.Logf("attack: crash states alone: %d states, of a directory of %d KiB, %.1f s, %.0f states/s", n, f.Used()>>10, took.Seconds(), float64(n)/took.Seconds())
}

func TestADirectorySyncThatFailsMayLoseNamesForGood(t *testing.T) {
	f := new(FS)
	_ = f.Mkdir("q")
	do(t, f.SyncDir("."))
	do(t, open(t, f, "old").Close())
	do(t, f.SyncDir("."))
	do(t, f.Rename("old", "kept"))
	do(t, open(t, f, "lost").Close())
	do(t, open(t, f, "q/elsewhere").Close())
	log := f.Record()
	f.Fail(&Fault{Kinds: []Kind{SyncDir}, Name: ".", Err: syscall.EIO, Lose: Bits(1)})
	if err := f.SyncDir("."); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	do(t, f.SyncDir("."))
	do(t, f.SyncDir("q"))
	if got := f.Names(); !slices.Equal(got, []string{"kept", "lost", "q", "q/elsewhere"}) {
		t.Errorf("programs see %v", got)
	}
	want := []string{"kept", "q", "q/elsewhere"}
	if got := f.Crash(All).Names(); !slices.Equal(got, want) {
		t.Errorf("on the disk are %v", got)
	}
	log.Replay(func(i int, next *Event, now *FS) bool {
		if got := now.Crash(All).Names(); next == nil && !slices.Equal(got, want) {
			t.Errorf("replayed, on the disk are %v", got)
		}
		return true
	})
	do(t, f.Rename("lost", "found")) // a name that is made anew is made durable
	do(t, f.SyncDir("."))
	if got := f.Crash(None).Names(); !slices.Contains(got, "found") {
		t.Errorf("on the disk are %v", got)
	}
}
