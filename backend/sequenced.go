package backend

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
)

// Sequenced makes a Driver of an engine that one process writes to at a time: it
// judges expected versions, epochs and retries against the streams' heads, of
// which it keeps a bounded number, numbers the records, and hides from readers
// what is not yet acknowledged. The engine only stores numbered records. When it has
// compacted it is asked for the heads of the streams that were cut, beside Append if it
// claims [Capabilities.CompactBeside]: their Floor must be right then.
func Sequenced(log LogDriver) Driver {
	return &sequencer{Store: log, log: log, heads: newHeadCache(headsKept)}
}

// headsKept bounds the heads kept in memory; others are asked of the engine.
const headsKept = 1 << 16

type sequencer struct {
	Store // Scan, Info and Close go straight to the engine
	log   LogDriver
	heads *headCache

	// acked is the newest position that readers may see, plus one; zero until the
	// engine was asked.
	acked atomic.Uint64

	// The rest belongs to Append, of which one runs at a time.
	last    Position     // the position given to the last of records
	records []Record     // what the group stores
	entries []*headEntry // for each batch, its stream's; nil: the engine could not tell
	results []Result
	resting []bool // for each result: it rests on what the group stores
}

// Append judges the group, stores what passes, and publishes it. All verdicts
// leave together, after the sync: a conflict with a batch of the same group says
// nothing that is not durable.
func (s *sequencer) Append(ctx context.Context, group []Batch) ([]Result, error) {
	last, err := s.Last(ctx)
	if err != nil {
		return nil, err
	}
	s.last = last
	s.records, s.results, s.resting = s.records[:0], s.results[:0], s.resting[:0]
	s.entries = s.heads.pin(group, s.entries[:0])
	for i := range group {
		r := s.judge(ctx, i, &group[i])
		s.results = append(s.results, r)
		s.resting = append(s.resting, !r.decided() || s.entries[i] != nil && s.entries[i].stores)
	}
	if len(s.records) > 0 {
		err = s.log.Append(ctx, s.records)
		s.records = emptied(s.records)
	}
	if errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrPoisoned) { // the heads are not known any more
		err = fmt.Errorf("%w: %w", ErrPoisoned, err)
	}
	if err == nil {
		s.acked.Store(uint64(s.last) + 1)
	}
	s.heads.settle(s.entries, err == nil)
	for i := range s.results {
		if err != nil && s.resting[i] {
			s.results[i] = Result{}
		}
	}
	return s.results, err
}

// judge decides on batch i; if it passes, its records are numbered and added.
func (s *sequencer) judge(ctx context.Context, i int, b *Batch) Result {
	e := s.entries[i]
	if e == nil {
		var err error
		if e, err = s.ask(ctx, b.Stream); err != nil {
			return Result{Err: err}
		}
		s.entries[i] = e
	}
	h := e.next
	if b.Restore {
		return s.restore(e, b)
	}
	if !b.ID.IsZero() && h.Version > b.Expected {
		if res, done := s.repeated(ctx, e, b); done {
			return res
		}
	}
	if b.Epoch < h.Epoch {
		return Result{Err: &FencedError{b.Stream, b.Epoch, h.Epoch}}
	}
	if r := &b.Records[0]; r.Kind == Snapshot && r.Version > h.Version {
		return Result{Err: &ConflictError{b.Stream, r.Version, h.Version}}
	}
	if b.Expected != Any && b.Expected != h.Version {
		return Result{Err: &ConflictError{b.Stream, b.Expected, h.Version}}
	}
	return s.number(e, b)
}

// number adds the records of a batch that passes.
func (s *sequencer) number(e *headEntry, b *Batch) Result {
	from := len(s.records)
	s.records = append(s.records, b.Records...)
	added := s.records[from:]
	for i := range added {
		r := &added[i]
		r.Stream, r.Epoch = b.Stream, b.Epoch
		r.Batch = BatchRef{Place: uint32(i)}
		if r.Kind != Snapshot {
			r.Version = e.next.Version + 1
		}
		s.last++
		r.Position = s.last
		e.next = e.next.After(r)
	}
	added[0].Batch.ID = b.ID
	e.stores = true
	return Result{Version: added[len(added)-1].Version, Position: s.last}
}

