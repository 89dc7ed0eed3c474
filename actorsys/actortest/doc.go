// Package actortest tests the commands and events of actors.
//
//	actortest.For(t, events, opts).
//		Given(Deposited{50}).
//		When(Withdraw{20}).
//		Events(Withdrawn{20}).
//		State(Account{30})
//
// A scenario runs on a real system over a store in memory, and checks, without being
// asked, what a durable actor rests on: that every event and the state come back from the
// codec as they were, that a replay leads to the same state, with a snapshot at every
// version too, and that neither Decide nor Evolve changes a state that somebody may still
// see. [Golden] keeps what is stored from changing by mistake.
//
// It is not for what depends on time or on a store that fails: run a system within
// testing/synctest for the first, and over a backend whose driver is wrapped for the
// second, as package actorsys does in its own tests.
package actortest
