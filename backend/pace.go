package backend

import (
	"runtime"
	"time"
)

// pace decides when a leader yields to let more callers queue: worth almost a
// doubling with 64 writers on an idle machine, and 60 ms a commit beside busy
// goroutines if it is not bounded.
type pace struct {
	lastBatches int           // batches of the last group
	sync        time.Duration // moving average of an append's time
	notBefore   time.Time     // no yield before this
}

const (
	yieldFrom  = 4   // yield only if the last group held so many batches
	yieldMost  = 8   // yields before one group
	yieldPause = 100 // after a yield that was too dear: no other for so many times its cost
)

// gather yields while the queue grows and yielding is cheap.
func (p *pace) gather(c *committer) {
	if p.lastBatches < yieldFrom {
		return
	}
	before := time.Now()
	if before.Before(p.notBefore) {
		return
	}
	waiting := c.length()
	for range yieldMost {
		runtime.Gosched()
		now := time.Now()
		cost := now.Sub(before)
		if cost > p.sync/2 {
			p.notBefore = now.Add(yieldPause * cost)
			return
		}
		grown := c.length()
		if grown == waiting {
			return
		}
		waiting, before = grown, now
	}
}

func (p *pace) wrote(batches int, took time.Duration) {
	p.lastBatches = batches
	if p.sync == 0 {
		p.sync = took
	}
	p.sync += (took - p.sync) / 8
}

func (c *committer) length() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}
