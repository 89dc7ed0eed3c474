package actorsys

import (
	"context"
	"time"
)

// timer is a message that is due at a time.
type timer struct {
	key   string
	clock *time.Timer
	msg   Delivery
	ctx   context.Context
}

// Timer sends a message after a time, once, whatever is in the mailboxes: usually to
// the actor itself. A timer of the same key that has not rung is replaced, and all of an
// actor's timers end with it, also when it is restarted. A message that a timer has
// sent may still be in the mailbox when it is replaced or stopped. Only a plain actor
// has timers: otherwise the turn fails. They don't ring during [System.Shutdown].
func (t *Turn) Timer(key string, d time.Duration, msg Delivery) {
	if t.self == nil {
		t.refuse(errDurableTurn)
		return
	}
	t.self.setTimer(&timer{key: key, msg: msg, ctx: t.ctx}, d)
}

// StopTimer ends the timer of this key, if there is one.
func (t *Turn) StopTimer(key string) {
	if t.self == nil {
		t.refuse(errDurableTurn)
		return
	}
	t.self.setTimer(&timer{key: key}, -1)
}

// setTimer replaces the timer of t's key; with d negative and no message, by none.
func (a *actor[S]) setTimer(t *timer, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.plain
	if old := p.timers[t.key]; old != nil {
		old.clock.Stop()
		delete(p.timers, t.key)
	}
	if t.msg.send == nil {
		return
	}
	if p.timers == nil {
		p.timers = map[string]*timer{}
	}
	p.timers[t.key] = t
	t.clock = time.AfterFunc(d, func() { a.ring(t) })
}

// ring sends a timer's message, if it still stands and the system is not stopping.
func (a *actor[S]) ring(t *timer) {
	if !a.sys.work.enter(false) {
		return
	}
	defer a.sys.work.leave()
	a.mu.Lock()
	stands := a.plain.timers[t.key] == t
	if stands {
		delete(a.plain.timers, t.key)
	}
	a.mu.Unlock()
	if stands {
		t.msg.send(t.ctx, itself)
	}
}
