package backend

import (
	"context"
	"fmt"
	"iter"
	"sync"
)

// A read goes page by page, so that no driver's lock or transaction is open while
// the caller's loop body runs: it may append, read, or take its time.
//
// A page costs some allocations, so that pages grow while a read goes on, up to a quarter
// of what was read: the loop may end early. A page is so many records of the driver's,
// however few of them are asked for: what is left out costs no memory.
const (
	pageRecords = 256
	pageMost    = 1024
	pageBytes   = 256 << 10
)

// Read yields the records that q asks for. A record's Payload and Meta are
// borrowed: valid until the loop goes on to the next record; [Record.Clone] keeps
// them. The read ends where the store stood when the loop began; records that are
// appended meanwhile are not in it. An error ends the loop; it comes where it
// belongs in the order, after all that could be read, also where nobody can tell
// whether what is damaged was asked for.
//
// The loop body may call anything, on this backend too, and may end the loop at
// any time. Errors: [ErrInvalid], [ErrCompacted] (q.From lies below the stream's
// floor), [ErrCorrupt], [ErrClosed], the context's error.
func (b *Backend) Read(ctx context.Context, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		ctx, done := b.observe(ctx, Call{Op: OpRead, Stream: q.Stream})
		err := b.read(ctx, q, yield)
		done(err)
		if err != nil {
			yield(Record{}, err)
		}
	}
}

// read runs the loop; the error it returns is for the caller to yield. If the
// caller ended the loop it returns nil.
func (b *Backend) read(ctx context.Context, q Query, yield func(Record, error) bool) error {
	fail := func(err error) error { return b.wrap(ctx, OpRead, q.Stream, err) }
	r, err := b.begin(ctx, q)
	if err != nil {
		return fail(err)
	}
	defer r.page.free()
	for !r.ended {
		err := b.fill(ctx, r)
		for i := range r.page.records {
			if !yield(r.page.records[i], nil) {
				return nil
			}
		}
		if err != nil {
			return fail(err)
		}
	}
	return nil
}

// reading is where a read stands.
type reading struct {
	q        Query // what is left to read, but for Limit: bounds resolved
	left     int   // records left to yield; -1: no limit
	count    int   // records that were read
	page     *page
	ended    bool
	same     int    // snapshots at the page's edge that the next page meets again
	dense    bool   // of a stream, by version: none may be missing
	next     uint64 // if dense: the version that must follow
	filtered bool   // not all that the driver yields is asked for

	// Of what the driver has yielded for this page, also if it was not asked for:
	seen  int    // how many
	last  uint64 // the place of the last
	alike int    // how many of the newest stand at that place
}

// begin validates q and fixes where the read ends.
func (b *Backend) begin(ctx context.Context, q Query) (*reading, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	snapshots := q.Kinds == KindSet(Snapshot)
	r := &reading{q: q, left: -1, filtered: q.filters()}
	if q.Limit > 0 {
		r.left = q.Limit
	}
	if q.Kinds == 0 {
		r.q.Kinds = Numbered
	}
	r.q.From = max(q.From, 1)
	last, floor, err := b.bounds(ctx, q.Stream)
	if err != nil {
		return nil, err
	}
	if q.To == 0 || q.To > last {
		r.q.To = last
	}
	if r.dense = q.Stream != "" && r.q.Kinds.Has(KindOf(q.Stream)) && !snapshots; r.dense && q.From == 0 {
		r.q.From = max(r.q.From, floor)
	}
	r.ended = r.q.From > r.q.To
	if floor > q.From && q.From > 0 && !r.ended && !snapshots {
		return nil, fmt.Errorf("%w: the stream begins at version %d, asked for %d", ErrCompacted, floor, q.From)
	}
	r.page = getPage()
	return r, nil
}

// bounds returns the last place, and the first that is left, of a stream or, without one,
// of the whole store.
func (b *Backend) bounds(ctx context.Context, stream string) (last, floor uint64, err error) {
	err = b.call(ctx, func() error {
		if stream == "" {
			p, err := b.driver.Last(ctx)
			last = uint64(p)
			return err
		}
		h, err := b.driver.Head(ctx, stream)
		last, floor = uint64(h.Version), uint64(h.Floor)
		return err
	})
	return last, floor, err
}

// call runs f with the driver held open.
func (b *Backend) call(ctx context.Context, f func() error) error {
	if err := b.gate.enter(ctx); err != nil {
		return err
	}
	defer b.gate.leave()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return f()
}

// usable returns ErrClosed, or the context's error, if a call would.
func (b *Backend) usable(ctx context.Context) error {
	return b.call(ctx, func() error { return nil })
}

// fill reads the next page. Records that it holds are good even if it fails; where
// much is left out it may be empty. Of a stream no version may be missing, whatever the
// driver yields: not in the page, nor at its end.
func (b *Backend) fill(ctx context.Context, r *reading) error {
	r.page.reset()
	r.seen, r.alike = 0, 0
	want := min(max(pageRecords, r.count/4), pageMost)
	if r.left >= 0 && !r.filtered {
		want = min(want, r.left)
	}
	skip, full := r.same, false
	r.next = r.edge()
	err := b.call(ctx, func() error {
		for rec, err := range b.source(ctx, r, want+r.same) {
			if err != nil {
				return err
			}
			if skip > 0 {
				skip--
				continue
			}
			if r.dense && uint64(rec.Version) != r.next {
				break
			}
			r.next += r.step()
			r.see(&rec)
			if !r.filtered || r.q.Selects(&rec) {
				r.page.add(&rec)
			}
			if full = r.seen == want || len(r.page.records) == r.left || len(r.page.bytes) >= pageBytes; full {
				return nil
			}
		}
		if r.dense && r.q.From <= r.next && r.next <= r.q.To {
			return b.overtaken(ctx, r)
		}
		return nil
	})
	r.count += r.seen
	if r.left >= 0 {
		r.left -= len(r.page.records)
	}
	r.ended = err != nil || !full || r.left == 0 || !r.advance()
	return err
}

