package actorsys

import (
	"crypto/rand"
	"errors"

	"github.com/papyra-go/papyra/backend"
)

// pending is an actor's line of turns that are sealed and have not left: the output
// gate. A turn may leave when it stands first and has no records (any more).
//
//	first … (in the batch in flight) … unsent … (decided since) … last
//
// It is guarded by its actor's lock.
type pending struct {
	first, last *Turn
	unsent      *Turn // the first that is not in a batch; nil: all are
	turns       int
	bytes       int
}

func (p *pending) push(t *Turn) {
	if p.last == nil {
		p.first = t
	} else {
		p.last.next = t
	}
	p.last = t
	if p.unsent == nil {
		p.unsent = t
	}
	p.turns++
	p.bytes += t.size
}

// pop cuts off the turns that may leave, linked by next.
func (p *pending) pop() (out *Turn) {
	var last *Turn
	for t := p.first; t != nil && len(t.records) == 0; t = t.next {
		if p.unsent == t {
			p.unsent = t.next
		}
		last = t
		p.turns--
		p.bytes -= t.size
	}
	if last == nil {
		return nil
	}
	out, p.first = p.first, last.next
	last.next = nil
	if p.first == nil {
		p.last = nil
	}
	return out
}

// take makes one batch of what is not sent, up to a number of bytes, and one turn at
// least.
func (p *pending) take(most int) (b backend.Batch) {
	size, t := 0, p.unsent
	for ; t != nil; t = t.next {
		if len(t.records) == 0 {
			continue
		}
		if size += t.size; size > most && len(b.Records) > 0 {
			break
		}
		if len(b.Records) == 0 {
			b.Expected = t.version
			b.Records = t.records[:len(t.records):len(t.records)]
		} else {
			b.Records = append(b.Records, t.records...)
		}
	}
	p.unsent = t
	return b
}

// more reports whether anything is left to send.
func (p *pending) more() bool {
	for t := p.unsent; t != nil; t = t.next {
		if len(t.records) > 0 {
			return true
		}
	}
	return false
}

// stored notes that what was sent is durable.
func (p *pending) stored() {
	for t := p.first; t != p.unsent; t = t.next {
		t.records = nil
	}
}

// lost takes back every turn that rests on what was not stored, or not known to be.
// Turns in front of it only wait to be let out.
func (p *pending) lost(why func(t *Turn, sent bool) error) {
	t, sent := p.first, true
	for ; t != nil && len(t.records) == 0; t = t.next {
		sent = sent && t != p.unsent
	}
	for ; t != nil; t = t.next {
		sent = sent && t != p.unsent
		t.void(why(t, sent))
	}
	p.unsent = nil
}

// release lets out, in order, every turn that waits for nothing. Whoever finds that
// somebody is at it leaves it to them.
func (a *actor[S]) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.releasing {
		return
	}
	a.releasing = true
	for out := a.pending.pop(); out != nil; out = a.pending.pop() {
		a.mu.Unlock()
		for t := out; t != nil; t = t.next {
			a.sys.emit(t)
		}
		a.mu.Lock()
	}
	a.releasing = false
	a.wake()
}

// leaver lets an actor's turns out, where somebody else's code is called with them.
type leaver[S any] struct{ a *actor[S] }

func (l leaver[S]) run() { l.a.release() }

// emit lets a turn out: messages first, so that whoever sees the answer finds them in
// their mailboxes.
func (s *System) emit(t *Turn) {
	s.outputs(t)
	if t.persisted != nil {
		t.persisted(t.err)
	}
	switch {
	case t.recall != nil && t.err == nil:
		s.budget.give(t.size)
		go func() {
			defer s.work.leave()
			t.recall()
		}()
		return
	case t.asker != nil:
		t.asker.answer(t.err)
	case errors.Is(t.err, ErrNotPersisted) || errors.Is(t.err, backend.ErrUnknownOutcome):
		s.bury(t.ctx, t.address, t.told, t.err)
	}
	s.budget.give(t.size)
	s.work.leave()
}

// outputs sends what a turn noted.
func (s *System) outputs(t *Turn) {
	for _, d := range t.tells {
		if d.send == nil || d.send(t.ctx, inside) != nil {
			s.tellsDropped.Add(1)
		}
	}
	if len(t.afters) > 0 {
		t.line.add(t.afters)
	}
	if t.toll != nil {
		t.bells.know(t.id, t.toll.version, t.toll.at)
	}
	if t.state != nil {
		s.snapshots.put(t.state, 1)
	}
}

// send gives the committer what the actor has decided since the last batch; no
// records if there is nothing.
func (a *actor[S]) send() backend.Batch {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.pending.take(a.sys.limits.BatchBytes)
	b.Stream, b.Epoch = a.address, a.epoch
	rand.Read(b.ID[:])
	return b
}

// settle learns from the committer what became of the batch. It returns whether there
// is more to send; if not, the actor is off the committer's list.
func (a *actor[S]) settle(o outcome) (more bool) {
	a.mu.Lock()
	if o.err == nil {
		a.pending.stored()
	} else {
		a.lose(o)
	}
	a.listed = a.pending.more()
	more = a.listed
	a.mu.Unlock()
	if a.sys.cfg.Hooks.Persist == nil {
		a.release()
	} else { // the hook is not to hold the committer up
		a.sys.runners.start(leaver[S]{a})
	}
	if o.err != nil {
		a.sys.actorFailed(a.address, o.err)
	}
	return more
}

// lose discards the state, which rests on a batch that was not stored or not known to
// be, and everything decided on it. The lock is held.
func (a *actor[S]) lose(o outcome) {
	a.pending.lost(func(t *Turn, sent bool) error {
		if o.doubt && sent && len(t.records) > 0 {
			a.sys.tellsDropped.Add(uint64(len(t.tells)))
			return unknownOutcome(a.address, o.err)
		}
		return notPersisted(a.address, o.toOthers())
	})
	a.doubt = a.doubt || o.doubt
	if o.doubt && a.kind.bells != nil {
		a.kind.bells.wonder(a.id())
	}
	a.discard(o.toOthers())
}
