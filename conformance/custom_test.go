package conformance_test

import (
	"context"
	"iter"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

// wrap is the reference with each opened backend wrapped. opens counts the openings of
// one store, from 1.
func wrap(with func(s conformance.Subject, opens int) conformance.Subject) conformance.Harness {
	return wrapped{selftest.Reference(), with}
}

type wrapped struct {
	conformance.Harness
	with func(conformance.Subject, int) conformance.Subject
}

func (w wrapped) NewStore(ctx context.Context, env *conformance.Env) (conformance.Store, error) {
	s, err := w.Harness.NewStore(ctx, env)
	return &wrappedStore{s, w.with, 0}, err
}

type wrappedStore struct {
	conformance.Store
	with  func(conformance.Subject, int) conformance.Subject
	opens int
}

func (s *wrappedStore) Open(ctx context.Context, o backend.Options) (conformance.Subject, error) {
	b, err := s.Store.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	s.opens++
	return s.with(b, s.opens), nil
}

// heads asks before it says where a stream stands.
type heads struct {
	conformance.Subject
	ask func(context.Context) error
}

func (h *heads) Head(ctx context.Context, stream string) (backend.Head, error) {
	if err := h.ask(ctx); err != nil {
		return backend.Head{}, err
	}
	return h.Subject.Head(ctx, stream)
}

// shifting adds 7 to each position that is read, if it is on.
type shifting struct {
	conformance.Subject
	on bool
}

func (s *shifting) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	if !s.on {
		return s.Subject.Read(ctx, q)
	}
	return func(yield func(backend.Record, error) bool) {
		for r, err := range s.Subject.Read(ctx, q) {
			r.Position += 7
			if !yield(r, err) {
				return
			}
		}
	}
}
