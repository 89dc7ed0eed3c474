package actorsys_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// An alarm is taken back, and set again before that is stored: what is stored next says
// that the old hint is void, beside a turn that has relied on it.
func TestAnAlarmThatIsTakenBackAndSetAgainAtOnceSurvivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rings
		var f faults
		sys, accounts := alarmed(t, f.open(t), &r)
		ada := accounts.Ref("ada")
		must(t, ada, setAlarm(time.Hour))
		goOn, killed := make(chan struct{}), make(chan struct{})
		defer close(killed)
		group := 0
		f.set(func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
			if group++; group == 1 {
				<-goOn
				return write()
			}
			write()
			<-killed
			return nil, backend.ErrUnknownOutcome
		})
		for _, in := range []time.Duration{-1, 2 * time.Hour} {
			if err := ada.Tell(setAlarm(in)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		close(goOn)
		synctest.Wait()
		kill(sys)
		f.set(nil)
		b := f.open(t)
		want(t, "stored", len(events(t, b, "account/ada")), 3)
		alarmed(t, b, &r)
		time.Sleep(3 * time.Hour)
		want(t, "rang", r.all(), "[ada@7200]")
	})
}

// What can be read of damaged hints is taken once: not each time that they are tried again.
func TestDamagedHintsWakeNobodyOverAndOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rings
		var f faults
		sys, accounts := alarmed(t, f.open(t), &r)
		must(t, accounts.Ref("ada"), setAlarm(time.Minute))
		must(t, accounts.Ref("bob"), setAlarm(24*time.Hour))
		time.Sleep(2 * time.Minute)
		kill(sys)
		f.setRecord(func(r *backend.Record) error {
			if r.Stream == "$alarms/account" && r.Version == 2 {
				return fmt.Errorf("%w: test", backend.ErrCorrupt)
			}
			return nil
		})
		b := f.open(t)
		sys, _ = alarmed(t, b, &r)
		time.Sleep(time.Hour)
		kill(sys)
		f.setRecord(nil)
		head, err := b.Head(t.Context(), "$alarms/account")
		if err != nil || head.Version > 4 { // two alarms, one that is over, and that again
			t.Errorf("%d hints, %v", head.Version, err)
		}
		want(t, "rang", r.all(), "[ada@60]")
		alarmed(t, b, &r)
		time.Sleep(24 * time.Hour)
		want(t, "rang", r.all(), "[ada@60 bob@86400]")
	})
}

// While the store is full the hints gather, until they are more than one batch may hold.
func TestHintsThatHaveGatheredAreStoredAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rings
		f := faults{limits: backend.Limits{BatchBytes: 4 << 10}}
		sys, accounts := alarmed(t, f.open(t), &r)
		f.set(func(func() ([]backend.Result, error)) ([]backend.Result, error) { return nil, backend.ErrNoSpace })
		for i := range 200 {
			if _, err := actorsys.Ask(t.Context(), accounts.Ref(fmt.Sprint(i)), setAlarm(time.Hour)); !errors.Is(err, backend.ErrNoSpace) {
				t.Fatal(err)
			}
		}
		f.set(nil)
		must(t, accounts.Ref("ada"), setAlarm(time.Hour))
		kill(sys)
		b := f.open(t)
		sys, accounts = alarmed(t, b, &r)
		must(t, accounts.Ref("bob"), Deposit{1})
		time.Sleep(2 * time.Hour)
		want(t, "rang", r.all(), "[ada@3600]")
		if err := sys.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A turn of which nobody knows whether it is stored: it is, and its alarm rings without
// anybody's asking the actor again.
func TestAnAlarmOfATurnInDoubtRingsIfItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rings
		var f faults
		_, accounts := alarmed(t, f.open(t), &r)
		group := 0
		f.set(func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
			if group++; group == 1 {
				write()
			}
			return nil, backend.ErrUnknownOutcome
		})
		if _, err := actorsys.Ask(t.Context(), accounts.Ref("ada"), setAlarm(time.Hour)); !errors.Is(err, backend.ErrUnknownOutcome) {
			t.Fatal(err)
		}
		f.set(nil)
		time.Sleep(2 * time.Hour)
		want(t, "rang", r.all(), "[ada@3600]")
	})
}
