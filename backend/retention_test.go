package backend_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

var planTime = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// watchedStore is a memory store that counts the records it is asked for. Before each
// read it calls before, and in place of the records it yields fault, if there is one.
type watchedStore struct {
	*memory.Store
	read   int
	before func(backend.Query)
	fault  error
}

func (s *watchedStore) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		if s.before != nil {
			s.before(q)
		}
		if s.fault != nil {
			yield(backend.Record{}, s.fault)
			return
		}
		for r, err := range s.Store.Read(ctx, q) {
			s.read++
			if !yield(r, err) {
				return
			}
		}
	}
}

func (s *watchedStore) Close() error { return nil }

func overDriver(t *testing.T, l backend.LogDriver) *backend.Backend {
	t.Helper()
	b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return backend.Sequenced(l), nil },
		&backend.Options{Clock: func() time.Time { return planTime }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// fill appends n records of some size to the stream, the first so old and each younger
// by a minute, in batches.
func fill(t *testing.T, b *backend.Backend, stream string, n, size int, oldest time.Duration) {
	t.Helper()
	for i := 0; i < n; {
		batch := backend.Batch{Stream: stream, Expected: backend.Any}
		for ; len(batch.Records) < 1000 && i < n; i++ {
			batch.Records = append(batch.Records, backend.Record{Payload: make([]byte, size), Time: planTime.Add(time.Duration(i)*time.Minute - oldest)})
		}
		if _, err := b.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPlanReadsOnlyWhatItNeeds(t *testing.T) {
	l := &watchedStore{Store: memory.New()}
	b := overDriver(t, l)
	const many = 5000
	audits := backend.SystemStream("x", backend.Audit)
	fill(t, b, audits, many, 100, many*time.Minute)
	fill(t, b, "events", many, 100, many*time.Minute)
	fill(t, b, "events without a snapshot", many, 100, many*time.Minute)
	if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: "events", Version: many}); err != nil {
		t.Fatal(err)
	}
	const page = 256
	record := int64(100 + len(audits))
	for _, c := range []struct {
		what  string
		kind  backend.Kind
		p     backend.Policy
		floor backend.Version
		reads int // at most
	}{
		{"a number of records", backend.Audit, backend.Policy{MaxRecords: 10}, many - 9, 0},
		{"a number of records that is not reached", backend.Event, backend.Policy{MaxRecords: many}, 0, 0},
		{"a number of records, of events", backend.Event, backend.Policy{MaxRecords: 10}, many - 9, 1},
		{"an age that nothing has", backend.Audit, backend.Policy{MaxAge: many * time.Minute}, 0, 1},
		{"an age that little has", backend.Audit, backend.Policy{MaxAge: (many - 10) * time.Minute}, 11, 1 + page},
		{"a size", backend.Audit, backend.Policy{MaxBytes: 1000 * record}, many - 999, 1000 + page},
		{"a size that all has", backend.Audit, backend.Policy{MaxBytes: many * record}, 0, many + page},
		{"all, the number deciding", backend.Audit, backend.Policy{MaxRecords: 10, MaxAge: 11 * time.Minute, MaxBytes: 11 * record}, many - 9, 1 + 10},
	} {
		l.read = 0
		cut, err := b.PlanCut(t.Context(), backend.Retention{c.kind: c.p})
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case c.floor == 0 && len(cut.Floors) > 0, c.floor > 0 && (len(cut.Floors) != 1 || cut.Floors[0].Floor != c.floor):
			t.Errorf("%s: planned %+v, want floor %d", c.what, cut.Floors, c.floor)
		case l.read > c.reads:
			t.Errorf("%s: %d records read, want at most %d", c.what, l.read, c.reads)
		}
	}
}

