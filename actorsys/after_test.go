package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// What turns leave to After and Tell, with and without events, with failures in between,
// leaves in the order of the turns, once they are durable.
func TestWhatTurnsLeaveToAfterIsCalledInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		sys := start(t, actorsys.Config{Backend: f.open(t), Facts: actorsys.FactsNone})
		accounts := register(t, sys, nil)
		box := spawn(t, sys, "box", nil)
		h, unblock := blocked()
		f.set(h)
		called := make(order, 1000)
		var answers []<-chan result
		var wanted []string
		for i := range 100 {
			name := fmt.Sprint(i)
			answers = append(answers, ask(accounts.Ref("ada"), Do(func(turn *actorsys.Turn, _ Account) (e []actorsys.Event[Account], _ error) {
				turn.Tell(box.With(Put(name)))
				for half := range 2 {
					turn.After(func(context.Context) {
						time.Sleep(time.Duration(100-i) * time.Millisecond) // the first are the slowest
						called <- fmt.Sprint(name, ".", half)
						switch i % 10 {
						case 7:
							panic("seven")
						case 8:
							runtime.Goexit()
						}
					})
				}
				if i%3 != 0 {
					e = append(e, Deposited{1})
				}
				if i%10 == 9 {
					return nil, errors.New("refused")
				}
				return e, nil
			})))
			if i%10 != 9 {
				wanted = append(wanted, name)
			}
			synctest.Wait()
		}
		if n := len(called); n > 2 { // the first turn has no events
			t.Errorf("%d were called before the append", n)
		}
		unblock()
		for _, a := range answers {
			<-a
		}
		time.Sleep(time.Minute)
		got := called.all()
		want(t, "told", strings.Fields(seen(t, box)), fmt.Sprint(wanted))
		var halves []string
		for _, name := range wanted {
			halves = append(halves, name+".0", name+".1")
		}
		want(t, "called", got, fmt.Sprint(halves))
	})
}

func TestNothingTheAppendOfWhichFailsIsToldOrCalled(t *testing.T) {
	for _, fault := range []error{backend.ErrNoSpace, backend.ErrUnknownOutcome, fmt.Errorf("%w: %w", backend.ErrPoisoned, backend.ErrUnknownOutcome)} {
		synctest.Test(t, func(t *testing.T) {
			var f faults
			sys := start(t, actorsys.Config{Backend: f.open(t), Facts: actorsys.FactsNone, NoReopen: true})
			accounts := register(t, sys, nil)
			box := spawn(t, sys, "box", nil)
			must(t, accounts.Ref("ada"), Deposit{1})
			goOn := make(chan struct{})
			f.set(func(func() ([]backend.Result, error)) ([]backend.Result, error) {
				<-goOn
				return nil, fault
			})
			var answers []<-chan result
			for i := range 10 {
				answers = append(answers, ask(accounts.Ref("ada"), Do(func(turn *actorsys.Turn, _ Account) (e []actorsys.Event[Account], _ error) {
					turn.Tell(box.With(Put(fmt.Sprint(i))))
					turn.After(func(context.Context) { t.Errorf("After of turn %d was called", i) })
					if i%2 == 0 {
						e = append(e, Deposited{1})
					}
					return e, nil
				})))
				synctest.Wait()
			}
			close(goOn)
			for i, a := range answers {
				if r := <-a; r.err == nil {
					t.Errorf("turn %d: %v", i, r)
				}
			}
			time.Sleep(time.Minute)
			want(t, "told", seen(t, box), "")
		})
	}
}

func TestAnActorWhoseAftersPileUpReadsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone})
		ref := register(t, sys, nil).Ref("ada")
		goOn, calls := make(chan struct{}), 0
		leave := Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			turn.After(func(context.Context) { <-goOn; calls++ })
			return nil, nil
		})
		sent := 0
		for ; ref.Tell(leave) == nil; sent++ {
			synctest.Wait()
			if sent > 1e5 {
				t.Fatal("the mailbox never pushed back")
			}
		}
		want(t, "messages taken", sent, 1024+actorsys.DefaultMailbox)
		time.Sleep(2 * actorsys.DefaultIdle)
		want(t, "alive though its After runs", sys.AliveActors(), 1)
		close(goOn)
		synctest.Wait()
		want(t, "calls", calls, sent)
		time.Sleep(2 * actorsys.DefaultIdle)
		want(t, "alive", sys.AliveActors(), 0)
	})
}
