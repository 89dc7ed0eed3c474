package backend_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/papyra-go/papyra/backend"
)

// eagerLog is a LogDriver that shows records before their sync, as bbolt and pebble
// do, and fails as a test says.
type eagerLog struct {
	mu      sync.Mutex
	records []backend.Record
	sync    func() error // called after the records are visible; an error takes nothing back
	heads   int          // calls of Head
}

func (l *eagerLog) Append(_ context.Context, records []backend.Record) error {
	l.mu.Lock()
	for i := range records {
		l.records = append(l.records, records[i].Clone())
	}
	l.mu.Unlock()
	if l.sync != nil {
		return l.sync()
	}
	return nil
}

func (l *eagerLog) Read(_ context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	l.mu.Lock()
	all := slices.Clone(l.records)
	l.mu.Unlock()
	place := func(r backend.Record) uint64 {
		if q.Stream != "" {
			return uint64(r.Version)
		}
		return uint64(r.Position)
	}
	all = slices.DeleteFunc(all, func(r backend.Record) bool {
		return q.Stream != "" && r.Stream != q.Stream || !q.Kinds.Has(r.Kind) || place(r) < q.From || place(r) > q.To
	})
	slices.SortStableFunc(all, func(a, b backend.Record) int { return cmp.Compare(place(a), place(b)) })
	if q.Reverse {
		slices.Reverse(all)
	}
	if q.Limit > 0 && len(all) > q.Limit {
		all = all[:q.Limit]
	}
	return func(yield func(backend.Record, error) bool) {
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (l *eagerLog) Head(_ context.Context, stream string) (h backend.Head, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heads++
	for i := range l.records {
		if l.records[i].Stream == stream {
			h = h.After(&l.records[i])
		}
	}
	return h, nil
}

func (l *eagerLog) Last(context.Context) (backend.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.records) == 0 {
		return 0, nil
	}
	return l.records[len(l.records)-1].Position, nil
}

func (l *eagerLog) Streams(ctx context.Context, q backend.StreamQuery) iter.Seq2[backend.StreamInfo, error] {
	var names []string
	for _, r := range l.records {
		names = append(names, r.Stream)
	}
	slices.Sort(names)
	return func(yield func(backend.StreamInfo, error) bool) {
		for _, name := range slices.Compact(names) {
			if !strings.HasPrefix(name, q.Prefix) || name <= q.After {
				continue
			}
			h, err := l.Head(ctx, name)
			if !yield(backend.StreamInfo{Name: name, Head: h}, err) {
				return
			}
		}
	}
}

func (l *eagerLog) Scan(context.Context, backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(func(backend.Anomaly, error) bool) {}
}

func (l *eagerLog) Recover(context.Context, backend.RecoveryPlan) (backend.RecoveryStats, error) {
	return backend.RecoveryStats{}, backend.ErrUnsupported
}

func (l *eagerLog) Compact(context.Context, backend.Cut) (backend.CompactionStats, error) {
	return backend.CompactionStats{}, backend.ErrUnsupported
}

func (l *eagerLog) Info() backend.Info { return backend.Info{Engine: "eager"} }

func (l *eagerLog) Close() error { return nil }

func overLog(t *testing.T, l *eagerLog) *backend.Backend {
	t.Helper()
	b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return backend.Sequenced(l), nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestNothingUnsyncedIsVisibleInAnyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &eagerLog{}
		b := overLog(t, l)
		ctx := t.Context()
		if _, err := b.Append(ctx, backend.Batch{Stream: "old", Records: []backend.Record{event("x", "1")}}); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		l.sync = func() error { <-release; return nil }
		done := make(chan []backend.Result)
		go func() {
			res, err := b.AppendAll(ctx, []backend.Batch{
				{Stream: "old", Expected: 1, Records: []backend.Record{event("x", "2")}},
				{Stream: "new", Records: []backend.Record{event("x", "3")}},
			})
			if err != nil {
				t.Error(err)
			}
			done <- res
		}()
		synctest.Wait() // the log shows it; the sync has not come back
		look := func(when string, last backend.Position, old, fresh backend.Version, streams string) {
			if p, err := b.Last(ctx); p != last || err != nil {
				t.Errorf("%s: Last = %d, %v; want %d", when, p, err, last)
			}
			for stream, want := range map[string]backend.Version{"old": old, "new": fresh} {
				if h, err := b.Head(ctx, stream); h.Version != want || err != nil {
					t.Errorf("%s: Head(%s) = %+v, %v; want version %d", when, stream, h, err, want)
				}
				for _, reverse := range []bool{false, true} {
					n := 0
					for range b.Read(ctx, backend.Query{Stream: stream, Reverse: reverse}) {
						n++
					}
					if n != int(want) {
						t.Errorf("%s: %s reads %d records, want %d", when, stream, n, want)
					}
				}
			}
			n := 0
			for range b.Read(ctx, backend.Query{Reverse: true}) {
				n++
			}
			if n != int(last) {
				t.Errorf("%s: the store reads %d records, want %d", when, n, last)
			}
			var got []string
			for s, err := range b.Streams(ctx, backend.StreamQuery{}) {
				got = append(got, fmt.Sprintf("%s@%d", s.Name, s.Head.Version))
				if err != nil {
					t.Error(err)
				}
			}
			if strings.Join(got, " ") != streams {
				t.Errorf("%s: Streams = %v, want %s", when, got, streams)
			}
		}
		look("before the sync", 1, 1, 0, "old@1")
		close(release)
		<-done
		look("after the sync", 3, 2, 1, "new@1 old@2")
	})
}