// restore judges a batch whose records bring their numbers.
func (s *sequencer) restore(e *headEntry, b *Batch) Result {
	h, last, n := e.next, s.last, len(s.records)
	for i := range b.Records {
		r := b.Records[i]
		r.Stream = b.Stream
		fits := r.Version == h.Version+1 || h.Unreadable() && r.Version > h.Version
		if r.Kind == Snapshot {
			fits = r.Version <= h.Version || h.Unreadable()
		}
		if !fits || r.Position <= s.last {
			s.last, s.records = last, s.records[:n]
			return Result{Err: fmt.Errorf("%w: restored %v record %d at position %d does not fit: the stream is at version %d, the store at position %d",
				ErrConflict, r.Kind, r.Version, r.Position, h.Version, last)}
		}
		s.last = r.Position
		h = h.After(&r)
		s.records = append(s.records, r)
	}
	e.next, e.stores = h, true
	return Result{Version: s.records[len(s.records)-1].Version, Position: s.last}
}

// repeated looks whether b is already there: in the group, or stored.
func (s *sequencer) repeated(ctx context.Context, e *headEntry, b *Batch) (Result, bool) {
	first, end := b.Expected+1, b.Expected+Version(len(b.Records))
	gone := func() (Result, bool) {
		return Result{Err: fmt.Errorf("%w: stream %q: what followed version %d was cut away: whether it was batch %v can't be told", ErrCompacted, b.Stream, b.Expected, b.ID)}, true
	}
	if first < e.next.Floor {
		return gone()
	}
	res := Result{Version: end, Repeated: true}
	n := 0 // records of the stored batch, as far as they are b's
	match := func(r *Record) (more bool) {
		if n == 0 && r.Batch.ID != b.ID || int(r.Batch.Place) != n {
			return false
		}
		if n++; n == len(b.Records) {
			res.Position = r.Position
		}
		return n <= len(b.Records)
	}
	if first > e.head.Version {
		for i := range s.records {
			if r := &s.records[i]; r.Stream == b.Stream && r.Kind != Snapshot && r.Version >= first && !match(r) {
				break
			}
		}
	} else {
		began := false
		q := Query{Stream: b.Stream, From: uint64(first), To: uint64(end + 1), Kinds: Numbered}
		for r, err := range s.log.Read(ctx, q) {
			if err != nil {
				return Result{Err: err}, true
			}
			if !began && r.Version != first { // a cut came between
				return gone()
			}
			began = true
			if !match(&r) {
				break
			}
		}
		if !began {
			return gone()
		}
	}
	return res, n == len(b.Records)
}

// ask returns the stream's entry in the head cache, asking the engine if need be.
func (s *sequencer) ask(ctx context.Context, stream string) (*headEntry, error) {
	for {
		e, cuts := s.heads.asked(stream)
		if e != nil {
			return e, nil
		}
		h, err := s.log.Head(ctx, stream)
		if err != nil {
			return nil, err
		}
		if e = s.heads.put(stream, h, cuts); e != nil {
			return e, nil
		}
	}
}

// Compact has the engine compact, and shows what that has left, also if it failed half
// way.
func (s *sequencer) Compact(ctx context.Context, cut Cut) (CompactionStats, error) {
	s.heads.beginCut(cut.Floors)
	defer s.heads.endCut()
	stats, err := s.log.Compact(ctx, cut)
	s.heads.cut()
	for i := range cut.Floors {
		stream := cut.Floors[i].Stream
		if _, known := s.heads.acked(stream); !known {
			continue
		}
		h, headErr := s.log.Head(context.WithoutCancel(ctx), stream)
		s.heads.raise(stream, h, headErr)
	}
	return stats, err
}

