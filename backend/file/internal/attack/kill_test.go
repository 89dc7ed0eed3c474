//go:build linux

package attack_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// storeMost is how large a store may grow before the next round begins another.
const storeMost = 48 << 20

// smallSegments makes the edges between files common, and packing.
func smallSegments() file.Options { return file.Options{SegmentBytes: 8 << 10 << rand.IntN(4)} }

// TestKilledAtAnyMomentNothingAcknowledgedIsLost kills a child that appends to the same
// store, over and over: most times while it is compacting, recovering or opening.
func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	rounds := machine.Rounds(8, 40, 1000)
	k := &killing{t: t, base: t.TempDir()}
	k.begin()
	for round := range rounds {
		what := []string{"append", "compact", "recover", "compact", "open", "compact", "recover"}[round%7]
		k.round(what, round%5 == 4)
		if t.Failed() {
			t.Fatalf("round %d (%s): the store is %s", round, what, keep(t, k.dir))
		}
		if size(t, k.dir) > storeMost || round%50 == 49 {
			k.begin()
		}
	}
	k.begin()
	if k.acked < rounds {
		t.Errorf("only %d records were acknowledged: the test tested nothing", k.acked)
	}
	t.Logf("attack: sigkill: %d rounds, %d acknowledged, %d lost, %d kept unacknowledged, %d kills in compaction, %d in recovery, %d while opening, %d stores",
		rounds, k.acked, k.lost, k.kept, k.compacting, k.recovering, k.opening, k.stores-1)
}

// killing is a store whose holders get killed.
type killing struct {
	t                               *testing.T
	base, dir                       string
	l                               *ledger
	stores, acked, kept, lost       int
	compacting, recovering, opening int
}

// begin goes on with a new store.
func (k *killing) begin() {
	k.t.Helper()
	if k.l != nil {
		k.acked, k.kept, k.lost = k.acked+k.l.acked, k.kept+k.l.kept, k.lost+k.l.lost
		_ = os.RemoveAll(k.dir)
	}
	k.stores++
	k.dir, k.l = filepath.Join(k.base, fmt.Sprintf("store-%d", k.stores)), new(ledger)
}

// round runs a child, kills it while it does what it is to do, and compares.
func (k *killing) round(what string, large bool) {
	t := k.t
	t.Helper()
	p := plan{Dir: k.dir, Large: large, Compact: what == "compact", Recover: what == "recover", Ignore: what == "recover"}
	c := start(t, p)
	after := time.Duration(1000+rand.IntN(79_000)) * time.Microsecond
	switch what {
	case "open": // anywhere from the start of the process on
		k.opening++
		time.AfterFunc(after/4, c.kill)
		c.listen(t, k.l, nil)
	case "append":
		c.ready(t)
		time.AfterFunc(after, c.kill)
		c.listen(t, k.l, nil)
	default:
		c.ready(t)
		if inside := k.killAtWork(c, after); inside && p.Compact {
			k.compacting++
		} else if inside {
			k.recovering++
		}
	}
	b := openAfter(t, k.dir, p.Recover)
	k.l.check(t, b)
	k.l.append(t, b, rand.IntN(streams))
	mustClose(t, b)
}

// killAtWork kills a child shortly after it has begun to compact or recover, once it has
// been at it for a while, and reports whether it was in the midst of it.
func (k *killing) killAtWork(c *child, after time.Duration) (inside bool) {
	time.AfterFunc(after+time.Second, c.kill) // in case that it never is
	begun, aimed := time.Now(), false
	c.listen(k.t, k.l, func(m message) {
		switch m.kind {
		case beginsWork:
			if inside = true; !aimed && time.Since(begun) > after {
				aimed = true
				time.AfterFunc(time.Duration(rand.IntN(4000))*time.Microsecond, c.kill)
			}
		case endsWork:
			inside = false
		}
	})
	return inside
}
