package actorsys

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// activate replays the actor's stream for the letters that wait. If it fails, they
// get the reason, all at once: the next letter tries again.
func (a *actor[S]) activate() {
	sys := a.sys
	if err := a.quarantined(); err != nil {
		a.turnAllAway(err)
		return
	}
	permit := sys.permits.join()
	defer sys.permits.leave(permit)
	if !a.await(permit) {
		return
	}
	r := replayed[S]{}
	defer a.activated(&r) // also if user code ends the goroutine
	a.replay(&r)
}

// await waits for the permit while anybody waits for the actor.
func (a *actor[S]) await(permit *permit) bool {
	for {
		a.mu.Lock()
		l := a.first()
		a.mu.Unlock()
		if l == nil {
			return false
		}
		var left <-chan struct{} // nil if nobody waits: it stays
		if l.ask != nil {
			left = l.ctx.Done()
		}
		select {
		case <-permit.granted:
			return true
		case <-left:
		case <-a.sys.killed:
			return false
		}
	}
}

// activated puts a replayed state in place, or turns everybody away.
func (a *actor[S]) activated(r *replayed[S]) {
	a.mu.Lock()
	if r.err != nil {
		why, before := a.quarantine(r.err)
		a.mu.Unlock()
		a.turnAllAway(why)
		if !before {
			a.sys.actorFailed(a.address, why)
		}
		return
	}
	a.state, a.version, a.epoch, a.recent, a.alarm = r.state, r.version, r.epoch, r.recent, r.alarm
	a.active, a.doubt = true, false
	level := FactsAll
	if a.released() {
		level = FactsFailures
	}
	a.sys.alive.Add(1)
	a.mu.Unlock()
	if a.kind.bells != nil {
		a.kind.bells.replayed(a.id(), r.version, r.alarm)
	}
	a.sys.note(level, Fact{Type: actorActivated, Actor: a.address, Version: r.version, Events: r.events})
}

// firstContext is that of the letter that waits longest.
func (a *actor[S]) firstContext() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.mail.first; l != nil {
		return l.ctx
	}
	return nil
}

// replayed is what a replay came to.
type replayed[S any] struct {
	state   S
	version backend.Version
	epoch   uint64
	recent  *recent
	alarm   alarm
	events  int // applied
	err     error
}

// replay reads the stream, and turns a panic of user code into an error.
func (a *actor[S]) replay(r *replayed[S]) {
	ended := false
	done := ignore
	defer func() {
		if !ended {
			r.err = caught(recover())
		}
		if r.err != nil {
			r.err = fmt.Errorf("activating: %w", r.err)
		}
		done(r.err)
	}()
	var ctx context.Context
	ctx, done = a.sys.onRecover(a.firstContext(), a.address)
	r.err = a.load(ctx, r)
	ended = true
}

// load replays the actor's stream. A batch that was given up on in doubt must have come
// to rest first, which it has when the backend is not poisoned any more.
func (a *actor[S]) load(ctx context.Context, r *replayed[S]) error {
	b := a.sys.cfg.Backend
	if why := b.Poisoned(); a.doubt && why != nil {
		return fmt.Errorf("an earlier batch is in doubt: %w", why)
	}
	head, err := b.Head(ctx, a.address)
	if err != nil {
		return err
	}
	r.epoch = head.Epoch + 1 // whoever held the stream before is fenced by the first batch
	return a.kind.build(ctx, a.address, head, head.Version, r)
}

// build makes the state of an actor as it was at a version. A cut that overtakes it has
// it begin anew.
func (k *Kind[S]) build(ctx context.Context, stream string, head backend.Head, version backend.Version, r *replayed[S]) error {
	for {
		*r = replayed[S]{state: k.opts.Initial(stream[len(k.name)+1:]), epoch: r.epoch, recent: k.newRecent()}
		err := k.buildOnce(ctx, stream, head.Floor, version, r)
		if !errors.Is(err, backend.ErrCompacted) {
			return err
		}
		now, headErr := k.sys.cfg.Backend.Head(ctx, stream)
		if headErr != nil || now.Floor == head.Floor {
			return err
		}
		head = now
	}
}

// buildOnce takes the newest snapshot that is fit and applies the events after it.
func (k *Kind[S]) buildOnce(ctx context.Context, stream string, floor, version backend.Version, r *replayed[S]) error {
	if version == 0 {
		return nil
	}
	why, err := k.loadSnapshot(ctx, stream, version, r)
	if err != nil {
		return err
	}
	if r.version+1 < floor {
		return fmt.Errorf("%w: stream %q: its events begin at version %d, and no snapshot reaches them: %w", backend.ErrCompacted, stream, floor, cmp.Or(why, errNoSnapshot))
	}
	from := r.version + 1
	if w := k.window(); version > w { // what the snapshot covers is read for the commands' ids
		from = min(from, version-w+1)
	} else if w > 0 {
		from = 1
	}
	for rec, err := range k.sys.cfg.Backend.Read(ctx, backend.Query{Stream: stream, From: uint64(max(from, floor)), To: uint64(version)}) {
		if err != nil {
			return err
		}
		r.recent.read(&rec)
		if rec.Version <= r.version {
			continue
		}
		at, is, err := readAlarm(&rec)
		if is {
			r.alarm = at
		} else if err == nil {
			r.state, err = k.book.apply(&rec, r.state)
		}
		if err != nil {
			return err
		}
		r.version = rec.Version
		r.events++
	}
	if r.version < version {
		return fmt.Errorf("%w: stream %q ends at version %d, its head is at %d", backend.ErrCorrupt, stream, r.version, version)
	}
	return nil
}
