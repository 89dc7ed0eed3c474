package actorsys

import (
	"container/heap"
	"errors"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Bounds on ringing.
const (
	ringsAtOnce  = 256              // alarms of one kind that have rung and whose turns are not stored
	ringPauseMin = time.Second      // before an alarm rings again that was not handled; doubled
	ringPauseMax = time.Minute      //
	bellsLook    = 30 * time.Second // at the clock, which may have been set
)

// bells ring the alarms of one kind's actors. Which alarm an actor has stands in its own
// stream, and nowhere else; that the bells know of it rests on hints: see hints.go.
type bells struct {
	sys    *System
	stream string                // of the hints
	ring   func(id string) error // sends the actor its alarm
	wake   chan struct{}         // capacity 1: told when the next alarm may be another

	mu      sync.Mutex
	bells   map[string]*bell
	next    bellHeap
	ringing int    // how many have rung and are not done
	done    []rung // of them, those that listen has not come to

	hints  []hint // to be written with the next group
	owed   int    // works of the system that end with that
	listed bool   // with the committer
	tail   int    // records in the stream since its checkpoint
}

// bell is an actor that has an alarm, or may have one, as far as the hints go.
type bell struct {
	id       string
	version  backend.Version // of the actor when this was known; 0: from a hint
	foretold backend.Version // of the actor after the newest turn that relies on the hints
	at       alarm           // when to ring; 0: not
	hinted   alarm           // the earliest that the stream of hints holds; 0: none
	index    int             // in the heap; -1: not there
	tries    int             // in vain, since the actor has another version
	rings    bool            // and is not done
}

func newBells(sys *System, kind string, ring func(string) error) *bells {
	return &bells{sys: sys, stream: hintsPrefix + kind, ring: ring, wake: make(chan struct{}, 1), bells: map[string]*bell{}}
}

// of returns the actor's bell. The lock is held.
func (b *bells) of(id string) *bell {
	x := b.bells[id]
	if x == nil {
		x = &bell{id: id, index: -1}
		b.bells[id] = x
	}
	return x
}

// set has a bell ring at a time; 0: never. The lock is held.
func (b *bells) set(x *bell, at alarm) {
	x.at = at
	switch {
	case x.rings: // listen sees to it
	case at == 0 && x.index >= 0:
		heap.Remove(&b.next, x.index)
	case at != 0 && x.index >= 0:
		heap.Fix(&b.next, x.index)
	case at != 0:
		heap.Push(&b.next, x)
	}
	b.rouse()
}

func (b *bells) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// foretell notes that a turn sets an alarm, before its records are given to the committer:
// a hint of it will be stored no later than they are.
func (b *bells) foretell(id string, t *toll) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.at == 0 {
		return
	}
	x := b.of(id)
	x.foretold = t.version
	if x.hinted == 0 || t.at < x.hinted {
		x.hinted = t.at
		b.write(hint{ID: id, Version: t.version, At: t.at.time()}, false)
	}
}

// replayed learns an actor's alarm from a replay: no turn of it is on its way then.
func (b *bells) replayed(id string, version backend.Version, at alarm) {
	now := alarmAt(b.sys.now())
	b.mu.Lock()
	defer b.mu.Unlock()
	if x := b.bells[id]; x != nil {
		x.foretold = 0
	}
	b.learn(id, version, at, now)
}

// know learns an actor's alarm after a turn, now that its stream says so.
func (b *bells) know(id string, version backend.Version, at alarm) {
	now := alarmAt(b.sys.now())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.learn(id, version, at, now)
}

