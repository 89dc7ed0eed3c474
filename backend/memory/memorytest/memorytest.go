// Package memorytest runs the conformance suite against the memory backend. It
// stands apart so that importing the backend does not bring the suite along.
package memorytest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"sync"
	"syscall"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
	"github.com/papyra-go/papyra/conformance"
)

// Harness makes memory stores that outlive the backends that are closed over them. They
// hang and fail when they are told to. Memory does not rot and is gone after a crash:
// there are no seams for that.
func Harness() conformance.Harness { return harness{} }

type harness struct{}

func (harness) Info() conformance.Info { return conformance.Info{Name: "memory"} }

func (harness) NewStore(context.Context, *conformance.Env) (conformance.Store, error) {
	return &store{memory: memory.New()}, nil
}

// store is a memory store behind a gate at which calls hang and fail.
type store struct {
	conformance.Hang
	memory *memory.Store

	mu     sync.Mutex
	held   bool
	faults []*fault
}

var _ interface {
	conformance.Digester
	conformance.Faulter
	conformance.Staller
} = (*store)(nil)

type fault struct {
	conformance.Fault
	seen, hits int
	healed     bool
}

// Open opens the memory store through the gate.
func (s *store) Open(ctx context.Context, opts backend.Options) (conformance.Subject, error) {
	b, err := backend.New(ctx, func(context.Context) (backend.Driver, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.held && !opts.ReadOnly {
			return nil, fmt.Errorf("%w: this memory store is open in this process already", backend.ErrLocked)
		}
		s.held = s.held || !opts.ReadOnly
		return backend.Sequenced(&gated{s.memory, s, !opts.ReadOnly}), nil
	}, &opts)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Destroy leaves it to the garbage collector.
func (s *store) Destroy(context.Context) error { return nil }

// Digest hashes all that can be read.
func (s *store) Digest(ctx context.Context) ([32]byte, error) {
	h := sha256.New()
	for r, err := range s.memory.Read(ctx, backend.Query{From: 1, To: uint64(backend.Any), Kinds: backend.AllKinds}) {
		if err != nil {
			return [32]byte{}, err
		}
		fmt.Fprintln(h, r)
	}
	for info, err := range s.memory.Streams(ctx, backend.StreamQuery{}) {
		if err != nil {
			return [32]byte{}, err
		}
		fmt.Fprintln(h, info)
	}
	return [32]byte(h.Sum(nil)), nil
}

// Fail makes reads and writes fail. There are no syncs.
func (s *store) Fail(f conformance.Fault) (hits func() int, heal func(), err error) {
	if f.Op == conformance.OpSync {
		return nil, nil, fmt.Errorf("%w: memory is not synced", errors.ErrUnsupported)
	}
	ft := &fault{Fault: f}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, ft)
	hits = func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return ft.hits
	}
	heal = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		ft.healed = true
	}
	return hits, heal, nil
}

// pass lets an operation through the gate, or not.
func (s *store) pass(op conformance.Operation) error {
	if op == conformance.OpWrite {
		s.Pass()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.Op != op || f.healed {
			continue
		}
		f.seen++
		if n := f.seen - f.Skip; n <= 0 || f.Times > 0 && n > f.Times {
			continue
		}
		f.hits++
		if errors.Is(f.Err, syscall.ENOSPC) {
			return fmt.Errorf("%w: %w", backend.ErrNoSpace, f.Err)
		}
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, f.Err)
	}
	return nil
}

// gated is the store as one backend holds it.
type gated struct {
	*memory.Store
	gate  *store
	holds bool
}

func (g *gated) Append(ctx context.Context, records []backend.Record) error {
	if err := g.gate.pass(conformance.OpWrite); err != nil {
		return err
	}
	return g.Store.Append(ctx, records)
}

func (g *gated) Compact(ctx context.Context, cut backend.Cut) (backend.CompactionStats, error) {
	if err := g.gate.pass(conformance.OpWrite); err != nil {
		return backend.CompactionStats{}, err
	}
	return g.Store.Compact(ctx, cut)
}

func (g *gated) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		if err := g.gate.pass(conformance.OpRead); err != nil {
			yield(backend.Record{}, err)
			return
		}
		g.Store.Read(ctx, q)(yield)
	}
}

// Close lets the next backend in.
func (g *gated) Close() error {
	g.gate.mu.Lock()
	defer g.gate.mu.Unlock()
	if g.holds {
		g.gate.held = false
	}
	return nil
}
