package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// Entry is an event that nobody else stores; a ledger is the number of its entries.
type Entry struct{ ID int }

func (Entry) Evolve(l Ledger) Ledger { l.Entries++; return l }

type Ledger struct{ Entries int }

// Enter replies with the version at which its entry stands.
type Enter struct{ ID int }

func (c Enter) Decide(t *actorsys.Turn, l Ledger) ([]actorsys.Event[Ledger], error) {
	if int(t.Version()) != l.Entries {
		return nil, fmt.Errorf("version %d of a ledger with %d entries", t.Version(), l.Entries)
	}
	return []actorsys.Event[Ledger]{Entry{c.ID}}, nil
}

func (c Enter) Reply(l Ledger) int { return l.Entries }

// Whatever the store does, and though two systems quarrel over it: what was
// acknowledged is stored once and where the reply said, what was said not to be
// stored is not, and nothing is stored twice.
func TestAnswersAreTrueWhateverFails(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, uint64(seed)) })
		})
		if t.Failed() {
			return
		}
	}
}

func chaos(t *testing.T, seed uint64) {
	var f faults
	b := f.open(t)
	f.set(whim(&f, seed))
	var ledgers []*actorsys.Kind[Ledger]
	for range 1 + seed%2 {
		k, err := actorsys.Register(start(t, actorsys.Config{Backend: b, MaxRecoveries: 1}), "ledger", actorsys.Events[Ledger]{actorsys.On[Entry]("entry", 1)},
			&actorsys.Options[Ledger]{Idle: 50 * time.Millisecond, SnapshotEvery: 7})
		if err != nil {
			t.Fatal(err)
		}
		ledgers = append(ledgers, k)
	}
	const clients, each, actors = 8, 60, 3
	answers := make([]error, clients*each)
	versions := make([]int, clients*each)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				id := c*each + i
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				versions[id], answers[id] = actorsys.Ask(ctx, ledgers[c%len(ledgers)].Ref(fmt.Sprint(id%actors)), Enter{id})
				cancel()
				time.Sleep(time.Duration(id%50) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	f.set(nil)
	f.refuseToOpen(0)
	time.Sleep(time.Minute) // for the healer
	at := map[int]int{}
	for a := range actors {
		for _, r := range events(t, b, fmt.Sprint("ledger/", a)) {
			var id int
			fmt.Sscanf(string(r.Payload), `{"ID":%d}`, &id)
			if at[id] != 0 || id%actors != a {
				t.Errorf("entry %d was stored twice, or in ledger %d", id, a)
			}
			at[id] = int(r.Version)
		}
	}
	acked, refuted, unknown := 0, 0, 0
	for id, err := range answers {
		switch {
		case err == nil:
			acked++
			if at[id] != versions[id] {
				t.Errorf("entry %d was acknowledged at version %d, is at %d", id, versions[id], at[id])
			}
		case errors.Is(err, actorsys.ErrNotPersisted) && !errors.Is(err, backend.ErrUnknownOutcome):
			refuted++
			if at[id] != 0 {
				t.Errorf("entry %d is at version %d, but: %v", id, at[id], err)
			}
		case errors.Is(err, backend.ErrUnknownOutcome) && !errors.Is(err, actorsys.ErrNotPersisted):
			unknown++
		default:
			t.Errorf("entry %d: %v", id, err)
		}
	}
	t.Logf("%d acknowledged, %d not persisted, %d unknown", acked, refuted, unknown)
}

// whim fails appends, and openings, at random.
func whim(f *faults, seed uint64) hook {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 0))
	lost := fmt.Errorf("%w: whim", backend.ErrUnknownOutcome)
	return func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
		mu.Lock()
		dice, pause := rnd.IntN(100), time.Duration(rnd.IntN(10))*time.Millisecond
		mu.Unlock()
		f.refuseToOpen(dice % 3)
		time.Sleep(pause)
		switch {
		case dice < 80:
			return write()
		case dice < 84:
			return nil, fmt.Errorf("%w: whim", backend.ErrNoSpace)
		case dice < 88:
			return nil, lost
		case dice < 92:
			write()
			return nil, lost
		case dice < 95:
			return nil, fmt.Errorf("%w: %w", backend.ErrPoisoned, lost)
		case dice < 98:
			write()
			return nil, fmt.Errorf("%w: %w", backend.ErrPoisoned, lost)
		case dice < 99:
			return nil, fmt.Errorf("%w: whim", backend.ErrPoisoned)
		}
		time.Sleep(time.Second) // hangs longer than the askers wait
		return write()
	}
}
