package file

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"sort"
	"sync"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// reader reads records. It is kept between reads: the next page of a read finds its
// bytes in the window, and the strings in the decoder.
type reader struct {
	s       *store
	v       *view // pinned while something is read
	ctx     context.Context
	window  window
	heads   window // for the headers and tables of groups that are larger than a step
	decoder codec.Decoder
	places  []place
	spots   []spot
	list    []piece
	record  backend.Record
	left    int    // records left to yield; -1: no limit
	looked  uint32 // how often ended was asked
	fetched byte   // see fetch
	of      string // the stream that behind is of; empty: none
	behind  standing
	above   map[string]standing // nil: nothing that is stored lies below a floor; see cutaway.go
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// keepWindow is the most that a reader's window keeps between reads.
const keepWindow = 1 << 20

func (s *store) reader(ctx context.Context, limit int) *reader {
	r := readers.Get().(*reader)
	if r.s != s {
		r.window, r.heads = window{mu: &s.mu, buf: r.window.buf[:0]}, window{mu: &s.mu, buf: r.heads.buf[:0]}
		r.decoder.Seed = s.codec
	}
	r.s, r.v, r.ctx, r.left, r.of = s, s.pin(), ctx, -1, ""
	if limit > 0 {
		r.left = limit
	}
	return r
}

func (r *reader) free() {
	r.s.unpin(r.v)
	if cap(r.window.buf) > keepWindow {
		r.window = window{mu: &r.s.mu}
	}
	clear(r.list)
	r.v, r.ctx, r.record, r.above = nil, nil, backend.Record{}, nil
	readers.Put(r)
}

// errStop ends a read without an error: the loop was left, or the limit reached.
var errStop = errors.New("stop")

// Read yields what q asks for. It runs beside appends and packing: what it reads is
// durable and never changes, and what it has pinned does not go away.
func (s *store) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		r := s.reader(ctx, q.Limit)
		defer r.free()
		err := r.read(q, yield)
		if err != nil && err != errStop {
			yield(backend.Record{}, err)
		}
	}
}

func (r *reader) read(q backend.Query, yield func(backend.Record, error) bool) error {
	switch {
	case q.From > q.To:
		return nil
	case q.Stream == "" && q.Reverse:
		r.mindCuts()
		return r.logDown(q, yield)
	case q.Stream == "":
		r.mindCuts()
		return r.log(q, yield)
	case q.Kinds == backend.KindSet(backend.Snapshot):
		return r.snapshots(q, yield)
	}
	return r.stream(q, yield)
}

// hand hands on the record that was read if it is of a kind that is asked for.
func (r *reader) hand(q *backend.Query, yield func(backend.Record, error) bool) error {
	if !q.Kinds.Has(r.record.Kind) {
		return nil
	}
	if r.left > 0 {
		r.left--
	}
	if !yield(r.record, nil) || r.left == 0 {
		return errStop
	}
	return nil
}

// ended returns the context's error, if it has ended. It does not look each time.
func (r *reader) ended() error {
	if r.looked++; r.looked%64 != 0 || r.ctx.Err() == nil {
		return nil
	}
	return context.Cause(r.ctx)
}

// load reads the record at p of a segment into r.record, ahead bytes if they must be
// read anyway.
func (r *reader) load(sg *segment, p place, ahead int) error {
	if err := r.ended(); err != nil {
		return err
	}
	if p.off == nowhere {
		r.record = backend.Record{Position: p.position}
		return r.v.holes.at(p.position)
	}
	off := int64(p.off)
	b, err := r.window.bytes(sg, off, leastRead, ahead)
	if err != nil {
		r.record = backend.Record{Position: p.position}
		return corruptRecord(sg.name, off, 0, &r.record, err)
	}
	n, err := codec.Length(b)
	if err == nil && n > len(b) {
		if b, err = r.window.bytes(sg, off, n, ahead); err != nil {
			r.record = backend.Record{Position: p.position}
			return corruptRecord(sg.name, off, int64(n), &r.record, err)
		}
	}
	if _, err = r.decoder.Decode(b, p.position, p.base, &r.record); err == nil || errors.Is(err, backend.ErrFormat) {
		return err
	}
	if b := sg.mended[off]; b != nil {
		if _, err := r.decoder.Decode(b, p.position, p.base, &r.record); err == nil {
			return nil
		}
	}
	return corruptRecord(sg.name, off, int64(n), &r.record, err)
}