// TestAPlanIsWhatItsDefinitionSays compares plans of random stores with what follows
// from the policy's words, record by record, and makes each.
func TestAPlanIsWhatItsDefinitionSays(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 7))
		b := overDriver(t, &watchedStore{Store: memory.New()})
		names := []string{"a", "b", backend.SystemStream("x", backend.Audit), backend.SystemStream("y", backend.Audit), backend.SystemStream("x", backend.Lifecycle)}
		for range 60 {
			name := names[rng.IntN(len(names))]
			age := time.Duration(rng.IntN(40)) * time.Minute
			r := backend.Record{Type: "t", Payload: make([]byte, rng.IntN(50)), Time: planTime.Add(-age)}
			if _, err := b.Append(t.Context(), backend.Batch{Stream: name, Expected: backend.Any, Records: []backend.Record{r}}); err != nil {
				t.Fatal(err)
			}
			if h, err := b.Head(t.Context(), name); err == nil && backend.KindOf(name) == backend.Event && rng.IntN(4) == 0 {
				if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: name, Version: 1 + backend.Version(rng.IntN(int(h.Version)))}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 6 {
			hold := ^backend.Position(0)
			if rng.IntN(2) == 0 {
				hold = backend.Position(rng.IntN(80))
				if _, err := b.Hold("reader", hold); err != nil {
					t.Fatal(err)
				}
			} else if release, err := b.Hold("reader", 0); err == nil {
				release()
			}
			r := backend.Retention{}
			for _, k := range []backend.Kind{backend.Event, backend.Audit} {
				r[k] = backend.Policy{MaxRecords: int64(rng.IntN(15)), MaxAge: time.Duration(rng.IntN(40)) * time.Minute, MaxBytes: int64(rng.IntN(500))}
			}
			var want []backend.StreamFloor
			for _, name := range slices.Sorted(slices.Values(names)) {
				if f := defined(t, b, name, r[backend.KindOf(name)], hold); f.Floor > 0 {
					want = append(want, f)
				}
			}
			cut, err := b.PlanCut(t.Context(), r)
			if err != nil || !slices.Equal(cut.Floors, want) {
				t.Fatalf("seed %d: %+v, hold %d: planned %+v, want %+v, %v", seed, r, hold, cut.Floors, want, err)
			}
			if rng.IntN(2) == 0 {
				if _, err := b.Compact(t.Context(), cut); err != nil {
					t.Fatalf("seed %d: %+v: %v", seed, cut, err)
				}
			}
		}
	}
}

// defined is the lowest floor that keeps the policy, or the highest that is allowed; the
// zero floor if that takes nothing.
func defined(t *testing.T, b *backend.Backend, stream string, p backend.Policy, hold backend.Position) backend.StreamFloor {
	t.Helper()
	all := func(q backend.Query) (all []backend.Record) {
		for r, err := range b.Read(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r.Clone())
		}
		return all
	}
	numbered := all(backend.Query{Stream: stream})
	snapshots := all(backend.Query{Stream: stream, Kinds: backend.KindSet(backend.Snapshot)})
	var best backend.StreamFloor
	for n := range len(numbered) + 1 { // n records go
		kept := numbered[n:]
		f := backend.StreamFloor{Stream: stream, Floor: backend.Version(n)}
		if len(numbered) > 0 {
			f.Floor += numbered[0].Version
		}
		allowed := backend.KindOf(stream) != backend.Event
		for _, s := range snapshots {
			allowed = allowed || f.Floor <= s.Version+1
		}
		for _, r := range slices.Concat(numbered, snapshots) {
			allowed = allowed && (r.Position <= hold || !f.Takes(&r))
		}
		if !allowed {
			break
		}
		if n > 0 {
			best = f
		}
		var bytes int64
		for _, r := range kept {
			bytes += int64(r.Size())
		}
		if (p.MaxRecords == 0 || int64(len(kept)) <= p.MaxRecords) && (p.MaxBytes == 0 || bytes <= p.MaxBytes) &&
			(p.MaxAge == 0 || len(kept) == 0 || planTime.Sub(kept[0].Time) <= p.MaxAge) {
			break
		}
	}
	return best
}

func TestAPlanOfADamagedStreamSaysSo(t *testing.T) {
	l := &watchedStore{Store: memory.New()}
	b := overDriver(t, l)
	fill(t, b, backend.SystemStream("x", backend.Audit), 5, 1, time.Hour)
	fill(t, b, backend.SystemStream("y", backend.Audit), 5, 1, time.Hour)
	l.before = func(q backend.Query) {
		l.fault = nil
		if q.Stream == backend.SystemStream("x", backend.Audit) {
			l.fault = fmt.Errorf("%w: segment 7", backend.ErrCorrupt)
		}
	}
	cut, err := b.PlanCut(t.Context(), backend.Retention{backend.Audit: {MaxAge: 1}})
	var oe *backend.OpError
	if !errors.As(err, &oe) || oe.Op != backend.OpPlanCut || !errors.Is(err, backend.ErrCorrupt) || !strings.Contains(err.Error(), "$sys/x/audit") || cut.Floors != nil {
		t.Errorf("%+v, %v", cut, err)
	}
	if cut, err := b.PlanCut(t.Context(), backend.Retention{backend.Audit: {MaxRecords: 2}}); err != nil || len(cut.Floors) != 2 {
		t.Errorf("%+v, %v: a plan that need not look into the stream", cut, err)
	}
}

