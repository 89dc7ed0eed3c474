package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// log collects what happened, in order.
type order chan string

func (o order) all() (out []string) {
	for {
		select {
		case s := <-o:
			out = append(out, s)
		default:
			return out
		}
	}
}

func TestNothingLeavesAnActorBeforeWhatItRestsOnIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		accounts := startAccounts(t, f.open(t))
		ada, bob := accounts.Ref("ada"), accounts.Ref("bob")
		left := make(order, 100)
		note := func(what string, r <-chan result) {
			go func() { left <- fmt.Sprint(what, ": ", <-r) }()
			synctest.Wait()
		}
		told := Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
			left <- "told"
			return nil, nil
		})
		h, unblock := blocked()
		f.set(h)
		note("reply", ask(ada, Deposit{5}))
		note("read", ask(ada, Balance))
		note("refusal", ask(ada, Deposit{-1}))
		note("reply with tell", ask(ada, Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			turn.Tell(bob.With(told))
			turn.After(func(context.Context) { left <- "after" })
			return []actorsys.Event[Account]{Deposited{1}}, nil
		})))
		note("read of others", ask(accounts.Ref("eve"), Balance))
		if got := left.all(); !slices.Equal(got, []string{"read of others: 0, <nil>"}) {
			t.Errorf("left before the events were durable: %q", got)
		}
		unblock()
		synctest.Wait()
		want := []string{"after", "read: 5, <nil>", "refusal: 0, a deposit needs money", "reply with tell: 6, <nil>", "reply: 5, <nil>", "told"}
		if got := left.all(); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("left once they were: %q", got)
		}
	})
}

func TestNothingOfALostTurnNorBehindItLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		accounts := startAccounts(t, f.open(t))
		ada := accounts.Ref("ada")
		must(t, ada, Deposit{1})
		opened := make(chan struct{})
		f.set(once(func(func() ([]backend.Result, error)) ([]backend.Result, error) {
			<-opened
			return nil, fmt.Errorf("%w: test", backend.ErrNoSpace)
		}))
		lost := ask(ada, Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			turn.Tell(accounts.Ref("bob").With(Deposit{1}))
			turn.After(func(context.Context) { t.Error("After ran for a turn that was lost") })
			return []actorsys.Event[Account]{Deposited{5}}, nil
		}))
		synctest.Wait()
		read, refused, next := ask(ada, Balance), ask(ada, Deposit{-1}), ask(ada, Deposit{7})
		synctest.Wait()
		close(opened)
		for what, r := range map[string]<-chan result{"lost": lost, "read": read, "refused": refused, "next": next} {
			if got := <-r; !errors.Is(got.err, actorsys.ErrNotPersisted) || !errors.Is(got.err, backend.ErrNoSpace) {
				t.Errorf("%s: %v", what, got)
			}
		}
		if got := must(t, ada, Deposit{1}); got != 2 {
			t.Errorf("balance %d, want 2", got)
		}
		if got := must(t, accounts.Ref("bob"), Balance); got != 0 {
			t.Error("a message left for a turn that was lost")
		}
	})
}

func TestAThousandCommandsDuringOneAppendTakeOneMore(t *testing.T) {
	for _, actors := range []int{1, 50, 1000} {
		synctest.Test(t, func(t *testing.T) {
			var f faults
			accounts := startAccounts(t, f.open(t))
			h, unblock := blocked()
			f.set(h)
			first := ask(accounts.Ref("first"), Deposit{1})
			synctest.Wait()
			var answers []<-chan result
			for i := range 1000 {
				answers = append(answers, ask(accounts.Ref(fmt.Sprint(i%actors)), Deposit{1}))
			}
			synctest.Wait()
			unblock()
			for _, a := range append(answers, first) {
				if r := <-a; r.err != nil {
					t.Fatal(r.err)
				}
			}
			if _, appends, batches := f.counts(); appends != 2 || batches != 1+actors {
				t.Errorf("%d actors: %d appends of %d batches, want 2 of %d", actors, appends, batches, 1+actors)
			}
		})
	}
}

func TestAnActorWithTooMuchPendingTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		accounts := startAccounts(t, f.open(t))
		ada := accounts.Ref("ada")
		h, unblock := blocked()
		f.set(h)
		sent := 0
		for ; ada.Tell(Deposit{1}) == nil; sent++ {
			synctest.Wait()
			if sent > 1e5 {
				t.Fatal("the mailbox never pushed back")
			}
		}
		if sent != 1024+actorsys.DefaultMailbox {
			t.Errorf("%d messages taken, want 1024 pending and a mailbox of %d", sent, actorsys.DefaultMailbox)
		}
		unblock()
		synctest.Wait()
		if got := must(t, ada, Balance); got != int64(sent) {
			t.Errorf("balance %d, want %d", got, sent)
		}
	})
}

func TestABurstLargerThanABatchIsStoredInSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := faults{limits: backend.Limits{BatchBytes: 500, RecordBytes: 400}}
		b := f.open(t)
		ada := startAccounts(t, b).Ref("ada")
		h, unblock := blocked()
		f.set(h)
		var answers []<-chan result
		for range 100 {
			answers = append(answers, ask(ada, Deposit{1}))
		}
		synctest.Wait()
		big := ask(ada, Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
			return make20(), nil
		}))
		wide := ask(ada, Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			turn.Meta("key", strings.Repeat("x", 400))
			return make20()[:1], nil
		}))
		synctest.Wait()
		answers = append(answers, ask(ada, Deposit{1}))
		synctest.Wait()
		unblock()
		for _, a := range answers {
			if r := <-a; r.err != nil {
				t.Fatal(r.err)
			}
		}
		for what, c := range map[string]<-chan result{"batch": big, "record": wide} {
			if r := <-c; !errors.Is(r.err, actorsys.ErrNotPersisted) || !errors.Is(r.err, backend.ErrTooLarge) {
				t.Errorf("a turn too large for a %s: %v", what, r.err)
			}
		}
		if got := len(events(t, b, "account/ada")); got != 101 {
			t.Errorf("%d events, want 101", got)
		}
	})
}

func make20() (out []actorsys.Event[Account]) {
	for range 20 {
		out = append(out, Deposited{1})
	}
	return out
}

func TestToldMessagesArriveInTheOrderOfTheTurns(t *testing.T) {
	accounts := startAccounts(t, open(t))
	var got []int
	done := make(chan struct{})
	for i := range 1000 {
		seen := Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
			if got = append(got, i); len(got) == 1000 {
				close(done)
			}
			return nil, nil
		})
		must(t, accounts.Ref("ada"), Do(func(turn *actorsys.Turn, _ Account) (e []actorsys.Event[Account], _ error) {
			turn.Tell(accounts.Ref("bob").With(seen))
			if i%3 != 0 { // turns with and without events
				e = append(e, Deposited{1})
			}
			return e, nil
		}))
	}
	<-done
	if !slices.IsSorted(got) {
		t.Errorf("out of order: %v", got)
	}
}
