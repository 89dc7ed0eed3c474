package actorsys

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Bounds on how long the committer goes on to learn what became of a batch, and on
// the pauses of healing.
const (
	resolveTries    = 8
	resolvePauseMin = 10 * time.Millisecond // doubled with each try
	healPauseMin    = 100 * time.Millisecond
	healPauseMax    = 30 * time.Second
)

// outcome is what became of a batch: stored if err is nil; if doubt, it is not known;
// else it was definitely not stored.
type outcome struct {
	err   error
	doubt bool
}

// judge notes the verdict on one sending. It returns whether another could tell or
// help.
func (o *outcome) judge(err error) (again bool) {
	o.doubt = errors.Is(err, backend.ErrUnknownOutcome) || o.doubt && err != nil && !refutes(err)
	o.err = err
	return o.open()
}

func (o *outcome) open() bool { return o.doubt || errors.Is(o.err, backend.ErrPoisoned) }

// refutes reports whether this answer to a batch that was sent before says that the
// first sending was not stored: it is given to one batch, after its ID was looked for.
// Any other, such as a full disk, may be the verdict on a whole group, and speaks of
// this sending only.
func refutes(err error) bool {
	return errors.Is(err, backend.ErrConflict) || errors.Is(err, backend.ErrFenced)
}

// toOthers is err for those that rested on the batch and were not in it: they were
// certainly not stored, so that it must not read as if that were in doubt.
func (o outcome) toOthers() error {
	switch {
	case !o.doubt:
		return o.err
	case errors.Is(o.err, backend.ErrPoisoned):
		return fmt.Errorf("%w: it followed a batch in doubt: %v", backend.ErrPoisoned, o.err)
	}
	return fmt.Errorf("it followed a batch in doubt: %v", o.err)
}

// write appends the group's batches and notes what became of each.
func (c *committer) write() {
	results := c.send(c.batches)
	again := false
	for i := range results {
		c.outcomes = append(c.outcomes, outcome{})
		again = c.outcomes[i].judge(results[i].Err) || again
	}
	for try := 0; again && c.mayResend(try); try++ {
		again = c.resend()
	}
}

func (c *committer) send(batches []backend.Batch) []backend.Result {
	results, _ := c.sys.cfg.Backend.AppendAll(context.Background(), batches) // an error stands in the results too
	return results
}

// resend sends again, under the same ID, the batches of which it is not known whether
// they were stored, and those that met a poisoned backend. It returns whether another
// sending could tell, or help.
func (c *committer) resend() (again bool) {
	var batches []backend.Batch
	var at []int
	for i := range c.outcomes {
		if o := &c.outcomes[i]; o.open() {
			batches, at = append(batches, c.batches[i]), append(at, i)
		}
	}
	for j, r := range c.send(batches) {
		again = c.outcomes[at[j]].judge(r.Err) || again
	}
	return again
}

// mayResend waits until sending again makes sense, and returns false if it does not.
func (c *committer) mayResend(try int) bool {
	switch {
	case try == resolveTries || c.sys.isKilled():
		return false
	case c.sys.cfg.Backend.Poisoned() != nil:
		return c.sys.heal.now()
	case try == 0:
		return true
	}
	return c.sys.sleep(resolvePauseMin << try)
}

// healer reopens a poisoned backend, one attempt at a time.
type healer struct {
	sys  *System
	mu   sync.Mutex
	busy bool
}

// now tries to reopen the backend, unless somebody is at it. If that fails it goes on
// trying in the background, and returns false.
func (h *healer) now() bool {
	if h.sys.cfg.NoReopen {
		return false
	}
	h.mu.Lock()
	busy := h.busy
	h.busy = true
	h.mu.Unlock()
	if busy {
		return false
	}
	if h.reopen() {
		h.done()
		return true
	}
	h.sys.goroutines.Go(h.goOn)
	return false
}

func (h *healer) done() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = false
}

// goOn tries until the backend is sound or the system is gone.
func (h *healer) goOn() {
	defer h.done()
	for pause := healPauseMin; h.sys.sleep(pause); pause = min(2*pause, healPauseMax) {
		if h.reopen() {
			return
		}
	}
}

// reopen returns whether the backend is sound, by itself or by others.
func (h *healer) reopen() bool {
	b, log := h.sys.cfg.Backend, h.sys.cfg.Logger
	why := b.Poisoned()
	if why == nil {
		return true
	}
	err := b.Reopen(h.sys.ctx)
	healed := b.Poisoned() == nil
	if healed {
		log.Warn("the backend was poisoned and has been reopened", "backend", b.Name(), "reason", why, "error", err)
	} else {
		log.Error("the backend is poisoned and could not be reopened", "backend", b.Name(), "reason", why, "error", err)
	}
	return healed
}
