package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// traceKey is under what the tests' contexts carry a trail of where they have been.
type traceKey struct{}

func trace(ctx context.Context) string {
	s, _ := ctx.Value(traceKey{}).(string)
	return s
}

func traced(ctx context.Context, step string) context.Context {
	return context.WithValue(ctx, traceKey{}, strings.TrimPrefix(trace(ctx)+">"+step, ">"))
}

// everyHook calls f before and after everything, with its name.
func everyHook(f func(ctx context.Context, what string) (context.Context, func(error))) actorsys.Hooks {
	return actorsys.Hooks{
		Spawn: func(ctx context.Context, actor string) (context.Context, func(error)) { return f(ctx, "spawn "+actor) },
		Stop: func(ctx context.Context, actor string, reason error) (context.Context, func(error)) {
			return f(ctx, fmt.Sprintf("stop %s (%v)", actor, reason))
		},
		Receive: func(ctx context.Context, actor string, msg any) (context.Context, func(error)) {
			return f(ctx, fmt.Sprintf("receive %s %T", actor, msg))
		},
		Supervise: func(ctx context.Context, actor string, failure error, d actorsys.Directive) (context.Context, func(error)) {
			return f(ctx, fmt.Sprintf("supervise %s (%v) %v", actor, failure, d))
		},
		Persist: func(ctx context.Context, actor string, records int) (context.Context, func(error)) {
			return f(ctx, fmt.Sprintf("persist %s %d", actor, records))
		},
		Recover: func(ctx context.Context, actor string) (context.Context, func(error)) {
			return f(ctx, "recover "+actor)
		},
		DeadLetter: func(ctx context.Context, l actorsys.DeadLetter) (context.Context, func(error)) {
			return f(ctx, fmt.Sprintf("dead letter %s %s %s", l.Target, l.Type, l.Payload))
		},
	}
}

// drive does one of each thing that there is a hook for.
func drive(t *testing.T, sys *actorsys.System) {
	t.Helper()
	accounts := register(t, sys, nil)
	must(t, accounts.Ref("ada"), Deposit{5})
	must(t, accounts.Ref("ada"), Balance)
	actorsys.Ask(t.Context(), accounts.Ref("ada"), Deposit{-1})
	box := spawn(t, sys, "box", nil)
	crash(t, box)
	want(t, "seen after a crash", seen(t, box), "")
	if err := box.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	box.Tell(Put("x"))
	synctest.Wait()
	if n := len(sys.DeadLetters(10)); n != 1 {
		t.Errorf("%d dead letters", n)
	}
	want(t, "balance", must(t, accounts.Ref("ada"), Deposit{2}), 7)
}

func TestHooksAreCalledAroundEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := make(order, 1000)
		sys := start(t, actorsys.Config{Backend: open(t), Hooks: everyHook(func(ctx context.Context, what string) (context.Context, func(error)) {
			calls <- what
			return nil, func(err error) { calls <- fmt.Sprintf("%s: %v", what, err) }
		})})
		drive(t, sys)
		var got []string
		for _, c := range calls.all() {
			if !strings.Contains(c, "receive box") && len(got) < 29 {
				got = append(got, c)
			}
		}
		want(t, "calls", strings.Join(got, "\n"), strings.Join([]string{
			"recover account/ada", "recover account/ada: <nil>",
			"receive account/ada actorsys_test.Deposit", "receive account/ada actorsys_test.Deposit: <nil>",
			"persist account/ada 1", "persist account/ada 1: <nil>",
			"receive account/ada actorsys_test.Do", "receive account/ada actorsys_test.Do: <nil>",
			"receive account/ada actorsys_test.Deposit", "receive account/ada actorsys_test.Deposit: a deposit needs money",
			"spawn box", "spawn box: <nil>",
			"supervise box (actor panicked: boom) restart", "supervise box (actor panicked: boom) restart: actor panicked: boom",
			"stop box (actor panicked: boom)", "stop box (actor panicked: boom): <nil>",
			"spawn box", "spawn box: <nil>",
			"stop box (<nil>)", "stop box (<nil>): <nil>",
			`dead letter box actorsys_test.Put "x"`, `dead letter box actorsys_test.Put "x": <nil>`,
			"receive account/ada actorsys_test.Deposit", "receive account/ada actorsys_test.Deposit: <nil>",
			"persist account/ada 1", "persist account/ada 1: <nil>",
		}, "\n"))
	})
}

func TestAPersistHookLearnsThatNothingWasStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		results := make(order, 10)
		sys := start(t, actorsys.Config{Backend: f.open(t), Hooks: actorsys.Hooks{Persist: func(ctx context.Context, _ string, _ int) (context.Context, func(error)) {
			return ctx, func(err error) { results <- fmt.Sprint(errors.Is(err, backend.ErrNoSpace)) }
		}}})
		f.set(func(func() ([]backend.Result, error)) ([]backend.Result, error) { return nil, backend.ErrNoSpace })
		actorsys.Ask(t.Context(), register(t, sys, nil).Ref("ada"), Deposit{1})
		want(t, "results", results.all(), "[true]")
	})
}

