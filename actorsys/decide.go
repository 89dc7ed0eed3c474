package actorsys

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"

	"github.com/papyra-go/papyra/backend"
)

// turnBytes is about what a turn that waits at the gate takes, besides its records.
const turnBytes = 256

// decision is what came of a turn's user code.
type decision[S any] struct {
	state    S
	events   int
	err      error
	panicked bool
}

// turn runs one command and hands what came of it to the gate.
func (a *actor[S]) turn(l *letter[S]) {
	t := a.newTurn(l.ctx)
	if t.asker = l.asker(); t.asker == nil {
		t.told = l.cmd
	}
	d := decision[S]{state: a.state}
	defer a.seal(t, l, &d) // also if user code ends the goroutine
	a.guarded(t, l, &d)
}

// newTurn returns a turn of the actor; ctx nil means the system's.
func (a *actor[S]) newTurn(ctx context.Context) *Turn {
	if ctx == nil {
		ctx = a.sys.ctx
	}
	t := &Turn{address: a.address, id: a.id(), version: a.version, now: a.sys.now(), ctx: ctx}
	if a.plain != nil {
		t.self = a
	} else {
		t.bells = a.kind.bells
	}
	return t
}

// guarded decides, and turns a panic, or the end of the goroutine, into an error.
func (a *actor[S]) guarded(t *Turn, l *letter[S], d *decision[S]) {
	d.panicked = true
	done := ignore
	defer func() {
		if d.panicked {
			d.err = caught(recover())
		}
		done(cmp.Or(d.err, t.failure))
	}()
	t.ctx, done = a.sys.onReceive(t.ctx, a.address, l.cmd)
	d.err = a.decide(t, l, d)
	d.panicked = false
}

// guard calls user code and turns its panic into an error. If it ends the goroutine,
// so does guard.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = caught(v)
		}
	}()
	return f()
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
	if a.early(t, l) {
		return nil
	}
	var err error
	if t.command, err = a.commandID(l); err != nil {
		return notPersisted(a.address, err)
	}
	if a.repeated(t, l) {
		return nil
	}
	events, err := l.cmd.Decide(t, d.state)
	if err != nil {
		return err
	}
	if err = t.invalid; err == nil && a.plain == nil {
		err = a.record(t, events, l.rings)
	}
	if err != nil {
		return notPersisted(a.address, err)
	}
	if d.events = len(events); a.plain == nil {
		d.events = len(t.records)
	}
	for _, e := range events {
		d.state = e.Evolve(d.state)
	}
	if t.err = t.failure; t.err == nil && l.ask != nil {
		l.ask.keep(d.state)
	}
	if a.plain == nil {
		a.picture(t, d.state)
	}
	return nil
}

// record makes the turn's records, and checks them against the store's limits, so
// that nobody else's turn fails with them.
func (a *actor[S]) record(t *Turn, events []Event[S], rings bool) error {
	if err := t.ownMeta(); err != nil {
		return err
	}
	meta, err := backend.MakeMeta(t.meta...)
	if err != nil {
		return err
	}
	if len(events) > 0 {
		if t.records, err = a.kind.book.encode(t, events, meta); err != nil {
			return err
		}
	}
	if a.settleAlarm(t, rings); len(t.records) == 0 {
		return nil
	}
	if last := &t.records[len(t.records)-1]; t.command != "" {
		if last.Meta, err = t.signature(); err != nil {
			return err
		}
	}
	limits := a.sys.limits
	for i := range t.records {
		size := len(a.address) + t.records[i].Size()
		if size > limits.RecordBytes {
			return fmt.Errorf("%w: event %q has %d bytes: at most %d", backend.ErrTooLarge, t.records[i].Type, size, limits.RecordBytes)
		}
		t.size += size
	}
	if t.size > limits.BatchBytes || len(t.records) > backend.MaxBatchCount {
		return fmt.Errorf("%w: a turn of %d events with %d bytes: at most %d with %d", backend.ErrTooLarge, len(t.records), t.size, backend.MaxBatchCount, limits.BatchBytes)
	}
	return nil
}

// seal closes the turn: it stands in the actor's line from now on, and the next may
// begin.
func (a *actor[S]) seal(t *Turn, l *letter[S], d *decision[S]) {
	if d.err == nil {
		a.sys.onPersist(t)
	}
	a.mu.Lock()
	switch {
	case a.life != l.life: // the state was discarded meanwhile
		t.void(notPersisted(a.address, a.cause))
	case d.err != nil:
		t.void(d.err)
		a.failed(d)
	default:
		a.state, a.version = d.state, a.version+backend.Version(d.events)
		if t.state != nil {
			t.state.record.Epoch = a.epoch
		}
		a.obey(t)
		a.remember(t)
		if t.toll != nil {
			a.alarm = t.toll.at
			t.bells.foretell(t.id, t.toll)
		}
	}
	a.leaving(t)
	if a.plain == nil {
		t.size += turnBytes
		a.sys.budget.take(t.size)
	}
	a.pending.push(t)
	send := len(t.records) > 0 && !a.listed
	a.listed = a.listed || send
	a.mu.Unlock()
	if send {
		a.sys.commit.add(a)
	}
	a.release()
	if d.panicked && a.plain == nil {
		a.sys.actorFailed(a.address, d.err)
	}
}

// failed notes what a turn without a result means for the actor: a durable one that
// panicked replays, what becomes of a plain one its supervision says. The lock is held.
func (a *actor[S]) failed(d *decision[S]) {
	switch {
	case !d.panicked:
	case a.plain == nil:
		a.panicked()
	case a.plain.failure == nil:
		a.plain.failure, a.plain.bidden = d.err, false
	}
}

// obey stops the actor if its turn said so. The lock is held.
func (a *actor[S]) obey(t *Turn) {
	if t.stops && a.plain.end != discards {
		a.plain.end, a.plain.reason = discards, t.reason
	}
}
