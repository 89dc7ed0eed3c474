package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

func TestASecondSystemOnTheStoreFencesTheFirst(t *testing.T) {
	store := open(t)
	one, two := startAccounts(t, store).Ref("ada"), startAccounts(t, store).Ref("ada")
	must(t, one, Deposit{1})
	must(t, two, Deposit{10})
	_, err := actorsys.Ask(t.Context(), one, Deposit{100})
	var fenced *backend.FencedError
	if !errors.Is(err, actorsys.ErrNotPersisted) || !errors.As(err, &fenced) || fenced.Epoch != 1 || fenced.Newest != 2 {
		t.Errorf("the first system: %v", err)
	}
	if got := must(t, one, Deposit{1000}); got != 1011 {
		t.Errorf("the first system starts again from %d", got-1000)
	}
	if _, err := actorsys.Ask(t.Context(), two, Deposit{1}); !errors.Is(err, backend.ErrFenced) {
		t.Errorf("the second system: %v", err)
	}
	if got := must(t, two, Balance); got != 1011 {
		t.Errorf("balance %d", got)
	}
}

func TestAWriterWithoutEpochIsAConflict(t *testing.T) {
	store := open(t)
	ada := startAccounts(t, store).Ref("ada")
	must(t, ada, Balance)
	r := backend.Record{Type: "deposited", Schema: 1, Payload: []byte(`{"Cents":5}`)}
	if _, err := store.Append(t.Context(), backend.Batch{Stream: "account/ada", Records: []backend.Record{r}}); err != nil {
		t.Fatal(err)
	}
	var conflict *backend.ConflictError
	if _, err := actorsys.Ask(t.Context(), ada, Deposit{1}); !errors.Is(err, actorsys.ErrNotPersisted) || !errors.As(err, &conflict) || conflict.Actual != 1 {
		t.Errorf("%v", err)
	}
	if got := must(t, ada, Deposit{1}); got != 6 {
		t.Errorf("balance %d, want 6", got)
	}
}

func TestOneActorsConflictFailsNobodyElseInTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		b := f.open(t)
		accounts := startAccounts(t, b)
		must(t, accounts.Ref("ada"), Balance)
		r := backend.Record{Type: "deposited", Schema: 1, Payload: []byte(`{"Cents":5}`)}
		if _, err := b.Append(t.Context(), backend.Batch{Stream: "account/ada", Records: []backend.Record{r}}); err != nil {
			t.Fatal(err)
		}
		h, unblock := blocked()
		f.set(h)
		first := ask(accounts.Ref("first"), Deposit{1})
		synctest.Wait()
		ada, bob := ask(accounts.Ref("ada"), Deposit{1}), ask(accounts.Ref("bob"), Deposit{1})
		synctest.Wait()
		unblock()
		if r := <-first; r.err != nil {
			t.Error(r.err)
		}
		if r := <-bob; r.err != nil {
			t.Error(r.err)
		}
		if r := <-ada; !errors.Is(r.err, backend.ErrConflict) {
			t.Errorf("%v", r)
		}
	})
}

// An append whose answer was lost is resolved: by sending it again.
func TestALostAnswerIsLearned(t *testing.T) {
	lost := fmt.Errorf("%w: connection lost", backend.ErrUnknownOutcome)
	poisoned := fmt.Errorf("%w: %w: sync failed", backend.ErrPoisoned, backend.ErrUnknownOutcome)
	for name, c := range map[string]struct {
		err         error
		wrote       bool
		opens, sent int
	}{
		"before the store wrote":           {lost, false, 1, 2},
		"after the store wrote":            {lost, true, 1, 2},
		"poisoned before the store wrote":  {poisoned, false, 2, 2},
		"poisoned after the store wrote":   {poisoned, true, 2, 2},
		"poisoned, certainly nothing kept": {fmt.Errorf("%w: test", backend.ErrPoisoned), false, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var f faults
			b := f.open(t)
			ada := startAccounts(t, b).Ref("ada")
			must(t, ada, Deposit{1})
			f.set(once(func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
				if c.wrote {
					write()
				}
				return nil, c.err
			}))
			for want := int64(3); want < 7; want += 2 {
				if got := must(t, ada, Deposit{2}); got != want {
					t.Errorf("balance %d, want %d", got, want)
				}
			}
			if n := len(events(t, b, "account/ada")); n != 3 {
				t.Errorf("%d events stored, want 3", n)
			}
			if opens, appends, _ := f.counts(); opens != c.opens || appends != 2+c.sent {
				t.Errorf("%d opens, %d appends", opens, appends)
			}
		})
	}
}

