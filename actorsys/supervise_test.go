package actorsys_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
)

var boom = In(func(*actorsys.Turn, *Box) error { panic("boom") })

// crash panics in a turn of the box and returns what the asker gets.
func crash(t *testing.T, ref actorsys.Ref[*Box]) {
	t.Helper()
	var p *actorsys.PanicError
	if err := within(ref, boom); !errors.As(err, &p) || p.Value != "boom" {
		t.Errorf("%v: a panic is answered with %v", ref, err)
	}
}

func TestAnErrorIsAnAnswerAndAPanicAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b})
		stopped := make(order, 10)
		box := spawn(t, sys, "box", &actorsys.Plain[*Box]{Stop: func(_ *actorsys.Turn, b *Box, reason error) { stopped <- fmt.Sprint(b.Seen, " ", reason) }})
		box.Tell(Put("a"))
		refused := errors.New("refused")
		if err := within(box, func(*actorsys.Turn, *Box) error { return refused }); err != refused {
			t.Error(err)
		}
		want(t, "after an error", seen(t, box), "a")
		crash(t, box)
		box.Tell(Put("b")) // waits for the restart
		want(t, "after a panic", seen(t, box), "b")
		want(t, "stopped", stopped.all(), "[[a] actor panicked: boom]")
		for _, how := range []In{func(*actorsys.Turn, *Box) error { runtime.Goexit(); return nil }, nil} {
			var p *actorsys.PanicError
			if err := within(box, how); !errors.As(err, &p) {
				t.Errorf("%v", err)
			}
			want(t, "after another", seen(t, box), "")
		}
		sys.Shutdown(t.Context())
		want(t, "facts", facts(t, b, "main")[1:3], `[actor-failed {"actor":"box","reason":"actor panicked: boom"} actor-restarted {"actor":"box","reason":"actor panicked: boom"}]`)
	})
}

func TestPausesDoubleWithJitterAndTheBudgetRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b})
		box := spawn(t, sys, "box", &actorsys.Plain[*Box]{Supervision: actorsys.Supervision{MaxRestarts: 8, Backoff: time.Second, MaxBackoff: 10 * time.Second}})
		different := map[time.Duration]bool{}
		for _, pause := range []time.Duration{1, 2, 4, 8, 10, 10, 10} {
			pause *= time.Second
			began := time.Now()
			crash(t, box)
			seen(t, box)
			took := time.Since(began)
			if took < pause*8/10 || took > pause*12/10 {
				t.Errorf("a pause of %v, want %v give or take a fifth", took, pause)
			}
			different[took%time.Second] = true
		}
		if len(different) < 4 {
			t.Errorf("no jitter: %v", different)
		}
		time.Sleep(time.Minute) // the window has slid on
		for range 8 {
			crash(t, box)
			seen(t, box)
		}
		crash(t, box)
		synctest.Wait()
		if err := within(box, look); !errors.Is(err, actorsys.ErrStopped) {
			t.Errorf("one restart too many: %v", err)
		}
		sys.Shutdown(t.Context())
		all := strings.Join(facts(t, b, "main"), "\n")
		want(t, "restarts, stops", fmt.Sprint(strings.Count(all, "actor-restarted"), strings.Count(all, "actor-stopped")), "15 1")
	})
}

func TestTheDefaultsAreAsTheCommentsSay(t *testing.T) {
	if actorsys.DefaultMaxRestarts != 5 || actorsys.DefaultWithin != time.Minute || actorsys.DefaultBackoff != 100*time.Millisecond || actorsys.DefaultMaxBackoff != 30*time.Second {
		t.Error("defaults differ")
	}
	synctest.Test(t, func(t *testing.T) {
		box := spawn(t, start(t, actorsys.Config{Backend: open(t)}), "box", nil)
		for range actorsys.DefaultMaxRestarts {
			began := time.Now()
			crash(t, box)
			seen(t, box)
			if took := time.Since(began); took < 80*time.Millisecond || took > 2*time.Second {
				t.Errorf("a pause of %v", took)
			}
		}
		crash(t, box)
		if err := within(box, look); !errors.Is(err, actorsys.ErrStopped) {
			t.Errorf("%v", err)
		}
	})
}

func TestWithoutABoundAnActorIsRestartedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := spawn(t, start(t, actorsys.Config{Backend: open(t)}), "box", &actorsys.Plain[*Box]{Supervision: actorsys.Supervision{MaxRestarts: -1, Backoff: -1}})
		began := time.Now()
		for range 1000 {
			crash(t, box)
			seen(t, box)
		}
		want(t, "time taken without pauses", time.Since(began), time.Duration(0))
	})
}

func TestDecideSaysWhatHappens(t *testing.T) {
	minor := errors.New("minor")
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		s := actorsys.Supervision{Decide: func(reason error) actorsys.Directive {
			switch {
			case errors.Is(reason, minor):
				return actorsys.Restart
			case strings.Contains(reason.Error(), "strange"):
				panic("no idea")
			}
			return actorsys.Stop
		}}
		for what, restarts := range map[any]bool{minor: true, "boom": false, "strange": false} {
			box := spawn(t, sys, "box", &actorsys.Plain[*Box]{Supervision: s})
			within(box, func(*actorsys.Turn, *Box) error { panic(what) })
			err := within(box, look)
			if restarts != (err == nil) || err != nil && !errors.Is(err, actorsys.ErrStopped) {
				t.Errorf("%v: %v", what, err)
			}
			box.Stop(t.Context())
		}
	})
}

// family is a boss with two workers; each start is noted.
func family(t *testing.T, sys *actorsys.System, of actorsys.Supervision) (boss, one, two actorsys.Ref[*Box], starts order) {
	t.Helper()
	starts = make(order, 100)
	workers := map[string]actorsys.Ref[*Box]{}
	boss, err := actorsys.Spawn(sys, "boss", func(turn *actorsys.Turn, self actorsys.Ref[*Box]) (*Box, error) {
		starts <- "boss"
		for _, name := range []string{"1", "2"} {
			w, err := actorsys.Spawn(turn, name, func(_ *actorsys.Turn, self actorsys.Ref[*Box]) (*Box, error) {
				starts <- self.ID()
				return &Box{Self: self}, nil
			}, &actorsys.Plain[*Box]{Supervision: of})
			if err != nil {
				return nil, err
			}
			workers[name] = w
		}
		return &Box{Self: self}, nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "starts", starts.all(), "[boss 1 2]")
	return boss, workers["1"], workers["2"], starts
}

func TestOneOrAllChildrenAreRestarted(t *testing.T) {
	for all, starts := range map[bool]string{false: "[1]", true: "[1 2]"} {
		synctest.Test(t, func(t *testing.T) {
			sys := start(t, actorsys.Config{Backend: open(t)})
			_, one, two, again := family(t, sys, actorsys.Supervision{All: all})
			two.Tell(Put("a"))
			synctest.Wait()
			crash(t, one)
			time.Sleep(time.Second)
			want(t, "started again", slices.Sorted(slices.Values(again.all())), starts)
			want(t, "the sibling's state", seen(t, two), map[bool]string{false: "a", true: ""}[all])
			want(t, "the failed one's", seen(t, one), "")
		})
	}
}

func TestAllChildrenAreStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		boss, one, two, _ := family(t, sys, actorsys.Supervision{All: true, Decide: func(error) actorsys.Directive { return actorsys.Stop }})
		crash(t, one)
		synctest.Wait()
		if err := within(two, look); !errors.Is(err, actorsys.ErrStopped) {
			t.Errorf("the sibling: %v", err)
		}
		want(t, "the boss", seen(t, boss), "")
	})
}

func TestAnEscalatedFailureIsTheParents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b})
		boss, one, _, starts := family(t, sys, actorsys.Supervision{Decide: func(error) actorsys.Directive { return actorsys.Escalate }})
		boss.Tell(Put("a"))
		synctest.Wait()
		crash(t, one)
		time.Sleep(time.Second)
		want(t, "started again", starts.all(), "[boss 1 2]")
		want(t, "the boss", seen(t, boss), "")
		if err := within(one, look); !errors.Is(err, actorsys.ErrStopped) {
			t.Errorf("the old worker: %v", err)
		}
		if again, err := actorsys.Lookup[*Box](sys, "boss/1"); err != nil || within(again, look) != nil {
			t.Errorf("the new worker: %v", err)
		}
		sys.Shutdown(t.Context())
		if all := strings.Join(facts(t, b, "main"), "\n"); !strings.Contains(all, `actor-failed {"actor":"boss","reason":"child \"boss/1\": actor panicked: boom"}`) {
			t.Error(all)
		}
	})
}

