package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Compact takes what lies below the cut away for good, beside the other calls. What is
// left reads exactly as before, and begins at the floors: asked for explicitly, a
// version below is [ErrCompacted]. Versions and positions are never given again. How
// soon the medium has its room back is the engine's business.
//
// A cut that would take more than it may is [ErrInvalid], and takes nothing: no
// floor may be above the version after the stream's newest snapshot (a stream of
// events without one loses nothing, unless it is deleted), above the version after its
// newest record, or pass a [Backend.Hold]. Deleting a stream that is not at the version
// that the cut says is [ErrConflict]. A stream that never held anything, or
// has its floor already, is left as it is. If the compaction itself fails, streams have
// their old floor or the new one, and Compact may be called again with the same cut.
//
// An engine that does not claim compaction answers [ErrUnsupported], as does a
// read-only handle; a poisoned one answers [ErrPoisoned]. [Backend.PlanCut] makes a cut from policies.
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
	switch {
	case !b.info.Capabilities.Compact:
		return fmt.Errorf("%w: engine %s does not compact", ErrUnsupported, b.info.Engine)
	case b.opts.ReadOnly:
		return fmt.Errorf("%w: the backend was opened read-only", ErrUnsupported)
	}
	b.alone.Lock() // also where appends go on beside: no other compaction, no recovery
	defer b.alone.Unlock()
	if err := b.Poisoned(); err != nil {
		return err
	}
	cut, err := b.checkCut(ctx, cut)
	if err != nil {
		return err
	}
	run := func() error {
		stats, err := b.driver.Compact(ctx, cut)
		tell(stats)
		if errors.Is(err, ErrPoisoned) {
			b.setPoison(fmt.Errorf("%w: a compaction failed (call Reopen): %v", ErrPoisoned, err))
		}
		return err
	}
	if b.info.Capabilities.CompactBeside {
		return b.call(ctx, run)
	}
	if err := b.gate.shut(ctx); err != nil {
		return err
	}
	defer b.gate.open()
	return run()
}

// checkCut returns the cut as the driver is to make it, or refuses it whole.
func (b *Backend) checkCut(ctx context.Context, cut Cut) (checked Cut, err error) {
	for i, f := range cut.Floors {
		if i > 0 && f.Stream <= cut.Floors[i-1].Stream {
			return Cut{}, fmt.Errorf("%w: cut: stream %q does not follow %q: want each once, in the order of their names", ErrInvalid, f.Stream, cut.Floors[i-1].Stream)
		}
		f, takes, err := b.checkFloor(ctx, f)
		if err != nil {
			return Cut{}, err
		}
		if takes {
			checked.Floors = append(checked.Floors, f)
		}
	}
	return checked, nil
}

// checkFloor returns the floor, filled in, and whether it takes anything.
func (b *Backend) checkFloor(ctx context.Context, f StreamFloor) (StreamFloor, bool, error) {
	if err := CheckStream(f.Stream); err != nil {
		return f, false, err
	}
	h, newest, err := b.headAndSnapshot(ctx, f.Stream)
	if err != nil {
		return f, false, err
	}
	switch most := mostFloor(f.Stream, h, newest); {
	case f.Delete:
		if f.Floor != 0 && f.Floor != h.Version+1 {
			return f, false, &ConflictError{Stream: f.Stream, Expected: f.Floor - 1, Actual: h.Version}
		}
		f.Floor = h.Version + 1
		if h.Unreadable() && newest == 0 {
			return f, false, nil
		}
	case f.Floor > most:
		return f, false, fmt.Errorf("%w: cut: stream %q floor %d: at most %d, the version after its newest %s", ErrInvalid, f.Stream, f.Floor, most, protecting(f.Stream))
	case f.Floor <= max(h.Floor, 1):
		return f, false, nil
	}
	barrier := b.holds.lowest()
	reach, err := b.reach(ctx, f, h, barrier)
	if err == nil && reach < f.Floor {
		err = fmt.Errorf("%w: cut: stream %q floor %d: a reader that is at position %d has not seen what goes (see Hold)", ErrInvalid, f.Stream, f.Floor, barrier)
	}
	return f, true, err
}

