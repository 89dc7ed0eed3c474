package actortest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/actorsys/actortest"
)

type Account struct {
	Cents int64
	Tags  []string
}

type Deposited struct{ Cents int64 }
type Tagged struct{ Tag string }

func (e Deposited) Evolve(a Account) Account { a.Cents += e.Cents; return a }
func (e Tagged) Evolve(a Account) Account {
	a.Tags = append(a.Tags[:len(a.Tags):len(a.Tags)], e.Tag)
	return a
}

var events = actorsys.Events[Account]{actorsys.On[Deposited]("deposited", 1), actorsys.On[Tagged]("tagged", 1)}

var errFunds = errors.New("not enough money")

type Withdraw struct{ Cents int64 }

func (c Withdraw) Decide(_ *actorsys.Turn, a Account) ([]actorsys.Event[Account], error) {
	if c.Cents > a.Cents {
		return nil, errFunds
	}
	return []actorsys.Event[Account]{Deposited{-c.Cents}}, nil
}

func ExampleFor() {
	t := new(testing.T) // your test's

	actortest.For(t, events, nil).
		Given(Deposited{50}, Tagged{"vip"}).
		When(Withdraw{20}).
		Events(Deposited{-20}).
		State(Account{30, []string{"vip"}}).
		When(Withdraw{40}).
		Err(errFunds).
		State(Account{30, []string{"vip"}})
	fmt.Println("failed:", t.Failed())
	// Output: failed: false
}

// failing records what a test would have said.
type failing struct {
	testing.TB
	said []string
}

func (f *failing) Helper()                   {}
func (f *failing) Cleanup(func())            {}
func (f *failing) Error(args ...any)         { f.said = append(f.said, fmt.Sprint(args...)) }
func (f *failing) Errorf(s string, a ...any) { f.said = append(f.said, fmt.Sprintf(s, a...)) }
func (f *failing) Fatal(args ...any)         { f.Error(args...); panic(f) }
func (f *failing) Fatalf(s string, a ...any) { f.Errorf(s, a...); panic(f) }

// told returns what a scenario says on the whole.
func told(run func(tb testing.TB)) string {
	f := &failing{}
	func() {
		defer func() {
			if v := recover(); v != nil && v != f {
				panic(v)
			}
		}()
		run(f)
	}()
	return strings.Join(f.said, "\n")
}

// Remind sets an alarm that is due at once.
type Remind struct{}

func (c Remind) Decide(t *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
	t.Alarm(t.Now())
	return []actorsys.Event[Account]{Deposited{1}}, nil
}

func TestNoAlarmRingsWithinAScenario(t *testing.T) {
	for range 20 {
		actortest.For(t, events, &actorsys.Options[Account]{Alarm: Remind{}}).
			When(Remind{}).Events(Deposited{1}).State(Account{1, nil}).
			When(Remind{}).Events(Deposited{1}).State(Account{2, nil})
	}
}

// do is a command that a test makes up.
type do func(a Account) ([]actorsys.Event[Account], error)

func (f do) Decide(_ *actorsys.Turn, a Account) ([]actorsys.Event[Account], error) { return f(a) }

// bad is an event that does what its function says.
type bad struct{ N int }

var evolveBad func(e bad, a Account) Account

func (e bad) Evolve(a Account) Account { return evolveBad(e, a) }

func TestAScenarioFindsWhatADurableActorMustNotDo(t *testing.T) {
	all := append(events[:len(events):len(events)], actorsys.On[bad]("bad", 1))
	runs := 0
	emit := do(func(Account) ([]actorsys.Event[Account], error) { return []actorsys.Event[Account]{bad{1}}, nil })
	for name, c := range map[string]struct {
		evolve  func(e bad, a Account) Account
		codec   actorsys.Codec
		command actorsys.Command[Account]
		want    string
	}{
		"nothing": {func(e bad, a Account) Account { return a }, actorsys.Codec{}, emit, ""},
		"Decide changes the state": {nil, actorsys.Codec{}, do(func(a Account) ([]actorsys.Event[Account], error) {
			a.Tags[0] = "changed"
			return nil, nil
		}), "Decide has changed the state"},
		"Evolve changes the state": {func(e bad, a Account) Account { a.Tags[0] = "changed"; return a }, actorsys.Codec{}, emit, "Evolve has changed the state"},
		"Evolve is not a function": {func(e bad, a Account) Account { runs++; a.Cents = int64(runs); return a }, actorsys.Codec{}, emit, "a replay leads to the state"},
		"an event that loses something": {func(e bad, a Account) Account { a.Cents += int64(e.N); return a },
			actorsys.Codec{Marshal: func(v any) ([]byte, error) {
				if _, lossy := v.(bad); lossy {
					v = bad{}
				}
				return json.Marshal(v)
			}}, emit, "a replay leads to the state"},
		"a state that loses something": {func(e bad, a Account) Account { return a },
			actorsys.Codec{Marshal: func(v any) ([]byte, error) {
				if a, lossy := v.(Account); lossy {
					v = Account{Cents: a.Cents}
				}
				return json.Marshal(v)
			}}, emit, "comes back from the codec as"},
		"an event that is not registered": {nil, actorsys.Codec{}, do(func(Account) ([]actorsys.Event[Account], error) {
			return []actorsys.Event[Account]{stray{}}, nil
		}), "the command was refused: not persisted"},
	} {
		evolveBad = c.evolve
		got := told(func(tb testing.TB) {
			actortest.For(tb, all, &actorsys.Options[Account]{Codec: c.codec}).Given(Tagged{"vip"}).When(c.command).Events(eventsOf(c.command)...)
		})
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: it says %q, want %q", name, got, c.want)
		}
	}
}

