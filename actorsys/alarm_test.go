package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// rings collects when alarms rang, for whom, in seconds since a time.
type rings struct {
	mu    sync.Mutex
	since time.Time
	got   []string
	then  func(t *actorsys.Turn) error // what the command does besides
}

// command adds a cent, so that what rang is stored.
func (r *rings) command() actorsys.Command[Account] {
	return Do(func(t *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, fmt.Sprintf("%s@%.0f", t.ID(), t.Now().Sub(r.since).Seconds()))
		if r.then != nil {
			if err := r.then(t); err != nil {
				return nil, err
			}
		}
		return []actorsys.Event[Account]{Deposited{1}}, nil
	})
}

func (r *rings) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(r.got)
}

func (r *rings) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// set says what the command does besides, from now on.
func (r *rings) set(then func(t *actorsys.Turn) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.then = then
}

// setAlarm sets one in so long; negative: takes it back.
func setAlarm(in time.Duration) Do {
	return func(t *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
		if in < 0 {
			t.Alarm(time.Time{})
		} else {
			t.Alarm(t.Now().Add(in))
		}
		return nil, nil
	}
}

// alarmed starts a system over a store whose accounts have alarms.
func alarmed(t *testing.T, b *backend.Backend, r *rings) (*actorsys.System, *actorsys.Kind[Account]) {
	t.Helper()
	if r.since.IsZero() {
		r.since = time.Now()
	}
	sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
	return sys, register(t, sys, &actorsys.Options[Account]{Alarm: r.command()})
}

// kill ends a system as a kill does: nothing that it has in memory is stored any more.
func kill(sys *actorsys.System) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sys.Shutdown(ctx)
}

func TestAnAlarmRingsOnceAlsoForAnActorThatHasLeftMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rings
		b := open(t)
		sys, accounts := alarmed(t, b, &r)
		must(t, accounts.Ref("ada"), setAlarm(time.Hour))
		must(t, accounts.Ref("bob"), setAlarm(time.Minute))
		must(t, accounts.Ref("eve"), Deposit{1})
		time.Sleep(50 * time.Minute)
		want(t, "alive", sys.AliveActors(), 0)
		want(t, "rang", r.all(), "[bob@60]")
		time.Sleep(11 * time.Minute)
		want(t, "rang", r.all(), "[bob@60 ada@3600]")
		want(t, "balance", must(t, accounts.Ref("ada"), Balance), 1)
		time.Sleep(1000 * time.Hour)
		if err := sys.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		sys, _ = alarmed(t, b, &r)
		time.Sleep(time.Hour)
		want(t, "rang", r.all(), "[bob@60 ada@3600]")
		want(t, "woken for nothing", len(sys.DeadLetters(10)), 0)
	})
}

func TestAnAlarmSurvivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rings
		var f faults
		sys, accounts := alarmed(t, f.open(t), &r)
		must(t, accounts.Ref("past"), setAlarm(time.Hour))
		must(t, accounts.Ref("future"), setAlarm(3*time.Hour))
		must(t, accounts.Ref("back"), setAlarm(3*time.Hour))
		must(t, accounts.Ref("back"), setAlarm(-1))
		must(t, accounts.Ref("later"), setAlarm(time.Hour))
		must(t, accounts.Ref("later"), setAlarm(4*time.Hour))
		must(t, accounts.Ref("sooner"), setAlarm(5*time.Hour))
		must(t, accounts.Ref("sooner"), setAlarm(2*time.Hour+time.Minute))
		kill(sys)
		time.Sleep(2 * time.Hour)
		want(t, "rang while there was no system", r.all(), "[]")
		sys, _ = alarmed(t, f.open(t), &r)
		time.Sleep(time.Second)
		want(t, "rang at the start", r.all(), "[past@7200]")
		kill(sys)
		sys, accounts = alarmed(t, f.open(t), &r)
		time.Sleep(10 * time.Hour)
		want(t, "rang", r.all(), "[past@7200 sooner@7260 future@10800 later@14400]")
		want(t, "balance", must(t, accounts.Ref("back"), Balance), 0)
		kill(sys)
		alarmed(t, f.open(t), &r)
		time.Sleep(10 * time.Hour)
		want(t, "rang", r.all(), "[past@7200 sooner@7260 future@10800 later@14400]")
	})
}

