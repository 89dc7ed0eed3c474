package actorsys_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

func TestTheLifeOfAnActorIsToldInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsAll})
		ctx, cancel := context.WithCancel(t.Context())
		var heard []string
		all := sys.Facts(ctx)
		done := make(chan bool)
		go func() {
			for f := range all {
				heard = append(heard, fmt.Sprintf("%d %s %s %s", f.Seq, f.Type, f.Actor, f.Reason))
			}
			close(done)
		}()
		boss, one, _, _ := family(t, sys, actorsys.Supervision{})
		crash(t, one)
		seen(t, one)
		boss.Stop(t.Context())
		ada := register(t, sys, nil).Ref("ada")
		must(t, ada, Deposit{1})
		sys.Shutdown(t.Context())
		<-done
		cancel()
		want(t, "heard", strings.Join(slices.Concat(heard[:5], heard[7:]), "\n"), strings.Join([]string{
			"2 actor-started boss/1 ", "3 actor-started boss/2 ", "4 actor-started boss ",
			"5 actor-failed boss/1 actor panicked: boom", "6 actor-restarted boss/1 actor panicked: boom",
			"9 actor-stopped boss ", "10 actor-activated account/ada ", "11 system-stopped  "}, "\n"))
		var stored []string
		for i, r := range events(t, b, backend.SystemStream("main", backend.Lifecycle)) {
			var f actorsys.Fact
			if err := json.Unmarshal(r.Payload, &f); err != nil {
				t.Error(err)
			}
			stored = append(stored, fmt.Sprintf("%d %s %s %s", i+1, r.Type, f.Actor, f.Reason))
		}
		want(t, "stored", strings.Join(stored[1:], "\n"), strings.Join(heard, "\n"))
	})
}

// In Papyra waiters took the facts from each other.
func TestEveryoneWhoWaitsForAFactGetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone})
		failed := func(f actorsys.Fact) bool { return f.Type == "actor-failed" && f.Actor == "box" }
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if f, err := sys.WaitFor(t.Context(), failed); err != nil || f.Reason != "actor panicked: boom" {
					t.Errorf("%+v, %v", f, err)
				}
			})
		}
		synctest.Wait()
		crash(t, spawn(t, sys, "box", nil))
		wg.Wait()
		if _, err := sys.WaitFor(t.Context(), failed); err != nil {
			t.Errorf("one that has happened: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		never := func(actorsys.Fact) bool { return false }
		if _, err := sys.WaitFor(ctx, never); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		go sys.Shutdown(t.Context())
		if _, err := sys.WaitFor(t.Context(), never); !errors.Is(err, actorsys.ErrStopped) {
			t.Errorf("a system that stops: %v", err)
		}
		if _, err := sys.WaitFor(t.Context(), failed); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestAListenerThatLagsMissesSomeAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone})
		ctx, cancel := context.WithCancel(t.Context())
		all := sys.Facts(ctx)
		unread := sys.Facts(ctx)
		for range 1000 {
			spawn(t, sys, "box", nil).Stop(t.Context())
		}
		heard, last, missed := 0, uint64(1), uint64(0)
		for f := range all {
			heard, missed, last = heard+1, missed+f.Seq-last-1, f.Seq
			if heard == 1024 {
				spawn(t, sys, "box", nil)
			}
			if heard == 1025 {
				break
			}
		}
		want(t, "missed", missed, 2000-1024)
		cancel()
		synctest.Wait()
		for range unread {
			t.Error("a fact after the end of the context")
		}
	})
}

// Chan can't be encoded, Shy panics when it is, Slow never ends.
type Chan struct{ C chan int }
type Shy struct{ Put }
type Slow struct{ Put }

var goOn chan struct{}

func (Chan) Decide(*actorsys.Turn, *Box) ([]actorsys.Event[*Box], error) { return nil, nil }
func (Shy) MarshalJSON() ([]byte, error)                                 { panic("shy") }
func (Slow) MarshalJSON() ([]byte, error)                                { <-goOn; return []byte("1"), nil }

func TestDeadLettersSayTargetTypePayloadAndReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b})
		box := spawn(t, sys, "box", nil)
		box.Stop(t.Context())
		for _, c := range []actorsys.Command[*Box]{Put("a"), Chan{}, Shy{}, Put(strings.Repeat("x", 5000)), nil} {
			if err := box.Tell(c); !errors.Is(err, actorsys.ErrStopped) {
				t.Error(err)
			}
		}
		other := spawn(t, sys, "other", &actorsys.Plain[*Box]{Mailbox: 1})
		letGo := hold(other)
		other.Tell(Put("full"))
		from := spawn(t, sys, "from", nil)
		within(from, func(turn *actorsys.Turn, _ *Box) error { turn.Tell(other.With(Put("b"))); return nil })
		letGo()
		want(t, "dead letters", strings.Join(letters(sys), "\n"), strings.Join([]string{
			`box actorsys_test.Put "a": stopped: the actor has`,
			`box actorsys_test.Chan : stopped: the actor has`,
			`box actorsys_test.Shy : stopped: the actor has`,
			`box actorsys_test.Put : stopped: the actor has`,
			`box <nil> null: stopped: the actor has`,
			`other actorsys_test.Put "b": mailbox full`,
		}, "\n"))
		if l := sys.DeadLetters(2); len(l) != 2 || string(l[1].Payload) != `"b"` || !errors.Is(l[1].Reason, actorsys.ErrMailboxFull) || !l[1].Time.Equal(time.Now()) {
			t.Errorf("the newest two: %+v", l)
		}
		if len(sys.DeadLetters(0))+len(sys.DeadLetters(-1)) != 0 {
			t.Error("none were asked for")
		}
		sys.Shutdown(t.Context())
		var stored []string
		for _, r := range events(t, b, backend.SystemStream("main", backend.DeadLetter)) {
			stored = append(stored, r.Type+" "+string(r.Payload))
		}
		want(t, "stored", strings.Join(slices.Concat(stored[:2], stored[5:]), "\n"), strings.Join([]string{
			`actorsys_test.Put {"target":"box","reason":"stopped: the actor has","message":"a"}`,
			`actorsys_test.Chan {"target":"box","reason":"stopped: the actor has"}`,
			`actorsys_test.Put {"target":"other","reason":"mailbox full","message":"b"}`}, "\n"))
	})
}

func TestDeadLettersAreBoundedAndNeverWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := start(t, actorsys.Config{Backend: open(t), Facts: actorsys.FactsNone})
		box := spawn(t, sys, "box", nil)
		box.Stop(t.Context())
		goOn = make(chan struct{})
		box.Tell(Slow{})
		synctest.Wait()
		for i := range 10_000 {
			box.Tell(Put(fmt.Sprint(i)))
		}
		if dropped, _, _ := sys.Dropped(); dropped != 10_000-4096 {
			t.Errorf("%d dropped", dropped)
		}
		close(goOn)
		got := letters(sys)
		if len(got) != 256 || !strings.Contains(got[0], `"3840"`) || !strings.Contains(got[255], `"4095"`) {
			t.Errorf("%d kept: %v … %v", len(got), got[0], got[len(got)-1])
		}
	})
}

func TestAnAuditSaysHowTheActorsStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		stored(t, b, "account/bad", old("unheard-of", 1, `{}`))
		sys := start(t, actorsys.Config{Name: "shop", Backend: b})
		accounts := register(t, sys, nil)
		must(t, accounts.Ref("ada"), Deposit{1})
		actorsys.Ask(t.Context(), accounts.Ref("bad"), Balance)
		boss, one, two, _ := family(t, sys, actorsys.Supervision{Backoff: time.Hour, MaxBackoff: time.Hour})
		crash(t, one)
		letGo := hold(two)
		defer letGo()
		two.Tell(Put("x"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		two.Stop(ctx)
		gone := spawn(t, sys, "gone", nil)
		gone.Stop(t.Context())
		gone.Tell(Put("x"))
		synctest.Wait()
		r, err := sys.Audit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const report = `{"system_id":"shop","total_actors":5,"alive_actors":3,"stopping_actors":1,"restarting_actors":1,` +
			`"registry_size":5,"registry_orphans":[],"registry_dead":["account/bad"],"dead_letters_count":1}`
		text, _ := json.Marshal(r)
		want(t, "report", string(text), report)
		want(t, "counts", fmt.Sprint(sys.AliveActors(), sys.RegistrySize()), "3 5")
		want(t, "the boss", fmt.Sprintf("%+v", boss.Info()), "{Address:boss Name:boss Parent: Children:[boss/1 boss/2] Alive:true Stopping:false Restarting:false Quarantined:false Waiting:0}")
		want(t, "restarting", fmt.Sprintf("%+v", one.Info()), "{Address:boss/1 Name:1 Parent:boss Children:[] Alive:false Stopping:false Restarting:true Quarantined:false Waiting:0}")
		want(t, "stopping", fmt.Sprintf("%+v", two.Info()), "{Address:boss/2 Name:2 Parent:boss Children:[] Alive:true Stopping:true Restarting:false Quarantined:false Waiting:1}")
		want(t, "in quarantine", fmt.Sprintf("%+v", accounts.Ref("bad").Info()), "{Address:account/bad Name:bad Parent: Children:[] Alive:false Stopping:false Restarting:false Quarantined:true Waiting:0}")
		want(t, "not in memory", fmt.Sprintf("%+v", accounts.Ref("eve").Info()), "{Address:account/eve Name:eve Parent: Children:[] Alive:false Stopping:false Restarting:false Quarantined:false Waiting:0}")
		var addresses []string
		for a := range sys.Actors() {
			addresses = append(addresses, a.Address)
		}
		slices.Sort(addresses)
		want(t, "actors", addresses, "[account/ada account/bad boss boss/1 boss/2]")
		for range sys.Actors() {
			break
		}
		synctest.Wait()
		if got := events(t, b, backend.SystemStream("shop", backend.Audit)); len(got) != 1 || string(got[0].Payload) != report || !got[0].Time.Equal(r.Time) {
			t.Errorf("recorded: %v", got)
		}
		if _, err := sys.Audit(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("without time: %v", err)
		}
	})
}

func TestTheStoresRetentionKeepsEachKindOfFactAsItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := memory.Open(t.Context(), &backend.Options{Retention: backend.Retention{
			backend.Lifecycle: {MaxRecords: 3}, backend.Audit: {MaxRecords: 2}, backend.DeadLetter: {MaxAge: time.Hour},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsAll})
		for i := range 10 {
			box := spawn(t, sys, "box", nil)
			box.Stop(t.Context())
			box.Tell(Put(fmt.Sprint(i)))
			sys.Audit(t.Context())
			time.Sleep(15 * time.Minute)
		}
		sys.Shutdown(t.Context())
		cut, err := b.PlanCut(t.Context(), nil)
		if err == nil {
			_, err = b.Compact(t.Context(), cut)
		}
		if err != nil {
			t.Fatal(err)
		}
		left := func(k backend.Kind) int { return len(events(t, b, backend.SystemStream("main", k))) }
		want(t, "lifecycle, audits, dead letters", fmt.Sprint(left(backend.Lifecycle), left(backend.Audit), left(backend.DeadLetter)), "3 2 4")
	})
}
