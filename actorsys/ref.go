package actorsys

import (
	"context"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// Ref is a handle of one actor whose state is S. It is a small comparable value. That
// of a durable actor ([Kind.Ref]) means the actor and not its present incarnation, and
// never becomes invalid. That of a plain one ([Spawn], [Lookup]) means this actor over
// all its restarts, and not another that takes its name later.
type Ref[S any] struct {
	at door[S]
	id string
}

// door is where letters are delivered: at a kind, or at a plain actor itself. A letter
// is work of the system from before its delivery until its answer has left.
type door[S any] interface {
	deliver(id string, l *letter[S]) error
	addressOf(id string) string
	system() *System
	cell() (cell, error)
	known(id string) *actor[S] // nil: not in memory
}

// ID returns the actor's id within its kind; of a plain actor, its name.
func (r Ref[S]) ID() string { return r.id }

// String returns the actor's address: kind, slash, id, which names its stream; of a
// plain actor, its name after its parent's address.
func (r Ref[S]) String() string {
	if r.at == nil {
		return ""
	}
	return r.at.addressOf(r.id)
}

// Tell sends a command without waiting for anything. Nil means that it is in the
// mailbox; what becomes of it there the sender does not learn: if it does not get its
// turn, or its turn is not stored, that makes a [DeadLetter]. [ErrMailboxFull],
// [ErrStopped] (for a plain actor that has, a dead letter too), [backend.ErrInvalid]
// (the id can't name a stream).
func (r Ref[S]) Tell(c Command[S]) error { return r.tell(nil, c, outside) }

// Send is Tell that waits, in line, for room in the mailbox, until ctx ends: then the
// error wraps [ErrMailboxFull] and ctx's cause (that alone, if ctx has ended before),
// and the command is not sent. The
// values of ctx, not its end, travel with the command to [Turn.Context].
func (r Ref[S]) Send(ctx context.Context, c Command[S]) error {
	if ctx.Err() != nil {
		return fmt.Errorf("sending to %.80q: %w", r.String(), context.Cause(ctx))
	}
	l := &letter[S]{room: make(chan struct{})}
	if err := r.send(ctx, c, l, outside); err != nil {
		return err
	}
	select {
	case <-l.room:
		return nil
	default:
	}
	cause := ErrStopped
	select {
	case <-l.room:
		return nil
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-r.at.system().killed:
	}
	if !l.to.withdraw(l) {
		return nil
	}
	return fmt.Errorf("%w: %.80q: %w", ErrMailboxFull, r.String(), cause)
}

// With returns the command addressed to the actor, for [Turn.Tell].
func (r Ref[S]) With(c Command[S]) Delivery {
	return Delivery{func(ctx context.Context, from origin) error { return r.tell(ctx, c, from) }}
}

// origin says where a message that nobody waits for comes from.
type origin uint8

const (
	outside origin = iota // the program
	inside                // a turn: nobody learns that it could not be delivered
	itself                // the system: in a mailbox there is room for it
)

func (r Ref[S]) tell(ctx context.Context, c Command[S], from origin) error {
	return r.send(ctx, c, &letter[S]{must: from == itself}, from)
}

func (r Ref[S]) send(ctx context.Context, c Command[S], l *letter[S], from origin) error {
	if r.at == nil {
		return errZeroRef
	}
	sys := r.at.system()
	l.cmd, l.ctx = c, sys.carry(ctx)
	if !sys.work.enter(from != outside) {
		return ErrStopped
	}
	err := r.at.deliver(r.id, l)
	if err == nil {
		return nil
	}
	if from != outside || err == errActorStopped {
		sys.bury(l.ctx, r.String(), c, err)
	}
	sys.work.leave()
	return err
}

func (r Ref[S]) cell() (cell, error) {
	if r.at == nil {
		return nil, errZeroRef
	}
	return r.at.cell()
}

// A plain actor has a door of its own.
func (a *actor[S]) deliver(_ string, l *letter[S]) error {
	l.to = a
	return a.post(l)
}

func (a *actor[S]) addressOf(string) string { return a.address }
func (a *actor[S]) cell() (cell, error)     { return a, nil }

// Delivery is a command with its address: see [Ref.With].
type Delivery struct {
	send func(ctx context.Context, from origin) error
}

var errZeroRef = fmt.Errorf("%w: zero Ref: get one from Kind.Ref, Spawn or Lookup", backend.ErrInvalid)

// Ask sends a request and waits for its answer: the reply, once everything that it
// rests on is durable, or an error (see [ErrNotPersisted] for which there are). R is
// inferred from the request's Reply; a request of another kind of state does not
// compile.
//
// If the mailbox is full Ask waits for room. If ctx ends before the request's turn it
// never runs, and the error wraps ErrNotPersisted; if it ends later, the error wraps
// [backend.ErrUnknownOutcome], because the turn goes on. Either wraps the context's
// cause too. An actor that asks itself, or asks in a circle, waits until ctx ends. A
// turn that asks while the system shuts down gets [ErrStopped] like everybody: what must
// go on then is for [Turn.Tell].
func Ask[S, R any](ctx context.Context, to Ref[S], req Request[S, R]) (R, error) {
	q := &question[S, R]{req: req, done: make(chan struct{}, 1)}
	q.letter = letter[S]{cmd: req, ctx: ctx, ask: q}
	var none R
	if to.at == nil {
		return none, errZeroRef
	}
	if ctx.Err() != nil {
		return none, notPersisted(to.String(), context.Cause(ctx))
	}
	sys := to.at.system()
	if !sys.work.enter(false) {
		return none, notPersisted(to.String(), ErrStopped)
	}
	if err := to.at.deliver(to.id, &q.letter); err != nil {
		sys.work.leave()
		return none, notPersisted(to.String(), err)
	}
	select {
	case <-q.done:
	case <-ctx.Done():
		return q.giveUp(context.Cause(ctx))
	case <-sys.killed:
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
		return none, notPersisted(q.to.address, cause)
	}
	select {
	case <-q.done: // answered meanwhile
		if q.err != nil {
			return none, q.err
		}
		return q.reply, nil
	default:
		return none, unknownOutcome(q.to.address, cause)
	}
}
