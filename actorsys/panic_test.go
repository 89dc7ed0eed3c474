package actorsys_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// Bomb panics where it is told.
type Bomb struct{ In string }

func (c Bomb) Decide(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
	switch c.In {
	case "Decide":
		panic("boom")
	case "Goexit":
		runtime.Goexit()
	case "Evolve":
		return []actorsys.Event[Account]{Deposited{1}, Explosion{}}, nil
	}
	return []actorsys.Event[Account]{Deposited{1}}, nil
}

func (c Bomb) Reply(Account) int64 { panic("boom") }

type Explosion struct{}

func (Explosion) Evolve(Account) Account { panic("boom") }

func explosive(t *testing.T, b *backend.Backend) *actorsys.Kind[Account] {
	t.Helper()
	sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
	accounts, err := actorsys.Register(sys, "account", append(accountEvents[:1:1], actorsys.On[Explosion]("explosion", 1)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return accounts
}

func TestAPanicIsAnsweredAndTheActorLivesOn(t *testing.T) {
	b := open(t)
	ref := explosive(t, b).Ref("ada")
	must(t, ref, Deposit{5})
	for _, in := range []string{"Decide", "Evolve", "Reply", "Goexit"} {
		_, err := actorsys.Ask(t.Context(), ref, Bomb{in})
		var p *actorsys.PanicError
		want := any("boom")
		if in == "Goexit" {
			want = "runtime.Goexit was called"
		}
		if !errors.As(err, &p) || p.Value != want || !strings.Contains(string(p.Stack), "Bomb") && in != "Goexit" && in != "Evolve" {
			t.Errorf("%s: %v", in, err)
		}
		if got := must(t, ref, Balance); got != 5 {
			t.Errorf("%s: balance %d", in, got)
		}
	}
	if n := len(events(t, b, "account/ada")); n != 1 {
		t.Errorf("%d events stored", n)
	}
}

func TestAPanicBehindTurnsInFlightLeavesThemAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		ref := explosive(t, f.open(t)).Ref("ada")
		h, unblock := blocked()
		f.set(h)
		before := ask(ref, Deposit{5})
		synctest.Wait()
		bang := ask(ref, Bomb{"Decide"})
		synctest.Wait()
		after := ask(ref, Deposit{7})
		synctest.Wait()
		if len(bang) != 0 {
			t.Error("the panic was answered before what it rests on was durable")
		}
		unblock()
		if r := <-before; r != (result{5, nil}) {
			t.Errorf("before: %v", r)
		}
		var p *actorsys.PanicError
		if r := <-bang; !errors.As(r.err, &p) {
			t.Errorf("the panic: %v", r)
		}
		if r := <-after; r != (result{12, nil}) {
			t.Errorf("after: %v", r)
		}
	})
}

func TestAPanicInAfterHarmsNobody(t *testing.T) {
	accounts := startAccounts(t, open(t))
	for _, f := range []func(context.Context){func(context.Context) { panic("boom") }, func(context.Context) { runtime.Goexit() }, nil} {
		must(t, accounts.Ref("ada"), Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			turn.After(f)
			return []actorsys.Event[Account]{Deposited{1}}, nil
		}))
	}
	if got := must(t, accounts.Ref("ada"), Balance); got != 3 {
		t.Errorf("balance %d", got)
	}
}

func TestAPanicInAReplayFailsTheActivation(t *testing.T) {
	b := open(t)
	stored(t, b, "account/ada", old("explosion", 1, `{}`))
	ref := explosive(t, b).Ref("ada")
	for range 2 {
		var p *actorsys.PanicError
		if _, err := actorsys.Ask(t.Context(), ref, Balance); !errors.As(err, &p) || !errors.Is(err, actorsys.ErrNotPersisted) {
			t.Errorf("%v", err)
		}
	}
}

func TestANilCommandIsAPanicOfItsOwn(t *testing.T) {
	accounts := startAccounts(t, open(t))
	if err := accounts.Ref("ada").Tell(nil); err != nil {
		t.Fatal(err)
	}
	var p *actorsys.PanicError
	if _, err := actorsys.Ask[Account, int64](t.Context(), accounts.Ref("ada"), nil); !errors.As(err, &p) {
		t.Errorf("%v", err)
	}
}
