package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv/kvtest"
)

// failing is an Engine whose writes fail, or are the last before a crash, at a chosen one.
type failing struct {
	Engine
	writes int // how many there were
	at     int // which fails; 0: none
	how    failure
}

type failure int

const (
	refused failure = iota // nothing stored, and the next may go on: a full disk
	fatal                  // nothing stored, and the handle is done for
	unknown                // stored, and nobody was told
	absent                 // not stored, and nobody knows
	always                 // refused, from the chosen one on
)

var errFailing = errors.New("the medium failed")

func (f *failing) Write(do func(Batch) error) error {
	f.writes++
	if f.at == 0 || f.writes < f.at || f.writes > f.at && f.how == refused {
		return f.Engine.Write(do)
	}
	if f.writes > f.at && f.how != always {
		return fmt.Errorf("%w: %w", backend.ErrPoisoned, errFailing)
	}
	switch f.how {
	case unknown:
		if err := f.Engine.Write(do); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w: %w", backend.ErrPoisoned, backend.ErrUnknownOutcome, errFailing)
	case absent:
		return fmt.Errorf("%w: %w: %w", backend.ErrPoisoned, backend.ErrUnknownOutcome, errFailing)
	case fatal:
		return fmt.Errorf("%w: %w", backend.ErrPoisoned, errFailing)
	}
	return fmt.Errorf("%w: %w", backend.ErrNoSpace, errFailing)
}

// workload does a bit of everything, and notes what was acknowledged. It returns the first error.
type workload struct {
	acked   map[string]backend.Version
	tried   map[string]backend.Version // with what failed
	floors  map[string]backend.Version
	cutting map[string]backend.Version
}

func newWorkload() *workload {
	return &workload{map[string]backend.Version{}, map[string]backend.Version{}, map[string]backend.Version{}, map[string]backend.Version{}}
}

func (w *workload) add(b *backend.Backend, stream string, n int) error {
	batch := backend.Batch{Stream: stream, Expected: backend.Any}
	for range n {
		batch.Records = append(batch.Records, backend.Record{Payload: []byte(stream)})
	}
	w.tried[stream] = w.acked[stream] + backend.Version(n)
	res, err := b.Append(context.Background(), batch)
	if err == nil {
		w.acked[stream] = res.Version
	}
	return err
}

func (w *workload) run(b *backend.Backend) error {
	ctx := context.Background()
	for i := range 6 {
		for _, s := range []string{"a", "b", "c"} {
			if err := w.add(b, s, 1+i%2); err != nil {
				return err
			}
		}
	}
	for _, s := range []string{"a", "b"} {
		if _, err := b.SaveSnapshot(ctx, backend.Record{Stream: s, Version: w.acked[s] - 1, Payload: []byte("state")}); err != nil {
			return err
		}
	}
	cut := backend.Cut{Floors: []backend.StreamFloor{{Stream: "a", Floor: w.acked["a"] - 1}, {Stream: "b", Floor: w.acked["b"]}, {Stream: "c", Delete: true}}}
	for _, f := range cut.Floors {
		w.cutting[f.Stream] = max(f.Floor, 1)
	}
	w.cutting["c"] = w.acked["c"] + 1
	if _, err := b.Compact(ctx, cut); err != nil {
		return err
	}
	w.floors = w.cutting
	if err := w.add(b, "c", 2); err != nil {
		return err
	}
	return w.add(b, "a", 3)
}