// Recover has the engine recover, and forgets what was known: a quarantine may change
// it. Nothing runs beside it.
func (s *sequencer) Recover(ctx context.Context, plan RecoveryPlan) (RecoveryStats, error) {
	stats, err := s.log.Recover(ctx, plan)
	s.heads = newHeadCache(headsKept)
	s.acked.Store(0)
	return stats, err
}

// Head returns the acknowledged head.
func (s *sequencer) Head(ctx context.Context, stream string) (Head, error) {
	if h, ok := s.heads.acked(stream); ok {
		if s.heads.isCut(stream) {
			now, err := s.log.Head(ctx, stream)
			if err != nil {
				return h, err
			}
			h.Floor = max(h.Floor, now.Floor)
		}
		return h, nil
	}
	h, err := s.log.Head(ctx, stream)
	if acked, ok := s.heads.acked(stream); ok { // a group in flight may have touched it since
		return acked, nil
	}
	return h, err
}

// Last returns the newest acknowledged position.
func (s *sequencer) Last(ctx context.Context) (Position, error) {
	if p := s.acked.Load(); p > 0 {
		return Position(p - 1), nil
	}
	p, err := s.log.Last(ctx)
	if err != nil {
		return 0, err
	}
	s.acked.CompareAndSwap(0, uint64(p)+1)
	return Position(s.acked.Load() - 1), nil
}

// Read leaves out what is not acknowledged: it ends before it. A stream's snapshots, which
// stand in an order of their own, are looked at one by one, and so are the records of a
// stream of which the engine would have to be asked where it stands.
func (s *sequencer) Read(ctx context.Context, q Query) iter.Seq2[Record, error] {
	if q.Stream != "" && q.Kinds.Has(Snapshot) {
		return s.snapshots(ctx, q)
	}
	return func(yield func(Record, error) bool) {
		if _, known := s.heads.acked(q.Stream); q.Stream != "" && !known && !q.Reverse {
			s.upToAcked(ctx, q, yield)
			return
		}
		last, err := s.end(ctx, q.Stream)
		if err != nil {
			yield(Record{}, err)
			return
		}
		q := q
		if q.To = min(q.To, last); q.From <= q.To {
			s.log.Read(ctx, q)(yield)
		}
	}
}

// upToAcked yields what stands before the first record that is not acknowledged.
func (s *sequencer) upToAcked(ctx context.Context, q Query, yield func(Record, error) bool) {
	last, err := s.Last(ctx)
	if err != nil {
		yield(Record{}, err)
		return
	}
	for r, err := range s.log.Read(ctx, q) {
		if err == nil && r.Position > last || !yield(r, err) {
			return
		}
	}
}

// end is the last that is acknowledged: of a stream, or of the store.
func (s *sequencer) end(ctx context.Context, stream string) (uint64, error) {
	if stream == "" {
		p, err := s.Last(ctx)
		return uint64(p), err
	}
	h, err := s.Head(ctx, stream)
	return uint64(h.Version), err
}

// snapshots yields those of a stream that are acknowledged. The limit is counted here:
// the engine would count hidden ones.
func (s *sequencer) snapshots(ctx context.Context, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		last, err := s.Last(ctx)
		if err != nil {
			yield(Record{}, err)
			return
		}
		q := q
		left := q.Limit
		q.Limit = 0
		for r, err := range s.log.Read(ctx, q) {
			if err == nil && r.Position > last {
				continue
			}
			if !yield(r, err) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// Streams shows acknowledged heads.
func (s *sequencer) Streams(ctx context.Context, q StreamQuery) iter.Seq2[StreamInfo, error] {
	return func(yield func(StreamInfo, error) bool) {
		for {
			listed, hidden := 0, 0
			for info, err := range s.log.Streams(ctx, q) {
				if err == nil {
					listed++
					q.After = info.Name
					if h, ok := s.heads.acked(info.Name); ok {
						info.Head = h
					}
					if info.Head == (Head{}) {
						hidden++
						continue
					}
				}
				if !yield(info, err) {
					return
				}
			}
			if hidden == 0 || listed < q.Limit { // the engine counted the hidden ones
				return
			}
			q.Limit = hidden
		}
	}
}