func TestAHookThatPanicsHarmsNobody(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			sys := start(t, actorsys.Config{Backend: open(t), Hooks: everyHook(func(ctx context.Context, what string) (context.Context, func(error)) {
				if !late {
					panic(what)
				}
				return ctx, func(error) { panic(what) }
			})})
			drive(t, sys)
			if err := sys.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A hook that looks at the system, and at the very actor that it is called for, would
// wait for ever if somebody held a lock.
func TestNoHookRunsWithALockHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sys *actorsys.System
		var mu sync.Mutex
		calls := 0
		look := func() {
			mu.Lock()
			s := sys
			calls++
			mu.Unlock()
			if s == nil {
				return
			}
			s.Audit(context.Background())
			s.DeadLetters(1)
			if box, err := actorsys.Lookup[*Box](s, "box"); err == nil {
				box.Info()
				actorsys.Lookup[*Box](s, "nobody")
			}
			if ada, err := actorsys.Lookup[Account](s, "account/ada"); err == nil {
				ada.Info()
				ada.Tell(Balance)
			}
		}
		s := start(t, actorsys.Config{Backend: open(t), Hooks: everyHook(func(ctx context.Context, what string) (context.Context, func(error)) {
			if strings.HasSuffix(what, ".Do") { // what look tells
				return ctx, nil
			}
			look()
			return ctx, func(error) { look() }
		})})
		mu.Lock()
		sys = s
		mu.Unlock()
		drive(t, s)
		if calls < 25 {
			t.Errorf("%d calls", calls)
		}
	})
}

func TestContextsTravelWithMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t), Hooks: actorsys.Hooks{
			Receive: func(ctx context.Context, actor string, _ any) (context.Context, func(error)) {
				return traced(ctx, actor), nil
			},
			Persist: func(ctx context.Context, _ string, _ int) (context.Context, func(error)) {
				return traced(ctx, "stored"), nil
			},
			Recover: func(ctx context.Context, actor string) (context.Context, func(error)) {
				if trace(ctx) == "" {
					t.Errorf("%s is recovered for nobody", actor)
				}
				return ctx, nil
			},
		}})
		accounts := register(t, sys, nil)
		box := spawn(t, sys, "box", nil)
		trails := make(order, 10)
		report := In(func(turn *actorsys.Turn, b *Box) error {
			trails <- trace(turn.Context())
			turn.Timer("later", time.Second, b.Self.With(In(func(turn *actorsys.Turn, _ *Box) error {
				trails <- trace(turn.Context())
				return nil
			})))
			return nil
		})
		pass := func(d actorsys.Delivery) Do {
			return func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
				turn.Tell(d)
				return []actorsys.Event[Account]{Deposited{1}}, nil
			}
		}
		ctx, cancel := context.WithCancel(traced(t.Context(), "caller"))
		actorsys.Ask(ctx, accounts.Ref("ada"), pass(accounts.Ref("bob").With(pass(box.With(report)))))
		cancel() // the end of the asker's context does not travel
		time.Sleep(time.Minute)
		first := "caller>account/ada>stored>account/bob>stored>box"
		want(t, "trails", trails.all(), []string{first, first + ">box"})

		cancelled, cancel := context.WithCancel(traced(t.Context(), "sender"))
		letGo := hold(box)
		if err := box.Send(cancelled, In(func(turn *actorsys.Turn, _ *Box) error {
			trails <- fmt.Sprint(trace(turn.Context()), " ", turn.Context().Err(), " ", context.Cause(turn.Context()))
			return nil
		})); err != nil {
			t.Error(err)
		}
		cancel()
		letGo()
		synctest.Wait()
		want(t, "trails", trails.all(), "[sender>box <nil> <nil>]")
	})
}

// Two that tell each other for ever must not drag an ever longer context along.
func TestAContextIsLeftBehindAfterManyHops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		longest := 0
		sys := start(t, actorsys.Config{Backend: open(t), Hooks: actorsys.Hooks{
			Receive: func(ctx context.Context, _ string, _ any) (context.Context, func(error)) {
				ctx = traced(ctx, "x")
				longest = max(longest, strings.Count(trace(ctx), "x"))
				return ctx, nil
			},
		}})
		a, b := spawn(t, sys, "a", nil), spawn(t, sys, "b", nil)
		left := 1000
		var pingPong In
		pingPong = func(turn *actorsys.Turn, me *Box) error {
			if left--; left > 0 {
				other := map[actorsys.Ref[*Box]]actorsys.Ref[*Box]{a: b, b: a}[me.Self]
				turn.Tell(other.With(pingPong))
			}
			return nil
		}
		a.Tell(pingPong)
		synctest.Wait()
		if left != 0 || longest != 101 {
			t.Errorf("%d left; a trail of %d steps", left, longest)
		}
	})
}

func TestAToldMessagesContextEndsWithTheSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		box := spawn(t, sys, "box", nil)
		ended := make(chan error, 1)
		sender, leave := context.WithCancelCause(traced(t.Context(), "sender"))
		box.Send(sender, In(func(turn *actorsys.Turn, _ *Box) error {
			<-turn.Context().Done()
			ended <- context.Cause(turn.Context())
			return nil
		}))
		leave(errors.New("the sender has left"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sys.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		want(t, "cause", <-ended, context.Canceled)
	})
}

// The end of a Persist hook holds up its own actor, and nobody else.
func TestASlowPersistHookHoldsUpItsOwnActorOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		var hooks actorsys.Hooks
		hooks.Persist = func(ctx context.Context, actor string, _ int) (context.Context, func(error)) {
			return ctx, func(error) {
				if actor == "account/slow" {
					<-goOn
				}
			}
		}
		accounts := register(t, start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone, Hooks: hooks}), nil)
		var slow []<-chan result
		for range 3 {
			slow = append(slow, ask(accounts.Ref("slow"), Deposit{1}))
			synctest.Wait()
		}
		for i := range int64(10) {
			want(t, "balance", must(t, accounts.Ref("ada"), Deposit{1}), i+1)
		}
		close(goOn)
		for i, c := range slow {
			want(t, "slow", <-c, result{int64(i + 1), nil})
		}
	})
}
