package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// Box is the state of a plain actor: what it was told.
type Box struct {
	Self actorsys.Ref[*Box]
	Seen []string
}

// Put is told to a box, which answers with all that it has seen.
type Put string

func (c Put) Decide(_ *actorsys.Turn, b *Box) ([]actorsys.Event[*Box], error) {
	b.Seen = append(b.Seen, string(c))
	return nil, nil
}

func (c Put) Reply(b *Box) string { return strings.Join(b.Seen, " ") }

// In is whatever a test wants run in a box's turn.
type In func(t *actorsys.Turn, b *Box) error

func (f In) Decide(t *actorsys.Turn, b *Box) ([]actorsys.Event[*Box], error) { return nil, f(t, b) }
func (f In) Reply(b *Box) string                                             { return strings.Join(b.Seen, " ") }

var look = In(func(*actorsys.Turn, *Box) error { return nil })

func newBox(_ *actorsys.Turn, self actorsys.Ref[*Box]) (*Box, error) { return &Box{Self: self}, nil }

// spawn starts a box.
func spawn(tb testing.TB, in actorsys.Parent, name string, opts *actorsys.Plain[*Box]) actorsys.Ref[*Box] {
	tb.Helper()
	ref, err := actorsys.Spawn(in, name, newBox, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return ref
}

// within runs f in a turn of a box, whose error it returns.
func within(ref actorsys.Ref[*Box], f In) error {
	_, err := actorsys.Ask(context.Background(), ref, f)
	return err
}

func seen(tb testing.TB, ref actorsys.Ref[*Box]) string {
	tb.Helper()
	s, err := actorsys.Ask(context.Background(), ref, look)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// hold keeps a box in a turn until the returned function is called.
func hold(ref actorsys.Ref[*Box]) (letGo func()) {
	started, held := make(chan struct{}), make(chan struct{})
	ref.Tell(In(func(*actorsys.Turn, *Box) error {
		close(started)
		<-held
		return nil
	}))
	<-started
	return func() { close(held) }
}

// letters returns what dead letters there are, once all are known.
func letters(sys *actorsys.System) (out []string) {
	synctest.Wait()
	for _, l := range sys.DeadLetters(1000) {
		out = append(out, fmt.Sprintf("%s %s %s: %v", l.Target, l.Type, l.Payload, l.Reason))
	}
	return out
}

func want(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		tb.Errorf("%s:\n%v\nwant\n%v", what, got, want)
	}
}

func TestACommandRunsOnADurableActorAndOnAPlainOne(t *testing.T) {
	b := open(t)
	sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
	plain, err := actorsys.Spawn(sys, "petty-cash", func(*actorsys.Turn, actorsys.Ref[Account]) (Account, error) { return Account{100}, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []actorsys.Ref[Account]{plain, register(t, sys, nil).Ref("ada")} {
		first := must(t, ref, Balance)
		must(t, ref, Deposit{5})
		if got := must(t, ref, Deposit{2}); got != first+7 {
			t.Errorf("%v: balance %d", ref, got)
		}
		if _, err := actorsys.Ask(t.Context(), ref, Deposit{-1}); err == nil || err.Error() != "a deposit needs money" {
			t.Errorf("%v: %v", ref, err)
		}
		must(t, ref, Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			if turn.Version() != 2 || turn.Stream() != ref.String() || turn.ID() != ref.ID() {
				t.Errorf("%v: a turn at version %d of %q, %q", ref, turn.Version(), turn.Stream(), turn.ID())
			}
			return nil, nil
		}))
	}
	if n := b.Metrics().Snapshot().WritesTotal; n != 2 {
		t.Errorf("%d records stored, want the durable actor's 2", n)
	}
}

func TestChildrenStopBeforeTheirParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsAll})
		stopped := make(order, 10)
		opts := &actorsys.Plain[*Box]{Stop: func(_ *actorsys.Turn, b *Box, reason error) { stopped <- fmt.Sprint(b.Self, " ", reason) }}
		boss := spawn(t, sys, "boss", opts)
		within(boss, func(turn *actorsys.Turn, _ *Box) error {
			worker := spawn(t, turn, "worker", opts)
			spawn(t, turn, "", opts)
			if _, err := actorsys.Spawn(turn, "worker", newBox, nil); !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), `"boss/worker" is taken`) {
				t.Errorf("a second worker: %v", err)
			}
			if worker.String() != "boss/worker" || worker.ID() != "worker" {
				t.Errorf("address %v, id %v", worker, worker.ID())
			}
			return within(worker, func(turn *actorsys.Turn, _ *Box) error {
				spawn(t, turn, "tool", opts)
				return nil
			})
		})
		if sys.AliveActors() != 4 || sys.RegistrySize() != 4 {
			t.Errorf("%d alive of %d", sys.AliveActors(), sys.RegistrySize())
		}
		if err := boss.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		got := stopped.all()
		if i := slices.Index(got, "boss/worker/tool <nil>"); len(got) != 4 || got[3] != "boss <nil>" || i < 0 || i > slices.Index(got, "boss/worker <nil>") {
			t.Errorf("stopped %q", got)
		}
		if err := boss.Stop(t.Context()); err != nil || sys.AliveActors() != 0 || sys.RegistrySize() != 0 {
			t.Errorf("again: %v; %d alive of %d", err, sys.AliveActors(), sys.RegistrySize())
		}
		spawn(t, sys, "boss", nil) // the name is free
		sys.Shutdown(t.Context())
		want(t, "facts", strings.Count(strings.Join(facts(t, b, "main"), "\n"), "actor-stopped"), 5)
	})
}

