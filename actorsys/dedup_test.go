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
)

// named is a command that can be told from others. decided counts.
type named struct {
	id string
	Do
}

func (c named) CommandID() string { return c.id }

// deposits returns a deposit of so many cents under an id, which counts its decisions.
func deposits(id string, cents int64, decided *int) named {
	return named{id, func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
		*decided++
		return []actorsys.Event[Account]{Deposited{cents}}, nil
	}}
}

var dedup = &actorsys.Options[Account]{Dedup: 10}

func TestACommandThatIsSentAgainGetsItsFirstAnswer(t *testing.T) {
	b := open(t)
	decided := 0
	first := deposits("first", 5, &decided)
	for life := range 3 { // with a restart in between
		sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
		ref := register(t, sys, dedup).Ref("ada")
		for range 3 {
			want(t, "first answer", must(t, ref, first), 5)
			if err := ref.Tell(first); err != nil {
				t.Error(err)
			}
		}
		must(t, ref, Deposit{1})
		want(t, "balance", must(t, ref, Balance), 6+life)
		sys.Shutdown(t.Context())
	}
	want(t, "decisions", decided, 1)
	want(t, "events", len(events(t, b, "account/ada")), 4)
}

func TestACommandIsRememberedOverAPassivation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		ref := register(t, sys, &actorsys.Options[Account]{Dedup: 10, SnapshotEvery: 1}).Ref("ada") // the snapshot covers it
		decided := 0
		must(t, ref, deposits("first", 5, &decided))
		must(t, ref, Deposit{1})
		time.Sleep(2 * actorsys.DefaultIdle)
		want(t, "alive", sys.AliveActors(), 0)
		want(t, "answer", must(t, ref, deposits("first", 5, &decided)), 5)
		want(t, "decisions", decided, 1)
	})
}

// A second sending that comes while the first is on its way to the store waits for that,
// and shares its fate.
func TestACommandThatIsSentAgainBeforeItIsStoredWaitsForThat(t *testing.T) {
	for _, stored := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var f faults
			b := f.open(t)
			ref := register(t, start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone}), dedup).Ref("ada")
			must(t, ref, Deposit{1})
			goOn := make(chan struct{})
			f.set(once(func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
				<-goOn
				if stored {
					return write()
				}
				return nil, backend.ErrNoSpace
			}))
			decided := 0
			first := ask(ref, deposits("first", 5, &decided))
			synctest.Wait()
			later := ask(ref, Deposit{10})
			synctest.Wait()
			again := ask(ref, deposits("first", 5, &decided))
			synctest.Wait()
			select {
			case r := <-again:
				t.Errorf("answered before the first was stored: %v", r)
			default:
			}
			close(goOn)
			for what, c := range map[string]<-chan result{"first": first, "again": again} {
				if r := <-c; stored && r != (result{6, nil}) || !stored && !errors.Is(r.err, backend.ErrNoSpace) {
					t.Errorf("%s: %v", what, r)
				}
			}
			<-later
			if !stored {
				want(t, "once there is room", must(t, ref, deposits("first", 5, &decided)), 6)
			}
			want(t, "decisions", decided, map[bool]int{true: 1, false: 2}[stored])
		})
	}
}

// The process is killed after the append and before the reply.
func TestACommandWhoseReplyWasLostInAKillIsNotCarriedOutAgain(t *testing.T) {
	for _, written := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var f faults
			b := f.open(t)
			killed := make(chan struct{})
			sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
			ref := register(t, sys, dedup).Ref("ada")
			must(t, ref, Deposit{1})
			f.set(once(func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
				if written {
					write()
				}
				<-killed
				return nil, backend.ErrUnknownOutcome
			}))
			decided := 0
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := actorsys.Ask(ctx, ref, deposits("first", 5, &decided)); !errors.Is(err, backend.ErrUnknownOutcome) {
				t.Fatal(err)
			}
			b = f.open(t)
			ref = register(t, start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone}), dedup).Ref("ada")
			for range 2 {
				want(t, "answer", must(t, ref, deposits("first", 5, &decided)), 6)
				must(t, ref, Deposit{1})
			}
			want(t, "decisions", decided, map[bool]int{true: 1, false: 2}[written])
			n := 0
			for _, r := range events(t, b, "account/ada") {
				if string(r.Payload) == `{"Cents":5}` {
					n++
				}
			}
			want(t, "times it is stored", n, 1)
			dead, cancel := context.WithCancel(t.Context())
			cancel()
			sys.Shutdown(dead) // no trace of it is left
			close(killed)
		})
	}
}

