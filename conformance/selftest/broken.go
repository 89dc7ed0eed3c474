package selftest

import (
	"context"
	"fmt"
	"iter"
	"os"
	"sync"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/metrics"
)

// variant is the memory backend with something changed: one thing broken (a
// mutant) or something odd that is allowed.
type variant struct {
	opening func(*world, context.Context, *backend.Options) error // before opening
	driver  func(*world, backend.Driver) backend.Driver
	log     func(*world, backend.LogDriver) backend.LogDriver
	subject func(*world, *hooked) // sets hooks on what is opened
	flaws   flaws                 // of the engine, where its medium fails
}

// world is one store of a variant, with what its mutant has to remember.
type world struct {
	v     *variant
	store *memory.Store
	disk  *medium
	opens int              // how often it was opened
	last  backend.Position // the last when it was closed
	opts  backend.Options  // of the last opening

	gone  chan struct{} // closed when the store is destroyed
	files []*os.File    // closed then

	mu       sync.Mutex
	held     bool
	holder   *life        // whose it is; nil: this process's
	appends  atomic.Int32 // appends under way
	saves    atomic.Int32 // snapshots being saved
	reads    atomic.Int32 // reads under way, of mutants that count them
	lies     atomic.Int32 // how often the mutant has misbehaved
	closing  atomic.Bool
	touched  bool
	records  map[numbers]backend.Record
	results  map[backend.BatchID]known
	borrowed []byte
	gapsMu   sync.Mutex
	gaps     []gap                       // guarded by gapsMu
	cut      map[string]backend.Head     // the heads of streams when they were cut
	holds    map[string]backend.Position // what is held
	kept     map[string][]backend.Record // snapshots that a cut took
}

type numbers struct {
	stream  string
	version backend.Version
}

type known struct {
	stream string
	result backend.Result
}

// harness is the variant's harness.
func (v *variant) harness() conformance.Harness { return variantHarness{v} }

type variantHarness struct{ v *variant }

func (h variantHarness) Info() conformance.Info { return conformance.Info{Name: "variant"} }

func (h variantHarness) NewStore(context.Context, *conformance.Env) (conformance.Store, error) {
	return newWorld(h.v), nil
}

func (w *world) Destroy(context.Context) error {
	close(w.gone)
	for _, f := range w.files {
		f.Close()
	}
	return nil
}

// Open opens the store as the memory backend does, through the variant's hooks.
func (w *world) Open(ctx context.Context, opts backend.Options) (conformance.Subject, error) {
	return w.openIn(ctx, nil, opts)
}

// openIn opens the store in a process.
func (w *world) openIn(ctx context.Context, l *life, opts backend.Options) (conformance.Subject, error) {
	if w.v.opening != nil {
		if err := w.v.opening(w, ctx, &opts); err != nil {
			return nil, &backend.OpError{Op: backend.OpOpen, Backend: opts.Name, Err: err}
		}
	}
	b, err := backend.New(ctx, w.driverIn(l, opts.ReadOnly), &opts)
	if err != nil {
		return nil, err
	}
	w.opens++
	w.opts = opts
	w.closing.Store(false)
	h := &hooked{Subject: b, w: w}
	if w.v.subject != nil {
		w.v.subject(w, h)
	}
	return h, nil
}

func (w *world) openDriver(ctx context.Context) (backend.Driver, error) {
	return w.driverIn(nil, false)(ctx)
}

func (w *world) driverIn(l *life, readOnly bool) func(context.Context) (backend.Driver, error) {
	return func(context.Context) (backend.Driver, error) {
		w.mu.Lock()
		if w.held {
			w.mu.Unlock()
			return nil, fmt.Errorf("%w: open already", backend.ErrLocked)
		}
		w.held, w.holder = true, l
		w.mu.Unlock()
		s := &openStore{w.store, w, l, readOnly}
		if err := s.prepare(); err != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.held = false
			return nil, err
		}
		var log backend.LogDriver = s
		if w.v.log != nil {
			log = w.v.log(w, log)
		}
		d := backend.Sequenced(log)
		if w.v.driver != nil {
			d = w.v.driver(w, d)
		}
		return d, nil
	}
}

// hooked is a Subject whose calls go through those hooks that are set. A hook gets
// the call that it stands before.
type hooked struct {
	conformance.Subject
	w          *world
	append     func(context.Context, backend.Batch, appendFunc) (backend.Result, error)
	appendAll  func(context.Context, []backend.Batch, appendAllFunc) ([]backend.Result, error)
	save       func(context.Context, backend.Record, saveFunc) (backend.Position, error)
	read       func(context.Context, backend.Query, readFunc) iter.Seq2[backend.Record, error]
	snapshot   func(context.Context, string, backend.Version, snapshotFunc) (backend.Record, error)
	head       func(context.Context, string, headFunc) (backend.Head, error)
	lastHook   func(backend.Position, error) (backend.Position, error)
	streams    func(context.Context, backend.StreamQuery, streamsFunc) iter.Seq2[backend.StreamInfo, error]
	scanned    func()
	scan       func(context.Context, *backend.ScanOptions, scanFunc) (*backend.ScanReport, error)
	recovered  func(error)
	recovery   func(context.Context, backend.RecoveryOptions, recoverFunc) (*backend.RecoveryReport, error)
	compaction func(context.Context, backend.Cut, compactFunc) (*backend.CompactionReport, error)
	plan       func(context.Context, backend.Retention, planFunc) (backend.Cut, error)
	hold       func(string, backend.Position, holdFunc) (func(), error)
	metrics    func(*metrics.Counters)
	reopen     func(context.Context, func(context.Context) error) error
	closeHook  func(func() error) error
	closeTimes atomic.Int32
}

