package actorsys_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

func TestAnIdleActorLeavesMemoryAndComesBackWithItsNextMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		accounts := register(t, sys, nil)
		must(t, accounts.Ref("ada"), Deposit{5})
		must(t, accounts.Ref("bob"), Deposit{5})
		for range 10 {
			time.Sleep(actorsys.DefaultIdle / 2)
			must(t, accounts.Ref("bob"), Balance)
		}
		if sys.AliveActors() != 1 || sys.RegistrySize() != 1 {
			t.Errorf("%d alive of %d, want 1: bob", sys.AliveActors(), sys.RegistrySize())
		}
		time.Sleep(2 * actorsys.DefaultIdle)
		if sys.AliveActors() != 0 || sys.RegistrySize() != 0 {
			t.Errorf("%d alive of %d", sys.AliveActors(), sys.RegistrySize())
		}
		if got := must(t, accounts.Ref("ada"), Deposit{1}); got != 6 || sys.AliveActors() != 1 {
			t.Errorf("balance %d, %d alive", got, sys.AliveActors())
		}
	})
}

func TestAnActorWithANegativeIdleStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		must(t, register(t, sys, &actorsys.Options[Account]{Idle: -1}).Ref("ada"), Deposit{5})
		time.Sleep(1000 * time.Hour)
		if sys.AliveActors() != 1 {
			t.Error("it left")
		}
	})
}

func TestAnActorWithPendingWorkIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		sys := start(t, actorsys.Config{Backend: f.open(t), Facts: actorsys.FactsNone})
		accounts := register(t, sys, nil)
		h, unblock := blocked()
		f.set(h)
		answer := ask(accounts.Ref("ada"), Deposit{5})
		goOn := make(chan struct{})
		deciding := ask(accounts.Ref("bob"), Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
			<-goOn
			return nil, nil
		}))
		time.Sleep(10 * actorsys.DefaultIdle)
		if sys.AliveActors() != 2 {
			t.Errorf("%d alive, want 2", sys.AliveActors())
		}
		unblock()
		close(goOn)
		if r := <-answer; r != (result{5, nil}) {
			t.Errorf("%v", r)
		}
		<-deciding
	})
}

func TestMessagesThatMeetAPassivationAreNotLost(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone})
	accounts := register(t, sys, &actorsys.Options[Account]{Idle: time.Nanosecond}) // a sweep each millisecond
	const clients, actors, each = 8, 20, 500
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				if i%20 == 0 {
					time.Sleep(time.Duration(c) * time.Millisecond)
				}
				if _, err := actorsys.Ask(t.Context(), accounts.Ref(fmt.Sprint((c+i)%actors)), Deposit{1}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	sum := int64(0)
	for i := range actors {
		sum += must(t, accounts.Ref(fmt.Sprint(i)), Balance)
	}
	if sum != clients*each {
		t.Errorf("%d deposits, want %d", sum, clients*each)
	}
}

// An idle actor must cost less than 1 KiB, its name and its place in the registry
// with it, and no goroutine. What the store grows by is not the actor's.
func TestAnIdleActorCostsLessThanOneKiBAndNoGoroutine(t *testing.T) {
	const actors = 10_000
	id := func(i int) string { return fmt.Sprint("customer-", i) }
	before := heap()
	other := open(t)
	for i := range actors {
		r := backend.Record{Type: "deposited", Schema: 1, Payload: []byte(`{"Cents":5}`)}
		if _, err := other.Append(t.Context(), backend.Batch{Stream: "account/" + id(i), Records: []backend.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
	store := heap() - before
	runtime.KeepAlive(other)

	sys := start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone})
	accounts := register(t, sys, nil)
	before, goroutines := heap(), runtime.NumGoroutine()
	for i := range actors {
		must(t, accounts.Ref(id(i)), Deposit{5})
	}
	each := float64(heap()-before-store) / actors
	t.Logf("%.0f bytes for each of %d idle actors, besides %.0f in the store", each, actors, float64(store)/actors)
	if sys.AliveActors() != actors || each > 1024 {
		t.Errorf("%d alive, %.0f bytes each", sys.AliveActors(), each)
	}
	if least := 200.0; each < least { // the actor's struct alone is more
		t.Errorf("%.0f bytes each: what was in use before has been measured too high", each)
	}
	runtime.KeepAlive(other)
	if now := runtime.NumGoroutine(); now > goroutines+64 { // some that ran actors wait to run others
		t.Errorf("%d goroutines, %d before", now, goroutines)
	}
}

// heap is what is in use once the garbage of all that ran before is gone: what ends in the
// background, and what pools and finalizers still hold, goes with a later collection.
func heap() int64 {
	least, calm := int64(math.MaxInt64), 0
	for range 50 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if now := int64(m.HeapAlloc); now < least-4096 {
			least, calm = now, 0
		} else if calm++; calm == 3 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return least
}

func TestOnlySoManyActorsReplayAtATimeFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t), MaxRecoveries: 2})
		replaying := make(order, 100)
		goOn := make(chan struct{})
		accounts := register(t, sys, &actorsys.Options[Account]{Initial: func(id string) Account {
			replaying <- id
			<-goOn
			return Account{}
		}})
		var answers []<-chan result
		for i := range 6 {
			answers = append(answers, ask(accounts.Ref(fmt.Sprint(i)), Balance))
			synctest.Wait()
		}
		for _, id := range []string{"2", "2", "gone"} { // askers come and go; 2 keeps its place in line
			ctx, cancel := context.WithCancel(t.Context())
			go actorsys.Ask(ctx, accounts.Ref(id), Balance)
			synctest.Wait()
			cancel()
			synctest.Wait()
		}
		var got [][]string
		for range 3 {
			got = append(got, slices.Sorted(slices.Values(replaying.all())))
			goOn <- struct{}{}
			goOn <- struct{}{}
			synctest.Wait()
		}
		if fmt.Sprint(got) != "[[0 1] [2 3] [4 5]]" || len(replaying) != 0 {
			t.Errorf("replayed %v, then %v", got, replaying.all())
		}
		for _, a := range answers {
			if r := <-a; r.err != nil {
				t.Error(r.err)
			}
		}
	})
}

func TestActivationsAreCountedWithTheirState(t *testing.T) {
	b := open(t)
	live(t, b, 3, nil)
	sys := start(t, actorsys.Config{Backend: b})
	if sys.AliveActors() != 0 || sys.RegistrySize() != 0 {
		t.Error("something ran before it was asked")
	}
	must(t, register(t, sys, nil).Ref("ada"), Balance)
	if sys.AliveActors() != 1 || sys.RegistrySize() != 1 {
		t.Errorf("%d alive of %d", sys.AliveActors(), sys.RegistrySize())
	}
}
