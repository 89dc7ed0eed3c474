package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Policy bounds what is kept of one stream. A zero field is no bound; the zero Policy
// keeps everything. Bounds are kept as far as they may be: see [Backend.PlanCut].
// Snapshots count for none of them.
type Policy struct {
	// MaxRecords is the most numbered records to keep: the newest.
	MaxRecords int64
	// MaxAge is how old, by [Record.Time] and the Backend's clock, a record may get. One
	// that is exactly so old stays. Times do not order records: the oldest go, up to
	// the first that is young enough, so that no clock that is set back, or was once
	// wrong, takes a young one.
	MaxAge time.Duration
	// MaxBytes is the most to keep, counted by [Record.Size]: the newest records that
	// fit, which may be none.
	MaxBytes int64
}

// Retention says what to keep, by the kind that a stream holds (see [KindOf]): Event,
// Lifecycle, Audit or DeadLetter. Each stream of the kind has the policy's bounds for
// itself. What has no policy is kept.
type Retention map[Kind]Policy

// check reports what is wrong with r, which is called name, as ErrInvalid.
func (r Retention) check(name string) error {
	for _, k := range slices.Sorted(maps.Keys(r)) {
		p := r[k]
		if !Numbered.Has(k) {
			return fmt.Errorf("%w: %s[%v]: want the kind of a stream: event, lifecycle, audit or deadletter", ErrInvalid, name, k)
		}
		if p.MaxRecords < 0 {
			return fmt.Errorf("%w: %s[%v].MaxRecords is %d: want 0 (no bound) or more", ErrInvalid, name, k, p.MaxRecords)
		}
		if p.MaxAge < 0 {
			return fmt.Errorf("%w: %s[%v].MaxAge is %v: want 0 (no bound) or more", ErrInvalid, name, k, p.MaxAge)
		}
		if p.MaxBytes < 0 {
			return fmt.Errorf("%w: %s[%v].MaxBytes is %d: want 0 (no bound) or more", ErrInvalid, name, k, p.MaxBytes)
		}
	}
	return nil
}

// OpPlanCut is [Backend.PlanCut] in errors and to an [Observer].
const OpPlanCut Op = "plan cut"

// PlanCut returns the cut that r comes to now; nil stands for [Options.Retention]. It
// changes nothing and counts nothing: [Backend.Compact] makes the cut, and leaving that
// out is a dry run. The cut holds a floor for each stream that would lose
// something, and no other.
//
// A floor keeps all bounds of its policy, as far as it may: it is never above the
// version after the stream's newest snapshot (a stream of events without one keeps
// everything), never past a [Backend.Hold], and never below what was cut before. Since
// snapshots and floors only rise, the cut stays good while the store goes on; only a
// hold that is taken meanwhile can make Compact refuse it.
//
// It goes through the streams page by page, with no lock held in between, and reads as
// little as it can: for MaxRecords no records, for MaxAge those that go and one more,
// for MaxBytes at most so many bytes of the newest; and the newest snapshot of a stream
// of events that would lose something. Errors: [ErrInvalid], [ErrCorrupt] (a stream
// that has to be looked into is damaged), [ErrClosed], the context's error.
func (b *Backend) PlanCut(ctx context.Context, r Retention) (cut Cut, err error) {
	ctx, done := b.observe(ctx, Call{Op: OpPlanCut})
	defer func() {
		err = b.wrap(ctx, OpPlanCut, "", err)
		done(err)
	}()
	if r == nil {
		r = b.opts.Retention
	}
	if err := r.check("Retention"); err != nil {
		return Cut{}, err
	}
	var q StreamQuery
	if r[Event] == (Policy{}) { // there may be millions that have none
		q.Prefix = SystemPrefix
	}
	p := planner{b: b, retention: r, now: b.now()}
	err = b.streams(ctx, q, func(s StreamInfo, _ error) bool {
		var floor Version
		if floor, p.err = p.floor(ctx, s); floor > s.Head.Floor {
			cut.Floors = append(cut.Floors, StreamFloor{Stream: s.Name, Floor: floor})
		}
		return p.err == nil
	})
	if err == nil {
		err = p.err
	}
	if err != nil {
		return Cut{}, err
	}
	return cut, nil
}

// planner makes floors of policies.
type planner struct {
	b         *Backend
	retention Retention
	now       time.Time
	err       error
}

// floor returns the floor that the stream should have; what it has if nothing should go.
func (p *planner) floor(ctx context.Context, s StreamInfo) (Version, error) {
	h, bounds := s.Head, p.retention[KindOf(s.Name)]
	if h.Unreadable() || !bounds.mayCut(h) {
		return h.Floor, nil
	}
	most := h.Version + 1
	if KindOf(s.Name) == Event {
		newest, err := p.b.first(ctx, Query{Stream: s.Name, Reverse: true, Kinds: KindSet(Snapshot)})
		if err != nil {
			return 0, err
		}
		most = mostFloor(s.Name, h, newest.Version)
	}
	if most <= h.Floor {
		return h.Floor, nil
	}
	floor, err := p.within(ctx, s, bounds, most)
	if err == nil {
		floor, err = p.b.reach(ctx, StreamFloor{Stream: s.Name, Floor: floor}, h, p.b.holds.lowest())
	}
	if errors.Is(err, ErrCompacted) { // another compaction has got further since the stream was listed
		return h.Floor, nil
	}
	return floor, err
}

// mayCut reports whether, from the head alone, anything may have to go.
func (p Policy) mayCut(h Head) bool {
	return p.MaxAge > 0 || p.MaxBytes > 0 || p.MaxRecords > 0 && uint64(h.Version-h.Floor) >= uint64(p.MaxRecords)
}

// within returns the lowest floor, at most most, above which all bounds are kept.
func (p *planner) within(ctx context.Context, s StreamInfo, bounds Policy, most Version) (floor Version, err error) {
	floor = s.Head.Floor
	if n := Version(bounds.MaxRecords); n > 0 && s.Head.Version-floor >= n {
		floor = min(s.Head.Version-n+1, most)
	}
	if bounds.MaxBytes > 0 && floor < most {
		if floor, err = p.withinBytes(ctx, s.Name, floor, most, bounds.MaxBytes); err != nil {
			return 0, err
		}
	}
	if bounds.MaxAge > 0 && floor < most { // last: what is kept begins with a young record
		return p.withinAge(ctx, s.Name, floor, most, bounds.MaxAge)
	}
	return floor, nil
}

// withinAge raises floor past the records that are too old.
func (p *planner) withinAge(ctx context.Context, stream string, floor, most Version, age time.Duration) (Version, error) {
	for _, limit := range []int{1, 0} { // mostly the oldest record says that nothing goes
		young := false
		q := Query{Stream: stream, From: uint64(floor), To: uint64(most - 1), Limit: limit}
		err := p.b.each(ctx, q, func(r *Record) bool {
			if young = p.now.Sub(r.Time) <= age; !young {
				floor = r.Version + 1
			}
			return !young
		})
		if err != nil || young || floor >= most {
			return floor, err
		}
	}
	return floor, nil
}

// withinBytes raises floor past the newest record that does not fit.
func (p *planner) withinBytes(ctx context.Context, stream string, floor, most Version, bytes int64) (Version, error) {
	var sum int64
	err := p.b.each(ctx, Query{Stream: stream, From: uint64(floor), Reverse: true}, func(r *Record) bool {
		sum += int64(r.Size())
		if sum > bytes {
			floor = min(r.Version+1, most)
		}
		return sum <= bytes
	})
	return floor, err
}
