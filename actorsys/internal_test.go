package actorsys

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

// The moment between looking an actor up and posting to it can't be met from outside.
func TestAMessageForAnActorThatLeftMeanwhileLooksItUpAgain(t *testing.T) {
	b, err := memory.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sys, err := Start(t.Context(), Config{Backend: b, Facts: FactsNone})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Shutdown(t.Context())
	kind, err := Register[int](sys, "kind", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	before, err := kind.actor("id")
	if err != nil {
		t.Fatal(err)
	}
	for range idleSweeps {
		kind.sweep()
	}
	if err := before.post(&letter[int]{}); !errors.Is(err, errGone) {
		t.Errorf("posting to an actor that left: %v", err)
	}
	if after, _ := kind.actor("id"); after == before || sys.RegistrySize() != 1 {
		t.Errorf("it was found again; %d in the registry", sys.RegistrySize())
	}
}

// A store so slow that snapshots gather can't be had without holding up the turns.
func TestOnlyTheNewestWaitingSnapshotOfAnActorIsKept(t *testing.T) {
	l := newLane(100, func(r backend.Record) string { return r.Stream })
	for version := range backend.Version(1000) {
		for _, stream := range []string{"a", "b"} {
			l.put(backend.Record{Stream: stream, Version: version + 1}, 50)
		}
	}
	l.put(backend.Record{Stream: "a", Version: 2000}, 51) // no room: what is there stays
	l.put(backend.Record{Stream: "c", Version: 1}, 1)
	l.put(backend.Record{Stream: "b", Version: 1001}, 10)
	l.put(backend.Record{Stream: "c", Version: 2}, 40)
	l.close()
	var got string
	l.run(nil, func(all []backend.Record) {
		for _, r := range all {
			got += fmt.Sprint(r.Stream, r.Version, " ")
		}
	})
	if got != "a1000 b1001 c2 " || l.dropped.Load() != 2 {
		t.Errorf("%s; %d dropped", got, l.dropped.Load())
	}
}

// The moment between a timer's ringing and its message can't be met from outside.
func TestATimerThatWasReplacedAsItRangSendsNothing(t *testing.T) {
	b, err := memory.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sys, err := Start(t.Context(), Config{Backend: b, Facts: FactsNone})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Shutdown(t.Context())
	ref, err := Spawn(sys, "actor", func(*Turn, Ref[int]) (int, error) { return 0, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, sent := ref.at.(*actor[int]), 0
	set := func() *timer {
		x := &timer{key: "k", msg: Delivery{func(context.Context, origin) error { sent++; return nil }}}
		a.setTimer(x, time.Hour)
		return x
	}
	old, current := set(), set()
	a.ring(old)
	if sent != 0 {
		t.Error("it sent its message")
	}
	a.ring(current)
	a.ring(current)
	if sent != 1 {
		t.Errorf("the one in its place sent %d", sent)
	}
}

// It takes many thousands of hints until they are gathered by themselves.
func TestHintsAreGatheredInRecordsThatTheStoreTakes(t *testing.T) {
	b, err := memory.Open(t.Context(), &backend.Options{Limits: backend.Limits{RecordBytes: 8 << 10}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sys, err := Start(t.Context(), Config{Backend: b, Facts: FactsNone})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Shutdown(t.Context())
	at := time.Now().Add(time.Hour)
	alarm := asked(func(turn *Turn, _ int) ([]Event[int], error) { turn.Alarm(at); return nil, nil })
	kind, err := Register(sys, "kind", nil, &Options[int]{Alarm: alarm})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if _, err := Ask(t.Context(), kind.Ref(fmt.Sprint(i)), alarm); err != nil {
			t.Fatal(err)
		}
	}
	if err := kind.bells.writeCheckpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, _, records, err := kind.bells.fold(t.Context())
	if err != nil || len(all) != 500 || records >= 500 {
		t.Errorf("%d alarms in %d records, %v", len(all), records, err)
	}
}

// Nobody sees what an actor remembers of those whom it has outlived.
func TestAWatcherForgetsWhoHasStopped(t *testing.T) {
	b, err := memory.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sys, err := Start(t.Context(), Config{Backend: b, Facts: FactsNone})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Shutdown(t.Context())
	start := func(*Turn, Ref[int]) (int, error) { return 0, nil }
	watcher, err := Spawn(sys, "watcher", start, nil)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 2)
	for _, before := range []bool{true, false} {
		target, err := Spawn(sys, "", start, nil)
		if err != nil {
			t.Fatal(err)
		}
		stop := func() {
			if err := target.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if before {
			stop()
		}
		watch := func(turn *Turn, _ int) ([]Event[int], error) {
			turn.Watch(target, func(reason error) Delivery { told <- reason; return Delivery{} })
			return nil, nil
		}
		if _, err := Ask(t.Context(), watcher, asked(watch)); err != nil {
			t.Fatal(err)
		}
		if !before {
			stop()
		}
		<-told
	}
	a := watcher.at.(*actor[int])
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.plain.watches); n != 0 {
		t.Errorf("it remembers %d", n)
	}
}

// asked is a command that anybody may write down where it is needed.
type asked func(t *Turn, s int) ([]Event[int], error)

func (f asked) Decide(t *Turn, s int) ([]Event[int], error) { return f(t, s) }
func (f asked) Reply(s int) int                             { return s }

// Which of two signals a lane hears first is chance.
func TestALaneThatIsKilledStillHandsOverWhatItHolds(t *testing.T) {
	killed := make(chan struct{})
	close(killed)
	for range 100 {
		l := newLane[int](10, nil)
		l.put(1, 1)
		got := 0
		l.run(killed, func(items []int) { got += len(items) })
		if l.put(2, 1); got != 1 || l.dropped.Load() > 1 {
			t.Fatalf("%d handed over, %d dropped", got, l.dropped.Load())
		}
	}
}
