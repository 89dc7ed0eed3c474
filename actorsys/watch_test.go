package actorsys_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
)

// keepWatch has the watcher put "<target>: <reason>" into its box when the target stops.
func keepWatch(tb testing.TB, watcher, target actorsys.Ref[*Box]) {
	tb.Helper()
	err := within(watcher, func(turn *actorsys.Turn, b *Box) error {
		turn.Watch(target, func(reason error) actorsys.Delivery { return b.Self.With(Put(fmt.Sprint(target, ": ", reason))) })
		return nil
	})
	if err != nil {
		tb.Error(err)
	}
}

func TestAWatcherIsToldOnceAsAnOrdinaryMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		watcher := spawn(t, sys, "watcher", &actorsys.Plain[*Box]{Mailbox: 1})
		one, two, three := spawn(t, sys, "1", nil), spawn(t, sys, "2", nil), spawn(t, sys, "3", nil)
		keepWatch(t, watcher, one)
		keepWatch(t, watcher, one) // no second message
		keepWatch(t, watcher, two)
		keepWatch(t, watcher, three)
		err := within(watcher, func(turn *actorsys.Turn, b *Box) error {
			turn.Unwatch(three)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		letGo := hold(watcher)
		watcher.Tell(Put("full")) // the notices find the mailbox full
		one.Stop(t.Context())
		within(two, func(turn *actorsys.Turn, _ *Box) error { turn.Stop(errors.New("worn out")); return nil })
		two.Stop(t.Context())
		three.Stop(t.Context())
		letGo()
		want(t, "seen", seen(t, watcher), "full 1: <nil> 2: worn out")
		keepWatch(t, watcher, two) // stopped already
		want(t, "seen", seen(t, watcher), "full 1: <nil> 2: worn out 2: worn out")
		want(t, "dead letters", letters(sys), []string{})
	})
}

func TestAWatchEndsWithTheWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		target, first, second := spawn(t, sys, "target", nil), spawn(t, sys, "first", nil), spawn(t, sys, "second", nil)
		keepWatch(t, first, target)
		keepWatch(t, second, target)
		first.Stop(t.Context())
		within(second, func(*actorsys.Turn, *Box) error { panic("boom") })
		time.Sleep(time.Second) // it runs again
		target.Stop(t.Context())
		want(t, "seen", seen(t, second), "")
		want(t, "dead letters", letters(sys), []string{})
	})
}

func TestARestartIsNoStopToAWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		watcher, target := spawn(t, sys, "watcher", nil), spawn(t, sys, "target", nil)
		keepWatch(t, watcher, target)
		within(target, func(*actorsys.Turn, *Box) error { panic("boom") })
		time.Sleep(time.Second)
		want(t, "seen after a restart", seen(t, watcher), "")
		target.Stop(t.Context())
		want(t, "seen after a stop", seen(t, watcher), "target: <nil>")
	})
}

func TestAWatchersFunctionThatPanicsHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		one, two, target := spawn(t, sys, "1", nil), spawn(t, sys, "2", nil), spawn(t, sys, "target", nil)
		err := within(one, func(turn *actorsys.Turn, _ *Box) error {
			turn.Watch(target, func(error) actorsys.Delivery { panic("boom") })
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		keepWatch(t, two, target)
		if err := target.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		want(t, "seen", seen(t, two), "target: <nil>")
	})
}

// remind sets a timer that puts what into the box.
func remind(ref actorsys.Ref[*Box], key string, d time.Duration, what Put) error {
	return within(ref, func(turn *actorsys.Turn, b *Box) error {
		turn.Timer(key, d, b.Self.With(what))
		return nil
	})
}

func TestATimerRingsOnceUnlessItIsReplacedOrStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		box := spawn(t, sys, "box", &actorsys.Plain[*Box]{Mailbox: 1})
		remind(box, "a", time.Second, "early")
		remind(box, "a", time.Minute, "a")
		remind(box, "b", time.Minute, "never")
		remind(box, "c", 2*time.Minute, "c")
		within(box, func(turn *actorsys.Turn, _ *Box) error { turn.StopTimer("b"); turn.StopTimer("x"); return nil })
		time.Sleep(time.Minute - 1)
		want(t, "before the time", seen(t, box), "")
		letGo := hold(box)
		box.Tell(Put("full"))
		time.Sleep(time.Hour)
		letGo()
		want(t, "after it", seen(t, box), "full a c")
		remind(box, "d", time.Hour, "after a restart")
		within(box, func(*actorsys.Turn, *Box) error { panic("boom") })
		time.Sleep(2 * time.Hour)
		want(t, "after a restart", seen(t, box), "")
		remind(box, "d", time.Hour, "after a stop")
		box.Stop(t.Context())
		time.Sleep(2 * time.Hour)
		want(t, "dead letters", letters(sys), []string{})
	})
}

func TestAnActorTicksThroughATimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := spawn(t, start(t, actorsys.Config{Backend: open(t)}), "box", nil)
		var tick In
		tick = func(turn *actorsys.Turn, b *Box) error {
			b.Seen = append(b.Seen, "tick")
			turn.Timer("tick", time.Second, b.Self.With(tick))
			return nil
		}
		box.Tell(tick)
		time.Sleep(3500 * time.Millisecond)
		want(t, "seen", seen(t, box), "tick tick tick tick")
	})
}

// An actor that ticks for ever would keep the system from ending.
func TestNoTimerRingsDuringAShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t)})
		rang := false
		box := spawn(t, sys, "box", nil)
		within(box, func(turn *actorsys.Turn, b *Box) error {
			turn.Timer("k", time.Second, b.Self.With(In(func(*actorsys.Turn, *Box) error { rang = true; return nil })))
			return nil
		})
		busy := hold(spawn(t, sys, "busy", nil))
		time.AfterFunc(time.Minute, busy)
		if err := sys.Shutdown(t.Context()); err != nil || rang {
			t.Errorf("%v; it rang: %v", err, rang)
		}
		want(t, "dead letters", letters(sys), []string{})
	})
}
