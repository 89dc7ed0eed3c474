package conformance

import (
	"context"
	"io"
	"iter"
	"math/rand/v2"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/metrics"
)

// Subject is what the suite calls of a [*backend.Backend]. It is an interface so
// that a backend can be wrapped, by the broken ones that prove the suite or by
// yours.
type Subject interface {
	Append(context.Context, backend.Batch) (backend.Result, error)
	AppendAll(context.Context, []backend.Batch) ([]backend.Result, error)
	SaveSnapshot(context.Context, backend.Record) (backend.Position, error)
	Read(context.Context, backend.Query) iter.Seq2[backend.Record, error]
	Snapshot(ctx context.Context, stream string, upTo backend.Version) (backend.Record, error)
	Head(ctx context.Context, stream string) (backend.Head, error)
	Last(context.Context) (backend.Position, error)
	Streams(context.Context, backend.StreamQuery) iter.Seq2[backend.StreamInfo, error]
	Scan(context.Context, *backend.ScanOptions) (*backend.ScanReport, error)
	Recover(context.Context, backend.RecoveryOptions) (*backend.RecoveryReport, error)
	Compact(context.Context, backend.Cut) (*backend.CompactionReport, error)
	PlanCut(context.Context, backend.Retention) (backend.Cut, error)
	Hold(name string, p backend.Position) (release func(), err error)
	Metrics() *metrics.Counters
	Capabilities() backend.Capabilities
	Limits() backend.Limits
	Engine() string
	Reopen(context.Context) error
	Close() error
}

var _ Subject = (*backend.Backend)(nil)

// Harness makes stores of the backend under test. [Dir], [Make] and [Volatile]
// are harnesses for the usual cases.
type Harness interface {
	// Info says what is tested. It is the same in every call.
	Info() Info
	// NewStore makes a fresh empty store, not yet opened. It is called once for each
	// rule. An error makes the rule unavailable: the environment can't do it.
	NewStore(ctx context.Context, env *Env) (Store, error)
}

// Info says what a harness tests.
type Info struct {
	// Name is the backend's name in the report.
	Name string `json:"name"`
	// Version is the version of the backend or of its server; may be empty.
	Version string `json:"version,omitempty"`
	// Volatile is true if a store ends with the backend that has it open, so that
	// opening again finds nothing: rules about reopening are then unsupported.
	Volatile bool `json:"volatile,omitempty"`
}

// Store is one place that can be opened. It may implement seams: [Digester],
// [Corrupter], [Faulter], [Staller], [Crasher], [Killer], [Fixturer], [Occupier].
type Store interface {
	// Open opens the store. Once the one before is closed it is opening again, over
	// what is stored; while it is open, this is a second opener.
	Open(ctx context.Context, opts backend.Options) (Subject, error)
	// Destroy removes the store. All that was opened over it is closed.
	Destroy(ctx context.Context) error
}

// Env is what a harness and a rule are given for one store.
type Env struct {
	// Dir is an empty directory of this store's own. It is removed afterwards.
	Dir string
	// Rand is seeded with the report's seed and the rule. Not for concurrent use.
	Rand *rand.Rand
	// Log takes lines for whoever runs the suite.
	Log io.Writer
}

// OpenFunc opens one store: a driver package's typed Open with the place filled in.
type OpenFunc func(ctx context.Context, opts *backend.Options) (*backend.Backend, error)

// Make is the harness for a backend whose stores are made by place, a function
// that makes a new empty one and returns how to open it, again and again.
func Make(name string, place func(ctx context.Context, env *Env) (OpenFunc, error)) Harness {
	return made{Info{Name: name}, place}
}

// Volatile is the harness for a backend without a place: what open returns is a
// new store each time, and gone when it is closed.
func Volatile(name string, open OpenFunc) Harness {
	return made{Info{Name: name, Volatile: true}, func(context.Context, *Env) (OpenFunc, error) { return open, nil }}
}

type made struct {
	info  Info
	place func(context.Context, *Env) (OpenFunc, error)
}

func (m made) Info() Info { return m.info }

func (m made) NewStore(ctx context.Context, env *Env) (Store, error) {
	open, err := m.place(ctx, env)
	if err != nil {
		return nil, err
	}
	return openFuncStore(open), nil
}

type openFuncStore OpenFunc

func (open openFuncStore) Open(ctx context.Context, opts backend.Options) (Subject, error) {
	b, err := open(ctx, &opts)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (openFuncStore) Destroy(context.Context) error { return nil }