func TestAStopTurnsAwayWhatWaitsAndADrainWorksItOff(t *testing.T) {
	for _, drain := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			sys := start(t, actorsys.Config{Backend: open(t)})
			box := spawn(t, sys, "box", &actorsys.Plain[*Box]{Mailbox: 2})
			letGo := hold(box)
			box.Tell(Put("a"))
			box.Tell(Put("b")) // the mailbox is full now
			asked := make(chan error, 1)
			go func() { asked <- within(box, look) }()
			synctest.Wait()
			ended := make(chan error)
			go func() {
				if drain {
					ended <- box.Drain(t.Context())
				} else {
					ended <- box.Stop(t.Context())
				}
			}()
			synctest.Wait()
			if err := box.Tell(Put("c")); !errors.Is(err, actorsys.ErrStopped) {
				t.Errorf("a tell to an actor that is to stop: %v", err)
			}
			letGo()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			err := <-asked
			dead := []string{`box actorsys_test.Put "c": stopped: the actor has`}
			if drain {
				want(t, "the asker's answer", err, nil)
			} else {
				if !errors.Is(err, actorsys.ErrStopped) || !errors.Is(err, actorsys.ErrNotPersisted) {
					t.Errorf("the asker's answer: %v", err)
				}
				dead = append(dead, `box actorsys_test.Put "a": stopped: the actor has`, `box actorsys_test.Put "b": stopped: the actor has`)
			}
			want(t, "dead letters", letters(sys), dead)
			if err := within(box, look); !errors.Is(err, actorsys.ErrStopped) {
				t.Errorf("asking an actor that has stopped: %v", err)
			}
			if n := len(letters(sys)); n != len(dead) {
				t.Errorf("%d dead letters, with one that was asked and answered", n)
			}
		})
	}
}

func TestAStopReturnsWithItsContextAndHappensAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := spawn(t, start(t, actorsys.Config{Backend: open(t)}), "box", nil)
		letGo := hold(box)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := box.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		letGo()
		if err := box.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAnActorStopsItselfAfterItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b})
		box := spawn(t, sys, "box", nil)
		refused := errors.New("not now")
		if err := within(box, func(turn *actorsys.Turn, _ *Box) error { turn.Stop(nil); return refused }); err != refused {
			t.Error(err)
		}
		if err := within(box, func(turn *actorsys.Turn, _ *Box) error { turn.Stop(errors.New("worn out")); return nil }); err != nil {
			t.Errorf("an actor that stops in a turn that went well: %v", err)
		}
		if err := box.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		sys.Shutdown(t.Context())
		want(t, "facts", facts(t, b, "main")[1], `actor-stopped {"actor":"box","reason":"worn out"}`)
	})
}