// leastRead is what is read for one record when its size is not known: most are
// smaller.
const leastRead = 1 << 10

// corruptRecord is a record that failed its check, at its place.
func corruptRecord(file string, off, n int64, r *backend.Record, err error) error {
	var ce *backend.CorruptError
	if errors.As(err, &ce) { // could not be read at all
		if ce.Position == 0 {
			ce.Position = r.Position
		}
		return ce
	}
	if errors.Is(err, backend.ErrFormat) {
		return err
	}
	return &backend.CorruptError{File: file, Offset: off, Length: n, Stream: r.Stream, Version: r.Version, Position: r.Position, Detail: err.Error()}
}

// log reads the whole store, in position order: the spans, then the log behind them.
func (r *reader) log(q backend.Query, yield func(backend.Record, error) bool) error {
	next := q.From // the least position that was not dealt with
	for i, sp := range r.v.spans {
		if uint64(sp.to) < q.From || sp.records == 0 {
			continue
		}
		if uint64(sp.from) > q.To {
			break
		}
		if err := r.logSpan(i, &q, &next, yield); err != nil {
			return err
		}
	}
	for _, sg := range r.v.segments {
		if err := r.logSegment(sg, &q, &next, yield); err != nil {
			return err
		}
	}
	return r.v.holes.between(backend.Position(next), r.upTo(q.To))
}

// logSegment reads a segment, in position order.
func (r *reader) logSegment(sg *segment, q *backend.Query, next *uint64, yield func(backend.Record, error) bool) error {
	for i := r.before(sg, backend.Position(q.From)); ; i++ {
		from, to, ok := r.interval(sg, i)
		if !ok || uint64(from.position) > q.To {
			return nil
		}
		if err := r.walk(sg, from, to); err != nil {
			return err
		}
		for _, p := range r.places {
			if uint64(p.position) < q.From {
				continue
			}
			if uint64(p.position) > q.To {
				break
			}
			if err := r.v.holes.between(backend.Position(*next), p.position); err != nil {
				return err
			}
			if err := r.load(sg, p, readSize); err != nil {
				return err
			}
			if err := r.handAbove(q, yield); err != nil {
				return err
			}
			*next = uint64(p.position) + 1
		}
	}
}

// logDown is log backwards.
func (r *reader) logDown(q backend.Query, yield func(backend.Record, error) bool) error {
	next := r.upTo(q.To) // the greatest position that was not dealt with
	for i := len(r.v.segments) - 1; i >= 0; i-- {
		if err := r.logSegmentDown(r.v.segments[i], &q, &next, yield); err != nil {
			return err
		}
	}
	for i := len(r.v.spans) - 1; i >= 0; i-- {
		sp := r.v.spans[i]
		if uint64(sp.from) > q.To || sp.records == 0 {
			continue
		}
		if uint64(sp.to) < q.From {
			break
		}
		if err := r.logSpanDown(i, &q, &next, yield); err != nil {
			return err
		}
	}
	return r.v.holes.between(backend.Position(q.From), next)
}

func (r *reader) logSegmentDown(sg *segment, q *backend.Query, next *backend.Position, yield func(backend.Record, error) bool) error {
	for i := r.before(sg, backend.Position(q.To)); i >= 0; i-- {
		from, to, ok := r.interval(sg, i)
		if !ok {
			return nil
		}
		if err := r.walk(sg, from, to); err != nil {
			return err
		}
		for j := len(r.places) - 1; j >= 0; j-- {
			p := r.places[j]
			if uint64(p.position) > q.To {
				continue
			}
			if uint64(p.position) < q.From {
				return nil
			}
			if err := r.v.holes.between(p.position, *next); err != nil {
				return err
			}
			if err := r.load(sg, p, leastRead); err != nil {
				return err
			}
			if err := r.handAbove(q, yield); err != nil {
				return err
			}
			*next = p.position - 1
		}
	}
	return nil
}

