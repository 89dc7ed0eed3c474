package actorsys_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

var quiet = slog.New(slog.DiscardHandler)

// start starts a system that is shut down with the test.
func start(tb testing.TB, cfg actorsys.Config) *actorsys.System {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	sys, err := actorsys.Start(context.Background(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { sys.Shutdown(context.Background()) })
	return sys
}

var accountEvents = actorsys.Events[Account]{actorsys.On[Deposited]("deposited", 1)}

// startAccounts starts a system without facts and registers accounts.
func startAccounts(tb testing.TB, store *backend.Backend) *actorsys.Kind[Account] {
	tb.Helper()
	return register(tb, start(tb, actorsys.Config{Backend: store, Facts: actorsys.FactsNone}), nil)
}

func register(tb testing.TB, sys *actorsys.System, opts *actorsys.Options[Account]) *actorsys.Kind[Account] {
	tb.Helper()
	accounts, err := actorsys.Register(sys, "account", accountEvents, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return accounts
}

// Do is whatever a test wants decided; it replies with the balance.
type Do func(t *actorsys.Turn, a Account) ([]actorsys.Event[Account], error)

func (f Do) Decide(t *actorsys.Turn, a Account) ([]actorsys.Event[Account], error) { return f(t, a) }
func (f Do) Reply(a Account) int64                                                 { return a.Cents }

// Balance is a read.
var Balance = Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) { return nil, nil })

type result struct {
	cents int64
	err   error
}

func (r result) String() string { return fmt.Sprintf("%d, %v", r.cents, r.err) }

// ask asks in a goroutine; the channel holds the result when there is one.
func ask(ref actorsys.Ref[Account], req actorsys.Request[Account, int64]) <-chan result {
	c := make(chan result, 1)
	go func() {
		cents, err := actorsys.Ask(context.Background(), ref, req)
		c <- result{cents, err}
	}()
	return c
}

// must is the reply of an Ask that must not fail.
func must(tb testing.TB, ref actorsys.Ref[Account], req actorsys.Request[Account, int64]) int64 {
	tb.Helper()
	cents, err := actorsys.Ask(context.Background(), ref, req)
	if err != nil {
		tb.Fatalf("%v: %v", ref, err)
	}
	return cents
}

// faults is a memory store that fails as it is told, at the driver's seam.
type faults struct {
	store  *memory.Store
	limits backend.Limits

	mu       sync.Mutex
	hook     hook
	onRead   func(stream string) error
	onRecord func(r *backend.Record) error
	first    int // if above 0: of the next group only so many batches are written, and nobody learns of it
	refuse   int // so many openings after the first
	opens    int
	appends  int // of groups, without the system's own facts
	batches  int
	readings int
}

// hook stands in for the driver's Append; write is the real one.
type hook func(write func() ([]backend.Result, error)) ([]backend.Result, error)

// open opens a backend over the store. It may be opened again, as a restart does,
// once the one before is closed.
func (f *faults) open(tb testing.TB) *backend.Backend {
	tb.Helper()
	if f.store == nil {
		f.store = memory.New()
	}
	b, err := backend.New(context.Background(), func(context.Context) (backend.Driver, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.opens++; f.opens > 1 && f.refuse > 0 {
			f.refuse--
			return nil, fmt.Errorf("%w: test", backend.ErrLocked)
		}
		return faulty{backend.Sequenced(closable{f.store}), f}, nil
	}, &backend.Options{Limits: f.limits})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { b.Close() })
	return b
}

func (f *faults) set(h hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = h
}

// refuseToOpen makes the next n openings fail.
func (f *faults) refuseToOpen(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = n
}

func (f *faults) counts() (opens, appends, batches int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opens, f.appends, f.batches
}

type closable struct{ *memory.Store }

func (closable) Close() error { return nil }

type faulty struct {
	backend.Driver
	*faults
}

func (d faulty) Append(ctx context.Context, group []backend.Batch) ([]backend.Result, error) {
	write := func() ([]backend.Result, error) { return d.Driver.Append(ctx, group) }
	if !slices.ContainsFunc(group, func(b backend.Batch) bool { return backend.KindOf(b.Stream) == backend.Event }) {
		return write()
	}
	d.mu.Lock()
	if n := min(d.first, len(group)); n > 0 {
		d.first = -1
		d.mu.Unlock()
		d.Driver.Append(ctx, group[:n])
		return nil, fmt.Errorf("%w: torn", backend.ErrUnknownOutcome)
	}
	if d.first < 0 {
		d.mu.Unlock()
		return nil, fmt.Errorf("%w: %w: torn", backend.ErrPoisoned, backend.ErrUnknownOutcome)
	}
	d.appends++
	d.batches += len(group)
	h := d.hook
	d.mu.Unlock()
	if h == nil {
		return write()
	}
	return h(write)
}

func (d faulty) reads(stream string) error {
	d.mu.Lock()
	d.readings++
	f := d.onRead
	d.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(stream)
}

func (d faulty) Head(ctx context.Context, stream string) (backend.Head, error) {
	if err := d.reads(stream); err != nil {
		return backend.Head{}, err
	}
	return d.Driver.Head(ctx, stream)
}

func (d faulty) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	if err := d.reads(q.Stream); err != nil {
		return func(yield func(backend.Record, error) bool) { yield(backend.Record{}, err) }
	}
	d.mu.Lock()
	f := d.onRecord
	d.mu.Unlock()
	if f == nil {
		return d.Driver.Read(ctx, q)
	}
	return func(yield func(backend.Record, error) bool) {
		for r, err := range d.Driver.Read(ctx, q) {
			if err == nil {
				err = f(&r)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// tear has the store die in the middle of the next group: so many of its batches are
// written.
func (f *faults) tear(first int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first = first
}

// setRecord stands in before each record that is read: it may change it, or say that it
// is damaged.
func (f *faults) setRecord(onRecord func(r *backend.Record) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onRecord = onRecord
}

// setRead stands in before each look at a stream.
func (f *faults) setRead(onRead func(stream string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onRead = onRead
}

// blocked returns a hook that holds appends back until open is called.
func blocked() (h hook, open func()) {
	opened := make(chan struct{})
	return func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
		<-opened
		return write()
	}, func() { close(opened) }
}

// once returns a hook that fails the first append and lets the others pass.
func once(fail hook) hook {
	var done atomic.Bool
	return func(write func() ([]backend.Result, error)) ([]backend.Result, error) {
		if done.Swap(true) {
			return write()
		}
		return fail(write)
	}
}

// events returns a stream's events.
func events(tb testing.TB, b *backend.Backend, stream string) (out []backend.Record) {
	tb.Helper()
	for r, err := range b.Read(context.Background(), backend.Query{Stream: stream}) {
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, r.Clone())
	}
	return out
}