// What is escalated takes effect between the parent's turns, not beside one.
func TestAParentIsNotRestartedInTheMiddleOfATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		boss, one, _, starts := family(t, sys, actorsys.Supervision{Decide: func(error) actorsys.Directive { return actorsys.Escalate }})
		letGo := hold(boss)
		crash(t, one)
		time.Sleep(time.Hour)
		want(t, "started during the turn", starts.all(), "[]")
		letGo()
		time.Sleep(time.Second)
		want(t, "started after it", starts.all(), "[boss 1 2]")
	})
}

func TestAStartThatFailsAgainIsAFailureAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		starts := 0
		box, err := actorsys.Spawn(sys, "box", func(_ *actorsys.Turn, self actorsys.Ref[*Box]) (*Box, error) {
			switch starts++; starts {
			case 2:
				return nil, errors.New("no connection")
			case 3:
				panic("boom")
			case 4:
				runtime.Goexit()
			}
			return &Box{Self: self}, nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		crash(t, box)
		want(t, "seen", seen(t, box), "")
		want(t, "starts", starts, 5)
	})
}

// Papyra hung here: it queued the stop behind the messages.
func TestAFullMailboxHoldsUpNoCrashNoStopAndNoShutdown(t *testing.T) {
	fill := func(box actorsys.Ref[*Box], c actorsys.Command[*Box]) {
		for box.Tell(c) == nil {
		}
	}
	opts := &actorsys.Plain[*Box]{Mailbox: 3, Supervision: actorsys.Supervision{Decide: func(error) actorsys.Directive { return actorsys.Stop }}}
	for how, dead := range map[string]int{"crash": 3, "stop": 3, "shutdown": 0} {
		synctest.Test(t, func(t *testing.T) {
			sys := start(t, actorsys.Config{Backend: open(t)})
			box := spawn(t, sys, "box", opts)
			goOn := make(chan struct{})
			box.Tell(In(func(*actorsys.Turn, *Box) error {
				<-goOn
				if how == "crash" {
					panic("boom")
				}
				return nil
			}))
			synctest.Wait()
			fill(box, Put("x"))
			time.AfterFunc(time.Second, func() { close(goOn) })
			var err error
			switch how {
			case "shutdown":
				err = sys.Shutdown(t.Context())
			case "stop":
				err = box.Stop(t.Context())
			default:
				time.Sleep(time.Minute)
			}
			if n := len(letters(sys)); err != nil || n != dead {
				t.Errorf("%s: %v, %d dead letters, want %d", how, err, n, dead)
			}
		})
	}
}

func TestAShutdownDoesNotWaitForAnActorThatWaitsToBeRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		box := spawn(t, sys, "box", &actorsys.Plain[*Box]{Supervision: actorsys.Supervision{Backoff: time.Hour, MaxBackoff: time.Hour}})
		crash(t, box)
		synctest.Wait()
		box.Tell(Put("x"))
		began := time.Now()
		if err := sys.Shutdown(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		want(t, "dead letters", letters(sys), []string{`box actorsys_test.Put "x": stopped: the actor has`})
	})
}

func TestAFailureIsRecordedThoughTheActorIsToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b})
		box := spawn(t, sys, "box", nil)
		goOn := make(chan struct{})
		box.Tell(In(func(*actorsys.Turn, *Box) error { <-goOn; panic("boom") }))
		synctest.Wait()
		time.AfterFunc(time.Second, func() { close(goOn) })
		if err := box.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		sys.Shutdown(t.Context())
		want(t, "facts", facts(t, b, "main")[1], `actor-failed {"actor":"box","reason":"actor panicked: boom"}`)
	})
}
