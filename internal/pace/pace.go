// Package pace decides when whoever leads a group commit yields the processor first,
// to let more callers queue. It is the one rule for the two places that gather groups:
// the Backend's queue and the actors' committer.
//
// Yielding nearly doubles the rate of 64 writers on an idle machine, and would cost 60
// ms a commit beside busy goroutines if it were not bounded (docs/design.md, Group
// commit).
package pace

import (
	"runtime"
	"sync/atomic"
	"time"
)

const (
	yieldFrom  = 4  // yield only if the last group held so many batches
	yieldMost  = 16 // yields before one group
	yieldStall = 3  // yields in a row that nobody used to queue: no more will come

	// yieldWorth is how long a yield may take for each caller that it let queue, beyond
	// half the time of a write: they would have taken the processor anyway.
	yieldWorth = 4 * time.Microsecond

	// yieldEach is about what it takes to let one caller queue.
	yieldEach = time.Microsecond

	// After yields that were too dear there is no other for so many times their cost: at
	// first, and at most, as it doubles while they go on being too dear.
	pauseFirst, pauseMost = 8, 128
)

// Pace remembers how the last groups went. The zero Pace has seen none. It belongs to
// whoever leads: it is not safe for concurrent use.
type Pace struct {
	batches   int           // of the last group
	write     time.Duration // moving average of the time to write a group
	notBefore time.Time     // no yield before this
	pause     time.Duration // how many times its cost, after the next that is too dear; 0: pauseFirst
}

// never is set where it is measured what yielding is worth.
var never atomic.Bool

// Never has nobody in the process yield, or, with false, all yield as they do. It is for
// measurements.
func Never(yes bool) { never.Store(yes) }

// Gather yields until those of the last group, who have just been answered, have queued
// again behind those that wait already; length tells how many wait. It stops earlier
// when the queue has stopped growing, and when yielding is dear, as it is beside
// goroutines that do not give the processor back: then there is no yield for many times
// as long. It does not begin when as many wait already, and those to come are so many
// that they would take longer than a write: they queue while it goes on.
func (p *Pace) Gather(length func() int) {
	if p.batches < yieldFrom || never.Load() {
		return
	}
	start := time.Now()
	if start.Before(p.notBefore) {
		return
	}
	first := length()
	if first >= p.batches && time.Duration(p.batches)*yieldEach > p.write {
		return
	}
	waiting, stalled := first, 0
	for n := 0; n < yieldMost && stalled < yieldStall && waiting < first+p.batches; n++ {
		runtime.Gosched()
		grown := length()
		if now := time.Now(); p.dear(now.Sub(start), grown-first) {
			p.rest(now, now.Sub(start))
			return
		}
		if stalled++; grown > waiting {
			stalled = 0
		}
		waiting = grown
	}
	p.pause = pauseFirst
}

// dear reports whether the yields before one group have taken too long for the callers
// that queued meanwhile.
func (p *Pace) dear(cost time.Duration, callers int) bool {
	return cost > p.write/2+time.Duration(callers)*yieldWorth
}

// rest sees to it that there is no yield for long enough to make up for the cost.
func (p *Pace) rest(now time.Time, cost time.Duration) {
	p.pause = min(max(p.pause, pauseFirst), pauseMost)
	p.notBefore = now.Add(p.pause * cost)
	p.pause *= 2
}

// Wrote tells of a group that was written.
func (p *Pace) Wrote(batches int, took time.Duration) {
	p.batches = batches
	if p.write == 0 {
		p.write = took
	}
	p.write += (took - p.write) / 8
}