type (
	appendFunc    func(context.Context, backend.Batch) (backend.Result, error)
	appendAllFunc func(context.Context, []backend.Batch) ([]backend.Result, error)
	saveFunc      func(context.Context, backend.Record) (backend.Position, error)
	readFunc      func(context.Context, backend.Query) iter.Seq2[backend.Record, error]
	snapshotFunc  func(context.Context, string, backend.Version) (backend.Record, error)
	headFunc      func(context.Context, string) (backend.Head, error)
	recoverFunc   func(context.Context, backend.RecoveryOptions) (*backend.RecoveryReport, error)
	compactFunc   func(context.Context, backend.Cut) (*backend.CompactionReport, error)
	planFunc      func(context.Context, backend.Retention) (backend.Cut, error)
	scanFunc      func(context.Context, *backend.ScanOptions) (*backend.ScanReport, error)
	holdFunc      func(string, backend.Position) (func(), error)
	streamsFunc   func(context.Context, backend.StreamQuery) iter.Seq2[backend.StreamInfo, error]
)

func (h *hooked) Append(ctx context.Context, b backend.Batch) (backend.Result, error) {
	h.w.appends.Add(1)
	defer h.w.appends.Add(-1)
	if h.append != nil {
		return h.append(ctx, b, h.Subject.Append)
	}
	return h.Subject.Append(ctx, b)
}

func (h *hooked) AppendAll(ctx context.Context, b []backend.Batch) ([]backend.Result, error) {
	if h.appendAll != nil {
		return h.appendAll(ctx, b, h.Subject.AppendAll)
	}
	return h.Subject.AppendAll(ctx, b)
}

func (h *hooked) SaveSnapshot(ctx context.Context, r backend.Record) (backend.Position, error) {
	h.w.saves.Add(1)
	defer h.w.saves.Add(-1)
	if h.save != nil {
		return h.save(ctx, r, h.Subject.SaveSnapshot)
	}
	return h.Subject.SaveSnapshot(ctx, r)
}

func (h *hooked) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	if h.read != nil {
		return h.read(ctx, q, h.Subject.Read)
	}
	return h.Subject.Read(ctx, q)
}

func (h *hooked) Snapshot(ctx context.Context, stream string, upTo backend.Version) (backend.Record, error) {
	if h.snapshot != nil {
		return h.snapshot(ctx, stream, upTo, h.Subject.Snapshot)
	}
	return h.Subject.Snapshot(ctx, stream, upTo)
}

func (h *hooked) Head(ctx context.Context, stream string) (backend.Head, error) {
	if h.head != nil {
		return h.head(ctx, stream, h.Subject.Head)
	}
	return h.Subject.Head(ctx, stream)
}

func (h *hooked) Last(ctx context.Context) (backend.Position, error) {
	p, err := h.Subject.Last(ctx)
	if h.lastHook != nil {
		return h.lastHook(p, err)
	}
	return p, err
}

func (h *hooked) Streams(ctx context.Context, q backend.StreamQuery) iter.Seq2[backend.StreamInfo, error] {
	if h.streams != nil {
		return h.streams(ctx, q, h.Subject.Streams)
	}
	return h.Subject.Streams(ctx, q)
}

func (h *hooked) Scan(ctx context.Context, o *backend.ScanOptions) (*backend.ScanReport, error) {
	if h.scanned != nil {
		defer h.scanned()
	}
	if h.scan != nil {
		return h.scan(ctx, o, h.Subject.Scan)
	}
	return h.Subject.Scan(ctx, o)
}

func (h *hooked) Recover(ctx context.Context, o backend.RecoveryOptions) (*backend.RecoveryReport, error) {
	if h.recovery != nil {
		return h.recovery(ctx, o, h.Subject.Recover)
	}
	report, err := h.Subject.Recover(ctx, o)
	if h.recovered != nil {
		h.recovered(err)
	}
	return report, err
}

func (h *hooked) Compact(ctx context.Context, cut backend.Cut) (*backend.CompactionReport, error) {
	if h.compaction != nil {
		return h.compaction(ctx, cut, h.Subject.Compact)
	}
	return h.Subject.Compact(ctx, cut)
}

func (h *hooked) PlanCut(ctx context.Context, r backend.Retention) (backend.Cut, error) {
	if h.plan != nil {
		return h.plan(ctx, r, h.Subject.PlanCut)
	}
	return h.Subject.PlanCut(ctx, r)
}

func (h *hooked) Hold(name string, p backend.Position) (func(), error) {
	if h.hold != nil {
		return h.hold(name, p, h.Subject.Hold)
	}
	return h.Subject.Hold(name, p)
}

func (h *hooked) Metrics() *metrics.Counters {
	if h.metrics != nil {
		h.metrics(h.Subject.Metrics())
	}
	return h.Subject.Metrics()
}

func (h *hooked) Reopen(ctx context.Context) error {
	if h.reopen != nil {
		return h.reopen(ctx, h.Subject.Reopen)
	}
	return h.Subject.Reopen(ctx)
}

func (h *hooked) Close() error {
	h.closeTimes.Add(1)
	if h.closeHook != nil {
		return h.closeHook(h.Subject.Close)
	}
	return h.Subject.Close()
}

func (h *hooked) counters() *metrics.Counters { return h.Subject.Metrics() }

func (h *hooked) version(stream string) backend.Version {
	head, _ := h.Subject.Head(context.Background(), stream)
	return head.Version
}
