package backend_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/papyra-go/papyra/backend"
)

// stub is a driver whose Append does what a test says. It keeps the groups.
type stub struct {
	backend.Store
	append func(group []backend.Batch) ([]backend.Result, error)
	mu     sync.Mutex
	groups [][]backend.Batch
	closed int
}

func (d *stub) Append(_ context.Context, group []backend.Batch) ([]backend.Result, error) {
	d.mu.Lock()
	d.groups = append(d.groups, append([]backend.Batch(nil), group...))
	d.mu.Unlock()
	if d.append != nil {
		return d.append(group)
	}
	return make([]backend.Result, len(group)), nil
}

func (d *stub) Scan(context.Context, backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(func(backend.Anomaly, error) bool) {}
}

func (d *stub) Info() backend.Info { return backend.Info{Engine: "stub"} }

func (d *stub) Close() error { d.closed++; return nil }

func over(t *testing.T, d *stub, opts *backend.Options) *backend.Backend {
	t.Helper()
	b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return d, nil }, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// holding returns a stub whose appends wait until release is closed.
func holding() (d *stub, release chan struct{}) {
	release = make(chan struct{})
	return &stub{append: func(g []backend.Batch) ([]backend.Result, error) {
		<-release
		return make([]backend.Result, len(g)), nil
	}}, release
}

func one(stream string) backend.Batch {
	return backend.Batch{Stream: stream, Expected: backend.Any, Records: []backend.Record{event("x", "y")}}
}

// Whether the caller's context can end decides who carries out the write; both
// ways must behave alike.
func eachLeader(t *testing.T, f func(t *testing.T, ctx context.Context)) {
	t.Run("leader is the caller", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, context.Background()) }) })
	t.Run("leader is a goroutine", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, t.Context()) }) })
}

func TestWhatQueuesWhileAGroupIsWrittenGoesTogether(t *testing.T) {
	eachLeader(t, func(t *testing.T, ctx context.Context) {
		d, release := holding()
		b := over(t, d, nil)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if _, err := b.Append(ctx, one(fmt.Sprint("s", i))); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		close(release)
		wg.Wait()
		if len(d.groups) != 2 || len(d.groups[0]) != 1 || len(d.groups[1]) != 9 {
			t.Errorf("groups: %d", len(d.groups))
		}
		for i, batch := range d.groups[1] {
			if batch.Stream != fmt.Sprint("s", i+1) {
				t.Errorf("batch %d of the second group is for %s: not first come first served", i, batch.Stream)
			}
		}
		b.Close()
	})
}

func TestAGroupGathersAtMostItsBytesAndALargerBatchGoesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, release := holding()
		b := over(t, d, nil)
		var wg sync.WaitGroup
		for _, size := range []int{1, 600 << 10, 600 << 10, 3 << 20, 1} {
			wg.Go(func() {
				batch := one("s")
				batch.Records[0].Payload = make([]byte, size)
				if _, err := b.Append(t.Context(), batch); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		close(release)
		wg.Wait()
		if len(d.groups) != 5 {
			t.Errorf("%d groups, want 5: each would have exceeded 1 MiB together", len(d.groups))
		}
		b.Close()
	})
}

func TestACallerCancelledInTheQueueWroteNothingAndOthersGoOn(t *testing.T) {
	eachLeader(t, func(t *testing.T, ctx context.Context) {
		d, release := holding()
		b := over(t, d, nil)
		var wg sync.WaitGroup
		append := func(ctx context.Context, stream string, want error) {
			wg.Go(func() {
				if _, err := b.Append(ctx, one(stream)); !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", stream, err, want)
				}
			})
			synctest.Wait()
		}
		cancelled, cancel := context.WithCancel(t.Context())
		append(ctx, "first", nil)
		append(cancelled, "cancelled", context.Canceled)
		append(ctx, "third", nil)
		cancel()
		synctest.Wait()
		append(ctx, "fourth", nil)
		close(release)
		wg.Wait()
		for _, g := range d.groups {
			for _, batch := range g {
				if batch.Stream == "cancelled" {
					t.Error("the cancelled batch was written")
				}
			}
		}
		if n := b.Metrics().Snapshot(); n.WritesTotal != 3 || n.WriteErrors != 1 {
			t.Errorf("counted %+v", n)
		}
		b.Close()
	})
}

