package file

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// sweepShape is one crash at a place in a log.
type sweepShape struct {
	what string
	dir  *faultfs.FS
}

// sweepCrashes are the crashes to look at before the event next: nothing, all and some of what
// was not synced; every subset, if there are few; the event's own write torn.
func sweepCrashes(now *faultfs.FS, next *faultfs.Event, rng *rand.Rand, random, subsets, tears int) (out []sweepShape) {
	add := func(dir *faultfs.FS, format string, args ...any) {
		out = append(out, sweepShape{fmt.Sprintf(format, args...), dir})
	}
	add(now.Crash(faultfs.None), "nothing unsynced kept")
	if n := now.Unsynced(); n > 0 {
		add(now.Crash(faultfs.All), "all kept")
		if n <= subsets {
			for set := uint64(1); set < 1<<n-1; set++ {
				add(now.Crash(faultfs.Bits(set)), "of %d unsynced %b kept", n, set)
			}
		} else {
			for i := range random {
				add(now.Crash(faultfs.Some(rng)), "some kept, the %d.", i)
			}
		}
	}
	if next == nil || next.Kind != faultfs.Write {
		return out
	}
	end := len(bytes.TrimRight(next.Data, "\x00"))
	var cuts []int
	for at := faultfs.Sector - int(next.Off%faultfs.Sector); at < end; at += faultfs.Sector { // whole sectors
		cuts = append(cuts, at)
	}
	for range 3 { // and inside one
		if end > 1 {
			cuts = append(cuts, 1+rng.IntN(end-1))
		}
	}
	rng.Shuffle(len(cuts), func(i, j int) { cuts[i], cuts[j] = cuts[j], cuts[i] })
	for i, cut := range cuts[:min(len(cuts), tears)] {
		keep, kept := faultfs.None, "nothing"
		if i%2 == 1 {
			keep, kept = faultfs.All, "all"
		}
		torn := now.Crash(keep)
		torn.Overwrite(next.Name, next.Off, next.Data[:cut])
		add(torn, "%s kept, the write torn after %d of %d", kept, cut, len(next.Data))
	}
	return out
}

// sweepLastNote is what was known before event i.
func sweepLastNote(events []faultfs.Event, i int) *sweepMoment {
	for i--; i >= 0; i-- {
		if m, ok := events[i].Note.(*sweepMoment); ok {
			return m
		}
	}
	return new(sweepMoment)
}

// sweepSay names an event.
func sweepSay(next *faultfs.Event) string {
	if next == nil {
		return "the end"
	}
	return next.String()
}

// sweepHistories makes logs of random workloads, one for each seed.
func sweepHistories(t *testing.T, seeds, steps int, each func(seed uint64, l *faultfs.Log)) string {
	counts := map[string]int{}
	events := 0
	if slow {
		steps /= 2
	}
	for seed := range uint64(seeds) {
		f := new(faultfs.FS)
		l := f.Record()
		h := newSweepHistory(f, seed).larger(seed%4 == 3)
		h.idle = true
		if err := h.run(steps); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for k, v := range h.counts {
			counts[k] += v
		}
		events += len(l.Events())
		each(seed, l)
	}
	line := fmt.Sprintf("%d histories, %d events", seeds, events)
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		line += fmt.Sprintf(", %s %d", k, counts[k])
	}
	return line
}

func TestACrashAtAnyMomentLosesNothing(t *testing.T) {
	c := newSweepCrew(t)
	random, subsets, tears := sweepReach(10, 3, 1), sweepReach(8, 3, 2), sweepReach(1000, 6, 2)
	line := sweepHistories(t, sweepReach(12, 6, 1), sweepReach(60, 40, 30), func(seed uint64, l *faultfs.Log) {
		events := l.Events()
		rng := rand.New(rand.NewPCG(seed, 1))
		l.Replay(func(i int, next *faultfs.Event, now *faultfs.FS) bool {
			if next != nil && next.Kind == faultfs.Note && i%5 > 0 { // nothing changes
				return true
			}
			m := sweepLastNote(events, i)
			for _, s := range sweepCrashes(now, next, rng, random, subsets, tears) {
				n := rng.Uint64()
				c.do(fmt.Sprintf("seed %d, event %d, before %s, after %v, %s", seed, i, sweepSay(next), m, s.what), func() error { return checkCrash(s.dir, m, n) })
			}
			return !c.failed()
		})
	})
	c.end("crash at every event", func() string { return line })
}

func TestACrashWhileACrashIsMendedLosesNothing(t *testing.T) {
	c := newSweepCrew(t)
	step, inner := sweepReach(16, 30, 60), sweepReach(1, 2, 5)
	line := sweepHistories(t, sweepReach(20, 3, 1), sweepReach(50, 40, 30), func(seed uint64, l *faultfs.Log) {
		events := l.Events()
		rng := rand.New(rand.NewPCG(seed, 2))
		l.Replay(func(i int, next *faultfs.Event, now *faultfs.FS) bool {
			if i%step != int(seed)%step {
				return true
			}
			m := sweepLastNote(events, i)
			for _, first := range sweepCrashes(now, next, rng, 1, 0, 1) {
				what := fmt.Sprintf("seed %d, event %d, before %s, after %v, %s", seed, i, sweepSay(next), m, first.what)
				second := first.dir.Record()
				first.dir.Note(m)
				if err := checkCrash(first.dir, m, rng.Uint64()); err != nil {
					t.Errorf("%s: %v", what, err)
					return false
				}
				inside := second.Events()
				second.Replay(func(j int, next *faultfs.Event, now *faultfs.FS) bool {
					if next != nil && next.Kind == faultfs.Note || rng.IntN(inner) > 0 {
						return true
					}
					m := sweepLastNote(inside, j)
					for _, s := range sweepCrashes(now, next, rng, 1, 0, 1) {
						n := rng.Uint64()
						c.do(fmt.Sprintf("%s; mending it, event %d, before %s, after %v, %s", what, j, sweepSay(next), m, s.what), func() error { return checkCrash(s.dir, m, n) })
					}
					return !c.failed()
				})
			}
			return !c.failed()
		})
	})
	c.end("crash inside the recovery from a crash", func() string { return line })
}
