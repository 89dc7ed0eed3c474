package actorsys

import "sync/atomic"

// runnersKept is how many goroutines that have run an actor wait to run another,
// instead of ending: their stacks have grown to what user code needs, which costs a
// new goroutine more than the rest of a turn.
const runnersKept = 64

// runner is an actor with letters to read.
type runner interface{ run() }

// runners are the goroutines that run actors.
type runners struct {
	sys     *System
	next    chan runner // unbuffered: takes an actor only if a goroutine waits for one
	waiting atomic.Int32
}

// start has a goroutine run the actor. It never blocks.
func (rs *runners) start(r runner) {
	select {
	case rs.next <- r:
	default:
		rs.sys.goroutines.Go(func() { rs.run(r) })
	}
}

// run runs one actor after the other, while there is room to wait for the next.
func (rs *runners) run(r runner) {
	for {
		r.run()
		if rs.waiting.Add(1) > runnersKept {
			rs.waiting.Add(-1)
			return
		}
		select {
		case r = <-rs.next:
			rs.waiting.Add(-1)
		case <-rs.sys.killed:
			return
		}
	}
}
