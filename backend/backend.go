package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/papyra-go/papyra/metrics"
)

// Opener opens, or opens again, the driver of one store. If a store that was open
// can't be opened for writing again, it may return, beside the error, a driver that can
// only be read: [Backend.Reopen] keeps it, so that reads go on. Else the driver beside an
// error must be nil, as an interface.
type Opener func(ctx context.Context) (Driver, error)

// Backend is what users hold: one open store, whatever its engine. It is safe for
// use by any number of goroutines. Create one with a driver package's Open, or
// with [Open] from a URL.
type Backend struct {
	open Opener
	opts Options
	info Info // all but Stats

	gate    *gate
	alone   sync.Mutex // held by whoever has, or wants, the driver to itself
	driver  Driver     // changed only with the gate shut
	reads   bool       // the driver can only be read, as a Reopen has failed; guarded by alone
	commit  committer
	poison  atomic.Pointer[error] // why appends are refused; nil: they are not
	closed  chan struct{}         // closed when Close has done its work
	closing atomic.Bool
	result  error // of Close
	holds   holds
}

// New opens a driver and returns the Backend over it, once the startup check of
// opts has passed. Driver packages call it from their Open; opts nil means the
// defaults. open is kept for [Backend.Reopen].
func New(ctx context.Context, open Opener, opts *Options) (*Backend, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	fail := func(err error) (*Backend, error) {
		return nil, &OpError{Op: OpOpen, Backend: o.Name, Err: known(ctx, err)}
	}
	if err := o.check(); err != nil {
		return fail(err)
	}
	if err := ctx.Err(); err != nil {
		return fail(context.Cause(ctx))
	}
	d, err := open(ctx)
	if err != nil {
		if d != nil {
			err = errors.Join(err, d.Close())
		}
		return fail(err)
	}
	b := &Backend{open: open, driver: d, info: d.Info(), gate: newGate(), closed: make(chan struct{})}
	b.info.Stats = nil
	o = o.withDefaults(b.info)
	b.opts = o
	b.info.Limits = o.Limits
	b.commit.init(b)
	if _, err := b.Check(ctx, o.Startup); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Name returns the backend's name: [Options.Name].
func (b *Backend) Name() string { return b.opts.Name }

// Engine returns the engine's name, such as "file".
func (b *Backend) Engine() string { return b.info.Engine }

// Capabilities returns what the engine can do.
func (b *Backend) Capabilities() Capabilities { return b.info.Capabilities }

// Limits returns the bounds in force: the options' within the engine's.
func (b *Backend) Limits() Limits { return b.info.Limits }

// Metrics returns the live counters: [Options.Counters].
func (b *Backend) Metrics() *metrics.Counters { return b.opts.Counters }

// Stats returns the engine's own figures, such as the number of segments, in a
// fixed order; none once the backend is closed.
func (b *Backend) Stats() []Stat {
	if b.gate.enter(context.Background()) != nil {
		return nil
	}
	defer b.gate.leave()
	return b.driver.Info().Stats
}

// Poisoned returns why appends are refused, as an error that wraps [ErrPoisoned],
// or nil if they are not.
func (b *Backend) Poisoned() error {
	if p := b.poison.Load(); p != nil {
		return *p
	}
	return nil
}

// Reopen closes the driver and opens it again, with what every opening does
// (tail repair, startup check). It is the way out of [ErrPoisoned]: afterwards
// appends work again, and a batch whose outcome was unknown can be sent again with
// its ID to learn it. It waits, until ctx ends, for the calls inside and for what is
// being written, also if its callers have given up; calls that arrive meanwhile wait
// for it. If opening fails the backend stays poisoned, reads go on if the engine can
// still read, and Reopen can be tried again.
func (b *Backend) Reopen(ctx context.Context) (err error) {
	ctx, done := b.observe(ctx, Call{Op: OpReopen})
	defer func() { done(err) }()
	if err := b.reopenAlone(ctx); err != nil {
		return b.wrap(ctx, OpReopen, "", err)
	}
	if _, err = b.Check(ctx, b.opts.Startup); err != nil { // a store that a start refuses takes no appends
		b.setPoison(fmt.Errorf("%w: the check after reopening: %v", ErrPoisoned, err))
	}
	return err
}

func (b *Backend) reopenAlone(ctx context.Context) error {
	b.alone.Lock()
	defer b.alone.Unlock()
	if err := b.gate.shut(ctx); err != nil {
		return err
	}
	defer b.gate.open()
	b.setPoison(fmt.Errorf("%w: reopening", ErrPoisoned))
	closeErr := safely(b.driver.Close)
	b.driver = broken{engine: b.info}
	var d Driver
	openErr := safely(func() (err error) {
		d, err = b.open(context.WithoutCancel(ctx)) // there is no way back: a cancel would leave no driver
		return err
	})
	if d != nil {
		b.driver = d
	}
	if b.reads = openErr != nil; b.reads {
		return errors.Join(openErr, closeErr)
	}
	b.poison.Store(nil)
	return nil
}

// safely turns a driver's panic into an error: it may not leave the gate shut.
func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the driver panicked: %v", ErrPoisoned, p)
		}
	}()
	return f()
}

// Close ends the backend. Appends that are queued and not yet being written get
// [ErrClosed] and wrote nothing; what is being written, and every other call
// inside, is waited for. A second Close waits for the first and returns the same.
func (b *Backend) Close() error {
	if b.closing.CompareAndSwap(false, true) {
		ctx, done := b.observe(context.Background(), Call{Op: OpClose})
		b.result = b.wrap(ctx, OpClose, "", b.closeAlone())
		close(b.closed)
		done(b.result)
	}
	<-b.closed
	return b.result
}

func (b *Backend) closeAlone() error {
	b.commit.stop()
	b.alone.Lock()
	defer b.alone.Unlock()
	b.gate.close()
	b.commit.done()
	return safely(b.driver.Close)
}

// setPoison makes appends fail with err, which wraps ErrPoisoned. The first
// reason stays.
func (b *Backend) setPoison(err error) { b.poison.CompareAndSwap(nil, &err) }

// wrap adds what was done, and where, to an error; nil stays nil.
func (b *Backend) wrap(ctx context.Context, op Op, stream string, err error) error {
	if err == nil {
		return nil
	}
	var oe *OpError
	if errors.As(err, &oe) {
		return err
	}
	return &OpError{Op: op, Backend: b.opts.Name, Stream: stream, Err: known(ctx, err)}
}

// observe tells the observer, if there is one, that a call begins.
func (b *Backend) observe(ctx context.Context, call Call) (context.Context, func(error)) {
	if b.opts.Observer == nil {
		return ctx, noObserver
	}
	call.Backend, call.Engine = b.opts.Name, b.info.Engine
	return b.opts.Observer(ctx, call)
}

func noObserver(error) {}

// now is the time stamped on records that bring none.
func (b *Backend) now() time.Time { return b.opts.Clock().UTC() }