// walk sets r.places to those of the records from a waypoint up to the next, or to the
// end of its groups, and brings the records into the window.
func (r *reader) walk(sg *segment, from, to waypoint) error {
	r.places = r.places[:0]
	n := min(int(from.end-from.off), keepWindow)
	if _, err := r.window.bytes(sg, int64(from.off), n, max(n, readSize)); err != nil {
		return corruptRecord(sg.name, int64(from.off), 0, &backend.Record{Position: from.position}, err)
	}
	w, ahead := &r.window, readSize
	if from.nth > 0 {
		w, ahead = &r.heads, 0
	}
	nth, at := from.nth, from.off
	for off := from.group; off < from.end; {
		b, err := w.bytes(sg, int64(off), groupSize, ahead)
		if err != nil {
			return corruptRecord(sg.name, int64(off), 0, &backend.Record{Position: r.follows(from)}, err)
		}
		if header := sg.mended[int64(off)]; header != nil {
			b = header
		}
		g, ok := parseGroup(b, sg, int64(off))
		if !ok || !g.known() {
			return &backend.CorruptError{File: sg.name, Offset: int64(off), Length: groupSize, Position: r.follows(from), Detail: "the group's header is not what was written"}
		}
		upTo := g.records
		if to.position > 0 && to.group == off {
			upTo = to.nth
		}
		if nth == 0 {
			at = off + groupSize + uint32(g.table())
		}
		if g.kind == kindRecords {
			if err := r.table(w, sg, &g, off, nth, upTo, at); err != nil {
				return err
			}
		}
		off, nth = off+g.length, 0
	}
	return nil
}

// follows is the position after those walked.
func (r *reader) follows(from waypoint) backend.Position {
	if n := len(r.places); n > 0 {
		return r.places[n-1].position + 1
	}
	return from.position
}

// table adds the places of a group's records from nth up to upTo; the first is at at.
func (r *reader) table(w *window, sg *segment, g *group, off, nth, upTo, at uint32) error {
	entry := g.entry()
	first := int64(off) + groupSize + int64(nth)*int64(entry)
	b, err := w.bytes(sg, first, int(upTo-nth)*entry, 0)
	if err != nil {
		return corruptRecord(sg.name, first, 0, &backend.Record{Position: g.first}, err)
	}
	if table := sg.mended[int64(off)+groupSize]; table != nil {
		b = table[int(nth)*entry:]
	}
	for i := nth; i < upTo && len(b) >= entry; i++ {
		p := g.first + backend.Position(i)
		if entry == sparseEntry {
			p = g.first + backend.Position(binary.LittleEndian.Uint64(b[denseEntry:]))
		}
		r.places = append(r.places, place{p, g.base, at})
		at += binary.LittleEndian.Uint32(b)
		b = b[entry:]
	}
	return nil
}

// before returns the last waypoint of a segment at or below p; 0 if all are above.
func (r *reader) before(sg *segment, p backend.Position) int {
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	marks := sg.table.marks
	return max(0, sort.Search(len(marks), func(i int) bool { return marks[i].position > p })-1)
}

// interval returns waypoint i of a segment, and the next; zero if there is none.
func (r *reader) interval(sg *segment, i int) (from, to waypoint, ok bool) {
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	marks := sg.table.marks
	if i >= len(marks) {
		return from, to, false
	}
	if i+1 < len(marks) {
		to = marks[i+1]
	}
	return marks[i], to, true
}

// upTo is the end of a read: past the last position if all there is was asked for, so
// that a hole without a known end is met.
func (r *reader) upTo(to uint64) backend.Position {
	if backend.Position(to) >= r.s.end().last {
		return unbounded
	}
	return backend.Position(to)
}
