package actorsys

import (
	"sync"

	"github.com/papyra-go/papyra/backend"
)

// Bounds on what one actor has decided and the store has not answered. Beyond them
// it takes no more letters.
const (
	maxPendingTurns = 1024
	maxPendingBytes = 4 << 20
)

// actor is one actor in memory. A goroutine, the runner, has it only while there are
// letters that may be read.
type actor[S any] struct {
	kind   *Kind[S]
	stream string

	mu        sync.Mutex
	mail      mailbox[S]
	pending   pending
	cause     error  // why the state was discarded last
	epoch     uint64 // what this incarnation's batches carry
	life      uint32 // counts discarded states
	running   bool   // there is a runner
	active    bool   // state stands
	stale     bool   // state must be replayed once nothing is pending: the actor panicked
	doubt     bool   // a batch was given up on while it was not known whether it is stored
	listed    bool   // in the committer's list, or in its hands
	releasing bool   // somebody lets turns out
	used      bool   // since the sweep came by
	idle      uint8  // sweeps since it was last used
	gone      bool   // out of the registry: nothing comes any more

	// The runner's own; whoever holds mu while there is none.
	state   S
	version backend.Version
}

// id is the stream's name without the kind.
func (a *actor[S]) id() string { return a.stream[len(a.kind.name)+1:] }

// wake starts a runner if there is work for one. The lock is held.
func (a *actor[S]) wake() {
	if !a.running && a.mail.n > 0 && a.open() {
		a.running = true
		a.kind.sys.runners.start(a)
	}
}

// open reports whether the actor may take another letter. The lock is held.
func (a *actor[S]) open() bool {
	return a.pending.turns < maxPendingTurns && a.pending.bytes < maxPendingBytes && !(a.stale && a.pending.turns > 0)
}

// run reads letters until there is none that may be read.
func (a *actor[S]) run() {
	ended := false
	defer func() {
		if !ended { // user code ended the goroutine: runtime.Goexit
			a.kind.sys.runners.start(a)
		}
	}()
	for {
		l, more := a.next()
		switch {
		case !more:
			ended = true
			return
		case l == nil:
			a.activate()
		default:
			a.turn(l)
		}
	}
}

// next takes the next letter out of the mailbox; none if the actor must be activated
// first. If there is nothing to do, the runner has ended.
func (a *actor[S]) next() (l *letter[S], more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stale && a.pending.turns == 0 {
		a.discard(nil)
	}
	l = a.first()
	if l == nil || !a.open() || a.kind.sys.isKilled() {
		a.running = false
		return nil, false
	}
	if !a.active {
		return nil, true
	}
	a.mail.remove(l)
	l.life = a.life
	return l, true
}

// discard forgets the state: the next letter replays it. The lock is held.
func (a *actor[S]) discard(cause error) {
	if a.active {
		a.kind.sys.alive.Add(-1)
	}
	a.life++
	a.active, a.stale, a.cause = false, false, cause
	if !a.running {
		var none S
		a.state = none
	}
}
