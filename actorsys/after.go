package actorsys

import (
	"context"
	"sync"
	"sync/atomic"
)

// afters is what an actor's turns left to After: it is called one after the other, in
// the order of the turns.
type afters struct {
	sys     *System
	address string
	drained func() // called when there is room for more
	n       atomic.Int64

	mu      sync.Mutex
	line    []func(context.Context)
	running bool
}

// leaving notes where the turn's functions go. The lock is held.
func (a *actor[S]) leaving(t *Turn) {
	if len(t.afters) == 0 {
		return
	}
	if a.afters == nil {
		a.afters = &afters{sys: a.sys, address: a.address, drained: func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.wake()
		}}
	}
	t.line = a.afters
}

// full reports whether so much waits that the actor should not add to it.
func (l *afters) full() bool { return l != nil && l.n.Load() >= maxPendingTurns }

// empty reports whether nothing waits, nor runs.
func (l *afters) empty() bool { return l == nil || l.n.Load() == 0 }

// add has functions called.
func (l *afters) add(fs []func(context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range fs {
		l.sys.work.enter(true)
		l.n.Add(1)
		l.line = append(l.line, f)
	}
	if !l.running {
		l.running = true
		go l.run()
	}
}

// run calls what waits.
func (l *afters) run() {
	for {
		l.mu.Lock()
		if len(l.line) == 0 {
			l.line, l.running = nil, false
			l.mu.Unlock()
			return
		}
		f := l.line[0]
		l.line[0] = nil
		l.line = l.line[1:]
		l.mu.Unlock()
		l.call(f)
	}
}

// call calls one, which may panic, or end the goroutine: then another goes on.
func (l *afters) call(f func(context.Context)) {
	ended := false
	defer func() {
		if v := recover(); !ended {
			l.sys.cfg.Logger.Error("a function given to After panicked", "actor", l.address, "error", caught(v))
			if v == nil {
				go l.run()
			}
		}
		if l.n.Add(-1) == maxPendingTurns-1 {
			l.drained()
		}
		l.sys.work.leave()
	}()
	f(l.sys.ctx)
	ended = true
}
