package actorsys

import (
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// Address is any [Ref], whatever its state.
type Address interface {
	fmt.Stringer
	cell() (cell, error)
}

// bonds are a plain actor's ties that end with it. They are guarded by its lock.
type bonds struct {
	watchers map[cell]func(reason error) Delivery // who is told when it has stopped
	watches  map[cell]struct{}                    // whom it watches
	timers   map[string]*timer
}

// Watch has a message sent once the target, a plain actor, has stopped: the one that
// as makes of the reason why (nil: as planned). It is sent exactly once, whatever is
// in the mailboxes, and at once if the target has stopped already. A restart is no
// stop. Watching again replaces as; the watch ends with the watcher, also when that
// is restarted. as is called outside of any turn.
//
// Only a plain actor can watch, and be watched: otherwise the turn fails.
func (t *Turn) Watch(target Address, as func(reason error) Delivery) {
	c, ok := t.bondWith(target)
	if !ok {
		return
	}
	if as == nil {
		t.refuse(fmt.Errorf("%w: Watch needs a function that makes the message", backend.ErrInvalid))
		return
	}
	if !c.watchedBy(t.self, as) {
		t.self.watching(c, false)
		t.self.system().notify(as, c.lastReason())
	}
}

// Unwatch ends a watch. A message that is on its way arrives all the same.
func (t *Turn) Unwatch(target Address) {
	if c, ok := t.bondWith(target); ok {
		t.self.watching(c, false)
		c.unwatchedBy(t.self)
	}
}

func (t *Turn) bondWith(target Address) (cell, bool) {
	if t.self == nil {
		t.refuse(errDurableTurn)
		return nil, false
	}
	if target == nil {
		t.refuse(errZeroRef)
		return nil, false
	}
	c, err := target.cell()
	if err != nil {
		t.refuse(err)
		return nil, false
	}
	return c, true
}

// watchedBy notes a watcher; false if the actor has stopped.
func (a *actor[S]) watchedBy(watcher cell, as func(error) Delivery) bool {
	watcher.watching(a, true)
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.plain
	if p.phase == over {
		return false
	}
	if p.watchers == nil {
		p.watchers = map[cell]func(error) Delivery{}
	}
	p.watchers[watcher] = as
	return true
}

func (a *actor[S]) unwatchedBy(watcher cell) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.plain.watchers, watcher)
}

// watching notes whom the actor watches, so that it can be ended.
func (a *actor[S]) watching(target cell, yes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.plain
	switch {
	case !yes:
		delete(p.watches, target)
	case p.watches == nil:
		p.watches = map[cell]struct{}{target: {}}
	default:
		p.watches[target] = struct{}{}
	}
}

func (a *actor[S]) lastReason() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.plain.reason
}

// notify sends what as makes of the reason.
func (s *System) notify(as func(error) Delivery, reason error) {
	var d Delivery
	err := guard(func() error { d = as(reason); return nil })
	if err != nil {
		s.cfg.Logger.Error("the function given to Watch panicked", "error", err)
		return
	}
	if d.send != nil {
		d.send(nil, itself)
	}
}

// unbind ends the actor's watches and timers. The lock is not held.
func (a *actor[S]) unbind() {
	a.mu.Lock()
	p := a.plain
	watches := p.watches
	p.watches = nil
	for _, t := range p.timers {
		t.clock.Stop()
	}
	p.timers = nil
	a.mu.Unlock()
	for c := range watches {
		c.unwatchedBy(a)
	}
}