// holds looks that what was acknowledged is there, above floors that are the old or the new.
func (w *workload) holds(b *backend.Backend) error {
	for s, v := range w.acked {
		h, err := b.Head(context.Background(), s)
		if err != nil {
			return err
		}
		if h.Version != v && h.Version != w.tried[s] {
			return fmt.Errorf("%s is at %d, acknowledged is %d, tried %d", s, h.Version, v, w.tried[s])
		}
		if h.Floor != 1 && h.Floor != w.cutting[s] || w.floors[s] > h.Floor {
			return fmt.Errorf("%s begins at %d, and was cut at %d", s, h.Floor, w.cutting[s])
		}
		n := backend.Version(0)
		for r, err := range b.Read(context.Background(), backend.Query{Stream: s}) {
			if err != nil {
				return err
			}
			if string(r.Payload) != s || r.Version != h.Floor+n {
				return fmt.Errorf("%s@%d holds %q", s, r.Version, r.Payload)
			}
			n++
		}
		if n != h.Version+1-h.Floor {
			return fmt.Errorf("%s has %d records, and stands at %+v", s, n, h)
		}
	}
	for _, err := range b.Read(context.Background(), backend.Query{Kinds: backend.AllKinds}) {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestAnErrorOrACrashAtAnyWriteLosesNothing(t *testing.T) {
	cases := 0
	for _, how := range []failure{refused, fatal, unknown, absent, always} {
		for at := 1; ; at++ {
			var f *failing
			p := &testPlace{m: newMedium(), dir: t.TempDir(), wrap: func(e Engine) Engine {
				f = &failing{Engine: e, at: at, how: how}
				return f
			}}
			b, err := p.open(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorkload()
			err = w.run(b)
			if err == nil {
				if f.writes >= at && how != refused {
					t.Fatalf("write %d fails, and nobody was told", at)
				}
				if cases += at; f.writes >= at {
					continue
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				break
			}
			if how == refused && !errors.Is(err, backend.ErrNoSpace) || how != refused && how != always && !errors.Is(err, backend.ErrPoisoned) {
				t.Fatalf("write %d: %v", at, err)
			}
			w.settle(how)
			if how != unknown && how != absent { // what was acknowledged can still be read
				if err := w.holds(b); err != nil {
					t.Fatalf("failure %d at write %d, before reopening: %v", how, at, err)
				}
			}
			p.m = p.m.clone() // a crash: nothing is closed
			p.wrap = nil
			b2, err := p.open(t.Context(), &backend.Options{Startup: backend.Startup{Full: true}})
			if err != nil {
				t.Fatalf("failure %d at write %d: %v", how, at, err)
			}
			if err := w.holds(b2); err != nil {
				t.Fatalf("failure %d at write %d: %v", how, at, err)
			}
			if _, err := b2.Compact(t.Context(), backend.Cut{}); err != nil { // what was begun is finished
				t.Fatal(err)
			}
			if err := w.holds(b2); err != nil {
				t.Fatalf("failure %d at write %d, after another compaction: %v", how, at, err)
			}
			for _, key := range p.m.keys {
				if key[0] == tableCuts {
					t.Fatalf("failure %d at write %d: the note of a cut is left", how, at)
				}
			}
			if report, err := b2.Scan(t.Context(), nil); err != nil || !report.Clean() {
				t.Fatalf("failure %d at write %d: %+v, %v", how, at, report, err)
			}
			if err := errors.Join(b.Close(), b2.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("attack: keys and values, an error or a crash at each write: %d failures", cases)
	if cases < 50 {
		t.Error("they are too few")
	}
}

// settle forgets what definitely was not stored.
func (w *workload) settle(how failure) {
	if how == refused || how == fatal || how == always {
		for s, v := range w.acked {
			w.tried[s] = v
		}
	}
}

// A recovery that fails or crashes at any write comes to the same end when it is run again.
func TestARecoveryThatFailsAtAnyWriteIsRunAgain(t *testing.T) {
	defer func(n int) { scanKeys = n }(scanKeys)
	scanKeys = 5 // many views, and as many writes
	p := &testPlace{m: newMedium(), dir: t.TempDir()}
	kvtest.MakeStore(t, p.open)
	for i, key := range slices.Clone(p.m.keys) {
		if i%9 == 4 {
			p.m.values[key][len(p.m.values[key])/2] ^= 4
		}
		if i%31 == 7 {
			p.m.delete(key)
		}
	}
	damaged := p.m
	ignoring := &backend.Options{Startup: backend.Startup{Mode: backend.IgnoreAnomalies}}
	end := func() *medium {
		b, err := p.open(t.Context(), ignoring)
		if err != nil {
			t.Fatal(err)
		}
		report, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine})
		if err != nil || !report.After.Clean() {
			t.Fatalf("%+v, %v", report, err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		return p.m
	}
	p.m = damaged.clone()
	want := end()
	for at := 1; ; at++ {
		var f *failing
		p.m = damaged.clone()
		p.wrap = func(e Engine) Engine {
			f = &failing{Engine: e, at: at, how: always}
			return f
		}
		b, err := p.open(t.Context(), ignoring)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine})
		if closed := b.Close(); closed != nil {
			t.Fatal(closed)
		}
		if err == nil {
			if at < 3 {
				t.Error("it takes fewer than two writes: nothing was tested")
			}
			t.Logf("attack: keys and values, a recovery that fails at each write: %d failures", at-1)
			return
		}
		p.wrap = nil
		got := end()
		if len(got.keys) != len(want.keys) {
			t.Errorf("failed at write %d: %d keys, want %d", at, len(got.keys), len(want.keys))
		}
		for key, value := range want.values {
			if string(got.values[key]) != string(value) {
				t.Errorf("failed at write %d: key %q differs", at, key)
			}
		}
	}
}