func TestActorsAreFoundByTheirAddress(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t)})
	accounts := register(t, sys, nil)
	box := spawn(t, sys, "box", nil)
	if got, err := actorsys.Lookup[*Box](sys, "box"); err != nil || got != box {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := actorsys.Lookup[Account](sys, "account/ada/1"); err != nil || got != accounts.Ref("ada/1") {
		t.Errorf("%v, %v", got, err)
	}
	for address, want := range map[string]error{"nobody": backend.ErrNotFound, "box/child": backend.ErrNotFound, "account": backend.ErrNotFound, "account/": backend.ErrNotFound} {
		if _, err := actorsys.Lookup[*Box](sys, address); address != "account/" && address != "account" && !errors.Is(err, want) {
			t.Errorf("%q: %v", address, err)
		}
		if _, err := actorsys.Lookup[Account](sys, address); !errors.Is(err, want) {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, address := range []string{"box", "account/ada"} {
		if _, err := actorsys.Lookup[int](sys, address); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%q as another state: %v", address, err)
		}
	}
	if _, err := actorsys.Spawn(sys, "account", newBox, nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("a plain actor with the name of a kind: %v", err)
	}
	if _, err := actorsys.Register(sys, "box", accountEvents, nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("a kind with the name of a plain actor: %v", err)
	}
	first, second := spawn(t, sys, "", nil), spawn(t, sys, "", nil)
	want(t, "numbered", first.String()+second.String(), "12")
	spawn(t, sys, "3", nil)
	want(t, "the next number that is free", spawn(t, sys, "", nil), "4")
	if err := box.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := actorsys.Lookup[*Box](sys, "box"); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("one that has stopped: %v", err)
	}
	again := spawn(t, sys, "box", nil)
	if err := box.Tell(Put("x")); !errors.Is(err, actorsys.ErrStopped) || again == box {
		t.Errorf("the old ref: %v", err)
	}
}

// What comes for an actor while it starts must not keep whoever spawns it.
func TestSpawnReturnsThoughMessagesKeepComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		var over atomic.Bool
		var again In
		again = func(turn *actorsys.Turn, b *Box) error {
			if !over.Load() {
				turn.Tell(b.Self.With(again))
			}
			time.Sleep(time.Millisecond)
			return nil
		}
		_, err := actorsys.Spawn(sys, "box", func(turn *actorsys.Turn, self actorsys.Ref[*Box]) (*Box, error) {
			turn.Tell(self.With(again))
			return &Box{Self: self}, nil
		}, nil)
		over.Store(true)
		if err != nil {
			t.Error(err)
		}
	})
}

func TestWhatCannotBeSpawnedSaysWhy(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t)})
	broken := errors.New("no connection")
	var none *actorsys.System
	var dead *actorsys.Turn
	for name, f := range map[string]func() error{
		"slash":      func() error { _, err := actorsys.Spawn(sys, "a/b", newBox, nil); return err },
		"long":       func() error { _, err := actorsys.Spawn(sys, strings.Repeat("x", 600), newBox, nil); return err },
		"nil system": func() error { _, err := actorsys.Spawn(none, "a", newBox, nil); return err },
		"nil turn":   func() error { _, err := actorsys.Spawn(dead, "a", newBox, nil); return err },
		"nil parent": func() error { _, err := actorsys.Spawn(nil, "a", newBox, nil); return err },
		"nil start":  func() error { _, err := actorsys.Spawn[int](sys, "a", nil, nil); return err },
		"mailbox": func() error {
			_, err := actorsys.Spawn(sys, "a", newBox, &actorsys.Plain[*Box]{Mailbox: -1})
			return err
		},
		"exhausted":       func() error { return badSupervision(sys, actorsys.Supervision{Exhausted: 9}) },
		"window":          func() error { return badSupervision(sys, actorsys.Supervision{Within: -1}) },
		"longest backoff": func() error { return badSupervision(sys, actorsys.Supervision{MaxBackoff: -1}) },
		"stop of durable": func() error { return register(t, sys, nil).Ref("ada").Stop(t.Context()) },
		"stop of nothing": func() error { return actorsys.Ref[int]{}.Stop(t.Context()) },
		"send to nothing": func() error { return actorsys.Ref[int]{}.Send(t.Context(), nil) },
	} {
		if err := f(); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := actorsys.Spawn(sys, "a", func(*actorsys.Turn, actorsys.Ref[int]) (int, error) { return 0, broken }, nil)
	if !errors.Is(err, broken) || err.Error() != `starting "a": no connection` || sys.RegistrySize() != 0 {
		t.Errorf("a start that fails: %v; %d registered", err, sys.RegistrySize())
	}
	var p *actorsys.PanicError
	if _, err = actorsys.Spawn(sys, "a", func(*actorsys.Turn, actorsys.Ref[int]) (int, error) { panic("boom") }, nil); !errors.As(err, &p) {
		t.Errorf("a start that panics: %v", err)
	}
	letGo := hold(spawn(t, sys, "busy", nil))
	done := make(chan error)
	go func() { done <- sys.Shutdown(context.Background()) }()
	for err = nil; err == nil; { // until it has begun
		_, err = actorsys.Spawn(sys, "", newBox, nil)
	}
	if !errors.Is(err, actorsys.ErrStopped) || errors.Is(err, backend.ErrInvalid) {
		t.Errorf("during the shutdown: %v", err)
	}
	letGo()
	<-done
	if _, err := actorsys.Spawn(sys, "a", newBox, nil); !errors.Is(err, actorsys.ErrStopped) {
		t.Errorf("after the shutdown: %v", err)
	}
}

