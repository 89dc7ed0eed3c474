package actorsys

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// letter is one message: a command and, if it was asked, who waits for the answer.
type letter[S any] struct {
	cmd   Command[S]
	ctx   context.Context // the asker's; else one that carries the sender's values, or nil
	ask   keeper[S]       // nil: nobody waits for an answer
	to    *actor[S]
	must  bool          // the system's own: a mailbox has room for it
	rings bool          // it is the actor's alarm
	room  chan struct{} // closed when there is room; nil: the sender does not wait for that

	// In the mailbox; guarded by to.mu.
	next, prev *letter[S]
	waiting    bool
	life       uint32 // of the actor when the letter was taken out
}

// keeper is an asker that takes its reply from a state.
type keeper[S any] interface {
	asker
	keep(s S)
}

// asker returns who waits, as the gate wants it.
func (l *letter[S]) asker() asker {
	if l.ask == nil {
		return nil
	}
	return l.ask
}

// mailbox is a queue from which letters can be taken anywhere. Letters that were
// asked or sent may exceed the bound: each of them holds its sender's goroutine, so
// that to wait for room and to wait in line are the same.
type mailbox[S any] struct {
	first, last *letter[S]
	n           int
	over        []*letter[S] // sent, and in line beyond the bound: their senders wait
}

func (m *mailbox[S]) push(l *letter[S]) {
	l.waiting = true
	l.prev = m.last
	if m.last == nil {
		m.first = l
	} else {
		m.last.next = l
	}
	m.last = l
	m.n++
}

func (m *mailbox[S]) remove(l *letter[S]) {
	if l.prev == nil {
		m.first = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		m.last = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.next, l.prev, l.waiting = nil, nil, false
	m.n--
}

// admit tells the senders for whose letters there is room, l's too, which is taken out.
func (m *mailbox[S]) admit(l *letter[S], bound int) {
	if i := slices.Index(m.over, l); i >= 0 {
		m.over = slices.Delete(m.over, i, i+1)
		close(l.room)
	}
	for len(m.over) > 0 && m.n-len(m.over) < bound {
		close(m.over[0].room)
		m.over = slices.Delete(m.over, 0, 1)
	}
	if len(m.over) == 0 {
		m.over = nil
	}
}

// errGone: the actor has left memory; look it up again.
var errGone = errors.New("gone")

// errActorStopped: the plain actor has stopped, or is about to, and the system has not.
var errActorStopped = fmt.Errorf("%w: the actor has", ErrStopped)

// post queues a letter and sees to it that somebody reads it.
func (a *actor[S]) post(l *letter[S]) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	told := l.ask == nil && !l.must
	full := told && (a.mail.n-len(a.mail.over) >= a.bound() || a.sys.told.Load() >= int64(a.sys.cfg.MaxMessages))
	switch {
	case a.gone:
		return errGone
	case a.plain != nil && a.plain.closed():
		return errActorStopped
	case full && l.room == nil:
		return ErrMailboxFull
	case full:
		a.mail.over = append(a.mail.over, l)
	case l.room != nil:
		close(l.room)
	}
	a.mail.push(l)
	if l.ask == nil {
		a.sys.told.Add(1)
	}
	a.used = true
	a.wake()
	return nil
}

// take takes a letter out of the mailbox. The lock is held.
func (a *actor[S]) take(l *letter[S]) {
	a.mail.remove(l)
	if l.ask == nil {
		a.sys.told.Add(-1)
	}
	if len(a.mail.over) > 0 {
		a.mail.admit(l, a.bound())
	}
}

// turnAllAway empties the mailbox of letters that will have no turn.
func (a *actor[S]) turnAllAway(cause error) {
	refusal := notPersisted(a.address, cause)
	a.mu.Lock()
	told := a.takeAll(refusal)
	a.mu.Unlock()
	a.bury(told, cause)
}

// takeAll empties the mailbox, gives the askers their answer, before they can take a
// letter for one that is having its turn, and returns what is left: see bury. The lock
// is held.
func (a *actor[S]) takeAll(refusal error) (told []*letter[S]) {
	for l := a.mail.first; l != nil; l = a.mail.first {
		a.take(l)
		if l.ask == nil {
			told = append(told, l)
			continue
		}
		l.ask.answer(refusal)
		a.sys.work.leave()
	}
	return told
}

// bury makes dead letters of what nobody waits for.
func (a *actor[S]) bury(told []*letter[S], cause error) {
	for _, l := range told {
		a.sys.bury(l.ctx, a.address, l.cmd, cause)
		a.sys.work.leave()
	}
}

// withdraw takes a letter back if its turn has not come.
func (a *actor[S]) withdraw(l *letter[S]) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !l.waiting {
		return false
	}
	a.take(l)
	a.sys.work.leave()
	return true
}

// first returns the oldest letter whose asker is still there, and turns the others
// away. The lock is held.
func (a *actor[S]) first() *letter[S] {
	for l := a.mail.first; l != nil; l = a.mail.first {
		if l.ask == nil || l.ctx.Err() == nil {
			return l
		}
		a.take(l)
		l.ask.answer(notPersisted(a.address, context.Cause(l.ctx)))
		a.sys.work.leave()
	}
	return nil
}