// A kill in the middle of an alarm's turn: before its records are stored it rings again,
// afterwards it does not.
func TestAnAlarmIsOverOnceItsTurnIsStored(t *testing.T) {
	for _, written := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var r rings
			var f faults
			sys, accounts := alarmed(t, f.open(t), &r)
			must(t, accounts.Ref("ada"), setAlarm(time.Hour))
			killed := make(chan struct{})
			defer close(killed)
			f.set(once(func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
				if written {
					write()
				}
				<-killed
				return nil, backend.ErrUnknownOutcome
			}))
			time.Sleep(2 * time.Hour)
			want(t, "rang", r.all(), "[ada@3600]")
			kill(sys)
			_, accounts = alarmed(t, f.open(t), &r)
			time.Sleep(time.Hour)
			want(t, "rang", r.all(), map[bool]string{true: "[ada@3600]", false: "[ada@3600 ada@7200]"}[written])
			want(t, "balance", must(t, accounts.Ref("ada"), Balance), 1)
		})
	}
}

func TestAnAlarmThatCannotBeHandledRingsAgainAfterPauses(t *testing.T) {
	for name, fail := range map[string]func() error{
		"refused":  func() error { return errors.New("no") },
		"panicked": func() error { panic("no") },
	} {
		synctest.Test(t, func(t *testing.T) {
			r := rings{then: func(*actorsys.Turn) error { return fail() }}
			sys, accounts := alarmed(t, open(t), &r)
			must(t, accounts.Ref("ada"), setAlarm(time.Hour))
			time.Sleep(time.Hour + 200*time.Second)
			want(t, name+": rang", r.all(), "[ada@3600 ada@3601 ada@3603 ada@3607 ada@3615 ada@3631 ada@3663 ada@3723 ada@3783]")
			if f, err := sys.WaitFor(t.Context(), func(f actorsys.Fact) bool { return strings.HasPrefix(f.Reason, "alarm: ") }); err != nil || f.Actor != "account/ada" {
				t.Errorf("%s: %+v, %v", name, f, err)
			}
			r.mu.Lock()
			r.then, r.got = nil, nil
			r.mu.Unlock()
			time.Sleep(2 * time.Hour)
			want(t, "rang once more", len(strings.Fields(r.all())), 1)
			want(t, "balance", must(t, accounts.Ref("ada"), Balance), 1)
		})
	}
}

func TestAnAlarmThatSetsTheNextRingsOnAndOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		r := rings{then: func(turn *actorsys.Turn) error { turn.Alarm(turn.Now().Add(time.Hour)); return nil }}
		b := f.open(t)
		sys, accounts := alarmed(t, b, &r)
		must(t, accounts.Ref("ada"), setAlarm(time.Hour))
		time.Sleep(3*time.Hour + time.Minute)
		kill(sys)
		b = f.open(t)
		sys, _ = alarmed(t, b, &r)
		time.Sleep(time.Minute)
		want(t, "rang", r.all(), "[ada@3600 ada@7200 ada@10800]")
		want(t, "woken for nothing", sys.AliveActors(), 0)
		time.Sleep(2 * time.Hour)
		want(t, "rang", r.all(), "[ada@3600 ada@7200 ada@10800 ada@14400 ada@18000]")
	})
}

func TestAnAlarmOfATurnThatIsLostNeverRings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rings
		var f faults
		sys, accounts := alarmed(t, f.open(t), &r)
		must(t, accounts.Ref("ada"), setAlarm(3*time.Hour))
		f.set(func(func() ([]backend.Result, error)) ([]backend.Result, error) { return nil, backend.ErrNoSpace })
		for _, in := range []time.Duration{-1, time.Hour, 5 * time.Hour} {
			if _, err := actorsys.Ask(t.Context(), accounts.Ref("ada"), setAlarm(in)); !errors.Is(err, backend.ErrNoSpace) {
				t.Error(err)
			}
		}
		if _, err := actorsys.Ask(t.Context(), accounts.Ref("bob"), setAlarm(time.Hour)); !errors.Is(err, backend.ErrNoSpace) {
			t.Error(err)
		}
		refused := Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			turn.Alarm(turn.Now())
			return nil, errors.New("no")
		})
		actorsys.Ask(t.Context(), accounts.Ref("eve"), refused)
		f.set(nil)
		time.Sleep(2 * time.Hour)
		want(t, "rang", r.all(), "[]")
		kill(sys)
		alarmed(t, f.open(t), &r)
		time.Sleep(2 * time.Hour)
		want(t, "rang", r.all(), "[ada@10800]")
	})
}