func TestADefiniteFailureTakesTheGroupsHeadsBack(t *testing.T) {
	l := &eagerLog{}
	b := overLog(t, l)
	l.sync = func() error {
		l.records = nil
		return fmt.Errorf("%w: full", backend.ErrNoSpace)
	}
	res, err := b.AppendAll(t.Context(), []backend.Batch{
		{Stream: "s", Records: []backend.Record{event("x", "1")}},
		{Stream: "s", Expected: 1, Records: []backend.Record{event("x", "2")}},
		{Stream: "s", Expected: 1, Records: []backend.Record{event("x", "3")}},
	})
	for i := range res {
		if !errors.Is(res[i].Err, backend.ErrNoSpace) || !errors.Is(err, backend.ErrNoSpace) {
			t.Errorf("batch %d: %v (%v); a verdict may not rest on what was not stored", i, res[i].Err, err)
		}
	}
	l.sync = nil
	if r, err := b.Append(t.Context(), backend.Batch{Stream: "s", Records: []backend.Record{event("x", "1")}}); err != nil || r.Version != 1 || r.Position != 1 {
		t.Errorf("the next append: %+v, %v; want version 1 at position 1", r, err)
	}
}

func TestAVerdictThatDoesNotRestOnTheGroupStandsWhenTheGroupFails(t *testing.T) {
	for name, fail := range map[string]error{
		"definite": backend.ErrNoSpace,
		"poison":   backend.ErrPoisoned,
		"unknown":  backend.ErrUnknownOutcome,
	} {
		t.Run(name, func(t *testing.T) {
			l := &eagerLog{}
			b := overLog(t, l)
			stored := backend.Batch{Stream: "s", ID: backend.BatchID{1}, Records: []backend.Record{event("x", "1")}}
			if _, err := b.Append(t.Context(), stored); err != nil {
				t.Fatal(err)
			}
			l.sync = func() error { l.records = l.records[:1]; return fmt.Errorf("%w: as told", fail) }
			other := backend.Batch{Stream: "other", Records: []backend.Record{event("x", "1")}}
			res, err := b.AppendAll(t.Context(), []backend.Batch{stored, {Stream: "s", Records: stored.Records}, other, other})
			if !errors.Is(err, fail) {
				t.Errorf("AppendAll = %v", err)
			}
			if res[0].Err != nil || !res[0].Repeated || res[0].Position != 1 {
				t.Errorf("a batch that was stored long ago: %+v", res[0])
			}
			if !errors.Is(res[1].Err, backend.ErrConflict) {
				t.Errorf("a conflict with what is stored: %v", res[1].Err)
			}
			for _, r := range res[2:] {
				if !errors.Is(r.Err, fail) || errors.Is(r.Err, backend.ErrConflict) {
					t.Errorf("a batch of the group, and a conflict with it: %v", r.Err)
				}
			}
		})
	}
}

