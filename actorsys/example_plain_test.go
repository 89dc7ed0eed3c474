package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend/memory"
)

// Cache is the state of a plain actor: something that its commands change in place.
type Cache struct{ entries map[string]string }

type Set struct{ Key, Value string }

func (c Set) Decide(_ *actorsys.Turn, s *Cache) ([]actorsys.Event[*Cache], error) {
	if c.Key == "" {
		return nil, errors.New("a key is needed")
	}
	s.entries[c.Key] = c.Value
	return nil, nil
}

type Get struct{ Key string }

func (Get) Decide(*actorsys.Turn, *Cache) ([]actorsys.Event[*Cache], error) { return nil, nil }
func (c Get) Reply(s *Cache) string                                         { return s.entries[c.Key] }

func newCache(*actorsys.Turn, actorsys.Ref[*Cache]) (*Cache, error) {
	return &Cache{map[string]string{}}, nil
}

// exampleSystem is a system on a memory store that logs nothing.
func exampleSystem() *actorsys.System {
	store, err := memory.Open(context.Background(), nil)
	if err != nil {
		panic(err)
	}
	sys, err := actorsys.Start(context.Background(), actorsys.Config{Backend: store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	return sys
}

func ExampleSpawn() {
	ctx := context.Background()
	sys := exampleSystem()
	defer sys.Shutdown(ctx)

	cache, err := actorsys.Spawn(sys, "cache", newCache, nil)
	if err != nil {
		panic(err)
	}
	cache.Tell(Set{"colour", "green"})
	fmt.Println(actorsys.Ask(ctx, cache, Get{"colour"}))
	// Output: green <nil>
}

func ExampleRef_Send() {
	ctx := context.Background()
	sys := exampleSystem()
	defer sys.Shutdown(ctx)
	cache, _ := actorsys.Spawn(sys, "cache", newCache, &actorsys.Plain[*Cache]{Mailbox: 1})

	for i := range 100 { // as fast as the cache takes them
		if err := cache.Send(ctx, Set{fmt.Sprint(i), "x"}); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(actorsys.Ask(ctx, cache, Get{"99"}))
	// Output: x <nil>
}

// Job is told to a worker; it fails on some.
type Job struct{ N int }
type Worker struct{ done int }

func (j Job) Decide(_ *actorsys.Turn, w *Worker) ([]actorsys.Event[*Worker], error) {
	if j.N == 13 {
		panic("thirteen")
	}
	w.done++
	return nil, nil
}

func (j Job) Reply(w *Worker) int { return w.done }

func newWorker(*actorsys.Turn, actorsys.Ref[*Worker]) (*Worker, error) { return &Worker{}, nil }

func ExampleSupervision() {
	ctx := context.Background()
	sys := exampleSystem()
	defer sys.Shutdown(ctx)

	worker, _ := actorsys.Spawn(sys, "worker", newWorker, &actorsys.Plain[*Worker]{
		Supervision: actorsys.Supervision{MaxRestarts: 3, Within: time.Minute, Backoff: time.Millisecond},
	})
	fmt.Println(actorsys.Ask(ctx, worker, Job{1}))
	fmt.Println(actorsys.Ask(ctx, worker, Job{13})) // the panic is the asker's answer, and the worker is restarted
	fmt.Println(actorsys.Ask(ctx, worker, Job{2}))
	// Output:
	// 1 <nil>
	// 0 actor panicked: thirteen
	// 1 <nil>
}

// Crew is the state of a parent: it has a worker, and a new one when that has stopped.
type Crew struct {
	self   actorsys.Ref[*Crew]
	worker actorsys.Ref[*Worker]
	lost   []string
}

type Replace struct{ Reason error }

func (r Replace) Decide(t *actorsys.Turn, c *Crew) ([]actorsys.Event[*Crew], error) {
	c.lost = append(c.lost, fmt.Sprint(c.worker, ": ", r.Reason))
	return nil, c.hire(t)
}

func (c *Crew) hire(t *actorsys.Turn) (err error) {
	never := actorsys.Supervision{Decide: func(error) actorsys.Directive { return actorsys.Stop }}
	if c.worker, err = actorsys.Spawn(t, "", newWorker, &actorsys.Plain[*Worker]{Supervision: never}); err != nil {
		return err
	}
	t.Watch(c.worker, func(reason error) actorsys.Delivery { return c.self.With(Replace{reason}) })
	return nil
}

func newCrew(t *actorsys.Turn, self actorsys.Ref[*Crew]) (*Crew, error) {
	c := &Crew{self: self}
	return c, c.hire(t)
}

type Who struct{}

func (Who) Decide(*actorsys.Turn, *Crew) ([]actorsys.Event[*Crew], error) { return nil, nil }
func (Who) Reply(c *Crew) string                                          { return fmt.Sprint(c.worker, ", after ", c.lost) }

func ExampleTurn_Watch() {
	ctx := context.Background()
	sys := exampleSystem()
	defer sys.Shutdown(ctx)

	crew, _ := actorsys.Spawn(sys, "crew", newCrew, nil)
	worker, _ := actorsys.Lookup[*Worker](sys, "crew/1")
	worker.Tell(Job{13})
	sys.WaitFor(ctx, func(f actorsys.Fact) bool { return f.Type == "actor-started" && f.Actor == "crew/2" })
	fmt.Println(actorsys.Ask(ctx, crew, Who{}))
	// Output: crew/2, after [crew/1: actor panicked: thirteen] <nil>
}

// Clock is the state of an actor that tells itself to tick.
type Clock struct {
	self  actorsys.Ref[*Clock]
	ticks int
}

type Tick struct{}

func (Tick) Decide(t *actorsys.Turn, c *Clock) ([]actorsys.Event[*Clock], error) {
	if c.ticks++; c.ticks == 3 {
		t.Stop(nil)
	}
	t.Timer("tick", time.Millisecond, c.self.With(Tick{}))
	return nil, nil
}

func ExampleTurn_Timer() {
	ctx := context.Background()
	sys := exampleSystem()
	defer sys.Shutdown(ctx)

	clock, _ := actorsys.Spawn(sys, "clock", func(t *actorsys.Turn, self actorsys.Ref[*Clock]) (*Clock, error) {
		t.Timer("tick", time.Millisecond, self.With(Tick{}))
		return &Clock{self: self}, nil
	}, &actorsys.Plain[*Clock]{Stop: func(_ *actorsys.Turn, c *Clock, _ error) { fmt.Println("stopped after", c.ticks, "ticks") }})
	sys.WaitFor(ctx, func(f actorsys.Fact) bool { return f.Type == "actor-stopped" && f.Actor == clock.String() })
	// Output: stopped after 3 ticks
}

func ExampleRef_Drain() {
	ctx := context.Background()
	sys := exampleSystem()
	defer sys.Shutdown(ctx)
	worker, _ := actorsys.Spawn(sys, "worker", newWorker, &actorsys.Plain[*Worker]{
		Stop: func(_ *actorsys.Turn, w *Worker, _ error) { fmt.Println("done:", w.done) },
	})

	for i := range 10 {
		worker.Tell(Job{i})
	}
	fmt.Println(worker.Drain(ctx)) // Stop would turn away what waits
	fmt.Println(worker.Tell(Job{10}))
	// Output:
	// done: 10
	// <nil>
	// stopped: the actor has
}

func ExampleLookup() {
	ctx := context.Background()
	sys := exampleSystem()
	defer sys.Shutdown(ctx)
	actorsys.Spawn(sys, "cache", newCache, nil)

	cache, err := actorsys.Lookup[*Cache](sys, "cache")
	fmt.Println(cache, err)
	_, err = actorsys.Lookup[*Cache](sys, "cellar")
	fmt.Println(err)
	// Output:
	// cache <nil>
	// not found: no actor "cellar"
}

func ExampleSystem_DeadLetters() {
	ctx := context.Background()
	sys := exampleSystem()
	cache, _ := actorsys.Spawn(sys, "cache", newCache, nil)
	cache.Stop(ctx)
	cache.Tell(Set{"colour", "green"})
	sys.Shutdown(ctx)

	for _, l := range sys.DeadLetters(10) {
		fmt.Printf("%s %s %s: %v\n", l.Target, l.Type, l.Payload, l.Reason)
	}
	// Output: cache actorsys_test.Set {"Key":"colour","Value":"green"}: stopped: the actor has
}

func ExampleSystem_Facts() {
	ctx := context.Background()
	sys := exampleSystem()
	facts := sys.Facts(ctx)
	worker, _ := actorsys.Spawn(sys, "worker", newWorker, &actorsys.Plain[*Worker]{Supervision: actorsys.Supervision{Backoff: -1}})
	actorsys.Ask(ctx, worker, Job{13})
	actorsys.Ask(ctx, worker, Job{1})
	sys.Shutdown(ctx)

	for f := range facts {
		fmt.Printf("%s %q %q\n", f.Type, f.Actor, f.Reason)
	}
	// Output:
	// actor-started "worker" ""
	// actor-failed "worker" "actor panicked: thirteen"
	// actor-restarted "worker" "actor panicked: thirteen"
	// actor-stopped "worker" ""
	// system-stopped "" ""
}

func ExampleSystem_Audit() {
	ctx := context.Background()
	sys := exampleSystem()
	defer sys.Shutdown(ctx)
	actorsys.Spawn(sys, "crew", newCrew, nil)

	r, err := sys.Audit(ctx)
	fmt.Println(r.Total, r.Alive, r.DeadLetters, err)
	for a := range sys.Actors() {
		fmt.Println(a.Address, a.Children)
	}
	// Output:
	// 2 2 0 <nil>
	// crew [crew/1]
	// crew/1 []
}

func ExampleHooks() {
	ctx := context.Background()
	store, err := memory.Open(ctx, nil)
	if err != nil {
		panic(err)
	}
	sys, err := actorsys.Start(ctx, actorsys.Config{Backend: store, Hooks: actorsys.Hooks{
		Receive: func(ctx context.Context, actor string, message any) (context.Context, func(error)) {
			fmt.Printf("%s gets %T\n", actor, message)
			return ctx, func(err error) { fmt.Println("done:", err) }
		},
	}})
	if err != nil {
		panic(err)
	}
	defer sys.Shutdown(ctx)
	cache, _ := actorsys.Spawn(sys, "cache", newCache, nil)
	actorsys.Ask(ctx, cache, Get{"colour"})
	// Output:
	// cache gets actorsys_test.Get
	// done: <nil>
}

// A command whose effects must wait until it is durable leaves them to its turn.
func ExampleTurn_After() {
	ctx := context.Background()
	sys := exampleSystem()
	accounts, err := actorsys.Register(sys, "account", actorsys.Events[Account]{actorsys.On[Deposited]("deposited", 1)}, nil)
	if err != nil {
		panic(err)
	}
	accounts.Ref("ada").Tell(Do(func(t *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
		t.After(func(context.Context) { fmt.Println("a letter goes to Ada") })
		return []actorsys.Event[Account]{Deposited{50}}, nil
	}))
	sys.Shutdown(ctx) // waits for it
	// Output: a letter goes to Ada
}