// A store that dies in the middle of a group: whatever was written of it, a turn that is
// there has its alarm.
func TestNoAlarmIsMissedHoweverAGroupIsTorn(t *testing.T) {
	for first := 1; first <= 6; first++ {
		synctest.Test(t, func(t *testing.T) {
			var r rings
			var f faults
			sys, accounts := alarmed(t, f.open(t), &r)
			for i := range 5 {
				must(t, accounts.Ref(fmt.Sprint(i)), Deposit{1})
			}
			h, unblock := blocked()
			f.set(h)
			accounts.Ref("first").Tell(Deposit{1})
			synctest.Wait()
			for i := range 5 { // they gather
				accounts.Ref(fmt.Sprint(i)).Tell(setAlarm(time.Hour))
			}
			synctest.Wait()
			f.set(nil)
			f.refuseToOpen(1000)
			unblock()
			f.tear(first)
			synctest.Wait()
			time.Sleep(time.Minute)
			kill(sys)
			f.tear(0)
			f.refuseToOpen(0)
			b := f.open(t)
			var stored []string
			for i := range 5 {
				if len(events(t, b, fmt.Sprint("account/", i))) > 1 {
					stored = append(stored, fmt.Sprint(i, "@3600"))
				}
			}
			want(t, "turns that were written", len(stored), first-1)
			_, accounts = alarmed(t, b, &r)
			time.Sleep(2 * time.Hour)
			r.mu.Lock()
			slices.Sort(r.got)
			r.mu.Unlock()
			want(t, "rang", r.all(), fmt.Sprint(stored))
		})
	}
}

func TestASnapshotKeepsTheAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rings
		r.since = time.Now()
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
		opts := &actorsys.Options[Account]{Alarm: r.command(), SnapshotEvery: 2, Truncate: true, SnapshotKeep: 1}
		accounts := register(t, sys, opts)
		must(t, accounts.Ref("ada"), setAlarm(time.Hour))
		must(t, accounts.Ref("ada"), Deposit{1})
		time.Sleep(30 * time.Minute)
		want(t, "floor", floorOf(t, b, "account/ada"), 3)
		want(t, "alive", sys.AliveActors(), 0)
		time.Sleep(2 * time.Hour)
		want(t, "rang", r.all(), "[ada@3600]")
		want(t, "balance", must(t, accounts.Ref("ada"), Balance), 2)
		kill(sys)
		register(t, start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone}), opts)
		time.Sleep(2 * time.Hour)
		want(t, "rang", r.all(), "[ada@3600]")
	})
}

func TestAlarmsThatCannotBeAreRefused(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone})
	without := register(t, sys, nil)
	if _, err := actorsys.Ask(t.Context(), without.Ref("ada"), setAlarm(time.Hour)); !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "Options.Alarm") {
		t.Errorf("no command: %v", err)
	}
	with, err := actorsys.Register(sys, "alarmed", accountEvents, &actorsys.Options[Account]{Alarm: Deposit{1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := actorsys.Ask(t.Context(), with.Ref("ada"), setAlarm(280*365*24*time.Hour)); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("too late: %v", err)
	}
	if _, err := actorsys.Register(sys, "$alarms", accountEvents, nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("a reserved kind: %v", err)
	}
	if _, err := actorsys.Register(sys, "x", actorsys.Events[Account]{actorsys.On[Deposited]("$alarm", 1)}, nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("a reserved event: %v", err)
	}
	start := func(turn *actorsys.Turn, _ actorsys.Ref[int]) (int, error) { turn.Alarm(time.Now()); return 0, nil }
	if _, err := actorsys.Spawn(sys, "plain", start, nil); !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "Turn.Timer") {
		t.Errorf("a plain actor: %v", err)
	}
}