// headAndSnapshot returns where the stream stands, and the version that its newest
// snapshot covers; zero if it has none.
func (b *Backend) headAndSnapshot(ctx context.Context, stream string) (h Head, newest Version, err error) {
	err = b.call(ctx, func() error { h, err = b.driver.Head(ctx, stream); return err })
	if err != nil {
		return h, 0, err
	}
	r, err := b.first(ctx, Query{Stream: stream, Reverse: true, Kinds: KindSet(Snapshot)})
	return h, r.Version, err
}

// mostFloor is the highest floor that the stream may get without being deleted.
func mostFloor(stream string, h Head, newestSnapshot Version) Version {
	if KindOf(stream) == Event {
		return newestSnapshot + 1
	}
	return h.Version + 1
}

func protecting(stream string) string {
	if KindOf(stream) == Event {
		return "snapshot"
	}
	return "record"
}

// reach returns the highest floor, at most f's, that takes nothing above position
// barrier: nothing that a reader there has not seen. If f deletes, any but f's own
// floor means that it may not.
func (b *Backend) reach(ctx context.Context, f StreamFloor, h Head, barrier Position) (Version, error) {
	if barrier == noHold {
		return f.Floor, nil
	}
	low := h.Floor // what is below may go; positions rise with versions
	for high, try := f.Floor, f.Floor; low < high; try = low + (high-low+1)/2 {
		r, err := b.first(ctx, Query{Stream: f.Stream, From: uint64(try - 1), To: uint64(try - 1)})
		if err != nil {
			return 0, err
		}
		if r.Position > barrier {
			high = try - 1
		} else {
			low = try
		}
	}
	// Snapshots may have been saved long after the versions that they cover.
	f.Floor = low
	q := Query{Stream: f.Stream, To: uint64(low - 1), Kinds: KindSet(Snapshot)}
	if q.To == 0 {
		return low, nil
	}
	err := b.each(ctx, q, func(r *Record) bool { // by version: the first that counts is the lowest
		unseen := r.Position > barrier && f.Takes(r)
		switch {
		case unseen && f.Delete:
			low = r.Version
		case unseen:
			low = r.Version + 1
		}
		return !unseen
	})
	return low, err
}

// first returns the first record that q asks for, without its bytes; the zero Record if
// there is none.
func (b *Backend) first(ctx context.Context, q Query) (first Record, err error) {
	q.Limit = 1
	err = b.each(ctx, q, func(r *Record) bool {
		first = *r
		first.Payload, first.Meta = nil, nil
		return false
	})
	return first, err
}

// each calls f for the records that q asks for, as part of another call: until f
// returns false.
func (b *Backend) each(ctx context.Context, q Query, f func(*Record) bool) error {
	err := b.read(ctx, q, func(r Record, _ error) bool { return f(&r) })
	var read *OpError
	if errors.As(err, &read) { // the other call says itself what was done
		return fmt.Errorf("stream %q: %w", q.Stream, read.Err)
	}
	return err
}

// holds are the positions that compaction must not pass, by name.
type holds struct {
	mu sync.Mutex
	at map[string]*Position
}

// noHold is above every position.
const noHold = ^Position(0)

// lowest returns the lowest hold; noHold if there is none.
func (h *holds) lowest() Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	low := noHold
	for _, p := range h.at {
		low = min(low, *p)
	}
	return low
}

// Hold keeps compaction from removing records above position p, for a reader that
// has got so far: a live subscription. Holding again under the same name moves the
// hold, and the release of the one before has no effect any more. A hold lasts until
// it is released or the backend is closed. A compaction that runs when it is taken
// may not know of it any more: what it takes counts as gone before.
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
