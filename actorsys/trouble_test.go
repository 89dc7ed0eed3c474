package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

func TestAnActorWhoseStreamIsDamagedIsQuarantinedAndTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		b := f.open(t)
		sys := start(t, actorsys.Config{Backend: b})
		accounts := register(t, sys, nil)
		damaged := &backend.CorruptError{Stream: "account/bad"}
		f.setRead(func(stream string) error {
			if stream == "account/bad" {
				return damaged
			}
			return nil
		})
		bad := accounts.Ref("bad")
		readings := func() int { f.mu.Lock(); defer f.mu.Unlock(); return f.readings }
		began, last := time.Now(), 0
		var looked []int
		for time.Since(began) < 200*time.Second {
			_, err := actorsys.Ask(t.Context(), bad, Deposit{1})
			var corrupt *backend.CorruptError
			if !errors.Is(err, actorsys.ErrQuarantined) || !errors.Is(err, actorsys.ErrNotPersisted) || !errors.As(err, &corrupt) || !strings.Contains(err.Error(), `"account/bad": quarantined: `) {
				t.Fatal(err)
			}
			if now := readings(); now > last {
				last = now
				looked = append(looked, int(time.Since(began).Seconds()))
			}
			time.Sleep(100 * time.Millisecond)
		}
		want(t, "looked at the stream, seconds after the first time", looked, "[0 1 3 7 15 31 63 123 183]")
		for i := range 10 {
			must(t, accounts.Ref(fmt.Sprint(i)), Deposit{1})
		}
		f.setRead(nil) // it has been repaired
		time.Sleep(time.Minute)
		want(t, "balance", must(t, bad, Deposit{1}), 1)
		want(t, "balance", must(t, bad, Balance), 1)
		if bad.Info().Quarantined {
			t.Error("it is said to be in quarantine still")
		}
		sys.Shutdown(t.Context())
		var got []string
		for _, l := range facts(t, b, "main") {
			if strings.Contains(l, "account/bad") {
				got = append(got, l[:39])
			}
		}
		want(t, "facts", got, `[actor-failed {"actor":"account/bad","re actor-activated {"actor":"account/bad"}]`)
	})
}

func TestAnActorThatTheStoreKeepsFromMemoryIsNotInQuarantine(t *testing.T) {
	var f faults
	ref := startAccounts(t, f.open(t)).Ref("ada")
	for _, why := range []error{backend.ErrUnavailable, backend.ErrClosed, backend.ErrUnknownOutcome} {
		f.setRead(func(string) error { return fmt.Errorf("%w: test", why) })
		if _, err := actorsys.Ask(t.Context(), ref, Deposit{1}); !errors.Is(err, actorsys.ErrNotPersisted) || errors.Is(err, actorsys.ErrQuarantined) {
			t.Errorf("%v", err)
		}
	}
	f.setRead(nil)
	want(t, "balance at once", must(t, ref, Deposit{1}), 1)
}

func TestWhatIsToldToAnActorInQuarantineIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		stored(t, b, "account/ada", old("unheard-of", 1, `{}`))
		sys := start(t, actorsys.Config{Backend: b})
		ref := register(t, sys, nil).Ref("ada")
		for range 2 {
			if err := ref.Tell(Deposit{7}); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		got := letters(sys)
		if len(got) != 2 || got[0] != got[1] || !strings.HasPrefix(got[0], `account/ada actorsys_test.Deposit {"Cents":7}: quarantined: activating: stream "account/ada"`) {
			t.Errorf("%q", got)
		}
	})
}

func TestAnActorThatPanicsOverAndOverReplaysAfterPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ref := explosive(t, open(t)).Ref("ada")
		must(t, ref, Deposit{5})
		began := time.Now()
		pauses := 0
		for range actorsys.DefaultMaxRestarts + 4 {
			actorsys.Ask(t.Context(), ref, Bomb{"Decide"})
			before := time.Now()
			want(t, "balance", must(t, ref, Balance), 5)
			if time.Since(before) > 0 {
				pauses++
			}
		}
		if took := time.Since(began); pauses != 4 || took < 1200*time.Millisecond || took > 2*time.Second {
			t.Errorf("%d pauses, %v in all", pauses, took)
		}
		time.Sleep(2 * time.Minute)
		before := time.Now()
		actorsys.Ask(t.Context(), ref, Bomb{"Decide"})
		must(t, ref, Balance)
		want(t, "a pause after a time of peace", time.Since(before), time.Duration(0))
	})
}