func TestAPlanGoesOnWhereAnotherCompactionWasFaster(t *testing.T) {
	l := &watchedStore{Store: memory.New()}
	b := overDriver(t, l)
	x, y := backend.SystemStream("x", backend.Audit), backend.SystemStream("y", backend.Audit)
	fill(t, b, x, 5, 1, time.Hour)
	fill(t, b, y, 5, 1, time.Hour)
	l.before = func(q backend.Query) {
		l.before = func(q backend.Query) { // at the second read: the first has told that the oldest goes
			l.before = nil
			if _, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: x, Floor: 5}}}); err != nil {
				t.Error(err)
			}
		}
	}
	cut, err := b.PlanCut(t.Context(), backend.Retention{backend.Audit: {MaxAge: 1, MaxBytes: 1}})
	if err != nil || len(cut.Floors) == 0 || cut.Floors[len(cut.Floors)-1] != (backend.StreamFloor{Stream: y, Floor: 6}) {
		t.Errorf("%+v, %v", cut, err)
	}
	if _, err := b.Compact(t.Context(), cut); err != nil {
		t.Error(err)
	}
}

func TestAPlanEndsWithItsContext(t *testing.T) {
	l := &watchedStore{Store: memory.New()}
	b := overDriver(t, l)
	for i := range 50 {
		fill(t, b, backend.SystemStream(fmt.Sprint(i), backend.Audit), 3, 1, time.Hour)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	l.before = func(backend.Query) {
		if reads++; reads == 10 {
			cancel()
		}
	}
	cut, err := b.PlanCut(ctx, backend.Retention{backend.Audit: {MaxAge: 1}})
	if !errors.Is(err, context.Canceled) || cut.Floors != nil || reads > 10 {
		t.Errorf("%d reads, %+v, %v", reads, cut, err)
	}
}

func TestAPolicyThatMakesNoSenseIsInvalidAndNamed(t *testing.T) {
	for want, r := range map[string]backend.Retention{
		"[event].MaxRecords is -1":       {backend.Event: {MaxRecords: -1}},
		"[audit].MaxAge is -1s":          {backend.Audit: {MaxAge: -time.Second}},
		"[deadletter].MaxBytes is -9":    {backend.Event: {}, backend.DeadLetter: {MaxBytes: -9}},
		"[snapshot]: want the kind of a": {backend.Snapshot: {MaxRecords: 1}},
		"[kind(0)]: want the kind of a ": {0: {}},
	} {
		_, err := memory.Open(t.Context(), &backend.Options{Retention: r})
		if !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "Options.Retention"+want) {
			t.Errorf("open with %v: %v, want Options.Retention%s", r, err, want)
		}
		_, err = open(t, nil).PlanCut(t.Context(), r)
		if !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "Retention"+want) {
			t.Errorf("plan with %v: %v, want Retention%s", r, err, want)
		}
	}
}

func TestOptionsRetentionIsTakenAsItWasWhenOpened(t *testing.T) {
	r := backend.Retention{backend.Audit: {MaxRecords: 1}}
	b := open(t, &backend.Options{Retention: r})
	fill(t, b, backend.SystemStream("x", backend.Audit), 3, 1, time.Hour)
	delete(r, backend.Audit)
	if cut, err := b.PlanCut(t.Context(), nil); err != nil || len(cut.Floors) != 1 {
		t.Errorf("%+v, %v", cut, err)
	}
}

func ExampleBackend_PlanCut() {
	ctx := context.Background()
	b, err := memory.Open(ctx, &backend.Options{Retention: backend.Retention{
		backend.Event: {MaxRecords: 2}, // where a snapshot covers the rest
		backend.Audit: {MaxAge: 30 * 24 * time.Hour, MaxBytes: 1 << 20},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	_, _ = b.Append(ctx, backend.Batch{Stream: "account/ada", Records: []backend.Record{{Type: "opened"}, {Type: "deposited"}, {Type: "withdrawn"}, {Type: "deposited"}}})
	_, _ = b.SaveSnapshot(ctx, backend.Record{Stream: "account/ada", Version: 3, Payload: []byte("42")})

	cut, err := b.PlanCut(ctx, nil) // what would go; nothing has yet
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cut.Floors)
	if _, err := b.Compact(ctx, cut); err != nil {
		fmt.Println(err)
		return
	}
	for r := range b.Read(ctx, backend.Query{Stream: "account/ada"}) {
		fmt.Println(r.Version, r.Type)
	}
	// Output:
	// [{account/ada 3 false}]
	// 3 withdrawn
	// 4 deposited
}

func ExampleBackend_Compact_delete() {
	ctx := context.Background()
	b, err := memory.Open(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	_, _ = b.Append(ctx, backend.Batch{Stream: "account/bob", Records: []backend.Record{{Type: "opened"}, {Type: "closed"}}})

	_, err = b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: "account/bob", Delete: true}}})
	h, _ := b.Head(ctx, "account/bob")
	fmt.Printf("%+v %v\n", h, err)
	res, err := b.Append(ctx, backend.Batch{Stream: "account/bob", Expected: h.Version, Records: []backend.Record{{Type: "opened"}}})
	fmt.Println(res.Version, err)
	// Output:
	// {Version:2 Epoch:0 Floor:3} <nil>
	// 3 <nil>
}
