// Package skeleton is where a backend of your own begins: every method that there is to
// write, and nothing in them yet. The suite's first rule says what is missing first.
package skeleton

import (
	"context"
	"fmt"
	"iter"

	"github.com/papyra-go/papyra/backend"
)

// Open opens the store at path, or makes one where nothing is yet.
func Open(ctx context.Context, path string, opts *backend.Options) (*backend.Backend, error) {
	return backend.New(ctx, func(ctx context.Context) (backend.Driver, error) {
		s := &store{path: path} // look what is there, take the lock, open it; ErrLocked, ErrFormat, ErrUnavailable
		return backend.Sequenced(s), nil
	}, opts)
}

type store struct{ path string }

var _ backend.LogDriver = (*store)(nil)

// errNotWritten is all that the skeleton knows to say.
var errNotWritten = fmt.Errorf("%w: this is not written yet", backend.ErrUnavailable)

func (s *store) Append(ctx context.Context, records []backend.Record) error {
	return errNotWritten
}

func (s *store) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) { yield(backend.Record{}, errNotWritten) }
}

func (s *store) Head(ctx context.Context, stream string) (backend.Head, error) {
	return backend.Head{}, errNotWritten
}

func (s *store) Last(ctx context.Context) (backend.Position, error) {
	return 0, errNotWritten
}

func (s *store) Streams(ctx context.Context, q backend.StreamQuery) iter.Seq2[backend.StreamInfo, error] {
	return func(yield func(backend.StreamInfo, error) bool) { yield(backend.StreamInfo{}, errNotWritten) }
}

func (s *store) Scan(ctx context.Context, plan backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(yield func(backend.Anomaly, error) bool) {}
}

func (s *store) Recover(ctx context.Context, plan backend.RecoveryPlan) (backend.RecoveryStats, error) {
	return backend.RecoveryStats{}, errNotWritten // never called before Info claims it
}

func (s *store) Compact(ctx context.Context, cut backend.Cut) (backend.CompactionStats, error) {
	return backend.CompactionStats{}, errNotWritten // the same
}

func (s *store) Info() backend.Info { return backend.Info{Engine: "mine"} }

func (s *store) Close() error { return nil }
