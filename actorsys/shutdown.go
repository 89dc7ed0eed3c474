package actorsys

import (
	"context"
	"sync"
	"sync/atomic"
)

// Shutdown ends the system. From now on messages from outside get [ErrStopped]; what
// is in the mailboxes is worked off, with what follows from it, and made durable;
// then the facts and snapshots that wait are stored. The backend stays open.
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
	err := await(ctx, s.work.idle)
	s.note(FactsFailures, systemStopped, fact{})
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

func (w *work) stop() { w.tell(w.count.Add(-stopBias)) }

func (w *work) tell(count int64) {
	if count == -stopBias {
		select {
		case w.idle <- struct{}{}:
		default:
		}
	}
}
