package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

func TestWhatWasAnsweredIsThereAfterARestart(t *testing.T) {
	store := memory.New()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	for round := range 3 {
		b, err := store.Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		sys := start(t, actorsys.Config{Backend: b, Clock: func() time.Time { return at }})
		accounts := register(t, sys, nil)
		for i := range 10 {
			if got, want := must(t, accounts.Ref("ada"), Deposit{1}), int64(10*round+i+1); got != want {
				t.Fatalf("round %d: balance %d, want %d", round, got, want)
			}
		}
		if err := sys.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := events(t, b, "account/ada")
		r := got[len(got)-1]
		if len(got) != 10*round+10 || r.Type != "deposited" || r.Schema != 1 || string(r.Payload) != `{"Cents":1}` || r.Epoch != uint64(round+1) || !r.Time.Equal(at) {
			t.Fatalf("round %d: %d events, the last %+v", round, len(got), r)
		}
		b.Close()
	}
}

func TestATurnTellsWhereItStands(t *testing.T) {
	accounts := startAccounts(t, open(t))
	ref := accounts.Ref("a/b")
	must(t, ref, Deposit{1})
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "asker's")
	_, err := actorsys.Ask(ctx, ref, Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
		if turn.ID() != "a/b" || turn.Stream() != "account/a/b" || turn.Version() != 1 || turn.Context().Value(key{}) != "asker's" || turn.Now().Location() != time.UTC {
			t.Errorf("%q %q %d %v", turn.ID(), turn.Stream(), turn.Version(), turn.Now())
		}
		return nil, nil
	}))
	if err != nil || ref.ID() != "a/b" || ref.String() != "account/a/b" || ref != accounts.Ref("a/b") {
		t.Errorf("%v, %v", ref, err)
	}
}

func TestMetaStandsWithEveryEventOfItsTurn(t *testing.T) {
	store := open(t)
	accounts := startAccounts(t, store)
	two := func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
		turn.Meta("traceparent", "00-1")
		return []actorsys.Event[Account]{Deposited{1}, Deposited{2}}, nil
	}
	must(t, accounts.Ref("ada"), Do(two))
	for _, r := range events(t, store, "account/ada") {
		if v, _ := r.Meta.Get("traceparent"); v != "00-1" {
			t.Errorf("meta %q", r.Meta)
		}
	}
	_, err := actorsys.Ask(t.Context(), accounts.Ref("ada"), Do(func(turn *actorsys.Turn, a Account) ([]actorsys.Event[Account], error) {
		turn.Meta("", "x")
		return two(turn, a)
	}))
	if !errors.Is(err, actorsys.ErrNotPersisted) || !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("an empty key: %v", err)
	}
	_, err = actorsys.Ask(t.Context(), accounts.Ref("ada"), Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
		turn.Meta("", "x")
		return nil, nil
	}))
	if !errors.Is(err, actorsys.ErrNotPersisted) || !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("an empty key in a turn without events: %v", err)
	}
}

func TestARefusedCommandChangesNothingAndSendsNothing(t *testing.T) {
	store := open(t)
	accounts := startAccounts(t, store)
	refusal := errors.New("no")
	_, err := actorsys.Ask(t.Context(), accounts.Ref("ada"), Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
		turn.Tell(accounts.Ref("bob").With(Deposit{1}))
		turn.After(func(context.Context) { t.Error("After ran") })
		return []actorsys.Event[Account]{Deposited{1}}, refusal
	}))
	if err != refusal || must(t, accounts.Ref("ada"), Balance) != 0 || must(t, accounts.Ref("bob"), Balance) != 0 {
		t.Errorf("%v", err)
	}
	if n := len(events(t, store, "")); n != 0 {
		t.Errorf("%d records stored", n)
	}
}

func TestFailStoresTheEventsAndAnswersTheError(t *testing.T) {
	store := open(t)
	accounts := startAccounts(t, store)
	failure := errors.New("wrong password")
	got, err := actorsys.Ask(t.Context(), accounts.Ref("ada"), Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
		turn.Fail(failure)
		return []actorsys.Event[Account]{Deposited{7}}, nil
	}))
	if got != 0 || err != failure || must(t, accounts.Ref("ada"), Balance) != 7 {
		t.Errorf("%d, %v", got, err)
	}
}

func TestAFullMailboxRefusesTellsAndLetsAsksWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		ref := register(t, sys, &actorsys.Options[Account]{Mailbox: 3}).Ref("ada")
		deciding, goOn := make(chan struct{}), make(chan struct{})
		first := ask(ref, Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
			close(deciding)
			<-goOn
			return nil, nil
		}))
		<-deciding
		for i := range 4 {
			if err := ref.Tell(Deposit{1}); (err != nil) != (i == 3) || i == 3 && !errors.Is(err, actorsys.ErrMailboxFull) {
				t.Errorf("tell %d: %v", i, err)
			}
		}
		patient := ask(ref, Deposit{10})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := actorsys.Ask(ctx, ref, Deposit{100}); !errors.Is(err, actorsys.ErrNotPersisted) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient: %v", err)
		}
		close(goOn)
		if a, b := <-first, <-patient; a != (result{0, nil}) || b != (result{13, nil}) {
			t.Errorf("%v %v", a, b)
		}
		if err := ref.Tell(Deposit{1}); err != nil {
			t.Errorf("tell with room: %v", err)
		}
	})
}