// source is the driver's next records, at most limit. The driver selects by Kinds, and
// by the rest only where it can search.
func (b *Backend) source(ctx context.Context, r *reading, limit int) iter.Seq2[Record, error] {
	q := r.q
	q.Limit = limit
	if s, ok := b.driver.(Searcher); ok && r.filtered && q.Stream == "" {
		return s.Search(ctx, q)
	}
	return b.driver.Read(ctx, q.plain())
}

// see notes a record that the driver has yielded.
func (r *reading) see(rec *Record) {
	place := uint64(rec.Position)
	if r.q.Stream != "" {
		place = uint64(rec.Version)
	}
	if place != r.last {
		r.alike = 0
	}
	r.seen++
	r.alike++
	r.last = place
}

// overtaken says why the stream does not go on with the version that must follow: a
// compaction has cut it since, or it has a gap.
func (b *Backend) overtaken(ctx context.Context, r *reading) error {
	h, err := b.driver.Head(ctx, r.q.Stream)
	switch at := Version(r.next); {
	case err != nil:
		return err
	case h.Floor > at:
		return fmt.Errorf("%w: the stream begins at version %d, the read was at %d", ErrCompacted, h.Floor, at)
	default:
		return &CorruptError{Offset: -1, Stream: r.q.Stream, Version: at, Detail: "the version is missing"}
	}
}

// advance moves the bounds past what was seen, which is not nothing. It returns
// whether anything may be left.
func (r *reading) advance() bool {
	if r.q.Stream != "" && r.q.Kinds.Has(Snapshot) { // several may stand at one version
		again := r.alike
		if again == r.seen && r.edge() == r.last {
			again += r.same
		}
		r.same = again
		r.setEdge(r.last)
		return true
	}
	if r.q.Reverse {
		r.q.To = r.last - 1
	} else {
		r.q.From = r.last + 1
	}
	return r.q.From <= r.q.To
}

// step is what the next version of a dense read differs by.
func (r *reading) step() uint64 {
	if r.q.Reverse {
		return ^uint64(0)
	}
	return 1
}

// edge is the place at which the read goes on.
func (r *reading) edge() uint64 {
	if r.q.Reverse {
		return r.q.To
	}
	return r.q.From
}

func (r *reading) setEdge(v uint64) {
	if r.q.Reverse {
		r.q.To = v
	} else {
		r.q.From = v
	}
}

// page holds copies of records, their bytes in one piece.
type page struct {
	records []Record
	bytes   []byte
}

var pages = sync.Pool{New: func() any { return new(page) }}

func getPage() *page {
	p := pages.Get().(*page)
	p.reset()
	return p
}

func (p *page) reset() { p.records, p.bytes = p.records[:0], p.bytes[:0] }

// free gives the page back for other reads; one that grew large is dropped.
func (p *page) free() {
	if cap(p.bytes) > 4*pageBytes {
		return
	}
	clear(p.records)
	pages.Put(p)
}

// add copies rec. The bytes of records added before stay where they are: when
// p.bytes grows they live on in the old piece.
func (p *page) add(rec *Record) {
	from := len(p.bytes)
	p.bytes = append(append(p.bytes, rec.Payload...), rec.Meta...)
	mid, to := from+len(rec.Payload), len(p.bytes)
	p.records = append(p.records, *rec)
	r := &p.records[len(p.records)-1]
	r.Payload = p.bytes[from:mid:mid]
	r.Meta = nil
	if to > mid {
		r.Meta = Meta(p.bytes[mid:to:to])
	}
}

// Head returns where a stream stands; the zero Head if it never held anything.
func (b *Backend) Head(ctx context.Context, stream string) (h Head, err error) {
	ctx, done := b.observe(ctx, Call{Op: OpHead, Stream: stream})
	defer func() { done(err) }()
	if err = CheckStream(stream); err == nil {
		err = b.call(ctx, func() error { h, err = b.driver.Head(ctx, stream); return err })
	}
	return h, b.wrap(ctx, OpHead, stream, err)
}

// Last returns the newest position in the store; zero if nothing was ever stored.
func (b *Backend) Last(ctx context.Context) (p Position, err error) {
	ctx, done := b.observe(ctx, Call{Op: OpLast})
	defer func() { done(err) }()
	err = b.call(ctx, func() error { p, err = b.driver.Last(ctx); return err })
	return p, b.wrap(ctx, OpLast, "", err)
}

// Snapshot returns the stream's newest snapshot at or below version upTo; zero:
// the newest there is. The record is the caller's. [ErrNotFound] if there is none.
func (b *Backend) Snapshot(ctx context.Context, stream string, upTo Version) (found Record, err error) {
	ctx, done := b.observe(ctx, Call{Op: OpSnapshot, Stream: stream})
	defer func() { done(err) }()
	if err = CheckStream(stream); err != nil {
		return Record{}, b.wrap(ctx, OpSnapshot, stream, err)
	}
	if upTo == 0 {
		upTo = Any - 1
	}
	err = b.call(ctx, func() error {
		q := Query{Stream: stream, From: 1, To: uint64(upTo), Limit: 1, Reverse: true, Kinds: KindSet(Snapshot)}
		for rec, err := range b.driver.Read(ctx, q) {
			if err != nil {
				return err
			}
			found = rec.Clone()
			return nil
		}
		return fmt.Errorf("%w: no snapshot", ErrNotFound)
	})
	return found, b.wrap(ctx, OpSnapshot, stream, err)
}
