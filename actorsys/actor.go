package actorsys

import (
	"strings"
	"sync"

	"github.com/papyra-go/papyra/backend"
)

// Bounds on what one actor has decided and the store has not answered. Beyond them
// it takes no more letters.
const (
	maxPendingTurns = 1024
	maxPendingBytes = 4 << 20
)

// actor is one actor in memory, durable or plain. A goroutine, the runner, has it only
// while there is something for it to do.
type actor[S any] struct {
	sys     *System
	kind    *Kind[S]  // nil: it is plain
	plain   *plain[S] // nil: it is durable
	address string    // a durable actor's is the name of its stream

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
	held      bool   // in line for room in the system's budget
	releasing bool   // somebody lets turns out
	used      bool   // since the sweep came by
	idle      uint8  // sweeps since it was last used
	gone      bool   // out of the registry: nothing comes any more
	trouble   *trouble
	afters    *afters // of its turns; nil: there were none

	// The runner's own; whoever holds mu while there is none.
	state   S
	version backend.Version
	recent  *recent // of commands; nil: none
	alarm   alarm
}

// step is what a runner does next. All but read are of plain actors only, and begin.
type step uint8

const (
	rest  step = iota // nothing
	read              // take a letter
	begin             // make the state
	judge             // say what becomes of an actor that failed
	wind              // have the children stop
	leave             // forget the state
)

// bound is how many letters may wait.
func (a *actor[S]) bound() int {
	if a.plain != nil {
		return a.plain.opts.Mailbox
	}
	return a.kind.opts.Mailbox
}

// wake starts a runner if there is work for one. The lock is held.
func (a *actor[S]) wake() {
	if !a.running && a.due() != rest {
		a.running = true
		a.sys.runners.start(a)
	}
}

// due returns what there is to do. The lock is held.
func (a *actor[S]) due() step {
	if a.sys.isKilled() {
		return rest
	}
	if a.plain != nil {
		if s := a.plain.due(a.active, a.mail.n); s != read {
			return s
		}
	}
	switch {
	case a.mail.n == 0 || !a.open() || a.plain == nil && !a.room():
		return rest
	case !a.active:
		return begin
	}
	return read
}

// open reports whether the actor may take another letter. The lock is held.
func (a *actor[S]) open() bool {
	return a.pending.turns < maxPendingTurns && a.pending.bytes < maxPendingBytes && !a.afters.full() && !(a.stale && a.pending.turns > 0)
}

// room reports whether the system as a whole may decide more; if not, the actor is in
// line. The lock is held.
func (a *actor[S]) room() bool {
	a.held = a.held || a.sys.budget.wait(a)
	return !a.held
}

// resume is called when there is room again.
func (a *actor[S]) resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = false
	a.wake()
}

// run works until there is nothing to do.
func (a *actor[S]) run() {
	ended := false
	defer func() {
		if !ended { // user code ended the goroutine: runtime.Goexit
			a.sys.runners.start(a)
		}
	}()
	for {
		l, s := a.next()
		switch {
		case s == rest:
			ended = true
			return
		case s == read:
			a.turn(l)
		case a.plain != nil:
			a.plain.step(a, s)
		default:
			a.activate()
		}
	}
}

// next returns what to do, and the letter to read. If there is nothing, the runner has
// ended.
func (a *actor[S]) next() (l *letter[S], s step) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stale && a.pending.turns == 0 {
		a.discard(nil)
	}
	l = a.first()
	switch s = a.due(); s {
	case rest:
		a.running = false
	case read:
		a.take(l)
		l.life = a.life
	}
	return l, s
}

// discard forgets the state: the next letter replays it. The lock is held.
func (a *actor[S]) discard(cause error) {
	if a.active {
		a.sys.alive.Add(-1)
	}
	a.life++
	a.active, a.stale, a.cause = false, false, cause
	if !a.running || a.plain != nil {
		var none S
		a.state = none
	}
}

// id is the stream's name without the kind; of a plain actor, its name.
func (a *actor[S]) id() string {
	if a.plain != nil {
		return a.address[strings.LastIndexByte(a.address, '/')+1:]
	}
	return a.address[len(a.kind.name)+1:]
}