func TestAnAskerWhoLeftBeforeTheTurnIsSkippedAndOneWhoLeavesLaterDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		ref := startAccounts(t, f.open(t)).Ref("ada")
		h, unblock := blocked()
		f.set(h)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := actorsys.Ask(ctx, ref, Deposit{5}); !errors.Is(err, backend.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, actorsys.ErrNotPersisted) {
			t.Errorf("left while being stored: %v", err)
		}
		if _, err := actorsys.Ask(ctx, ref, Deposit{70}); !errors.Is(err, actorsys.ErrNotPersisted) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, backend.ErrUnknownOutcome) {
			t.Errorf("came with an ended context: %v", err)
		}
		unblock()
		if got := must(t, ref, Balance); got != 5 {
			t.Errorf("balance %d, want 5", got)
		}
	})
}

func TestIDsThatCannotNameAStreamAreRefused(t *testing.T) {
	accounts := startAccounts(t, open(t))
	for _, id := range []string{"", "\x00", "\xff", strings.Repeat("x", 512)} {
		if err := accounts.Ref(id).Tell(Deposit{1}); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("tell %.10q: %v", id, err)
		}
		if _, err := actorsys.Ask(t.Context(), accounts.Ref(id), Deposit{1}); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("ask %.10q: %v", id, err)
		}
	}
	var zero actorsys.Ref[Account]
	if _, err := actorsys.Ask(t.Context(), zero, Deposit{1}); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("zero Ref: %v", err)
	}
	if err := zero.Tell(Deposit{1}); !errors.Is(err, backend.ErrInvalid) || zero.String() != "" {
		t.Errorf("zero Ref: %v", err)
	}
}

func TestTellsOfOneSenderKeepTheirOrder(t *testing.T) {
	accounts := startAccounts(t, open(t))
	var seen []int
	done := make(chan struct{})
	for i := range 1000 {
		err := accounts.Ref("ada").Tell(Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
			if seen = append(seen, i); i == 999 {
				close(done)
			}
			return []actorsys.Event[Account]{Deposited{1}}, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
	}
	<-done
	for i, n := range seen {
		if i != n {
			t.Fatalf("turn %d was message %d", i, n)
		}
	}
}

func TestWrongRegistrationsAreRefused(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t)})
	register(t, sys, nil)
	type kind = actorsys.Events[Account]
	on, opts := actorsys.On[Deposited], actorsys.Options[Account]{}
	for name, c := range map[string]struct {
		kind   string
		events kind
		opts   actorsys.Options[Account]
	}{
		"name taken":        {"account", nil, opts},
		"no name":           {"", nil, opts},
		"slash":             {"a/b", nil, opts},
		"system prefix":     {"$sys", nil, opts},
		"empty event name":  {"k", kind{on("", 1)}, opts},
		"NUL in event name": {"k", kind{on("a\x00", 1)}, opts},
		"event twice":       {"k", kind{on("a", 1), on("b", 1)}, opts},
		"stored type twice": {"k", kind{on("a", 1), actorsys.Upcast("a", 1, func(int) []actorsys.Event[Account] { return nil })}, opts},
		"empty event type":  {"k", kind{{}}, opts},
		"interface":         {"k", kind{actorsys.On[actorsys.Event[Account]]("a", 1)}, opts},
		"negative mailbox":  {"k", nil, actorsys.Options[Account]{Mailbox: -1}},
		"negative snapshot": {"k", nil, actorsys.Options[Account]{SnapshotEvery: -1}},
	} {
		if k, err := actorsys.Register(sys, c.kind, c.events, &c.opts); !errors.Is(err, backend.ErrInvalid) || k != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnEventThatIsNotRegisteredIsAnErrorAndStoresNothing(t *testing.T) {
	store := open(t)
	accounts := startAccounts(t, store)
	for name, bad := range map[string]actorsys.Event[Account]{"unregistered": Unregistered{}, "nil": nil} {
		_, err := actorsys.Ask(t.Context(), accounts.Ref("ada"), Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
			return []actorsys.Event[Account]{Deposited{1}, bad}, nil
		}))
		if !errors.Is(err, actorsys.ErrNotPersisted) || !strings.Contains(fmt.Sprint(err), "not registered") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if must(t, accounts.Ref("ada"), Balance) != 0 || len(events(t, store, "")) != 0 {
		t.Error("something was stored, or evolved")
	}
}

type Unregistered struct{}

func (Unregistered) Evolve(a Account) Account { a.Cents = -1; return a }
