package actorsys

import (
	"fmt"
	"runtime/debug"

	"github.com/papyra-go/papyra/backend"
)

// decision is what came of a turn's user code.
type decision[S any] struct {
	state    S
	err      error
	panicked bool
}

// turn runs one command and hands what came of it to the gate.
func (a *actor[S]) turn(l *letter[S]) {
	sys := a.kind.sys
	t := &Turn{stream: a.stream, id: a.id(), version: a.version, now: sys.now(), ctx: l.ctx, asker: l.asker()}
	if t.ctx == nil {
		t.ctx = sys.ctx
	}
	d := decision[S]{state: a.state}
	defer a.seal(t, l, &d) // also if user code ends the goroutine
	a.guarded(t, l, &d)
}

// guarded decides, and turns a panic, or the end of the goroutine, into an error.
func (a *actor[S]) guarded(t *Turn, l *letter[S], d *decision[S]) {
	d.panicked = true
	defer func() {
		if d.panicked {
			d.err = caught(recover())
		}
	}()
	d.err = a.decide(t, l, d)
	d.panicked = false
}

// caught is the error for what recover returned where user code did not return.
func caught(v any) error {
	if v == nil {
		v = "runtime.Goexit was called"
	}
	return &PanicError{v, debug.Stack()}
}

// decide runs the user's code. Events are encoded before they evolve anything.
func (a *actor[S]) decide(t *Turn, l *letter[S], d *decision[S]) error {
	events, err := l.cmd.Decide(t, d.state)
	if err != nil {
		return err
	}
	if err := a.record(t, events); err != nil {
		return notPersisted(a.stream, err)
	}
	for _, e := range events {
		d.state = e.Evolve(d.state)
	}
	if t.err = t.failure; t.err == nil && l.ask != nil {
		l.ask.keep(d.state)
	}
	a.picture(t, d.state)
	return nil
}

// record makes the turn's records, and checks them against the store's limits, so
// that nobody else's turn fails with them.
func (a *actor[S]) record(t *Turn, events []Event[S]) error {
	meta, err := backend.MakeMeta(t.meta...)
	if err != nil || len(events) == 0 {
		return err
	}
	if t.records, err = a.kind.book.encode(t, events, meta); err != nil {
		return err
	}
	limits := a.kind.sys.limits
	for i := range t.records {
		size := len(a.stream) + t.records[i].Size()
		if size > limits.RecordBytes {
			return fmt.Errorf("%w: event %q has %d bytes: at most %d", backend.ErrTooLarge, t.records[i].Type, size, limits.RecordBytes)
		}
		t.size += size
	}
	if t.size > limits.BatchBytes || len(events) > backend.MaxBatchCount {
		return fmt.Errorf("%w: a turn of %d events with %d bytes: at most %d with %d", backend.ErrTooLarge, len(events), t.size, backend.MaxBatchCount, limits.BatchBytes)
	}
	return nil
}

// seal closes the turn: it stands in the actor's line from now on, and the next may
// begin.
func (a *actor[S]) seal(t *Turn, l *letter[S], d *decision[S]) {
	a.mu.Lock()
	switch {
	case a.life != l.life: // the state was discarded meanwhile
		t.void(notPersisted(a.stream, a.cause))
	case d.err != nil:
		t.void(d.err)
		a.stale = a.stale || d.panicked
	default:
		a.state, a.version = d.state, a.version+backend.Version(len(t.records))
		if t.state != nil {
			t.state.Epoch = a.epoch
		}
	}
	a.pending.push(t)
	send := len(t.records) > 0 && !a.listed
	a.listed = a.listed || send
	a.mu.Unlock()
	if send {
		a.kind.sys.commit.add(a)
	}
	a.release()
	if d.panicked {
		a.kind.sys.actorFailed(a.stream, d.err)
	}
}