// Thousands of alarms that are all due at the start ring, a few at a time, and what is
// kept of them stays short over many rounds.
func TestManyAlarmsAreRecoveredAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const actors = 4000
		var r rings
		b := open(t)
		sys, accounts := alarmed(t, b, &r)
		for i := range actors {
			if err := accounts.Ref(fmt.Sprint(i)).Tell(setAlarm(time.Hour + time.Duration(i)*time.Millisecond)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		kill(sys)
		time.Sleep(2 * time.Hour)
		most := 0
		r.set(func(*actorsys.Turn) error { most = max(most, runtime.NumGoroutine()); return nil })
		sys, accounts = alarmed(t, b, &r)
		time.Sleep(time.Minute)
		want(t, "rang", r.count(), actors)
		// Each turn moves its alarm: the hints are gathered now and then.
		r.set(func(turn *actorsys.Turn) error { turn.Alarm(turn.Now().Add(time.Hour)); return nil })
		if most > 1000 { // 256 that ring, and what else there is
			t.Errorf("%d goroutines at a time", most)
		}
		for i := range actors {
			accounts.Ref(fmt.Sprint(i)).Tell(setAlarm(time.Hour))
		}
		time.Sleep(6*time.Hour + 2*time.Minute)
		head, err := b.Head(t.Context(), "$alarms/account")
		if left := head.Version - head.Floor; err != nil || head.Version < 8*actors || left > 5*actors+2*4096 {
			t.Errorf("%d hints of %d are left, %v", left, head.Version, err)
		}
		kill(sys)
		rang := r.count()
		alarmed(t, b, &r)
		time.Sleep(2 * time.Minute)
		want(t, "rang at the start", r.count()-rang, 0)
		time.Sleep(time.Hour)
		want(t, "rang within the hour", r.count()-rang, actors)
	})
}

// Whatever is lost and whenever a kill comes: each alarm that stands rings, in time or at
// the next start, and is handled once.
func TestNoAlarmIsMissedWhateverFails(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { alarmChaos(t, uint64(seed)) })
		})
	}
}

func alarmChaos(t *testing.T, seed uint64) {
	const actors = 5
	var f faults
	rnd := rand.New(rand.NewPCG(seed, 1))
	due := map[string]time.Time{} // as of what was acknowledged; zero: none
	sure := map[string]bool{}
	for range 15 {
		var r rings
		b := f.open(t)
		f.set(whim(&f, rnd.Uint64()))
		sys, accounts := alarmed(t, b, &r)
		for range 10 {
			id := fmt.Sprint(rnd.IntN(actors))
			in := time.Duration(rnd.IntN(100)-20) * time.Second
			at := time.Time{}
			command := Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
				if in >= 0 {
					at = turn.Now().Add(in)
				}
				turn.Alarm(at)
				return nil, nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := actorsys.Ask(ctx, accounts.Ref(id), command)
			cancel()
			switch {
			case err == nil:
				due[id], sure[id] = at, true
			case !errors.Is(err, actorsys.ErrNotPersisted):
				sure[id] = false
			}
			time.Sleep(time.Duration(rnd.IntN(20)) * time.Second)
		}
		kill(sys)
		f.set(nil)
		f.refuseToOpen(0)
		time.Sleep(time.Minute) // what hangs comes to an end
		b = f.open(t)
		for id := range due { // what the streams say must be what was acknowledged, or has rung
			alarm := storedAlarm(t, b, "account/"+id)
			if sure[id] && !alarm.Equal(due[id]) && !alarm.IsZero() {
				t.Errorf("%s: the stream says %v, acknowledged was %v", id, alarm, due[id])
			}
			due[id] = alarm
		}
		r = rings{}
		last := time.Now()
		for _, at := range due {
			if at.After(last) {
				last = at
			}
		}
		sys, _ = alarmed(t, b, &r)
		time.Sleep(time.Until(last) + time.Minute)
		for id, at := range due {
			n := strings.Count(r.all(), id+"@")
			if at.IsZero() && n != 0 || !at.IsZero() && n != 1 {
				t.Errorf("%s: rang %d times, the alarm was at %v", id, n, at)
			}
			if left := storedAlarm(t, b, "account/"+id); !left.IsZero() {
				t.Errorf("%s: there is still an alarm at %v", id, left)
			}
			due[id], sure[id] = time.Time{}, true
		}
		kill(sys)
		time.Sleep(time.Minute)
	}
}

// storedAlarm is the alarm that a stream says.
func storedAlarm(t *testing.T, b *backend.Backend, stream string) (at time.Time) {
	t.Helper()
	for _, r := range events(t, b, stream) {
		if r.Type != "$alarm" {
			continue
		}
		at = time.Time{}
		if s := string(r.Payload); s != "{}" {
			if err := at.UnmarshalText([]byte(s[len(`{"at":"`) : len(s)-len(`"}`)])); err != nil {
				t.Fatal(err)
			}
		}
	}
	return at
}