func TestABatchInDoubtThatMeetsAConflictWasNotStored(t *testing.T) {
	var f faults
	b := f.open(t)
	ada := startAccounts(t, b).Ref("ada")
	must(t, ada, Balance)
	f.set(once(func(func() ([]backend.Result, error)) ([]backend.Result, error) {
		f.store.Append(context.Background(), []backend.Record{{Stream: "account/ada", Version: 1, Position: 1, Kind: backend.Event, Type: "deposited", Schema: 1, Epoch: 9, Payload: []byte(`{"Cents":5}`)}})
		return nil, fmt.Errorf("%w: %w: test", backend.ErrPoisoned, backend.ErrUnknownOutcome)
	}))
	_, err := actorsys.Ask(t.Context(), ada, Deposit{1})
	if !errors.Is(err, actorsys.ErrNotPersisted) || !errors.Is(err, backend.ErrFenced) || errors.Is(err, backend.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
	if got := must(t, ada, Deposit{1}); got != 6 {
		t.Errorf("balance %d, want 6", got)
	}
}

// A full disk, as a verdict on a whole group, says nothing about a batch of an earlier
// group that is sent again.
func TestADoubtIsNotSettledByAVerdictOnALaterSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		b := f.open(t)
		ada := startAccounts(t, b).Ref("ada")
		sent := 0
		f.set(func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
			switch sent++; sent {
			case 1:
				write()
				return nil, fmt.Errorf("%w: test", backend.ErrUnknownOutcome)
			case 2, 3:
				return nil, fmt.Errorf("%w: test", backend.ErrNoSpace)
			}
			return write()
		})
		if got := must(t, ada, Deposit{2}); got != 2 || sent != 4 {
			t.Errorf("balance %d after %d sendings", got, sent)
		}
	})
}

func TestADoubtThatLastsIsToldAsADoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		b := f.open(t)
		ada := startAccounts(t, b).Ref("ada")
		f.set(func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
			write()
			return nil, fmt.Errorf("%w: test", backend.ErrUnknownOutcome)
		})
		began := time.Now()
		time.AfterFunc(time.Millisecond, func() {
			if _, err := actorsys.Ask(t.Context(), ada, Balance); !errors.Is(err, actorsys.ErrNotPersisted) || errors.Is(err, backend.ErrUnknownOutcome) {
				t.Errorf("behind it: %v", err)
			}
		})
		if _, err := actorsys.Ask(t.Context(), ada, Deposit{2}); !errors.Is(err, backend.ErrUnknownOutcome) || errors.Is(err, actorsys.ErrNotPersisted) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took < time.Second || took > 10*time.Second {
			t.Errorf("told after %v", took)
		}
		f.set(nil)
		if got := must(t, ada, Deposit{1}); got != 3 {
			t.Errorf("balance %d, want 3", got)
		}
	})
}

// poison makes the next append poison the backend with an unknown outcome, and lets
// no opening succeed until heal is called.
func poison(f *faults, wrote bool) (heal func()) {
	f.set(once(func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
		if wrote {
			write()
		}
		return nil, fmt.Errorf("%w: %w: sync failed", backend.ErrPoisoned, backend.ErrUnknownOutcome)
	}))
	f.refuseToOpen(1e6)
	return func() { f.refuseToOpen(0) }
}

func TestAPoisonedBackendIsReopenedUntilItIsSound(t *testing.T) {
	for _, wrote := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var f faults
			b := f.open(t)
			accounts := startAccounts(t, b)
			ada := accounts.Ref("ada")
			must(t, ada, Deposit{1})
			must(t, accounts.Ref("bob"), Deposit{1})
			heal := poison(&f, wrote)
			if _, err := actorsys.Ask(t.Context(), ada, Deposit{2}); !errors.Is(err, backend.ErrUnknownOutcome) || errors.Is(err, actorsys.ErrNotPersisted) {
				t.Errorf("in flight: %v", err)
			}
			for _, ref := range []actorsys.Ref[Account]{ada, accounts.Ref("bob")} {
				if _, err := actorsys.Ask(t.Context(), ref, Deposit{2}); !errors.Is(err, actorsys.ErrNotPersisted) || !errors.Is(err, backend.ErrPoisoned) || errors.Is(err, backend.ErrUnknownOutcome) {
					t.Errorf("%v, new, on a poisoned backend: %v", ref, err)
				}
			}
			if _, err := actorsys.Ask(t.Context(), ada, Balance); !errors.Is(err, backend.ErrPoisoned) {
				t.Errorf("an actor in doubt answered a read: %v", err)
			}
			time.Sleep(time.Minute)
			opens, _, _ := f.counts()
			if b.Poisoned() == nil || opens < 5 || opens > 15 {
				t.Fatalf("poisoned: %v, %d attempts", b.Poisoned(), opens)
			}
			heal()
			time.Sleep(time.Minute)
			want := int64(11)
			if wrote {
				want = 13
			}
			if got := must(t, ada, Deposit{10}); b.Poisoned() != nil || got != want {
				t.Errorf("poisoned: %v; balance %d, want %d", b.Poisoned(), got, want)
			}
		})
	}
}