// learn is what both have in common. The lock is held.
func (b *bells) learn(id string, version backend.Version, at, now alarm) {
	x := b.bells[id]
	switch {
	case x == nil && at == 0:
		return
	case x == nil:
		x = b.of(id)
	case version < x.version:
		return
	}
	if version > x.version {
		x.version, x.tries = version, 0
	}
	switch {
	case x.hinted == 0 && at == 0:
	case x.hinted == 0 || at != 0 && at < x.hinted:
		b.write(hint{ID: id, Version: version, At: at.time()}, true)
		x.hinted = at
	case version < x.foretold: // a turn on its way relies on what they say
	case at == 0 || x.hinted <= now && at != x.hinted: // what the hints say is over
		b.write(hint{ID: id, Version: version, At: at.time(), Settled: true}, true)
		x.hinted = at
	}
	if at != 0 && x.tries > 0 { // it has rung in vain, and pauses
		at = max(at, x.at)
	}
	b.set(x, at)
	b.drop(x)
}

// wonder has the actor looked at when the hints say, if it has turns of which it is not
// known whether they are stored: the alarm of one that is has to ring.
func (b *bells) wonder(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if x := b.bells[id]; x != nil && x.hinted != 0 && (x.at == 0 || x.hinted < x.at) {
		b.set(x, x.hinted)
	}
}

// drop forgets a bell that has nothing to ring for. The lock is held.
func (b *bells) drop(x *bell) {
	if x.at == 0 && x.hinted == 0 && !x.rings {
		delete(b.bells, x.id)
	}
}

// rung notes what became of an alarm that has rung. An actor's lock may be held.
func (b *bells) rung(id string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = append(b.done, rung{id, err})
	b.rouse()
}

// rung is an alarm that has, and its answer.
type rung struct {
	id  string
	err error
}

// listen works off what has rung. What was handled is known already, with the next alarm;
// the rest rings again.
func (b *bells) listen() {
	now := b.sys.now()
	b.mu.Lock()
	done := b.done
	b.done = nil
	for _, r := range done {
		b.ringing--
		x := b.of(r.id)
		x.rings = false
		at := x.at
		if r.err != nil && at != 0 {
			pause := min(ringPauseMin<<min(x.tries, 10), ringPauseMax)
			x.tries++
			at = max(at, alarmAt(now.Add(pause)))
		}
		b.set(x, at)
		b.drop(x)
	}
	b.mu.Unlock()
	for _, r := range done {
		if r.err != nil && !errors.Is(r.err, ErrStopped) {
			b.sys.note(FactsFailures, Fact{Type: actorFailed, Actor: b.stream[len(hintsPrefix):] + "/" + r.id, Reason: "alarm: " + clip(r.err)})
		}
	}
}

// run rings until the system is gone.
func (b *bells) run() {
	for {
		b.listen()
		id, wait := b.due(b.sys.now())
		if id != "" {
			if !b.start(id) {
				return
			}
			continue
		}
		b.checkpoint()
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-b.wake:
		case <-b.sys.killed:
			t.Stop()
			return
		}
		t.Stop()
	}
}

// due returns the actor whose alarm is due and may ring, or how long there is none.
func (b *bells) due(now time.Time) (id string, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.next) == 0 || b.ringing >= ringsAtOnce {
		return "", bellsLook
	}
	x := b.next[0]
	if wait = x.at.time().Sub(now); wait > 0 {
		return "", min(max(wait, time.Millisecond), bellsLook)
	}
	heap.Pop(&b.next)
	x.rings = true
	b.ringing++
	return x.id, 0
}

// start rings; false if the system is stopping.
func (b *bells) start(id string) bool {
	if !b.sys.work.enter(false) {
		return false
	}
	if err := b.ring(id); err != nil {
		b.rung(id, err)
		b.sys.work.leave()
	}
	return true
}

// bellHeap is a container/heap of what is to ring, the next first.
type bellHeap []*bell

func (h bellHeap) Len() int           { return len(h) }
func (h bellHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h bellHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is container/heap's.
func (h *bellHeap) Push(x any) {
	b := x.(*bell)
	b.index = len(*h)
	*h = append(*h, b)
}

// Pop is container/heap's.
func (h *bellHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	x.index = -1
	return x
}
