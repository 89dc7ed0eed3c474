package actorsys

import (
	"context"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Turn is one command's run on its actor. Decide gets it; its methods must be called
// by Decide only, in Decide's goroutine, before it returns.
//
// What Decide wants to happen outside is noted in the turn and leaves the actor,
// together with the answer and in the order of the turns, once the turn's events and
// all before them are durable. If they can't be stored, or Decide returns an error,
// it never happens.
type Turn struct {
	address  string
	id       string
	version  backend.Version // before the turn
	now      time.Time
	ctx      context.Context
	meta     []string
	tells    []Delivery
	afters   []func(context.Context)
	failure  error  // of Fail
	command  string // its id; empty: none
	snapshot bool   // asked for
	self     cell   // the plain actor; nil: it is durable
	invalid  error  // what was wanted that can't be
	bells    *bells // of the kind; nil: there is no alarm
	sets     bool   // it sets the alarm
	wants    alarm  // to that
	stops    bool   // the actor is to stop after the turn
	reason   error  // for that

	// What follows is the gate's.
	next      *Turn
	toll      *toll            // what it means for the alarm; nil: nothing
	line      *afters          // where the afters go; nil: there are none
	records   []backend.Record // to be stored; none once they are, or if there are none
	size      int              // bytes of the records
	state     *picture         // a snapshot to save once the turn is durable
	asker     asker            // nil: nobody waits for an answer
	told      any              // the message, if nobody does
	persisted func(error)      // of a hook; nil: none
	recall    func()           // makes and gives the answer, once the turn may leave; nil: it stands
	err       error            // the answer, if it is one
}

// asker is who waits for a turn's answer.
type asker interface {
	answer(err error) // once; nil: the reply stands
}

// ID returns the actor's id within its kind.
func (t *Turn) ID() string { return t.id }

// Stream returns the actor's address (see [Ref.String]); of a durable actor, that is
// the name of its stream.
func (t *Turn) Stream() string { return t.address }

// Version returns the version of the state that Decide was given: the number of
// events before this turn; of a plain actor, since it was spawned.
func (t *Turn) Version() backend.Version { return t.version }

// Now returns the time of the turn, in UTC, which is recorded with its events. It is
// the same in all of the turn.
func (t *Turn) Now() time.Time { return t.now }

// Context returns the asker's context; for a message that was told or sent, one that
// ends when the system is gone and has the values of the sender's, of [Ref.Send] or
// of the turn that told it. Over a hundred messages in a row they are left behind.
func (t *Turn) Context() context.Context { return t.ctx }

// Tell sends a message to another actor when the turn is durable. It is sent at most
// once: if the receiver's mailbox is full then, it is a [DeadLetter]; if the process
// ends in between, it is lost.
func (t *Turn) Tell(d Delivery) { t.tells = append(t.tells, d) }

// After has f called when the turn is durable, at most once: for what must happen in the
// world. What an actor's turns leave to After is called beside the actor, one after the
// other in the order of the turns; if 1024 wait, the actor reads no further messages. ctx
// ends when the system is gone, and [System.Shutdown] waits for f. A panic in f is logged. f is not called for a turn
// whose asker got [backend.ErrUnknownOutcome], even if a later replay finds that the
// turn was stored: what must not be missed follows from the state.
func (t *Turn) After(f func(ctx context.Context)) { t.afters = append(t.afters, f) }

// Fail stores the events that Decide returns and answers err, instead of the reply,
// once they are durable: for failures that are facts, such as a wrong password that
// counts. Nil takes it back.
func (t *Turn) Fail(err error) { t.failure = err }

// Snapshot saves the state after this turn, besides what [Options.SnapshotEvery]
// says. As all snapshots it is best effort. If the default codec
// would store S with loss (see [On]), none is saved: that is logged once for the kind.
func (t *Turn) Snapshot() { t.snapshot = true }

// Meta adds a pair to each of the turn's records, such as a trace parent. Keys are
// not empty, do not begin with "$" and stand once, or the turn fails, even if it has no
// events.
func (t *Turn) Meta(key, value string) { t.meta = append(t.meta, key, value) }

// Stop stops the actor after this turn, unless Decide returns an error: like
// [Ref.Stop], for a reason that watchers and the system's facts get; nil: as planned.
// Only a plain actor can stop: otherwise the turn fails.
func (t *Turn) Stop(reason error) {
	if t.self == nil {
		t.refuse(errDurableTurn)
		return
	}
	t.stops, t.reason = true, reason
}

// refuse fails the turn for something that can't be.
func (t *Turn) refuse(err error) {
	if t.invalid == nil {
		t.invalid = err
	}
}

// void takes back all that the turn wanted, and leaves err for the asker.
func (t *Turn) void(err error) {
	t.err = err
	t.records, t.state = nil, nil
	t.tells, t.afters, t.toll = nil, nil, nil
}
