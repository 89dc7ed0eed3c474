package actorsys

import "time"

// idleSweeps is how many sweeps in a row must find an actor unused before it leaves
// memory: the precision of Options.Idle, without a clock or a timer for each actor.
const idleSweeps = 4

// sweepEvery is the pause between sweeps; 0: none.
func (k *Kind[S]) sweepEvery() time.Duration {
	if k.opts.Idle < 0 {
		return 0
	}
	return max(k.opts.Idle/idleSweeps, time.Millisecond)
}

// sweep takes out of memory the actors that have had nothing to do for long.
func (k *Kind[S]) sweep() {
	for i := range k.shards {
		for _, a := range k.shards[i].sweep() {
			k.sys.registered.Add(-1)
			k.sys.note(FactsAll, Fact{Type: actorPassivated, Actor: a.address, Version: a.version})
		}
	}
}

func (sh *shard[S]) sweep() (gone []*actor[S]) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for id, a := range sh.actors {
		if a.passivate() {
			delete(sh.actors, id)
			gone = append(gone, a)
		}
	}
	return gone
}

// passivate ages the actor by one sweep. It returns whether the actor is to go: a
// message that comes for it from now on finds it gone, and a new one in its place.
func (a *actor[S]) passivate() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used || a.busy() {
		a.used, a.idle = false, 0
		return false
	}
	if a.idle++; a.idle < idleSweeps {
		return false
	}
	a.discard(nil)
	a.gone = true
	return true
}

// busy reports whether the actor has work pending, or must be remembered: it is in
// doubt and the backend poisoned. The lock is held.
func (a *actor[S]) busy() bool {
	return a.running || a.releasing || a.listed || a.mail.n > 0 || a.pending.turns > 0 || !a.afters.empty() ||
		a.doubt && a.sys.cfg.Backend.Poisoned() != nil
}
