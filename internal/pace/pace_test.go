package pace

import (
	"testing"
	"time"
)

// asked counts how often Gather looks at a queue that grows by so many each time.
func asked(p *Pace, by int) (n int) {
	p.Gather(func() int { n++; return n * by })
	return n
}

// spun is what looks at a queue for so long each time.
func spun(length func() int, d time.Duration) func() int {
	return func() int {
		for start := time.Now(); time.Since(start) < d; {
		}
		return length()
	}
}

func TestItYieldsOnlyAfterAGroupOfSeveralBatches(t *testing.T) {
	var p Pace
	p.Wrote(yieldFrom-1, time.Hour)
	if n := asked(&p, 1); n != 0 {
		t.Errorf("after a small group it looked %d times", n)
	}
	p.Wrote(100, time.Hour)
	if n := asked(&p, 1); n != 1+yieldMost {
		t.Errorf("while the queue grows it looked %d times, want %d", n, 1+yieldMost)
	}
}

func TestItStopsWhenAsManyHaveComeAsWereAnswered(t *testing.T) {
	var p Pace
	p.Wrote(10, time.Hour)
	if n := asked(&p, 5); n != 3 {
		t.Errorf("it looked %d times at a queue of 5, 10 and 15, want 3", n)
	}
}

func TestItDoesNotWaitForManyWhenAsManyWaitAlready(t *testing.T) {
	for _, c := range []struct {
		write   time.Duration
		waiting int
		gathers bool
	}{
		{100 * yieldEach, 100, true},
		{99 * yieldEach, 99, true},
		{99 * yieldEach, 100, false},
	} {
		p := Pace{batches: 100, write: c.write}
		n := 0
		p.Gather(func() int { n++; return c.waiting })
		if n > 1 != c.gathers { // how often then, is another test's: a yield may be dear here
			t.Errorf("%d wait, a write takes %v: it looked %d times", c.waiting, c.write, n)
		}
	}
}

func TestItStopsWhenTheQueueDoesNotGrow(t *testing.T) {
	var p Pace
	p.Wrote(100, time.Hour)
	n := 0
	p.Gather(func() int { n++; return 7 })
	if n != 1+yieldStall {
		t.Errorf("it looked %d times, want %d", n, 1+yieldStall)
	}
	queue, looks := []int{0, 0, 0, 5, 5, 5, 5, 6}, 0
	p.Gather(func() int { looks++; return queue[looks-1] })
	if looks != 7 {
		t.Errorf("it looked %d times, want 7: the queue grew once", looks)
	}
}

func TestDearYieldsAreFollowedByAPauseThatDoubles(t *testing.T) {
	var p Pace
	p.Wrote(100, time.Nanosecond) // any yield costs more than half of that
	n := 0
	dear := spun(func() int { n++; return 7 }, 10*time.Microsecond)
	for times := time.Duration(pauseFirst); times <= 4*pauseMost; times *= 2 {
		n, p.notBefore = 0, time.Time{}
		before := time.Now()
		p.Gather(dear)
		pause := min(times, pauseMost) * 10 * time.Microsecond
		if n != 2 || p.notBefore.Before(before.Add(pause)) || p.pause > 2*pauseMost {
			t.Errorf("it looked %d times, want 2, and pauses until %v, want at least %v", n, p.notBefore.Sub(before), pause)
		}
	}
	p.notBefore = time.Now().Add(time.Hour)
	if n := asked(&p, 1); n != 0 {
		t.Errorf("during the pause it looked %d times", n)
	}
	if p.notBefore, p.write = (time.Time{}), time.Hour; asked(&p, 1) != 1+yieldMost || p.pause != pauseFirst {
		t.Errorf("after a yield that was not dear the next pause is %d times, want %d", p.pause, pauseFirst)
	}
}

func TestCallersThatQueueMeanwhileMakeAYieldWorthItsTime(t *testing.T) {
	var p Pace
	p.Wrote(1000, 20*time.Microsecond)
	for _, c := range []struct {
		cost    time.Duration
		callers int
		dear    bool
	}{
		{10 * time.Microsecond, 0, false},
		{11 * time.Microsecond, 0, true},
		{10*time.Microsecond + 64*yieldWorth, 64, false},
		{11*time.Microsecond + 64*yieldWorth, 64, true},
	} {
		if p.dear(c.cost, c.callers) != c.dear {
			t.Errorf("%v for %d callers: dear is %v", c.cost, c.callers, !c.dear)
		}
	}
}

func TestTheAverageFollowsTheWrites(t *testing.T) {
	var p Pace
	p.Wrote(1, 800*time.Microsecond)
	p.Wrote(1, 1600*time.Microsecond)
	if p.write != 900*time.Microsecond {
		t.Errorf("the average is %v, want 900µs", p.write)
	}
}