func TestACallerWhoseBatchIsBeingWrittenWaitsForTheOutcomeAlsoWhenCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, release := holding()
		b := over(t, d, nil)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 1)
		go func() { _, err := b.Append(ctx, one("s")); got <- err }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("Append returned %v while its batch was being written", err)
		default:
		}
		close(release)
		if err := <-got; err != nil {
			t.Errorf("Append = %v, want nil: it was written", err)
		}
		b.Close()
	})
}

func TestCloseAnswersTheQueueAndAwaitsWhatIsBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, release := holding()
		b := over(t, d, nil)
		var wg sync.WaitGroup
		expect := func(want error) {
			wg.Go(func() {
				if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, want) {
					t.Errorf("Append = %v, want %v", err, want)
				}
			})
			synctest.Wait()
		}
		expect(nil)               // being written
		expect(backend.ErrClosed) // queued
		expect(backend.ErrClosed)
		closed := make(chan error, 2)
		go func() { closed <- b.Close() }()
		go func() { closed <- b.Close() }()
		synctest.Wait()
		if len(closed) > 0 {
			t.Error("Close returned while a group was being written")
		}
		close(release)
		wg.Wait()
		if err1, err2 := <-closed, <-closed; err1 != nil || err2 != nil || d.closed != 1 {
			t.Errorf("Close = %v, %v; the driver was closed %d times", err1, err2, d.closed)
		}
		if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Append after Close = %v", err)
		}
	})
}

func TestTheQueuesBytesAreBoundedAndCallersWaitOnTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, release := holding()
		b := over(t, d, &backend.Options{QueueBytes: 1000})
		big := func() backend.Batch {
			batch := one("s")
			batch.Records[0].Payload = make([]byte, 900)
			return batch
		}
		var wg sync.WaitGroup
		for range 2 { // one being written, one queued
			wg.Go(func() { b.Append(t.Context(), big()) })
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Append(ctx, big()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Append beyond the bound = %v, want its deadline", err)
		}
		wg.Go(func() {
			if _, err := b.Append(t.Context(), big()); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(release)
		wg.Wait()
		if len(d.groups) != 3 {
			t.Errorf("%d groups, want 3", len(d.groups))
		}
		b.Close()
	})
}

// The timer that looks for appends that hang would keep it for WriteTimeout.
func TestAClosedBackendIsNotKeptInMemory(t *testing.T) {
	b := over(t, new(stub), nil)
	if _, err := b.Append(t.Context(), one("a")); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	kept := weak.Make(b)
	for deadline := time.Now().Add(backend.DefaultWriteTimeout / 3); kept.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("it is")
		}
	}
}

func TestACallersRecordsAreNotChanged(t *testing.T) {
	b := open(t, nil)
	batch := one("s")
	if _, err := b.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if r := batch.Records[0]; r.Kind != 0 || !r.Time.IsZero() || r.Version != 0 || r.Position != 0 {
		t.Errorf("the caller's record became %+v", r)
	}
}

// forgetful is a stub that keeps nothing and allocates nothing.
type forgetful struct {
	stub
	results [1]backend.Result
}

func (d *forgetful) Append(_ context.Context, group []backend.Batch) ([]backend.Result, error) {
	return d.results[:len(group)], nil
}

func TestAppendOfOneBatchDoesNotAllocate(t *testing.T) {
	b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return new(forgetful), nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	batch := one("s")
	batch.Records[0].Kind, batch.Records[0].Time = backend.Event, time.Now()
	n := testing.AllocsPerRun(200, func() {
		if _, err := b.Append(context.Background(), batch); err != nil {
			t.Error(err)
		}
	})
	if n > 0 {
		t.Errorf("the backend's own part of an append allocates %v times", n)
	}
}

