package actorsys

import (
	"errors"
	"fmt"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// How long an actor in quarantine answers without looking at its stream again; doubled
// each time that it is found no better.
const (
	quarantineMin = time.Second
	quarantineMax = time.Minute
)

// durableRestarts says how a durable actor that panics replays: at once while it is
// within the budget, then after pauses.
var durableRestarts = Supervision{MaxRestarts: -1, MaxBackoff: 5 * time.Second}.withDefaults()

// trouble is what a durable actor that has failed remembers. It is guarded by the
// actor's lock.
type trouble struct {
	restarts []time.Time   // replays after a panic, in the window
	err      error         // why it is in quarantine; nil: it is not
	pause    time.Duration // of the quarantine
	until    time.Time
}

// had returns the actor's trouble, to be changed. The lock is held.
func (a *actor[S]) had() *trouble {
	if a.trouble == nil {
		a.trouble = &trouble{}
	}
	return a.trouble
}

// panicked has the actor replay, and wait with that if it panics over and over. The
// lock is held.
func (a *actor[S]) panicked() {
	a.stale = true
	tr := a.had()
	tr.restarts, _ = durableRestarts.spend(tr.restarts, time.Now())
	if n := len(tr.restarts) - DefaultMaxRestarts; n > 0 {
		a.held = true
		time.AfterFunc(durableRestarts.pause(n), a.resume)
	}
}

// quarantined returns the reason why the actor is in quarantine, if it still is.
func (a *actor[S]) quarantined() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if tr := a.trouble; tr != nil && time.Now().Before(tr.until) {
		return tr.err
	}
	return nil
}

// quarantine remembers why a replay failed, if another would too. It returns the error
// for those who wait, and whether the actor was in quarantine before. The lock is held.
func (a *actor[S]) quarantine(err error) (why error, before bool) {
	if !lasting(err) {
		return err, false
	}
	tr := a.had()
	before = tr.err != nil
	tr.err = fmt.Errorf("%w: %w", ErrQuarantined, err)
	tr.pause = min(max(2*tr.pause, quarantineMin), quarantineMax)
	tr.until = time.Now().Add(tr.pause)
	return tr.err, before
}

// released ends the quarantine. It returns whether there was one. The lock is held.
func (a *actor[S]) released() bool {
	if a.trouble == nil || a.trouble.err == nil {
		return false
	}
	a.trouble.err, a.trouble.pause = nil, 0
	return true
}

// lasting reports whether a replay failed for what is stored, and not for want of the
// store.
func lasting(err error) bool {
	var panicked *PanicError
	var unknown *UnknownEventError
	var undecodable *undecodableError
	return errors.Is(err, backend.ErrCorrupt) || errors.Is(err, backend.ErrFormat) || errors.Is(err, backend.ErrCompacted) ||
		errors.As(err, &panicked) || errors.As(err, &unknown) || errors.As(err, &undecodable)
}
