package kv

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// remembersWhatIsThere compares what a Log remembers of streams with what its engine holds.
func remembersWhatIsThere(l *Log) error {
	return l.engine.View(func(s Snapshot) error {
		var buf buffers
		for _, m := range []map[string]*standing{l.lately.newer, l.lately.older} {
			for name, at := range m {
				h, found, err := l.readHead(s, name, &buf)
				if err != nil {
					return err
				}
				if h != at.head || found != at.known {
					return fmt.Errorf("%s is remembered at %+v, known %v; the engine holds %+v, %v", name, at.head, at.known, h, found)
				}
			}
		}
		return nil
	})
}

// Appends that are stored, or fail in any way, beside cuts that get through or stop half way,
// and recoveries: what is remembered is what the engine holds.
func TestWhereStreamsStandIsRememberedAsItIs(t *testing.T) {
	for seed := range uint64(400) {
		ctx := t.Context()
		rng, other := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
		fail := &failing{at: rng.IntN(20), how: failure(seed) % (always + 1)}
		p := &testPlace{m: newMedium(), dir: t.TempDir(), wrap: func(e Engine) Engine {
			fail.Engine = e
			return fail
		}}
		l, err := p.log(false)
		if err != nil {
			t.Fatal(err)
		}
		for step := range 30 {
			if rng.IntN(12) == 0 {
				fail.at = 0
				if err := recoverSome(ctx, l, rng); err != nil {
					t.Fatal(err)
				}
			}
			var beside sync.WaitGroup
			beside.Go(func() { _ = cutSome(ctx, l, other) })
			for range 1 + rng.IntN(4) {
				_ = appendSome(ctx, l, rng)
			}
			beside.Wait()
			if err := remembersWhatIsThere(l); err != nil && l.doubt.Load() == nil {
				t.Fatalf("seed %d, step %d, a failure of kind %d at write %d of %d: %v", seed, step, fail.how, fail.at, fail.writes, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// recoverSome damages where a stream stands, and recovers.
func recoverSome(ctx context.Context, l *Log, rng *rand.Rand) error {
	if err := l.engine.Write(func(b Batch) error {
		return b.Set(appendHeadKey(nil, fmt.Sprintf("s%d", rng.IntN(4))), []byte("damaged"))
	}); err != nil {
		return err
	}
	_, err := l.Recover(ctx, backend.RecoveryPlan{Mode: backend.Quarantine})
	return err
}

// appendSome appends to some streams what fits there.
func appendSome(ctx context.Context, l *Log, rng *rand.Rand) error {
	var records []backend.Record
	heads := map[string]backend.Head{}
	last, _ := l.Last(ctx)
	for range 1 + rng.IntN(6) {
		name := fmt.Sprintf("s%d", rng.IntN(4))
		h, known := heads[name]
		if !known {
			var err error
			if h, err = l.Head(ctx, name); err != nil {
				return err
			}
		}
		last++
		r := backend.Record{Stream: name, Position: last, Version: h.Version + 1, Kind: backend.Event, Epoch: rng.Uint64N(9)}
		if h.Version > 0 && rng.IntN(3) == 0 {
			r.Kind, r.Version = backend.Snapshot, h.Version
		}
		heads[name] = h.After(&r)
		records = append(records, r)
	}
	return l.Append(ctx, records)
}

// cutSome cuts a stream, or deletes it.
func cutSome(ctx context.Context, l *Log, rng *rand.Rand) error {
	name := fmt.Sprintf("s%d", rng.IntN(4))
	h, err := l.Head(ctx, name)
	if err != nil || h.Version == 0 || rng.IntN(3) == 0 {
		return err
	}
	f := backend.StreamFloor{Stream: name, Floor: h.Version}
	if rng.IntN(3) == 0 {
		f.Floor, f.Delete = h.Version+1, true
	}
	_, err = l.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{f}})
	return err
}

func TestWhatIsUsedIsNotForgotten(t *testing.T) {
	var l lately
	l.put("used", &standing{known: true})
	for i := range 5 * latelyKept {
		l.put(fmt.Sprint(i), new(standing))
		if i%1000 == 0 && l.get("used") == nil {
			t.Fatalf("a stream that is used is forgotten after %d others", i)
		}
		if n := len(l.newer) + len(l.older); n > 2*latelyKept {
			t.Fatalf("%d streams are remembered", n)
		}
	}
	if l.get("0") != nil {
		t.Error("a stream that was not used is remembered")
	}
	if l.get(fmt.Sprint(5*latelyKept-latelyKept)) == nil {
		t.Error("one of the newest is forgotten")
	}
}

func TestRunsHoldEachStreamOnceInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var order []*backend.Record
	var runs []run
	for range 200 {
		records := make([]backend.Record, 1+rng.IntN(50))
		count := map[string]int{}
		for i := range records {
			records[i] = backend.Record{Stream: fmt.Sprintf("s%d", rng.IntN(20)), Position: backend.Position(i + 1)}
			count[records[i].Stream]++
		}
		order, runs = byStream(records, order, runs)
		before := ""
		for _, r := range runs {
			if r.stream <= before || len(r.records) != count[r.stream] {
				t.Fatalf("stream %q follows %q, with %d of %d records", r.stream, before, len(r.records), count[r.stream])
			}
			delete(count, r.stream)
			before = r.stream
			for i, x := range r.records {
				if x.Stream != r.stream || i > 0 && x.Position <= r.records[i-1].Position {
					t.Fatalf("stream %q holds that of %q at %d", r.stream, x.Stream, x.Position)
				}
			}
		}
		if len(count) > 0 {
			t.Fatalf("%v are missing", count)
		}
	}
}