func TestAClockOutsideOfWhatCanBeStoredIsRefused(t *testing.T) {
	for _, now := range []time.Time{{}, time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)} {
		b := open(t, &backend.Options{Clock: func() time.Time { return now }})
		if _, err := b.Append(t.Context(), one("s")); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("clock at %v: Append = %v", now, err)
		}
		batch := one("s")
		batch.Records[0].Time = time.Now()
		if _, err := b.Append(t.Context(), batch); err != nil {
			t.Errorf("a record that brings its time: %v", err)
		}
	}
}

func TestNumbersThatWouldOverflowAreRefused(t *testing.T) {
	for _, n := range []uint64{backend.MaxNumber + 1, 1<<64 - 2, 1<<64 - 1} {
		b := open(t, nil)
		r := backend.Record{Kind: backend.Event, Position: 1, Version: 1, Time: time.Now()}
		position, version, epoch := r, r, r
		position.Position, version.Version, epoch.Epoch = backend.Position(n), backend.Version(n), n
		for _, bad := range []backend.Record{position, version, epoch} {
			if _, err := b.Append(t.Context(), backend.Batch{Stream: "s", Restore: true, Records: []backend.Record{bad}}); !errors.Is(err, backend.ErrInvalid) {
				t.Errorf("restored %d %d %d: %v", bad.Position, bad.Version, bad.Epoch, err)
			}
		}
		if _, err := b.Append(t.Context(), backend.Batch{Stream: "s", Epoch: n, Records: one("s").Records}); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("epoch %d: %v", n, err)
		}
	}
}

func TestRestoredBatchesGoInGroupsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, release := holding()
		b := over(t, d, nil)
		var wg sync.WaitGroup
		for i, restore := range []bool{false, false, true, true, false} {
			wg.Go(func() {
				batch := one(fmt.Sprint("s", i))
				if batch.Restore = restore; restore {
					batch.Records[0] = backend.Record{Position: backend.Position(i + 1), Version: 1, Kind: backend.Event, Time: time.Now()}
				}
				if _, err := b.Append(t.Context(), batch); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		close(release)
		wg.Wait()
		var got []string
		for _, g := range d.groups {
			for _, batch := range g {
				got = append(got, fmt.Sprint(batch.Stream, batch.Restore))
			}
			got = append(got, "|")
		}
		if want := "s0false | s1false | s2true s3true | s4false |"; strings.Join(got, " ") != want {
			t.Errorf("groups %v, want %s", got, want)
		}
		b.Close()
	})
}

func TestACallerMayGiveUpWhileTheBackendIsClosed(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			d, release := holding()
			b := over(t, d, nil)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { b.Append(t.Context(), one("s")) })
			synctest.Wait()
			for range 20 {
				wg.Go(func() {
					if _, err := b.Append(ctx, one("s")); !errors.Is(err, backend.ErrClosed) && !errors.Is(err, context.Canceled) {
						t.Errorf("Append = %v", err)
					}
				})
			}
			synctest.Wait()
			wg.Go(func() {
				cancel() // wakes them; they will find the queue empty
				b.Close()
			})
			synctest.Wait()
			close(release)
			wg.Wait()
		})
	}
}

func TestAppendOfOneBatchWithoutTimeAndKindDoesNotAllocate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, ctx := range map[string]context.Context{"the caller leads": context.Background(), "a goroutine leads": ctx} {
		t.Run(name, func(t *testing.T) {
			b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return new(forgetful), nil }, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			batch := one("s")
			n := testing.AllocsPerRun(200, func() {
				if _, err := b.Append(ctx, batch); err != nil {
					t.Error(err)
				}
			})
			if n > 0 {
				t.Errorf("it allocates %v times", n)
			}
		})
	}
}