func TestAWindowIsSoManyEventsLong(t *testing.T) {
	for _, snapshots := range []int{0, 1, 4} {
		b := open(t)
		opts := &actorsys.Options[Account]{Dedup: 5, SnapshotEvery: snapshots, Truncate: snapshots > 0}
		decided := make([]int, 20)
		sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
		ref := register(t, sys, opts).Ref("ada")
		for i := range decided {
			must(t, ref, deposits(fmt.Sprint(i), 1, &decided[i]))
		}
		for life := range 2 {
			for i := 15; i < 20; i++ {
				want(t, "answer", must(t, ref, deposits(fmt.Sprint(i), 1, &decided[i])), i+1)
			}
			if life == 0 {
				sys.Shutdown(t.Context())
				ref = register(t, start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone}), opts).Ref("ada")
			}
		}
		want(t, "answer beyond the window", must(t, ref, deposits("14", 1, &decided[14])), 21)
		want(t, "answer within it", must(t, ref, deposits("14", 1, &decided[14])), 21)
		want(t, "answer of what has left it meanwhile", must(t, ref, deposits("15", 1, &decided[15])), 22)
		want(t, "decisions", decided, "[1 1 1 1 1 1 1 1 1 1 1 1 1 1 2 2 1 1 1 1]")
	}
}

func TestATruncationLeavesTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		opts := &actorsys.Options[Account]{Dedup: 5, SnapshotEvery: 3, Truncate: true, SnapshotKeep: 1}
		ref := register(t, start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone}), opts).Ref("ada")
		n := 0
		for i := range 20 {
			must(t, ref, deposits(fmt.Sprint(i), 1, &n))
			synctest.Wait()
		}
		time.Sleep(2 * time.Minute)
		want(t, "floor", floorOf(t, b, "account/ada"), 16)
		for i := 15; i < 20; i++ {
			want(t, "answer", must(t, ref, deposits(fmt.Sprint(i), 1, &n)), i+1)
		}
		want(t, "decisions", n, 20)
		// Somebody else cuts more: the answer can't be made again, and says so.
		if _, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "account/ada", Floor: 19}}}); err != nil {
			t.Fatal(err)
		}
		var again *actorsys.DuplicateError
		if _, err := actorsys.Ask(t.Context(), ref, deposits("16", 1, &n)); !errors.As(err, &again) || again.ID != "16" || again.Version != 17 || !errors.Is(err, backend.ErrCompacted) {
			t.Errorf("%v", err)
		}
		want(t, "decisions", n, 20)
	})
}

func TestWhatFailAnsweredIsAnsweredAgain(t *testing.T) {
	b := open(t)
	wrong := errors.New("wrong password")
	decided := 0
	try := named{"try", func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
		decided++
		turn.Fail(wrong)
		return []actorsys.Event[Account]{Deposited{1}}, nil
	}}
	for life := range 2 {
		ref := register(t, start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone}), dedup).Ref("ada")
		if _, err := actorsys.Ask(t.Context(), ref, try); life == 0 && err != wrong {
			t.Errorf("first: %v", err)
		}
		_, err := actorsys.Ask(t.Context(), ref, try)
		var again *actorsys.DuplicateError
		if !errors.As(err, &again) || again.Version != 1 || again.Err.Error() != "wrong password" || errors.Is(err, wrong) != (life == 0) {
			t.Errorf("again: %v", err)
		}
	}
	want(t, "decisions", decided, 1)
}

func TestOnlyWhatWasRecordedIsRemembered(t *testing.T) {
	ref := register(t, start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone}), dedup).Ref("ada")
	decided := 0
	refuse := named{"id", func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
		decided++
		return nil, errors.New("no")
	}}
	read := named{"id", func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) { decided++; return nil, nil }}
	for range 2 {
		if _, err := actorsys.Ask(t.Context(), ref, refuse); err == nil || err.Error() != "no" {
			t.Error(err)
		}
		must(t, ref, read)
	}
	want(t, "decisions", decided, 4)
	want(t, "balance", must(t, ref, deposits("id", 1, &decided)), 1)
	want(t, "balance without ids", must(t, ref, deposits("", 1, &decided)), 2)
	want(t, "balance without ids", must(t, ref, deposits("", 1, &decided)), 3)
	want(t, "decisions", decided, 7)
	if _, err := actorsys.Ask(t.Context(), ref, deposits(strings.Repeat("x", 257), 1, &decided)); !errors.Is(err, actorsys.ErrNotPersisted) || !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("a long id: %v", err)
	}
	key := Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
		turn.Meta("$command", "id")
		return nil, nil
	})
	if _, err := actorsys.Ask(t.Context(), ref, key); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("a reserved key: %v", err)
	}
}
