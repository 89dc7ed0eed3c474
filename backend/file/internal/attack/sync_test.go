//go:build linux

package attack_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// TestASyncThatFailsPoisonsAndLosesNothing lets syncs fail as they fail in life: the image
// below a loop device stands on a disk that gets full, so that the file system takes
// writes that it can't bring to the disk. The kernel says so once, at a sync, and then
// thinks that all is well.
func TestASyncThatFailsPoisonsAndLosesNothing(t *testing.T) {
	machine.NeedLoop(t)
	for _, thin := range []bool{false, true} {
		t.Run(map[bool]string{false: "journal fails too", true: "journal is provisioned"}[thin], func(t *testing.T) {
			rounds := machine.Rounds(2, 6, 60)
			acked, lost, poisoned, again, kept := 0, 0, 0, 0, 0
			for round := range rounds {
				f := newFailing(t, thin)
				f.fail()
				poisoned++
				if f.mend(round%2 == 0) {
					again++
				}
				acked, lost, kept = acked+f.l.acked, lost+f.l.lost, kept+f.l.kept
				if t.Failed() {
					t.Fatalf("round %d: the store is %s", round, keep(t, f.dir))
				}
				f.v.Umount()
				machine.Unmount(t, f.below)
			}
			t.Logf("attack: sync error (%s): %d rounds, %d acknowledged, %d lost, %d kept unacknowledged, %d poisoned, %d reopened without a new mount", filepath.Base(t.Name()), rounds, acked, lost, kept, poisoned, again)
		})
	}
}

// failing is a store on a file system on a disk that is too small for it.
type failing struct {
	t     *testing.T
	below string // the small disk
	v     *machine.Volume
	dir   string
	l     *ledger
	b     *backend.Backend
}

// newFailing makes the disk. If it is thinly provisioned, the journal has its place on it,
// as it has been written before; so data alone fails, and the file system goes on.
func newFailing(t *testing.T, thin bool) *failing {
	f := &failing{t: t, below: machine.MountSmall(t, 64<<20), l: new(ledger)}
	f.v = machine.NewVolume(t, f.below, 256<<20, "", "-b", "4096", "-E", "lazy_itable_init=0,nodiscard", "-N", "256", "-J", "size=4")
	f.v.Honest()
	f.dir = filepath.Join(f.v.Dir, "store")
	if thin {
		f.writeJournal()
	}
	return f
}

// writeJournal writes all of the journal once.
func (f *failing) writeJournal() {
	t := f.t
	t.Helper()
	d, err := os.Open(f.v.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	name := filepath.Join(f.v.Dir, "journalled")
	for range 500 { // of 1024 blocks or more, each transaction takes three at least
		if err := errors.Join(os.WriteFile(name, nil, 0o600), d.Sync(), os.Remove(name), d.Sync()); err != nil {
			t.Fatal(err)
		}
	}
}

// fail appends until a sync fails, and then looks whether the handle keeps to it.
func (f *failing) fail() {
	t := f.t
	t.Helper()
	f.b = open(t, f.dir, &file.Options{})
	machine.Resize(t, f.below, machine.Used(t, f.below)+rand.IntN(1<<20)+(64<<10))
	var err error
	for err == nil {
		err = f.l.tryAppend(f.b, rand.IntN(streams), 1+rand.IntN(40))
	}
	if !errors.Is(err, backend.ErrPoisoned) {
		t.Fatalf("an append whose sync failed: %v", err)
	}
	for range 3 { // a second sync would succeed and would have written nothing
		if err := f.l.tryAppend(f.b, rand.IntN(streams), 1); !errors.Is(err, backend.ErrPoisoned) || errors.Is(err, backend.ErrUnknownOutcome) {
			t.Fatalf("an append after a failed sync: %v", err)
		}
	}
	f.reads()
}

// reads reads all that was acknowledged, which goes on.
func (f *failing) reads() {
	t := f.t
	t.Helper()
	for i := range streams {
		n := 0
		for r, err := range f.b.Read(t.Context(), backend.Query{Stream: nameOf(i)}) {
			if err != nil {
				t.Errorf("reading a poisoned store: %v", err)
				break
			}
			if n >= len(f.l.streams[i].records) {
				t.Errorf("%q version %d is shown, and was not acknowledged", r.Stream, r.Version)
				break
			}
			f.l.compare(t, &f.l.streams[i].records[n], &r)
			n++
		}
		if n != len(f.l.streams[i].records) {
			f.l.lost += len(f.l.streams[i].records) - n
			t.Errorf("%q: %d of %d acknowledged records can be read from the poisoned handle", nameOf(i), n, len(f.l.streams[i].records))
		}
	}
}

// mend gives the disk below its space back, and reopens the store: as it is, or mounted
// anew. It returns whether the former was enough.
func (f *failing) mend(reopen bool) (reopened bool) {
	t := f.t
	t.Helper()
	machine.Resize(t, f.below, 300<<20)
	if reopen {
		if err := f.b.Reopen(t.Context()); err == nil {
			reopened = true
			f.check()
		} else if !errors.Is(f.b.Poisoned(), backend.ErrPoisoned) {
			t.Errorf("a Reopen that failed has left the store fit: %v", err)
		}
	}
	_ = f.b.Close()
	f.v.Umount()
	f.v.Mount()
	f.b = open(t, f.dir, &file.Options{})
	f.check()
	mustClose(t, f.b)
	return reopened
}

func (f *failing) check() {
	f.t.Helper()
	f.l.check(f.t, f.b)
	for range 5 {
		f.l.append(f.t, f.b, rand.IntN(streams))
	}
	f.l.check(f.t, f.b)
}