// Whatever the store does for a minute, actors that do not need it go on, nothing
// grows without bound, and the minute after all is well.
func TestABackendThatFailsForAMinuteTakesNothingDown(t *testing.T) {
	down := fmt.Errorf("%w: test", backend.ErrUnavailable)
	for name, fault := range map[string]func(f *faults) (over func()){
		"appends fail": func(f *faults) func() {
			f.set(func(func() ([]backend.Result, error)) ([]backend.Result, error) { return nil, down })
			return func() { f.set(nil) }
		},
		"appends stall": func(f *faults) func() {
			h, unblock := blocked()
			f.set(h)
			return func() { f.set(nil); unblock() }
		},
		"reads fail": func(f *faults) func() {
			f.setRead(func(string) error { return down })
			return func() { f.setRead(nil) }
		},
		"reads stall": func(f *faults) func() {
			over := make(chan struct{})
			f.setRead(func(string) error { <-over; return nil })
			return func() { f.setRead(nil); close(over) }
		},
		"poisoned": func(f *faults) func() { return poison(f, true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f faults
				sys := start(t, actorsys.Config{Backend: f.open(t), MaxRecoveries: 2})
				accounts := register(t, sys, nil)
				for i := range 5 {
					must(t, accounts.Ref(fmt.Sprint(i)), Deposit{1})
				}
				box := spawn(t, sys, "box", nil)
				over := fault(&f)
				began := time.Now()
				for i := 0; time.Since(began) < time.Minute; i++ {
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					actorsys.Ask(ctx, accounts.Ref(fmt.Sprint(i%10)), Deposit{1}) // half of them known, half to be activated
					accounts.Ref(fmt.Sprint(i % 10)).Tell(Deposit{1})
					cancel()
					if err := box.Tell(Put("x")); err != nil {
						t.Fatal(err)
					}
					time.Sleep(50 * time.Millisecond)
				}
				before := time.Now()
				if n := len(strings.Fields(seen(t, box))); n < 500 || time.Since(before) > 0 {
					t.Errorf("the plain actor ran %d times", n)
				}
				over()
				time.Sleep(time.Minute)
				for i := range 10 {
					before := must(t, accounts.Ref(fmt.Sprint(i)), Balance)
					if got := must(t, accounts.Ref(fmt.Sprint(i)), Deposit{1}); got != before+1 {
						t.Errorf("balance %d after %d", got, before)
					}
				}
				if err := sys.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestWhatAllActorsHaveDecidedTogetherIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		sys := start(t, actorsys.Config{Backend: f.open(t), MaxPending: 10_000, Facts: actorsys.FactsNone})
		accounts := register(t, sys, nil)
		var decided atomic.Int64
		count := Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
			decided.Add(1)
			return []actorsys.Event[Account]{Deposited{1}}, nil
		})
		h, unblock := blocked()
		f.set(h)
		var answers []<-chan result
		for i := range 200 {
			answers = append(answers, ask(accounts.Ref(fmt.Sprint(i)), count))
			synctest.Wait()
		}
		if n := decided.Load(); n < 20 || n > 40 { // of about 300 bytes
			t.Errorf("%d turns decided", n)
		}
		unblock()
		for i, a := range answers {
			if r := <-a; r != (result{1, nil}) {
				t.Errorf("%d: %v", i, r)
			}
		}
		want(t, "decided in the end", decided.Load(), 200)
	})
}

// Turns without events give no room back, and must not leave others waiting for it.
func TestNobodyWaitsForRoomThatThereIs(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t), MaxPending: 600, Facts: actorsys.FactsNone})
	accounts := register(t, sys, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error)
	for c := range 16 {
		go func() {
			var err error
			for i := 0; i < 300 && err == nil; i++ {
				req := Balance
				if i%3 == 0 {
					req = Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
						return []actorsys.Event[Account]{Deposited{1}}, nil
					})
				}
				_, err = actorsys.Ask(ctx, accounts.Ref(fmt.Sprint((c+i)%16)), req)
			}
			done <- err
		}()
	}
	for range 16 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Whoever told a command learns nothing of its turn: that it was not stored, or may not
// have been, is to be seen somewhere.
func TestWhatWasToldAndNotStoredIsADeadLetter(t *testing.T) {
	for _, why := range []error{backend.ErrNoSpace, backend.ErrUnknownOutcome} {
		synctest.Test(t, func(t *testing.T) {
			var f faults
			sys := start(t, actorsys.Config{Backend: f.open(t), Facts: actorsys.FactsNone})
			ada := register(t, sys, nil).Ref("ada")
			must(t, ada, Deposit{1})
			f.set(func(func() ([]backend.Result, error)) ([]backend.Result, error) {
				return nil, fmt.Errorf("%w: test", why)
			})
			ada.Tell(Deposit{7})
			ada.Tell(Deposit{-1}) // refused: it had its turn
			time.Sleep(time.Minute)
			got := sys.DeadLetters(10)
			if len(got) < 1 || string(got[0].Payload) != `{"Cents":7}` || got[0].Target != "account/ada" || !errors.Is(got[0].Reason, why) {
				t.Errorf("%v: %+v", why, got)
			}
			f.set(nil)
			before := len(got)
			ada.Tell(Deposit{-1})
			must(t, ada, Deposit{2})
			synctest.Wait()
			if n := len(sys.DeadLetters(10)); n != before {
				t.Errorf("%d dead letters after a refusal, %d before", n, before)
			}
		})
	}
}
