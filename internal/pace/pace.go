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
	"time"
)

const (
	yieldFrom  = 4   // yield only if the last group held so many batches
	yieldMost  = 8   // yields before one group
	yieldPause = 100 // after a yield that was too dear: no other for so many times its cost
)

// Pace remembers how the last groups went. The zero Pace has seen none. It belongs to
// whoever leads: it is not safe for concurrent use.
type Pace struct {
	batches   int           // of the last group
	write     time.Duration // moving average of the time to write a group
	notBefore time.Time     // no yield before this
}

// Gather yields while the queue, of which length tells how many wait, grows and
// yielding is cheap: a yield that takes over half the time of a write is the last for a
// hundred times as long.
func (p *Pace) Gather(length func() int) {
	if p.batches < yieldFrom {
		return
	}
	before := time.Now()
	if before.Before(p.notBefore) {
		return
	}
	waiting := length()
	for range yieldMost {
		runtime.Gosched()
		now := time.Now()
		if cost := now.Sub(before); cost > p.write/2 {
			p.notBefore = now.Add(yieldPause * cost)
			return
		}
		grown := length()
		if grown == waiting {
			return
		}
		waiting, before = grown, now
	}
}

// Wrote tells of a group that was written.
func (p *Pace) Wrote(batches int, took time.Duration) {
	p.batches = batches
	if p.write == 0 {
		p.write = took
	}
	p.write += (took - p.write) / 8
}
