package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// Whatever stops, crashes and is restarted meanwhile, and however the shutdown comes:
// each message has its turn, or its sender is told, or it is a dead letter, and only
// one of these.
func TestNoMessageVanishes(t *testing.T) {
	seeds := 30
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { vanish(t, uint64(seed)) })
		})
	}
}

func vanish(t *testing.T, seed uint64) {
	b := open(t)
	sys := start(t, actorsys.Config{Backend: b, MaxMessages: 40})
	const parents, senders, each = 3, 6, 80
	var turns, told, refused, crashed atomic.Int64
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 0))
	dice := func(n int) int { mu.Lock(); defer mu.Unlock(); return rnd.IntN(n) }
	count := In(func(turn *actorsys.Turn, b *Box) error {
		turns.Add(1)
		time.Sleep(time.Duration(dice(3)) * time.Millisecond)
		return nil
	})
	opts := func() *actorsys.Plain[*Box] {
		return &actorsys.Plain[*Box]{Mailbox: 1 + dice(5), Supervision: actorsys.Supervision{All: dice(2) == 0, MaxRestarts: 2, Backoff: time.Duration(1+dice(20)) * time.Millisecond}}
	}
	var refs sync.Map
	spawnTree := func(i int) error {
		_, err := actorsys.Spawn(sys, fmt.Sprint("parent-", i), func(turn *actorsys.Turn, self actorsys.Ref[*Box]) (*Box, error) {
			child, err := actorsys.Spawn(turn, "child", newBox, opts())
			refs.Store(2*i, self)
			refs.Store(2*i+1, child)
			return &Box{Self: self}, err
		}, opts())
		return err
	}
	for i := range parents {
		if err := spawnTree(i); err != nil {
			t.Fatal(err)
		}
	}
	pick := func() actorsys.Ref[*Box] {
		r, _ := refs.Load(dice(2 * parents))
		return r.(actorsys.Ref[*Box])
	}
	forward := In(func(turn *actorsys.Turn, b *Box) error { // two messages: itself and the one it tells
		turns.Add(1)
		told.Add(1)
		turn.Tell(pick().With(count))
		return nil
	})
	bang := In(func(*actorsys.Turn, *Box) error { turns.Add(1); crashed.Add(1); panic("boom") })
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				c := []In{count, count, count, count, forward, bang}[dice(6)]
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+dice(30))*time.Millisecond)
				var err error
				told.Add(1)
				switch dice(3) {
				case 0:
					err = pick().Tell(c)
				case 1:
					err = pick().Send(ctx, c)
				default:
					_, err = actorsys.Ask(ctx, pick(), c)
				}
				var p *actorsys.PanicError
				switch {
				case err == nil:
				case errors.As(err, &p), errors.Is(err, backend.ErrUnknownOutcome): // an asker's: it had its turn
				case err.Error() == "stopped: the actor has": // a teller's: a dead letter
				default:
					refused.Add(1)
				}
				cancel()
				time.Sleep(time.Duration(dice(4)) * time.Millisecond)
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			time.Sleep(time.Duration(dice(30)) * time.Millisecond)
			i := dice(parents)
			if dice(3) == 0 {
				pick().Drain(t.Context())
			} else {
				pick().Stop(t.Context())
			}
			spawnTree(i)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(500+dice(2000))*time.Millisecond)
	defer cancel()
	if seed%3 == 0 {
		time.Sleep(time.Duration(100+dice(400)) * time.Millisecond)
	} else {
		wg.Wait()
	}
	err := sys.Shutdown(ctx)
	wg.Wait()
	synctest.Wait()
	dead := int64(len(events(t, b, backend.SystemStream("main", backend.DeadLetter))))
	t.Logf("%d messages: %d turns (%d crashes), %d refused, %d dead letters; shutdown: %v", told.Load(), turns.Load(), crashed.Load(), refused.Load(), dead, err)
	if got := turns.Load() + refused.Load() + dead; got != told.Load() {
		t.Errorf("%d messages, %d accounted for", told.Load(), got)
	}
}
