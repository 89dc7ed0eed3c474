package actortest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"testing"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

// The kind and the id that a scenario's actor has.
const (
	kind = "actortest"
	id   = "actor"
)

// Scenario is an actor with a past. It is for one goroutine.
type Scenario[S any] struct {
	tb     testing.TB
	events actorsys.Events[S]
	opts   actorsys.Options[S]
	store  *backend.Backend
}

// For begins a scenario with an actor without events. events and opts are what the kind
// is registered with; of opts the policies of snapshots and Idle count for nothing here, and
// no alarm rings: give its command to When.
func For[S any](tb testing.TB, events actorsys.Events[S], opts *actorsys.Options[S]) *Scenario[S] {
	tb.Helper()
	s := &Scenario[S]{tb: tb, events: events}
	if opts != nil {
		s.opts = *opts
	}
	s.opts.SnapshotEvery, s.opts.SnapshotWhen, s.opts.Truncate, s.opts.SnapshotKeep, s.opts.Idle = 0, nil, false, 0, -1
	if s.opts.Alarm != nil { // commands may still set one
		s.opts.Alarm = silent[S]{}
	}
	if s.opts.Codec.Marshal == nil {
		s.opts.Codec.Marshal = json.Marshal
	}
	if s.opts.Codec.Unmarshal == nil {
		s.opts.Codec.Unmarshal = json.Unmarshal
	}
	s.store = s.open()
	return s
}

func (s *Scenario[S]) open() *backend.Backend {
	s.tb.Helper()
	b, err := memory.Open(context.Background(), nil)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { b.Close() })
	return b
}

// Given adds events to the actor's past, as one turn's. What can't be stored or replayed
// ends the test: the scenario is wrong then, not the command.
func (s *Scenario[S]) Given(events ...actorsys.Event[S]) *Scenario[S] {
	s.tb.Helper()
	o := s.run(happened[S](events))
	if o.err != nil {
		s.tb.Fatalf("Given: the events can't be stored: %v", o.err)
	}
	return s
}

// happened is a command that says what happened.
type happened[S any] []actorsys.Event[S]

// Decide returns the events.
func (h happened[S]) Decide(*actorsys.Turn, S) ([]actorsys.Event[S], error) { return h, nil }

// silent is the command of alarms, which would come between those of the scenario.
type silent[S any] struct{}

// Decide refuses.
func (silent[S]) Decide(*actorsys.Turn, S) ([]actorsys.Event[S], error) { return nil, errSilent }

var errSilent = errors.New("no alarm rings in a scenario")

// When runs a command on the actor. Further commands of the scenario come after it.
func (s *Scenario[S]) When(c actorsys.Command[S]) *Outcome[S] {
	s.tb.Helper()
	return s.run(c)
}

// run runs a command, and checks what must hold of any.
func (s *Scenario[S]) run(c actorsys.Command[S]) *Outcome[S] {
	s.tb.Helper()
	p := &probe[S]{command: c, freeze: s.frozen}
	o := &Outcome[S]{scenario: s}
	o.state, o.err = s.ask(s.store, p)
	o.events = p.events
	if p.changed != nil {
		s.tb.Errorf("%T: %v", c, p.changed)
	}
	if o.err == nil {
		s.check(o.state)
		return o
	}
	var err error
	if o.state, err = s.ask(s.store, &probe[S]{}); err != nil {
		s.tb.Fatalf("the state after %T: %v", c, err)
	}
	return o
}

// ask runs a system over the store for one command, so that every one begins with a replay.
func (s *Scenario[S]) ask(store *backend.Backend, p *probe[S]) (S, error) {
	s.tb.Helper()
	ctx := context.Background()
	cfg := actorsys.Config{Backend: store, Facts: actorsys.FactsNone, Logger: slog.New(slog.DiscardHandler)}
	sys, err := actorsys.Start(ctx, cfg)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer sys.Shutdown(ctx)
	k, err := actorsys.Register(sys, kind, s.events, &s.opts)
	if err != nil {
		s.tb.Fatal(err)
	}
	return actorsys.Ask(ctx, k.Ref(id), p)
}

// frozen is a state as bytes, to see whether it changes.
func (s *Scenario[S]) frozen(state S) string {
	data, err := s.opts.Codec.Marshal(state)
	if err != nil {
		return "" // check says so
	}
	return string(data)
}

// probe runs a command, and looks whether it changes what it must not. It replies with the
// state. Without a command it is a read.
type probe[S any] struct {
	command actorsys.Command[S]
	freeze  func(S) string
	events  []actorsys.Event[S]
	changed error
}

var (
	errDecide = errors.New("Decide has changed the state that it was given: it must return events instead")
	errEvolve = errors.New("Evolve has changed the state that it was given: it must return another, which shares nothing with it that is changed")
)

// Decide runs the command.
func (p *probe[S]) Decide(t *actorsys.Turn, s S) ([]actorsys.Event[S], error) {
	if p.command == nil {
		return nil, nil
	}
	before := p.freeze(s)
	events, err := p.command.Decide(t, s)
	if p.freeze(s) != before {
		p.changed = errDecide
	}
	p.events = events
	for next, i := s, 0; i < len(events) && p.changed == nil; i++ { // as the actor will
		was := next
		frozen := p.freeze(was)
		if next = events[i].Evolve(was); p.freeze(was) != frozen || p.freeze(s) != before {
			p.changed = errEvolve
		}
	}
	return events, err
}

// Reply returns the state.
func (p *probe[S]) Reply(s S) S { return s }

// Outcome is what a command has come to.
type Outcome[S any] struct {
	scenario *Scenario[S]
	events   []actorsys.Event[S]
	state    S
	err      error
}

// Events checks which events the command returned, in order; none if it returned an error.
func (o *Outcome[S]) Events(want ...actorsys.Event[S]) *Outcome[S] {
	o.scenario.tb.Helper()
	if o.err != nil {
		o.scenario.tb.Errorf("the command was refused: %v", o.err)
	} else if len(want)+len(o.events) > 0 && !reflect.DeepEqual(o.events, want) {
		o.scenario.tb.Errorf("events %+v, want %+v", o.events, want)
	}
	return o
}

// Err checks that the command was answered an error that is want, by errors.Is; nil: none.
func (o *Outcome[S]) Err(want error) *Outcome[S] {
	o.scenario.tb.Helper()
	if !errors.Is(o.err, want) {
		o.scenario.tb.Errorf("answered %v, want %v", o.err, want)
	}
	return o
}

// State checks the state after the command, which is the one before if it was refused.
func (o *Outcome[S]) State(want S) *Outcome[S] {
	o.scenario.tb.Helper()
	if !reflect.DeepEqual(o.state, want) {
		o.scenario.tb.Errorf("state %+v, want %+v", o.state, want)
	}
	return o
}

// When goes on with the next command.
func (o *Outcome[S]) When(c actorsys.Command[S]) *Outcome[S] {
	o.scenario.tb.Helper()
	return o.scenario.When(c)
}