func TestAnUnknownOutcomePoisonsAndIsLearntByRetryAfterReopen(t *testing.T) {
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprintf("stored %v", stored), func(t *testing.T) {
			l := &eagerLog{}
			b := overLog(t, l)
			l.sync = func() error {
				if !stored {
					l.records = nil
				}
				return fmt.Errorf("%w: the sync failed", backend.ErrUnknownOutcome)
			}
			batch := backend.Batch{Stream: "s", ID: backend.BatchID{7}, Records: []backend.Record{event("x", "1"), event("x", "2")}}
			if _, err := b.Append(t.Context(), batch); !errors.Is(err, backend.ErrUnknownOutcome) || !errors.Is(err, backend.ErrPoisoned) {
				t.Fatalf("Append = %v", err)
			}
			l.sync = nil
			if _, err := b.Append(t.Context(), batch); !errors.Is(err, backend.ErrPoisoned) || errors.Is(err, backend.ErrUnknownOutcome) {
				t.Errorf("Append on the poisoned backend = %v, want ErrPoisoned, definite", err)
			}
			if err := b.Reopen(t.Context()); err != nil {
				t.Fatal(err)
			}
			res, err := b.Append(t.Context(), batch)
			if err != nil || res.Repeated != stored || res.Version != 2 || res.Position != 2 || len(l.records) != 2 {
				t.Errorf("the retry: %+v, %v; the log holds %d records", res, err, len(l.records))
			}
		})
	}
}

func TestHeadsAreBoundedAndAskedOfTheEngineAgain(t *testing.T) {
	const streams, kept = 70_000, 1 << 16
	batches := make([]backend.Batch, streams)
	for i := range batches {
		batches[i] = backend.Batch{Stream: fmt.Sprintf("s%d", i), Records: []backend.Record{event("x", "")}}
	}
	headless := &headless{eagerLog: &eagerLog{}, heads: map[string]backend.Head{}}
	c, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return backend.Sequenced(headless), nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		res, err := c.AppendAll(t.Context(), batches)
		if err != nil {
			t.Fatal(err)
		}
		for i := range res {
			if res[i].Err != nil || res[i].Version != batches[i].Expected+1 {
				t.Fatalf("%s: %+v", batches[i].Stream, res[i])
			}
			batches[i].Expected = res[i].Version
		}
	}
	if headless.asked < 2*streams-kept {
		t.Errorf("the engine was asked for %d heads, want at least %d: more than %d were kept", headless.asked, 2*streams-kept, kept)
	}
}

// headless answers Head from a map, so that many streams are quick.
type headless struct {
	*eagerLog
	heads map[string]backend.Head
	asked int
}

func (l *headless) Append(ctx context.Context, records []backend.Record) error {
	for i := range records {
		l.heads[records[i].Stream] = l.heads[records[i].Stream].After(&records[i])
	}
	return l.eagerLog.Append(ctx, records)
}

func (l *headless) Head(_ context.Context, stream string) (backend.Head, error) {
	l.asked++
	return l.heads[stream], nil
}

// cutting is a LogDriver that shows records before their sync, compacts, and forgets in
// a recovery what a test says.
type cutting struct {
	eagerLog
	floors  map[string]backend.Version
	compact func() error // called before the floors are raised
	asked   func()       // called when a head was looked up and is not yet answered
	blind   error        // what Head answers
}

func (l *cutting) Head(ctx context.Context, stream string) (backend.Head, error) {
	if l.blind != nil {
		return backend.Head{}, l.blind
	}
	h, err := l.eagerLog.Head(ctx, stream)
	l.mu.Lock()
	h.Floor = max(h.Floor, l.floors[stream])
	l.mu.Unlock()
	if l.asked != nil {
		l.asked()
	}
	return h, err
}