func TestTheSystemLeavesReopeningAloneIfItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		b := f.open(t)
		ada := register(t, start(t, actorsys.Config{Backend: b, NoReopen: true, Facts: actorsys.FactsNone}), nil).Ref("ada")
		poison(&f, true)()
		if _, err := actorsys.Ask(t.Context(), ada, Deposit{2}); !errors.Is(err, backend.ErrUnknownOutcome) {
			t.Errorf("in flight: %v", err)
		}
		time.Sleep(time.Hour)
		if _, err := actorsys.Ask(t.Context(), ada, Balance); !errors.Is(err, backend.ErrPoisoned) {
			t.Errorf("an hour later: %v", err)
		}
		if err := b.Reopen(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := must(t, ada, Balance); got != 2 {
			t.Errorf("balance %d, want 2", got)
		}
	})
}

func TestTurnsBehindABatchInDoubtWereNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		sys := start(t, actorsys.Config{Backend: f.open(t), Facts: actorsys.FactsNone})
		accounts := register(t, sys, nil)
		ada := accounts.Ref("ada")
		heal := poison(&f, true)
		fail, goOn := f.hook, make(chan struct{})
		f.set(func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
			<-goOn
			return fail(write)
		})
		inFlight := ask(ada, Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			turn.Tell(accounts.Ref("bob").With(Deposit{1}))
			return []actorsys.Event[Account]{Deposited{1}}, nil
		}))
		synctest.Wait()
		behind, read := ask(ada, Deposit{2}), ask(ada, Balance)
		synctest.Wait()
		close(goOn)
		if r := <-inFlight; !errors.Is(r.err, backend.ErrUnknownOutcome) {
			t.Errorf("in flight: %v", r)
		}
		for _, c := range []<-chan result{behind, read} {
			if r := <-c; !errors.Is(r.err, actorsys.ErrNotPersisted) || !errors.Is(r.err, backend.ErrPoisoned) || errors.Is(r.err, backend.ErrUnknownOutcome) {
				t.Errorf("behind it: %v", r)
			}
		}
		heal()
		time.Sleep(time.Minute)
		if got := must(t, ada, Balance); got != 1 {
			t.Errorf("balance %d, want 1", got)
		}
		if _, _, tells := sys.Dropped(); tells != 1 {
			t.Errorf("%d lost messages counted, want 1", tells)
		}
	})
}

func TestTheDiskBeingFullIsSaidAndPasses(t *testing.T) {
	var f faults
	ada := startAccounts(t, f.open(t)).Ref("ada")
	must(t, ada, Deposit{1})
	f.set(func(func() ([]backend.Result, error)) ([]backend.Result, error) { return nil, backend.ErrNoSpace })
	for range 3 {
		if _, err := actorsys.Ask(t.Context(), ada, Deposit{1}); !errors.Is(err, actorsys.ErrNotPersisted) || !errors.Is(err, backend.ErrNoSpace) {
			t.Errorf("%v", err)
		}
		if got := must(t, ada, Balance); got != 1 {
			t.Errorf("balance %d", got)
		}
	}
	f.set(nil)
	if got := must(t, ada, Deposit{1}); got != 2 {
		t.Errorf("balance %d", got)
	}
}

func TestACommandDecidedOnALostStateIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		b := f.open(t)
		ada := startAccounts(t, b).Ref("ada")
		fail := make(chan struct{})
		f.set(once(func(func() ([]backend.Result, error)) ([]backend.Result, error) {
			<-fail
			return nil, backend.ErrNoSpace
		}))
		lost := ask(ada, Deposit{1})
		synctest.Wait()
		goOn := make(chan struct{})
		deciding := ask(ada, Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
			<-goOn
			return []actorsys.Event[Account]{Deposited{10}}, nil
		}))
		synctest.Wait()
		next := ask(ada, Deposit{100})
		synctest.Wait()
		close(fail)
		if r := <-lost; !errors.Is(r.err, backend.ErrNoSpace) {
			t.Errorf("lost: %v", r)
		}
		close(goOn)
		if r := <-deciding; !errors.Is(r.err, actorsys.ErrNotPersisted) || !errors.Is(r.err, backend.ErrNoSpace) {
			t.Errorf("deciding meanwhile: %v", r)
		}
		if r := <-next; r != (result{100, nil}) {
			t.Errorf("next: %v", r)
		}
	})
}
