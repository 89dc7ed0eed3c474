package actorsys

import (
	"errors"
	"fmt"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Plain are what a plain actor may choose. Nil, and the zero value, are the defaults.
type Plain[S any] struct {
	// Stop is called when the actor stops, or is about to be started again, with the
	// state that it has then and the reason (nil: as planned). Its children have
	// stopped before. What it notes in t is done.
	Stop func(t *Turn, s S, reason error)
	// Mailbox is how many messages may wait. Default: [DefaultMailbox].
	Mailbox int
	// Supervision says what becomes of the actor when it fails.
	Supervision Supervision
}

func (o *Plain[S]) check() error {
	if o.Mailbox < 0 {
		return fmt.Errorf("%w: Plain.Mailbox is %d: want 0 (%d) or more", backend.ErrInvalid, o.Mailbox, DefaultMailbox)
	}
	return o.Supervision.check()
}

// plain is what a plain actor has besides what every actor has: how it starts, fails
// and stops.
//
//	up ──fails, Restart──▶ winding ──children gone, Stop called──▶ pausing ──▶ up
//	up ──is to stop──────▶ winding ──children gone, Stop called──▶ over
//
// Signals to it are fields, not letters, so that no full mailbox holds them up. They
// are guarded by the actor's lock, and acted on by its runner, between turns.
type plain[S any] struct {
	start    func(*Turn, Ref[S]) (S, error)
	opts     Plain[S]
	parent   home
	children branch
	over     chan struct{} // closed when it has stopped

	phase   phase
	failure error         // to be judged
	bidden  bool          // failure is a sibling's, and the judgement: start again after pause
	again   bool          // winding to start again
	pause   time.Duration // before that
	end     ending        // it is to stop, in this way
	reason  error         // why it stops or starts again

	restarts []time.Time // in the window of the supervision; the runner's own

	bonds
}

type phase uint8

const (
	up      phase = iota // active, or to be started
	winding              // no turns any more; its children are stopping
	pausing              // waits to be started again
	over                 // has stopped
)

// ending is how an actor is to stop.
type ending uint8

const (
	stays    ending = iota
	drains          // once its mailbox is empty
	discards        // at once: what waits is turned away
)

// closed reports whether nothing more may come in. The lock is held.
func (p *plain[S]) closed() bool { return p.end != stays || p.phase == over }

// due returns what there is to do; read: see to the letters. The lock is held.
func (p *plain[S]) due(active bool, letters int) step {
	switch p.phase {
	case up:
		switch {
		case p.failure != nil:
			return judge
		case p.end == discards || p.end == drains && letters == 0:
			return wind
		case p.again:
			return wind
		case !active:
			return begin
		}
		return read
	case winding:
		if p.children.none() {
			return leave
		}
	case pausing:
		if p.end != stays {
			return leave
		}
	}
	return rest
}

// step does what is due.
func (p *plain[S]) step(a *actor[S], s step) {
	switch s {
	case begin:
		a.start(nil)
	case judge:
		a.judge()
	case wind:
		a.wind()
	case leave:
		a.leave()
	}
}

// Spawn starts a plain actor: one whose state is in memory only. in is the [System],
// or the [Turn] of a plain actor whose child it becomes. The name, without a slash, is
// unique among its siblings, and the actor's address is the parent's address, a slash,
// and the name; no name means the next number.
//
// start makes the state, with self as the actor's own ref, and is called before Spawn
// returns; if it fails there is no actor, and Spawn returns its error. It is called
// again each time that the actor is restarted. A plain actor takes the same commands
// as a durable one: the events that they return evolve its state and are not stored,
// and if S refers to something, such as a pointer does, Decide may change that.
//
// [backend.ErrInvalid] if the name is taken or can't be one, or if in is a durable
// actor's turn; [ErrStopped].
func Spawn[S any](in Parent, name string, start func(t *Turn, self Ref[S]) (S, error), opts *Plain[S]) (Ref[S], error) {
	var none Ref[S]
	parent, err := homeOf(in)
	if err != nil {
		return none, err
	}
	if start == nil {
		return none, fmt.Errorf("%w: Spawn needs a start function", backend.ErrInvalid)
	}
	p := &plain[S]{start: start, parent: parent, over: make(chan struct{})}
	if opts != nil {
		p.opts = *opts
	}
	if err := p.opts.check(); err != nil {
		return none, err
	}
	if p.opts.Mailbox == 0 {
		p.opts.Mailbox = DefaultMailbox
	}
	p.opts.Supervision = p.opts.Supervision.withDefaults()
	a := &actor[S]{sys: parent.system(), plain: p, running: true}
	if err := a.settleIn(name); err != nil {
		return none, err
	}
	failed := errors.New("starting ended early")
	defer a.spawned(&failed)
	failed = a.start(in.spawnContext())
	if failed != nil {
		return none, fmt.Errorf("starting %q: %w", a.address, failed)
	}
	return Ref[S]{a, a.id()}, nil
}

// spawned lets the actor run; one that could not start ends at once.
func (a *actor[S]) spawned(failed *error) {
	a.mu.Lock()
	if *failed == nil {
		a.running = false
		a.wake()
		a.mu.Unlock()
		return
	}
	a.plain.failure = nil // it is Spawn's error
	a.mu.Unlock()
	a.quit(discards, *failed)
	a.run()
}

// settleIn gives the actor its address and its places with its parent and in the
// registry.
func (a *actor[S]) settleIn(name string) (err error) {
	parent := a.plain.parent
	for again := true; again; again = name == "" && errors.Is(err, errTaken) {
		if a.address, err = parent.children().address(parent.path(), name); err == nil {
			err = a.sys.names.add(a.address, a)
		}
	}
	if err != nil {
		return err
	}
	if !parent.children().add(a) {
		a.sys.names.remove(a.address)
		return fmt.Errorf("%w: it can't have children any more", errActorStopped)
	}
	a.sys.registered.Add(1)
	return nil
}