func (l *cutting) Compact(_ context.Context, cut backend.Cut) (backend.CompactionStats, error) {
	if l.compact != nil {
		if err := l.compact(); err != nil {
			return backend.CompactionStats{}, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range cut.Floors {
		l.floors[f.Stream] = f.Floor
	}
	return backend.CompactionStats{RecordsBefore: 7}, nil
}

func (l *cutting) Recover(context.Context, backend.RecoveryPlan) (backend.RecoveryStats, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = l.records[:1]
	return backend.RecoveryStats{Actions: []backend.RecoveryAction{{Action: "quarantine"}}}, nil
}

// cuttable returns a log whose streams a, b and c hold three records each, and the driver
// over it, which knows them.
func cuttable(t *testing.T) (*cutting, backend.Driver) {
	l := &cutting{floors: map[string]backend.Version{}}
	d := backend.Sequenced(l)
	for range 3 {
		store(t, d, "a", "b", "c")
	}
	return l, d
}

// store appends one record to each of the streams.
func store(t *testing.T, d backend.Driver, streams ...string) []backend.Result {
	t.Helper()
	var group []backend.Batch
	for _, s := range streams {
		group = append(group, backend.Batch{Stream: s, Expected: backend.Any, Records: []backend.Record{{Kind: backend.Event}}})
	}
	res, err := d.Append(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(res)
}

func wantHead(t *testing.T, d backend.Driver, stream string, version, floor backend.Version) {
	t.Helper()
	h, err := d.Head(t.Context(), stream)
	if err != nil || h.Version != version || h.Floor != floor {
		t.Errorf("Head(%s) = %+v, %v; want version %d, floor %d", stream, h, err, version, floor)
	}
}

func TestACompactionShowsTheNewFloorsWhenItReturns(t *testing.T) {
	l, d := cuttable(t)
	cut := backend.Cut{Floors: []backend.StreamFloor{{Stream: "a", Floor: 3}, {Stream: "b", Floor: 4}, {Stream: "none", Floor: 2}}}
	if stats, err := d.Compact(t.Context(), cut); err != nil || stats.RecordsBefore != 7 {
		t.Errorf("Compact = %+v, %v", stats, err)
	}
	wantHead(t, d, "a", 3, 3)
	wantHead(t, d, "b", 3, 4)
	wantHead(t, d, "c", 3, 1)
	for s := range d.Streams(t.Context(), backend.StreamQuery{}) {
		if want := max(1, l.floors[s.Name]); s.Head.Floor != want {
			t.Errorf("Streams shows %s with floor %d, want %d", s.Name, s.Head.Floor, want)
		}
	}
	store(t, d, "a", "b", "c")
	wantHead(t, d, "a", 4, 3)
	wantHead(t, d, "b", 4, 4)
	wantHead(t, d, "c", 4, 1)
}

func TestACompactionThatFailsHalfWayShowsWhatItHasCut(t *testing.T) {
	l, d := cuttable(t)
	l.compact = func() error {
		l.floors["a"] = 3
		return backend.ErrNoSpace
	}
	cut := backend.Cut{Floors: []backend.StreamFloor{{Stream: "a", Floor: 3}, {Stream: "b", Floor: 3}}}
	if _, err := d.Compact(t.Context(), cut); !errors.Is(err, backend.ErrNoSpace) {
		t.Errorf("Compact = %v", err)
	}
	wantHead(t, d, "a", 3, 3)
	wantHead(t, d, "b", 3, 1)
}

func TestAnEngineThatCanNotTellAHeadAfterACompactionIsAskedAgain(t *testing.T) {
	l, d := cuttable(t)
	l.compact = func() error { l.blind = backend.ErrUnavailable; return nil }
	if _, err := d.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "a", Floor: 3}}}); err != nil {
		t.Errorf("Compact = %v", err)
	}
	if h, err := d.Head(t.Context(), "a"); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("Head = %+v, %v; want what the engine says", h, err)
	}
	l.blind = nil
	res, err := d.Append(t.Context(), []backend.Batch{{Stream: "a", ID: backend.BatchID{1}, Records: []backend.Record{{Kind: backend.Event}}}})
	if err != nil || !errors.Is(res[0].Err, backend.ErrCompacted) {
		t.Errorf("a retry of what was cut: %+v, %v; want ErrCompacted", res, err)
	}
	wantHead(t, d, "a", 3, 3)
	store(t, d, "a")
	wantHead(t, d, "a", 4, 3)
}

