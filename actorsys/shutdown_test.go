package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

func TestAShutdownUnderLoadAnswersEveryAskAndLosesNothingItAcknowledged(t *testing.T) {
	b := open(t)
	sys := start(t, actorsys.Config{Backend: b})
	accounts := register(t, sys, nil)
	const clients = 32
	acked := make([]int, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for {
				got, err := actorsys.Ask(context.Background(), accounts.Ref(fmt.Sprint(c)), Deposit{1})
				if err != nil {
					if !errors.Is(err, actorsys.ErrStopped) || !errors.Is(err, actorsys.ErrNotPersisted) {
						t.Error(err)
					}
					return
				}
				if acked[c]++; got != int64(acked[c]) {
					t.Errorf("reply %d after %d", got, acked[c])
				}
			}
		})
	}
	for b.Metrics().Snapshot().WritesTotal < 5000 {
		runtime.Gosched()
	}
	if err := sys.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	for c := range clients {
		if n := len(events(t, b, fmt.Sprint("account/", c))); n != acked[c] {
			t.Errorf("client %d: %d stored, %d acknowledged", c, n, acked[c])
		}
	}
	if f := facts(t, b, "main"); len(f) != 2 || f[1] != "system-stopped {}" {
		t.Errorf("facts: %v", f)
	}
}

func TestWhatIsInTheMailboxesIsWorkedOffWithWhatFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b})
		accounts := register(t, sys, nil)
		goOn := make(chan struct{})
		accounts.Ref("ada").Tell(Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
			<-goOn
			return nil, nil
		}))
		var after bool
		accounts.Ref("ada").Tell(Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			turn.Tell(accounts.Ref("bob").With(Deposit{2}))
			turn.After(func(context.Context) { time.Sleep(time.Second); after = true })
			return []actorsys.Event[Account]{Deposited{1}}, nil
		}))
		synctest.Wait()
		done := make(chan error)
		go func() { done <- sys.Shutdown(context.Background()) }()
		synctest.Wait()
		if err := accounts.Ref("eve").Tell(Deposit{1}); err != actorsys.ErrStopped {
			t.Errorf("a tell from outside: %v", err)
		}
		if _, err := actorsys.Register(sys, "other", accountEvents, nil); err != nil && !errors.Is(err, actorsys.ErrStopped) {
			t.Error(err)
		}
		close(goOn)
		if err := <-done; err != nil || !after {
			t.Errorf("%v; After has run: %v", err, after)
		}
		for _, stream := range []string{"account/ada", "account/bob"} {
			if n := len(events(t, b, stream)); n != 1 {
				t.Errorf("%s: %d events", stream, n)
			}
		}
		if _, err := actorsys.Register(sys, "another", accountEvents, nil); !errors.Is(err, actorsys.ErrStopped) {
			t.Errorf("registering on a stopped system: %v", err)
		}
		if err := sys.Shutdown(context.Background()); err != nil {
			t.Errorf("again: %v", err)
		}
	})
}

func TestAShutdownReturnsWithItsContextEvenIfTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		sys := start(t, actorsys.Config{Backend: f.open(t), Facts: actorsys.FactsNone})
		accounts := register(t, sys, nil)
		h, unblock := blocked()
		f.set(h)
		defer unblock()
		inFlight := ask(accounts.Ref("ada"), Deposit{1})
		hung := make(chan struct{})
		defer close(hung)
		deciding := ask(accounts.Ref("bob"), Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
			<-hung
			return nil, nil
		}))
		synctest.Wait()
		waiting := ask(accounts.Ref("bob"), Deposit{1})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		second := make(chan error, 1)
		go func() {
			time.Sleep(time.Nanosecond)
			second <- sys.Shutdown(impatient)
		}()
		began := time.Now()
		if err := sys.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := <-second; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second Shutdown: %v", err)
		}
		for what, c := range map[string]<-chan result{"in flight": inFlight, "deciding": deciding} {
			if r := <-c; !errors.Is(r.err, actorsys.ErrStopped) || !errors.Is(r.err, backend.ErrUnknownOutcome) {
				t.Errorf("%s: %v", what, r)
			}
		}
		if r := <-waiting; !errors.Is(r.err, actorsys.ErrStopped) || !errors.Is(r.err, actorsys.ErrNotPersisted) {
			t.Errorf("waiting: %v", r)
		}
	})
}

func TestAShutdownThatIsGivenUpMakesDeadLettersOfWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		sys := start(t, actorsys.Config{Backend: f.open(t)})
		box := spawn(t, sys, "box", nil)
		letGo := hold(box)
		defer letGo()
		box.Tell(Put("plain"))
		synctest.Wait() // the start is recorded
		h, unblock := blocked()
		f.set(h)
		defer unblock()
		ada := register(t, sys, nil).Ref("ada")
		ada.Tell(Deposit{1})
		synctest.Wait() // its turn waits at the gate, for ever
		hung := make(chan struct{})
		defer close(hung)
		ada.Tell(Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) { <-hung; return nil, nil }))
		synctest.Wait()
		ada.Tell(Deposit{2})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sys.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		want(t, "dead letters", letters(sys), []string{`account/ada actorsys_test.Deposit {"Cents":2}: stopped`, `box actorsys_test.Put "plain": stopped`})
		if facts, _, _ := sys.Dropped(); facts != 3 { // two dead letters and the end of the system
			t.Errorf("%d facts counted as lost", facts)
		}
	})
}

// A bubble ends only when every goroutine in it has; one that is blocked for ever
// fails the test. So every test in a bubble is one of leaks: this one says so.
func TestNothingIsLeftRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsAll})
		accounts := register(t, sys, &actorsys.Options[Account]{SnapshotEvery: 1})
		for i := range 50 {
			must(t, accounts.Ref(fmt.Sprint(i)), Deposit{1})
		}
		if err := sys.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if sys.AliveActors() != 0 || sys.RegistrySize() != 0 {
			t.Errorf("%d alive of %d", sys.AliveActors(), sys.RegistrySize())
		}
	})
}

func TestASystemThatDidNotStartIsAnErrorAndNoPanic(t *testing.T) {
	sys, _ := actorsys.Start(t.Context(), actorsys.Config{})
	accounts, err := actorsys.Register(sys, "account", accountEvents, nil)
	if accounts != nil || !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "sys is nil: check Start's error") {
		t.Errorf("registering: %v", err)
	}
	if _, err := actorsys.Ask(t.Context(), accounts.Ref("ada"), Deposit{1}); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("asking: %v", err)
	}
	if err := sys.Shutdown(t.Context()); err != nil {
		t.Errorf("shutting down: %v", err)
	}
}
