package backend

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Retention says what a compaction may remove of a stream's numbered records.
// Zero fields bound nothing, so the zero Retention removes nothing. All bounds
// hold together. Never removed is what a stream's newest snapshot does not cover:
// a stream of events without a snapshot loses nothing.
type Retention struct {
	MaxRecords int           // keep at most so many, the newest
	MaxAge     time.Duration // keep those that are not older
	MaxBytes   int64         // keep the newest of so many bytes, counted as bytes_written
}

// Compact removes what retention allows, physically, beside the other calls. What
// is left reads exactly as before. An engine that does not claim it answers
// [ErrUnsupported]; none of papyra's own does so far.
func (b *Backend) Compact(ctx context.Context, keep map[Kind]Retention) (report *CompactionReport, err error) {
	ctx, done := b.observe(ctx, Call{Op: OpCompact})
	defer func() {
		if err == nil {
			b.opts.Counters.CompactCount.Add(1)
		} else {
			b.opts.Counters.CompactErrors.Add(1)
			err = b.wrap(OpCompact, "", err)
		}
		done(err)
	}()
	err = b.call(ctx, func() error {
		if !b.info.Capabilities.Compact {
			return fmt.Errorf("%w: engine %s does not compact", ErrUnsupported, b.info.Engine)
		}
		return fmt.Errorf("%w: retention is not computed yet", ErrUnsupported)
	})
	return nil, err
}

// holds are the positions that compaction must not pass, by name.
type holds struct {
	mu sync.Mutex
	at map[string]Position
}

// Hold keeps compaction from removing records above position p, for a reader that
// has got so far: a live subscription. Holding again under the same name moves the
// hold. It lasts until released or the backend is closed.
func (b *Backend) Hold(name string, p Position) (release func(), err error) {
	if name == "" {
		return nil, b.wrap(OpHold, "", fmt.Errorf("%w: a hold needs a name", ErrInvalid))
	}
	if err := b.call(context.Background(), func() error { return nil }); err != nil {
		return nil, b.wrap(OpHold, "", err)
	}
	b.holds.mu.Lock()
	defer b.holds.mu.Unlock()
	if b.holds.at == nil {
		b.holds.at = map[string]Position{}
	}
	b.holds.at[name] = p
	return func() {
		b.holds.mu.Lock()
		defer b.holds.mu.Unlock()
		delete(b.holds.at, name)
	}, nil
}