func TestACompactionBesideAGroupInFlightRaisesItsFloorsAndHidesTheGroup(t *testing.T) {
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprintf("stored %v", stored), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, d := cuttable(t)
				release := make(chan struct{})
				l.sync = func() error {
					<-release
					if !stored {
						l.records = l.records[:9]
						return backend.ErrNoSpace
					}
					return nil
				}
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err := d.Append(t.Context(), []backend.Batch{
						{Stream: "a", Expected: 3, Records: []backend.Record{{Kind: backend.Event}}},
						{Stream: "b", Expected: 3, Records: []backend.Record{{Kind: backend.Event}}},
					})
					if stored != (err == nil) {
						t.Errorf("Append = %v", err)
					}
				})
				synctest.Wait()
				if _, err := d.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "a", Floor: 3}, {Stream: "b", Floor: 4}}}); err != nil {
					t.Errorf("Compact = %v", err)
				}
				wantHead(t, d, "a", 3, 3)
				wantHead(t, d, "b", 3, 4)
				close(release)
				wg.Wait()
				version := backend.Version(3)
				if stored {
					version = 4
				}
				wantHead(t, d, "a", version, 3)
				wantHead(t, d, "b", version, 4)
				l.sync = nil
				if res := store(t, d, "a"); res[0].Version != version+1 {
					t.Errorf("the next append: %+v", res[0])
				}
			})
		})
	}
}

func TestAHeadThatWasAskedBeforeACompactionEndedIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := cuttable(t)
		d := backend.Sequenced(l) // it knows no stream yet
		asked, release := 0, make(chan struct{})
		l.asked = func() {
			if asked++; asked == 1 {
				<-release
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() { store(t, d, "a") })
		synctest.Wait() // the engine has looked the head up, and not answered
		if _, err := d.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "a", Floor: 3}}}); err != nil {
			t.Errorf("Compact = %v", err)
		}
		close(release)
		wg.Wait()
		wantHead(t, d, "a", 4, 3)
	})
}

func TestARecoveryForgetsWhatWasKnown(t *testing.T) {
	_, d := cuttable(t)
	if stats, err := d.Recover(t.Context(), backend.RecoveryPlan{Mode: backend.Quarantine}); err != nil || len(stats.Actions) != 1 {
		t.Errorf("Recover = %+v, %v", stats, err)
	}
	wantHead(t, d, "a", 1, 1)
	wantHead(t, d, "b", 0, 0)
	if p, err := d.Last(t.Context()); p != 1 || err != nil {
		t.Errorf("Last = %d, %v; want 1", p, err)
	}
	if res := store(t, d, "a", "b"); res[0].Version != 2 || res[0].Position != 2 || res[1].Version != 1 {
		t.Errorf("the next append: %+v", res)
	}
}

func TestNothingUnsyncedIsReadByWhoAsksBeyondTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d := cuttable(t)
		release := make(chan struct{})
		l.sync = func() error { <-release; return nil }
		var wg sync.WaitGroup
		wg.Go(func() { store(t, d, "a", "new") })
		synctest.Wait()
		for stream, want := range map[string]int{"": 9, "a": 3, "new": 0} {
			for _, reverse := range []bool{false, true} {
				n := 0
				for r, err := range d.Read(t.Context(), backend.Query{Stream: stream, From: 1, To: 1 << 62, Reverse: reverse, Kinds: backend.Numbered}) {
					if n++; err != nil || r.Position > 9 {
						t.Errorf("stream %q: %+v, %v", stream, r, err)
					}
				}
				if n != want {
					t.Errorf("stream %q, reverse %v: %d records, want %d", stream, reverse, n, want)
				}
			}
		}
		close(release)
		wg.Wait()
	})
}

func TestAGroupOfMoreStreamsThanAreKeptStaysHidden(t *testing.T) {
	const streams = 1<<16 + 1<<12
	l := &headless{eagerLog: &eagerLog{}, heads: map[string]backend.Head{}}
	d := backend.Sequenced(l)
	group := make([]backend.Batch, streams)
	for i := range group {
		group[i] = backend.Batch{Stream: fmt.Sprint("s", i), Records: []backend.Record{{Kind: backend.Event}}}
	}
	l.sync = func() error {
		for i := range group {
			if h, err := d.Head(t.Context(), group[i].Stream); h != (backend.Head{}) || err != nil {
				t.Fatalf("Head(%s) = %+v, %v, before the sync", group[i].Stream, h, err)
			}
		}
		return nil
	}
	if _, err := d.Append(t.Context(), group); err != nil {
		t.Fatal(err)
	}
}
