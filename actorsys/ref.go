package actorsys

import (
	"context"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// Ref is a handle of one actor whose state is S. It is a small comparable value,
// means the actor and not its present incarnation, and never becomes invalid.
type Ref[S any] struct {
	kind *Kind[S]
	id   string
}

// ID returns the actor's id within its kind.
func (r Ref[S]) ID() string { return r.id }

// String returns the name of the actor's stream: kind, slash, id.
func (r Ref[S]) String() string {
	if r.kind == nil {
		return ""
	}
	return r.kind.name + "/" + r.id
}

// Tell sends a command without waiting for anything. Nil means that it is in the
// mailbox; what becomes of it there the sender does not learn. [ErrMailboxFull],
// [ErrStopped], [backend.ErrInvalid] (the id can't name a stream).
func (r Ref[S]) Tell(c Command[S]) error { return r.tell(c, false) }

// With returns the command addressed to the actor, for [Turn.Tell].
func (r Ref[S]) With(c Command[S]) Delivery {
	return Delivery{func() error { return r.tell(c, true) }}
}

func (r Ref[S]) tell(c Command[S], inside bool) error {
	if r.kind == nil {
		return errZeroRef
	}
	return r.kind.post(r.id, &letter[S]{cmd: c}, inside)
}

// Delivery is a command with its address: see [Ref.With].
type Delivery struct {
	send func() error
}

var errZeroRef = fmt.Errorf("%w: zero Ref: get one from Kind.Ref", backend.ErrInvalid)

// Ask sends a request and waits for its answer: the reply, once everything that it
// rests on is durable, or an error (see [ErrNotPersisted] for which there are). R is
// inferred from the request's Reply; a request of another kind of state does not
// compile.
//
// If the mailbox is full Ask waits for room. If ctx ends before the request's turn it
// never runs, and the error wraps ErrNotPersisted; if it ends later, the error wraps
// [backend.ErrUnknownOutcome], because the turn goes on. Either wraps the context's
// cause too. An actor that asks itself, or asks in a circle, waits until ctx ends.
func Ask[S, R any](ctx context.Context, to Ref[S], req Request[S, R]) (R, error) {
	q := &question[S, R]{req: req, done: make(chan struct{}, 1)}
	q.letter = letter[S]{cmd: req, ctx: ctx, ask: q}
	var none R
	if to.kind == nil {
		return none, errZeroRef
	}
	if ctx.Err() != nil {
		return none, notPersisted(to.String(), context.Cause(ctx))
	}
	if err := to.kind.post(to.id, &q.letter, false); err != nil {
		return none, notPersisted(to.String(), err)
	}
	select {
	case <-q.done:
	case <-ctx.Done():
		return q.giveUp(context.Cause(ctx))
	case <-to.kind.sys.killed:
		return q.giveUp(ErrStopped)
	}
	if q.err != nil {
		return none, q.err
	}
	return q.reply, nil
}

// question is a request on its way.
type question[S, R any] struct {
	letter[S]
	req   Request[S, R]
	reply R
	err   error
	done  chan struct{} // capacity 1: one token when reply and err stand
}

// keep computes the reply from the state after the turn.
func (q *question[S, R]) keep(s S) { q.reply = q.req.Reply(s) }

func (q *question[S, R]) answer(err error) {
	q.err = err
	q.done <- struct{}{}
}

// giveUp ends the wait: by withdrawing the letter if its turn has not come.
func (q *question[S, R]) giveUp(cause error) (none R, err error) {
	if q.to.withdraw(&q.letter) {
		return none, notPersisted(q.to.stream, cause)
	}
	select {
	case <-q.done: // answered meanwhile
		if q.err != nil {
			return none, q.err
		}
		return q.reply, nil
	default:
		return none, unknownOutcome(q.to.stream, cause)
	}
}
