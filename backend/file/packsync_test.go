package file

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"syscall"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// Each sync of the directory in a packing and in a compaction fails, and loses the names
// that it was to make durable, or some of them: of a span and its heads, of the manifest
// and its copy. The handle is poisoned, whatever a crash then leaves is the store, and so
// is what Reopen makes of it.
func TestAFailedSyncOfTheDirectoryWhilePackingPoisonsAndLosesNothing(t *testing.T) {
	failed := map[string]int{}
	for nth := 0; ; nth++ {
		hit := false
		for which, lose := range map[string]faultfs.Choice{"no names": faultfs.All, "all names": faultfs.None, "some names": faultfs.Some(rand.New(rand.NewPCG(uint64(nth), 3)))} {
			f := new(faultfs.FS)
			_, b, m, cut := cutStore(t, f)
			last := "" // what was renamed last: what the sync is for
			ft := &faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Rename, faultfs.SyncDir}, Skip: nth, Err: syscall.EIO, Lose: lose, When: func(op faultfs.Op) bool {
				if op.Kind == faultfs.Rename {
					last = op.Name
				}
				return op.Kind == faultfs.SyncDir
			}}
			f.Fail(ft)
			_, err := b.Compact(context.Background(), cut)
			if f.Hits(ft) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				b.Close()
				break
			}
			hit = true
			f.Heal()
			what := fmt.Sprintf("sync %d of the directory, for %s, loses %s", nth, last, which)
			if err == nil || !errors.Is(b.Poisoned(), backend.ErrPoisoned) {
				t.Fatalf("%s: the handle is not poisoned: %v", what, err)
			}
			failed[path.Ext(last)]++
			if _, err := tryAppend(b, "kept-1", "poisoned"); !errors.Is(err, backend.ErrPoisoned) {
				t.Fatalf("%s: an append: %v", what, err)
			}
			m.checkCut(t, b, cut, what)
			mustHold(t, f, m, cut, what)
			if err := b.Reopen(context.Background()); err != nil {
				t.Fatalf("%s: reopen: %v", what, err)
			}
			mustHold(t, f, m, cut, what+", and it is reopened")
			grown(t, b, m, func() { appendOne(t, b, "kept-1", "and on") })
			mustHold(t, f, m, cut, what+", and it goes on")
			if _, err := b.Compact(context.Background(), cut); err != nil {
				t.Fatalf("%s: again: %v", what, err)
			}
			m.cut(cut)
			m.check(t, b, what+", done again")
			mustHold(t, f, m, cut, what+", done again")
			mustBeClean(t, b)
			mustBeTidy(t, f)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if !hit {
			break
		}
	}
	if failed[spanSuffix] == 0 || failed[headsSuffix] == 0 || failed[""] == 0 { // MANIFEST has none
		t.Errorf("what failed: %v", failed)
	}
}

// mustHold checks that a power cut now leaves the model, of which the cut was made or not.
func mustHold(t *testing.T, f *faultfs.FS, m *model, cut backend.Cut, what string) {
	t.Helper()
	for i, keep := range []faultfs.Choice{faultfs.None, faultfs.All} {
		_, b := openInside(t, f.Crash(keep), &Options{keepLog: true})
		m.checkCut(t, b, cut, fmt.Sprintf("%s; after a crash (%d)", what, i))
		mustBeClean(t, b)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
