// Package actorsys runs actors over a papyra backend: durable ones, and plain ones
// beside them.
//
// An actor is a state that only its own commands change, one at a time. Commands
// decide, events evolve, states are values: a [Command] looks at the state and returns
// events, each [Event] says what the next state is, and what is stored is the events.
// Actors are addressed by kind and id ([Register], [Kind.Ref]), come to memory with
// their first message by replaying their stream, leave it when idle, and have no
// goroutine while they have nothing to do.
//
// A plain actor ([Spawn]) takes the same commands through the same [Ref] and keeps its
// state in memory only. It may have children, watch others and set timers, and what
// becomes of it when it fails is its [Supervision]. docs/actors.md teaches both.
//
// # The output gate
//
// Nothing that an actor does in a turn leaves it before every event of that turn and
// of all turns before it is durable: no reply, no refusal, no answer to a mere read,
// no message to another actor, no function given to [Turn.After]. Meanwhile the actor
// goes on deciding, on the state as its events have made it. One committer takes what
// all actors have decided and appends it together, so that a sync serves as many turns
// as have gathered while the one before was under way.
//
// # When an append fails
//
// What was decided on it is taken back, the actor replays its stream at the next
// message, and every asker is told the truth: an error that wraps [ErrNotPersisted]
// says that nothing was stored, one that wraps [backend.ErrUnknownOutcome] that it
// can't be known. The latter comes only when it can't be learned: a batch in doubt is
// sent again under its ID, after the system has reopened a poisoned backend.
// A second system over the same store takes an actor over with its first append to it:
// the first gets [backend.ErrFenced] for its next one, and goes on from what the second
// stored. Until then it answers reads from the state that it has.
// An actor whose stream is damaged is in quarantine ([ErrQuarantined]); the others go on.
//
// # What a system says of itself
//
// Facts, dead letters and audits ([System.Facts], [System.DeadLetters],
// [System.Audit]) are heard in memory and recorded beside the domain's events: in
// order, bounded, counted where they find no room, and never waited for.
//
// # What it is not
//
// There is no remoting, no cluster and no routing. A message is sent at most once, and
// lives in memory until its turn: who needs more gives the command an id and sends it
// again ([Options.Dedup]), or has the actor woken ([Turn.Alarm]). A durable actor's states must be values: one that shares a map or slice with
// the next is changed under the reader of a reply, and of a snapshot.
//
// Read next: surface.go for the three interfaces, actor.go and decide.go for a turn's
// walk, gate.go and commit.go for what makes it durable, resolve.go for what happens
// when that fails; snapshot.go, dedup.go and alarm.go for what else is stored; plain.go and ending.go for what a plain actor has besides.
package actorsys
