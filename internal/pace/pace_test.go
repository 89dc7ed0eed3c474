package pace

import (
	"testing"
	"time"
)

// asked counts how often Gather looks at a queue that grows by one each time.
func asked(p *Pace) (n int) {
	p.Gather(func() int { n++; return n })
	return n
}

func TestItYieldsOnlyAfterAGroupOfSeveralBatches(t *testing.T) {
	var p Pace
	p.Wrote(yieldFrom-1, time.Hour)
	if n := asked(&p); n != 0 {
		t.Errorf("after a small group it looked %d times", n)
	}
	p.Wrote(yieldFrom, time.Hour)
	if n := asked(&p); n != 1+yieldMost {
		t.Errorf("while the queue grows it looked %d times, want %d", n, 1+yieldMost)
	}
}

func TestItStopsWhenTheQueueDoesNotGrow(t *testing.T) {
	var p Pace
	p.Wrote(100, time.Hour)
	n := 0
	p.Gather(func() int { n++; return 7 })
	if n != 2 {
		t.Errorf("it looked %d times, want 2", n)
	}
}

func TestADearYieldIsTheLastForAHundredTimesItsCost(t *testing.T) {
	var p Pace
	p.Wrote(100, time.Nanosecond) // any yield costs more than half of that
	if n := asked(&p); n != 1 {
		t.Errorf("it looked %d times, want 1: the first yield was too dear", n)
	}
	if !p.notBefore.After(time.Now().Add(-time.Second)) {
		t.Error("no pause was set")
	}
	p.notBefore = time.Now().Add(time.Hour)
	if n := asked(&p); n != 0 {
		t.Errorf("during the pause it looked %d times", n)
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
