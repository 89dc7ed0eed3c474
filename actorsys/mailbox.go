package actorsys

import (
	"context"
	"errors"
)

// letter is one message: a command and, if it was asked, who waits for the answer.
type letter[S any] struct {
	cmd Command[S]
	ctx context.Context // the asker's; nil for a Tell
	ask keeper[S]       // nil for a Tell
	to  *actor[S]

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

func (l *letter[S]) answer(err error) {
	if l.ask != nil {
		l.ask.answer(err)
	}
}

// asker returns who waits, as the gate wants it.
func (l *letter[S]) asker() asker {
	if l.ask == nil {
		return nil
	}
	return l.ask
}

// mailbox is a queue from which letters can be taken anywhere. Letters that were
// asked may exceed the bound: each of them holds its asker's goroutine, so that to
// wait for room and to wait in line are the same.
type mailbox[S any] struct {
	first, last *letter[S]
	n           int
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

// errGone: the actor has left memory; look it up again.
var errGone = errors.New("gone")

// post queues a letter and sees to it that somebody reads it.
func (a *actor[S]) post(l *letter[S]) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.gone:
		return errGone
	case l.ask == nil && a.mail.n >= a.kind.opts.Mailbox:
		return ErrMailboxFull
	}
	a.mail.push(l)
	a.used = true
	a.wake()
	return nil
}

// withdraw takes a letter back if its turn has not come.
func (a *actor[S]) withdraw(l *letter[S]) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !l.waiting {
		return false
	}
	a.mail.remove(l)
	a.kind.sys.work.leave()
	return true
}

// first returns the oldest letter whose asker is still there, and turns the others
// away. The lock is held.
func (a *actor[S]) first() *letter[S] {
	for l := a.mail.first; l != nil; l = a.mail.first {
		if l.ctx == nil || l.ctx.Err() == nil {
			return l
		}
		a.mail.remove(l)
		a.refuse(l, context.Cause(l.ctx))
	}
	return nil
}

// refuse answers a letter that never had a turn.
func (a *actor[S]) refuse(l *letter[S], cause error) {
	l.answer(notPersisted(a.stream, cause))
	a.kind.sys.work.leave()
}
