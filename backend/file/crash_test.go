package file

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/papyra-go/papyra/backend/file/internal/faultfs"
)

// moment is a directory just before a call that changes what a crash leaves.
type moment struct {
	what  string
	dir   *faultfs.FS
	acked []string
}

// record makes the directory note each such moment, with what was acknowledged then.
func record(f *faultfs.FS, acked *atomic.Pointer[[]string]) *[]moment {
	var mu sync.Mutex
	var moments []moment
	f.Hook = func(op faultfs.Op) error {
		if op.Kind.Changes() {
			mu.Lock()
			defer mu.Unlock()
			known := *acked.Load() // before the copy is made: what is acknowledged later may be in it too
			moments = append(moments, moment{fmt.Sprintf("%s %s at %d", op.Kind, op.Name, op.Off), f.Clone(), known})
		}
		return nil
	}
	return &moments
}

// choices are what a crash keeps of the unsynced: nothing, all, and some at random.
func choices(random int, seed uint64) map[string]faultfs.Choice {
	out := map[string]faultfs.Choice{"nothing": faultfs.None, "all": faultfs.All}
	for i := range random {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		often := rng.IntN(9) + 1
		out[fmt.Sprintf("some %d", i)] = func() bool { return rng.IntN(10) < often }
	}
	return out
}

func TestACrashAtAnyMomentLosesNothing(t *testing.T) {
	var acked atomic.Pointer[[]string]
	acked.Store(&[]string{})
	f := new(faultfs.FS)
	moments := record(f, &acked)
	if err := workload(f, &acked); err != nil {
		t.Fatal(err)
	}
	random, states := 6, 0
	if testing.Short() || slow {
		random = 1
	}
	if long {
		random = 100
	}
	for i, m := range *moments {
		if slow && i%5 > 0 {
			continue
		}
		for which, keep := range choices(random, uint64(i)) {
			states++
			what := fmt.Sprintf("moment %d, before %s, %s of the unsynced kept", i, m.what, which)
			if !checkStore(t, m.dir.Crash(keep), what, m.acked) {
				return
			}
		}
	}
	t.Logf("%d moments, %d crashes", len(*moments), states)
}

func TestACrashWhileACrashIsMendedLosesNothing(t *testing.T) {
	var acked atomic.Pointer[[]string]
	acked.Store(&[]string{})
	f := new(faultfs.FS)
	first := record(f, &acked)
	if err := workload(f, &acked); err != nil {
		t.Fatal(err)
	}
	step, states := 13, 0
	if slow {
		step = 173
	} else if testing.Short() {
		step = 41
	}
	if long {
		step = 1
	}
	for i := 0; i < len(*first); i += step {
		m := (*first)[i]
		for which, keep := range choices(2, uint64(i)) {
			crashed := m.dir.Crash(keep)
			known := m.acked
			var pointer atomic.Pointer[[]string]
			pointer.Store(&known)
			second := record(crashed, &pointer)
			b, err := openMem(crashed, &Options{SegmentBytes: 8 << 10})
			if err != nil {
				t.Fatal(err)
			}
			visible, err := short(b) // whoever reads may act on it: it must stay
			if err != nil {
				t.Fatal(err)
			}
			pointer.Store(&visible)
			if _, err := tryAppend(b, "mended", "x"); err != nil {
				t.Fatal(err)
			}
			known = append(visible[:len(visible):len(visible)], "mended x")
			pointer.Store(&known)
			b.Close()
			for j, again := range *second {
				for other, keep := range choices(1, uint64(j)) {
					states++
					what := fmt.Sprintf("moment %d, before %s, %s kept; then %d, before %s, %s kept", i, m.what, which, j, again.what, other)
					if !checkMended(t, again.dir.Crash(keep), what, again.acked) {
						return
					}
				}
			}
		}
	}
	t.Logf("%d crashes", states)
}

// checkMended is checkStore, where the group under way may also be the one after mending.
func checkMended(t *testing.T, f *faultfs.FS, what string, acked []string) bool {
	t.Helper()
	b, err := openMem(f.Crash(faultfs.All), &Options{SegmentBytes: 8 << 10})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return false
	}
	got, _ := short(b)
	b.Close()
	if n := len(got); n == len(acked)+1 && got[n-1] == "mended x" {
		acked = got
	}
	return checkStore(t, f, what, acked)
}