func badSupervision(sys *actorsys.System, s actorsys.Supervision) error {
	_, err := actorsys.Spawn(sys, "a", newBox, &actorsys.Plain[*Box]{Supervision: s})
	return err
}

// A turn of a durable actor may be lost after it has run.
func TestADurableTurnCannotHaveWhatTheGateDoesNotHold(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone})
	ada, box := register(t, sys, nil).Ref("ada"), spawn(t, sys, "box", nil)
	for name, f := range map[string]func(*actorsys.Turn){
		"Watch": func(turn *actorsys.Turn) {
			turn.Watch(box, func(error) actorsys.Delivery { return actorsys.Delivery{} })
		},
		"Unwatch":   func(turn *actorsys.Turn) { turn.Unwatch(box) },
		"Timer":     func(turn *actorsys.Turn) { turn.Timer("k", time.Second, ada.With(Balance)) },
		"StopTimer": func(turn *actorsys.Turn) { turn.StopTimer("k") },
		"Stop":      func(turn *actorsys.Turn) { turn.Stop(nil) },
		"Spawn": func(turn *actorsys.Turn) {
			if _, err := actorsys.Spawn(turn, "x", newBox, nil); !errors.Is(err, backend.ErrInvalid) {
				t.Errorf("Spawn: %v", err)
			}
			turn.Stop(nil)
		},
	} {
		_, err := actorsys.Ask(t.Context(), ada, Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			f(turn)
			return []actorsys.Event[Account]{Deposited{1}}, nil
		}))
		if !errors.Is(err, backend.ErrInvalid) || !errors.Is(err, actorsys.ErrNotPersisted) || !strings.Contains(err.Error(), "leave that to a plain actor") {
			t.Errorf("%s: %v", name, err)
		}
	}
	want(t, "balance", must(t, ada, Balance), 0)
	err := within(box, func(turn *actorsys.Turn, _ *Box) error {
		turn.Watch(ada, func(error) actorsys.Delivery { return actorsys.Delivery{} })
		return nil
	})
	if !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "is durable") {
		t.Errorf("watching a durable actor: %v", err)
	}
}

func TestManyActorsRunBesideEachOther(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			box := spawn(t, sys, "", nil)
			for j := range 50 {
				if err := box.Send(t.Context(), Put(fmt.Sprint(i*100+j))); err != nil {
					t.Error(err)
				}
			}
			if got := strings.Fields(seen(t, box)); len(got) != 50 || !slices.IsSortedFunc(got, func(a, b string) int { return len(a) - len(b) }) {
				t.Errorf("%d seen", len(got))
			}
			if err := box.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sys.AliveActors() != 0 || sys.RegistrySize() != 0 {
		t.Errorf("%d alive of %d", sys.AliveActors(), sys.RegistrySize())
	}
}

func TestAnIdlePlainActorHasNoGoroutine(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone})
	const actors = 5000
	before, goroutines := heap(), runtime.NumGoroutine()
	for range actors {
		if err := spawn(t, sys, "", nil).Tell(Put("x")); err != nil {
			t.Fatal(err)
		}
	}
	for sys.RegistrySize() < actors || len(runningBoxes(sys)) > 0 {
		runtime.Gosched()
	}
	each := float64(heap()-before) / actors
	t.Logf("%.0f bytes for each of %d idle plain actors", each, actors)
	if now := runtime.NumGoroutine(); now > goroutines+64 || each > 2048 { // some that ran actors wait to run others
		t.Errorf("%d goroutines, %d before; %.0f bytes", now, goroutines, each)
	}
	runtime.KeepAlive(sys)
}

// runningBoxes are those with messages in the mailbox.
func runningBoxes(sys *actorsys.System) (out []string) {
	for a := range sys.Actors() {
		if a.Waiting > 0 {
			out = append(out, a.Address)
		}
	}
	return out
}
