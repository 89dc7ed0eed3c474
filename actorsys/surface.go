package actorsys

// Event is a fact about an actor whose state is S. Evolve returns the state with
// the fact in it. It is called when the event is decided and again at each replay,
// and must return the same each time: no clock, no randomness, no I/O. Types are
// registered under a stable name with [On], and must come back from the kind's codec
// as they were: by default, from encoding/json, which leaves out unexported fields.
type Event[S any] interface {
	Evolve(s S) S
}

// Command asks an actor whose state is S to do something. Decide looks at the
// state and returns the events that follow, none if nothing changes, or an error if
// the command is refused: then nothing is stored and nothing but the error leaves
// the actor.
//
// Decide runs alone on its actor, while no lock is held. s is a value: Decide must
// not change what it refers to. It may be run for a turn that is lost afterwards, so
// what must happen outside goes through t: [Turn.Tell] and [Turn.After].
type Command[S any] interface {
	Decide(t *Turn, s S) ([]Event[S], error)
}

// Request is a command with an answer. Reply is called on the actor right after the
// turn, with the state that the command's events led to, and must not share memory
// with it that a later turn changes. A request without events is a read.
type Request[S, R any] interface {
	Command[S]
	Reply(s S) R
}
