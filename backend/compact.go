package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Compact removes what lies below the cut, physically, beside the other calls.
// What is left reads exactly as before. A cut that would take more than it may is
// [ErrInvalid], and nothing is removed: no floor may be above the version after the
// stream's newest snapshot (a stream of events without one loses nothing), above the
// version after its newest record, or pass a [Backend.Hold]. An engine that does not
// claim compaction answers [ErrUnsupported].
func (b *Backend) Compact(ctx context.Context, cut Cut) (report *CompactionReport, err error) {
	ctx, done := b.observe(ctx, Call{Op: OpCompact})
	start := time.Now()
	err = b.compact(ctx, cut, func(stats CompactionStats) {
		report = &CompactionReport{CompactionStats: stats, Took: time.Since(start)}
	})
	if err == nil {
		b.opts.Counters.CompactCount.Add(1)
	} else {
		b.opts.Counters.CompactErrors.Add(1)
		err = b.wrap(ctx, OpCompact, "", err)
	}
	done(err)
	return report, err
}

func (b *Backend) compact(ctx context.Context, cut Cut, tell func(CompactionStats)) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	switch c := b.info.Capabilities; {
	case !c.Compact:
		return fmt.Errorf("%w: engine %s does not compact", ErrUnsupported, b.info.Engine)
	case b.opts.ReadOnly:
		return fmt.Errorf("%w: the backend was opened read-only", ErrUnsupported)
	case !c.CompactBeside: // the driver is to be alone with it
		b.alone.Lock()
		defer b.alone.Unlock()
		if err := b.checkCut(ctx, cut); err != nil {
			return err
		}
		if err := b.gate.shut(ctx); err != nil {
			return err
		}
		defer b.gate.open()
		stats, err := b.driver.Compact(ctx, cut)
		tell(stats)
		return err
	}
	if err := b.checkCut(ctx, cut); err != nil {
		return err
	}
	b.alone.Lock()
	defer b.alone.Unlock()
	return b.call(ctx, func() error {
		stats, err := b.driver.Compact(ctx, cut)
		tell(stats)
		return err
	})
}

// checkCut refuses floors that would take more than they may.
func (b *Backend) checkCut(ctx context.Context, cut Cut) error {
	barrier := b.holds.lowest()
	for i, f := range cut.Floors {
		if i > 0 && f.Stream <= cut.Floors[i-1].Stream {
			return fmt.Errorf("%w: cut: stream %q does not follow %q: want each once, in the order of their names", ErrInvalid, f.Stream, cut.Floors[i-1].Stream)
		}
		if err := b.checkFloor(ctx, f, barrier); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) checkFloor(ctx context.Context, f StreamFloor, barrier Position) error {
	h, err := b.Head(ctx, f.Stream)
	if err != nil {
		return err
	}
	most := h.Version + 1
	if KindOf(f.Stream) == Event {
		s, err := b.Snapshot(ctx, f.Stream, 0)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		most = s.Version + 1
	}
	if f.Floor > most {
		return fmt.Errorf("%w: cut: stream %q floor %d: at most %d, the version after its newest snapshot (or, without events, its newest record)", ErrInvalid, f.Stream, f.Floor, most)
	}
	if f.Floor <= h.Floor {
		return nil // nothing goes
	}
	for r, err := range b.Read(ctx, Query{Stream: f.Stream, From: uint64(f.Floor - 1), To: uint64(f.Floor - 1)}) {
		if err != nil {
			return err
		}
		if r.Position > barrier {
			return fmt.Errorf("%w: cut: stream %q floor %d: position %d is held by a reader that is at %d (see Hold)", ErrInvalid, f.Stream, f.Floor, r.Position, barrier)
		}
	}
	return nil
}

// holds are the positions that compaction must not pass, by name.
type holds struct {
	mu sync.Mutex
	at map[string]*Position
}

// lowest returns the lowest hold; the highest position there is if there is none.
func (h *holds) lowest() Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	low := ^Position(0)
	for _, p := range h.at {
		low = min(low, *p)
	}
	return low
}

// Hold keeps compaction from removing records above position p, for a reader that
// has got so far: a live subscription. Holding again under the same name moves the
// hold, and the release of the one before has no effect any more. A hold lasts until
// it is released or the backend is closed.
func (b *Backend) Hold(name string, p Position) (release func(), err error) {
	if name == "" {
		return nil, b.wrap(context.Background(), OpHold, "", fmt.Errorf("%w: a hold needs a name", ErrInvalid))
	}
	if err := b.usable(context.Background()); err != nil {
		return nil, b.wrap(context.Background(), OpHold, "", err)
	}
	held := &p
	h := &b.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at == nil {
		h.at = map[string]*Position{}
	}
	h.at[name] = held
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.at[name] == held {
			delete(h.at, name)
		}
	}, nil
}
