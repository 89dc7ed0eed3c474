package conformance

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A race proves nothing about calls that came one after the other. Rules about
// concurrency therefore count the rounds in which the calls really overlapped in
// time: enoughOverlaps decide, too few are inconclusive.
const (
	enoughOverlaps = 50
	fewestOverlaps = 10
	mostRounds     = 20_000

	spinsBeforeYield = 10_000

	// writesPerLook is how far writers may run ahead of who looks on beside them.
	writesPerLook = 1000
)

// interval is when a call ran.
type interval struct{ from, to time.Time }

func overlap(a, b interval) bool { return a.from.Before(b.to) && b.from.Before(a.to) }

// race runs rounds of two calls released at the same moment, and then verify, until
// enough of them overlapped. round makes the calls, which must not end the check.
func (c *Case) race(round func(i int) (one, other func() error), verify func(i int, errs []error)) {
	overlapped, rounds := 0, 0
	stop := c.half()
	for ; overlapped < enoughOverlaps && rounds < mostRounds && time.Now().Before(stop); rounds++ {
		one, other := round(rounds)
		var ready atomic.Int32
		var ran [2]interval
		errs := c.together(released(&ready, &ran[0], one), released(&ready, &ran[1], other))
		if overlap(ran[0], ran[1]) {
			overlapped++
		}
		verify(rounds, errs)
	}
	if overlapped < fewestOverlaps {
		c.inconclusive("only %d of %d rounds overlapped in time: want %d at least", overlapped, rounds, fewestOverlaps)
	}
}

// half is when half of the check's time is used up.
func (c *Case) half() time.Time {
	deadline, ok := c.ctx.Deadline()
	if !ok {
		return time.Now().Add(DefaultBudget / 2)
	}
	return time.Now().Add(time.Until(deadline) / 2)
}

// released returns f held back until both calls are ready, and timed.
func released(ready *atomic.Int32, ran *interval, f func() error) func() error {
	return func() error {
		meet(ready, 2)
		meet(ready, 4) // again: whoever was off the processor at the first meeting is on it now
		ran.from = time.Now()
		err := f()
		ran.to = time.Now()
		return err
	}
}

// meet waits until n have come, mostly on the processor, so as to go on at once.
func meet(come *atomic.Int32, n int32) {
	come.Add(1)
	for spins := 1; come.Load() < n; spins++ {
		if spins%spinsBeforeYield == 0 {
			runtime.Gosched()
		}
	}
}

// beside runs look again and again while the writers run, until it has seen enough,
// and then stops the writers. write is one append; it is told which writer it is
// and how many went before. look returns whether it saw something that counts.
//
// However slow a look is, the writers outlast it: they go on until the last look or
// half of the check's time. During one look each may write so much and then waits
// for the next, which begins when writing is under way again, so that neither the
// store nor what a look has to read grows without bound.
func (c *Case) beside(writers int, write func(writer, n int) error, look func() (counts bool, err error)) {
	var stopped atomic.Bool
	var running, waiting atomic.Int32
	var looks, written atomic.Int64
	running.Store(int32(writers))
	seen := 0
	stop := c.half()
	goOn := func() bool { return running.Load() > 0 && time.Now().Before(stop) }
	functions := []func() error{func() error {
		defer stopped.Store(true)
		for seen < enoughOverlaps && goOn() {
			before, idle := written.Load(), waiting.Load() > 0
			looks.Add(1)
			for idle && written.Load() == before && goOn() {
				runtime.Gosched()
			}
			counts, err := look()
			if err != nil {
				return err
			}
			if counts {
				seen++
			}
		}
		return nil
	}}
	for w := range writers {
		functions = append(functions, func() error {
			defer running.Add(-1)
			look, ahead := int64(0), 0
			for n := 0; !stopped.Load(); n++ {
				if ahead == writesPerLook {
					waiting.Add(1)
					for looks.Load() == look && !stopped.Load() {
						runtime.Gosched()
					}
					waiting.Add(-1)
				}
				if now := looks.Load(); now != look {
					look, ahead = now, 0
				}
				if err := write(w, n); err != nil {
					return err
				}
				ahead++
				written.Add(1)
			}
			return nil
		})
	}
	c.allTogether("beside writers", functions...)
	if seen < fewestOverlaps {
		c.inconclusive("only %d looks saw a write under way: want %d at least", seen, fewestOverlaps)
	}
}
