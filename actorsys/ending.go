package actorsys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Stop stops a plain actor, without its mailbox: after the turn that it is in, what
// waits is turned away (askers get [ErrStopped], what was told becomes dead letters).
// Its children stop first, in the same way. Stop waits until the actor has stopped, or
// ctx ends: then it stops all the same, and ctx's cause comes back. Stopping what has
// stopped is no error. An actor stops itself with [Turn.Stop]: it would wait for itself
// here. [backend.ErrInvalid] for a durable actor, which leaves memory when it is idle.
func (r Ref[S]) Stop(ctx context.Context) error { return r.quit(ctx, discards) }

// Drain stops a plain actor like [Ref.Stop], once it has worked off what waits. From
// now on it takes no more.
func (r Ref[S]) Drain(ctx context.Context) error { return r.quit(ctx, drains) }

func (r Ref[S]) quit(ctx context.Context, how ending) error {
	c, err := r.cell()
	if err != nil {
		return err
	}
	c.quit(how, nil)
	select {
	case <-c.stopped():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%q has not stopped yet: %w", c.path(), context.Cause(ctx))
	case <-c.system().killed:
		return ErrStopped
	}
}

// quit has the actor stop. To discard goes before to drain.
func (a *actor[S]) quit(how ending, reason error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.plain
	if p.phase == over || how <= p.end {
		return
	}
	if p.end == stays {
		p.reason = reason
	}
	p.end = how
	a.wake()
}

func (a *actor[S]) stopped() <-chan struct{} { return a.plain.over }

// isPausing reports whether the actor waits to be started again.
func (a *actor[S]) isPausing() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.plain.phase == pausing
}

// wind has the children stop. When the last has, the actor leaves.
func (a *actor[S]) wind() {
	a.mu.Lock()
	a.plain.phase = winding
	reason := a.plain.reason
	a.mu.Unlock()
	a.plain.children.open(false)
	for _, c := range a.plain.children.all() {
		c.quit(discards, reason)
	}
}

// leave forgets the state, for good or to start again. User code is called before that.
func (a *actor[S]) leave() {
	defer a.left()
	a.unbind() // no timer rings any more
	if a.mu.Lock(); !a.active {
		a.mu.Unlock()
		return
	}
	state, reason := a.state, a.plain.reason
	a.mu.Unlock()
	ctx, done := a.sys.onStop(a.address, reason)
	t := a.newTurn(ctx)
	t.self = nil // it has no more children, nor timers
	err := guard(func() error {
		if a.plain.opts.Stop != nil {
			a.plain.opts.Stop(t, state, reason)
		}
		return t.invalid
	})
	done(err)
	if err != nil {
		a.sys.actorFailed(a.address, fmt.Errorf("stopping: %w", err))
		return
	}
	a.mu.Lock()
	a.leaving(t)
	a.mu.Unlock()
	a.sys.outputs(t)
}

// left closes the books: the actor waits to be started again, or is over.
func (a *actor[S]) left() {
	p := a.plain
	refusal := notPersisted(a.address, errActorStopped)
	a.mu.Lock()
	a.discard(nil)
	if p.again && p.end == stays && !a.sys.stopping.Load() {
		p.again, p.phase = false, pausing
		time.AfterFunc(p.pause, a.unpause)
		a.mu.Unlock()
		return
	}
	p.end, p.phase = discards, over
	reason, told, watchers := p.reason, a.takeAll(refusal), p.watchers
	p.watchers = nil
	a.mu.Unlock()
	a.bury(told, errActorStopped)
	a.sys.names.remove(a.address)
	a.sys.registered.Add(-1)
	a.sys.actorStopped(a.address, reason)
	for watcher, as := range watchers {
		watcher.watching(a, false)
		a.sys.notify(as, reason)
	}
	p.parent.childGone(a)
	close(p.over)
}

// unpause starts the actor again.
func (a *actor[S]) unpause() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.plain.phase == pausing {
		a.plain.phase = up
		a.plain.children.open(true)
		a.wake()
	}
}

// start makes the state, by user code. If it can't, that is a failure like others, and
// returned.
func (a *actor[S]) start(ctx context.Context) (failed error) {
	failed = errors.New("starting ended early")
	ctx, done := a.sys.onSpawn(ctx, a.address)
	t := a.newTurn(ctx)
	var state S
	defer func() {
		done(failed)
		a.started(t, state, failed)
	}()
	failed = guard(func() (err error) {
		state, err = a.plain.start(t, Ref[S]{a, a.id()})
		return cmp.Or(err, t.invalid)
	})
	return failed
}

func (a *actor[S]) started(t *Turn, state S, failed error) {
	a.mu.Lock()
	if failed != nil {
		a.plain.failure = failed
		a.mu.Unlock()
		return
	}
	a.state, a.active = state, true
	reason := a.plain.reason
	a.plain.reason = nil
	a.obey(t)
	a.leaving(t)
	a.sys.alive.Add(1)
	a.mu.Unlock()
	a.sys.actorStarted(a.address, reason)
	a.sys.outputs(t)
}
