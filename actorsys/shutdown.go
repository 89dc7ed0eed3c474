package actorsys

import (
	"context"
	"sync"
	"sync/atomic"
)

// Shutdown ends the system. From now on messages from outside get [ErrStopped]; what
// is in the mailboxes is worked off, with what follows from it, and made durable;
// then the plain actors stop, each after its children, and the facts and snapshots
// that wait are stored. The backend stays open.
//
// If ctx ends first, its error comes back at once and the rest is given up: askers
// get [ErrStopped], together with [ErrNotPersisted] or [backend.ErrUnknownOutcome]. A
// further Shutdown waits for the first, as long as its own ctx lasts, and returns the
// same. A nil System has nothing to end: nil.
func (s *System) Shutdown(ctx context.Context) error {
	if s == nil {
		return nil
	}
	if s.stopping.CompareAndSwap(false, true) {
		s.stopResult = s.shutdown(ctx)
		close(s.stopped)
	}
	select {
	case <-s.stopped:
		return s.stopResult
	default:
	}
	select {
	case <-s.stopped:
		return s.stopResult
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *System) shutdown(ctx context.Context) error {
	s.work.stop()
	s.giveUpRestarts()
	err := s.settle(ctx)
	if err == nil {
		err = s.endActors(ctx)
	}
	s.abandon()
	s.graves.close()
	if err == nil {
		err = await(ctx, ended(&s.graveyard))
	}
	s.note(FactsFailures, Fact{Type: systemStopped})
	s.news.end()
	s.facts.close()
	s.snapshots.close()
	if err == nil {
		err = await(ctx, ended(&s.lanes))
	}
	s.mu.Lock() // see add
	s.kill()
	s.mu.Unlock()
	if err == nil {
		err = await(ctx, ended(&s.goroutines))
	}
	return err
}

// settle waits until everything that was taken on is done.
func (s *System) settle(ctx context.Context) error {
	for !s.work.done() {
		if err := await(ctx, s.work.idle); err != nil {
			return err
		}
	}
	return nil
}

// giveUpRestarts stops the plain actors that wait to be started again, so that nothing
// waits for them.
func (s *System) giveUpRestarts() {
	for _, r := range s.names.all() {
		if c, plain := r.(cell); plain && c.isPausing() {
			c.quit(discards, ErrStopped)
		}
	}
}

// endActors stops the plain actors, each after its children, and waits for what comes of
// that.
func (s *System) endActors(ctx context.Context) error {
	s.top.open(false)
	all := s.top.all()
	for _, c := range all {
		c.quit(discards, nil)
	}
	for _, c := range all {
		if err := await(ctx, c.stopped()); err != nil {
			return err
		}
	}
	return s.settle(ctx)
}

// abandon makes dead letters of what is in mailboxes still: the shutdown was given up.
func (s *System) abandon() {
	for _, r := range s.names.all() {
		r.abandon()
	}
}

// abandon turns away what waits; askers have their own way to learn of it.
func (a *actor[S]) abandon() { a.turnAllAway(ErrStopped) }

func (k *Kind[S]) abandon() {
	for a := range k.all() {
		a.abandon()
	}
}

// await waits for a signal, or the end of ctx, whose cause it returns.
func await(ctx context.Context, signal <-chan struct{}) error {
	select {
	case <-signal:
		return nil
	default:
	}
	select {
	case <-signal:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ended is closed when the goroutines have ended.
func ended(g *sync.WaitGroup) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		g.Wait()
		close(done)
	}()
	return done
}

// work counts what the system has taken on and not finished: messages until their
// answer has left, functions of After. Once stopped it lets in nothing from outside,
// but what work inside gives rise to.
type work struct {
	count atomic.Int64  // less stopBias once stopped
	idle  chan struct{} // capacity 1: told when it is stopped and nothing is left
}

const stopBias = 1 << 40

// enter takes something on; the caller must see to it that leave follows.
func (w *work) enter(inside bool) bool {
	if w.count.Add(1) > 0 || inside {
		return true
	}
	w.leave()
	return false
}

func (w *work) leave() { w.tell(w.count.Add(-1)) }

// done reports whether it is stopped and nothing is left.
func (w *work) done() bool { return w.count.Load() == -stopBias }

func (w *work) stop() { w.tell(w.count.Add(-stopBias)) }

func (w *work) tell(count int64) {
	if count == -stopBias {
		select {
		case w.idle <- struct{}{}:
		default:
		}
	}
}