type stray struct{}

func (stray) Evolve(a Account) Account { return a }

// eventsOf are the events that a command returns of itself.
func eventsOf(c actorsys.Command[Account]) []actorsys.Event[Account] {
	e, _ := c.Decide(nil, Account{Tags: []string{"vip"}})
	return e
}

func TestAScenarioSaysWhatIsNotAsWanted(t *testing.T) {
	for want, run := range map[string]func(o *actortest.Outcome[Account]){
		"events [{Cents:-20}], want [{Cents:-21}]":          func(o *actortest.Outcome[Account]) { o.Events(Deposited{-21}) },
		"events [{Cents:-20}], want []":                     func(o *actortest.Outcome[Account]) { o.Events() },
		"state {Cents:30 Tags:[]}, want {Cents:31 Tags:[]}": func(o *actortest.Outcome[Account]) { o.State(Account{Cents: 31}) },
		"answered <nil>, want not enough money":             func(o *actortest.Outcome[Account]) { o.Err(errFunds) },
		"answered not enough money, want <nil>":             func(o *actortest.Outcome[Account]) { o.When(Withdraw{40}).Err(nil) },
		"the command was refused: not enough money":         func(o *actortest.Outcome[Account]) { o.When(Withdraw{40}).Events() },
	} {
		if got := told(func(tb testing.TB) { run(actortest.For(tb, events, nil).Given(Deposited{50}).When(Withdraw{20})) }); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
	if got := told(func(tb testing.TB) { actortest.For(tb, events, nil).Given(stray{}) }); !strings.HasPrefix(got, "Given: ") {
		t.Errorf("a past that can't be: %q", got)
	}
}

func TestGoldenEventsAreReadForEver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "golden")
	golden := func(events actorsys.Events[Account]) string {
		return told(func(tb testing.TB) { actortest.Golden(tb, dir, events, nil, Deposited{5}) })
	}
	if got := golden(events); !strings.Contains(got, "deposited.1.golden is missing: run the test with UPDATE_GOLDEN=1") {
		t.Errorf("%q", got)
	}
	t.Setenv("UPDATE_GOLDEN", "1")
	if got := golden(events); got != "" {
		t.Errorf("%q", got)
	}
	file := filepath.Join(dir, "deposited.1.golden")
	if data, err := os.ReadFile(file); err != nil || string(data) != `{"Cents":5}` {
		t.Errorf("%s, %v", data, err)
	}
	os.WriteFile(file, []byte(`{"Euros":5}`), 0o644)
	if got := golden(events); !strings.Contains(got, "leads to the state {Cents:0 Tags:[]}, {Cents:5} to {Cents:5 Tags:[]}") {
		t.Errorf("%q", got)
	}
	os.WriteFile(file, []byte(`{"Cents":5}`), 0o644)
	os.WriteFile(filepath.Join(dir, "paid%2Fin.1.golden"), []byte(`{"Euros":5}`), 0o644)
	if got := golden(events); !strings.Contains(got, `paid%2Fin.1.golden can't be read any more`) {
		t.Errorf("%q", got)
	}
	upcast := actorsys.Upcast("paid/in", 1, func(old struct{ Euros int64 }) []actorsys.Event[Account] {
		return []actorsys.Event[Account]{Deposited{old.Euros * 100}}
	})
	if got := golden(append(events[:len(events):len(events)], upcast)); got != "" {
		t.Errorf("%q", got)
	}
}
