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
	ctx     context.Context
	window  window
	heads   window // for the headers and tables of groups that are larger than a step
	decoder codec.Decoder
	places  []place
	sg      *segment // the last that was asked for
	record  backend.Record
	left    int // records left to yield; -1: no limit
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// keepWindow is the most that a reader's window keeps between reads.
const keepWindow = 1 << 20

func (s *store) reader(ctx context.Context, limit int) *reader {
	r := readers.Get().(*reader)
	if r.s != s {
		r.window, r.heads, r.sg = window{ix: s.index, buf: r.window.buf[:0]}, window{ix: s.index, buf: r.heads.buf[:0]}, nil
		r.decoder.Seed = s.codec
	}
	r.s, r.ctx, r.left = s, ctx, -1
	if limit > 0 {
		r.left = limit
	}
	return r
}

func (r *reader) free() {
	if cap(r.window.buf) > keepWindow {
		r.window = window{ix: r.s.index}
	}
	r.ctx, r.record = nil, backend.Record{}
	readers.Put(r)
}

// errStop ends a read without an error: the loop was left, or the limit reached.
var errStop = errors.New("stop")

// Read yields what q asks for. It runs beside appends: what it reads is durable and
// never changes.
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
	case q.Stream == "":
		return r.log(q, yield)
	case q.Kinds == backend.KindSet(backend.Snapshot):
		return r.snapshots(q, yield)
	}
	return r.stream(q, yield)
}

// yield reads the record at p and hands it on if it is of a kind that is asked for.
func (r *reader) yield(q *backend.Query, p place, ahead int, yield func(backend.Record, error) bool) error {
	if err := r.load(p, ahead); err != nil {
		return err
	}
	return r.hand(q, yield)
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

// load reads the record at p into r.record, ahead bytes of its segment if they must be
// read anyway.
func (r *reader) load(p place, ahead int) error {
	r.record = backend.Record{Position: p.position}
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	if p.segment == nowhere {
		return r.s.index.lost(p.position)
	}
	sg, off := r.segment(p.segment), int64(p.off)
	b, err := r.window.bytes(sg, off, leastRead, ahead)
	if err != nil {
		return corruptRecord(sg, off, 0, &r.record, err)
	}
	n, err := codec.Length(b)
	if err == nil && n > len(b) {
		if b, err = r.window.bytes(sg, off, n, ahead); err != nil {
			return corruptRecord(sg, off, int64(n), &r.record, err)
		}
	}
	if _, err = r.decoder.Decode(b, p.position, p.base, &r.record); err == nil || errors.Is(err, backend.ErrFormat) {
		return err
	}
	return corruptRecord(sg, off, int64(n), &r.record, err)
}

// segment is index.segment without its lock, for the same one again and again.
func (r *reader) segment(ordinal uint32) *segment {
	if r.sg == nil || r.sg.ordinal != ordinal {
		r.sg = r.s.index.segment(ordinal)
	}
	return r.sg
}

// leastRead is what is read for one record when its size is not known: most are
// smaller.
const leastRead = 1 << 10

// corruptRecord is a record that failed its check, at its place.
func corruptRecord(sg *segment, off, n int64, r *backend.Record, err error) error {
	var ce *backend.CorruptError
	if errors.As(err, &ce) { // could not be read at all
		ce.Position = r.Position
		return ce
	}
	return &backend.CorruptError{File: sg.name, Offset: off, Length: n, Stream: r.Stream, Version: r.Version, Position: r.Position, Detail: err.Error()}
}

// log reads the whole store, in position order.
func (r *reader) log(q backend.Query, yield func(backend.Record, error) bool) error {
	if q.Reverse {
		return r.logDown(q, yield)
	}
	ix := r.s.index
	next := q.From // the least position that was not dealt with
	for i := ix.before(backend.Position(q.From)); ; i++ {
		from, to, ok := ix.interval(i)
		if !ok || uint64(from.position) > q.To {
			break
		}
		if err := r.walk(from, to); err != nil {
			return err
		}
		for _, p := range r.places {
			if uint64(p.position) < q.From {
				continue
			}
			if uint64(p.position) > q.To {
				break
			}
			if err := ix.hole(backend.Position(next), p.position); err != nil {
				return err
			}
			if err := r.yield(&q, p, readSize, yield); err != nil {
				return err
			}
			next = uint64(p.position) + 1
		}
	}
	return ix.hole(backend.Position(next), ix.upTo(q.To))
}

// logDown is log backwards.
func (r *reader) logDown(q backend.Query, yield func(backend.Record, error) bool) error {
	ix := r.s.index
	next := ix.upTo(q.To) // the greatest position that was not dealt with
	for i := ix.before(backend.Position(q.To)); i >= 0; i-- {
		from, to, ok := ix.interval(i)
		if !ok {
			break
		}
		if err := r.walk(from, to); err != nil {
			return err
		}
		for j := len(r.places) - 1; j >= 0; j-- {
			p := r.places[j]
			if uint64(p.position) > q.To {
				continue
			}
			if uint64(p.position) < q.From {
				return ix.hole(backend.Position(q.From), next)
			}
			if err := ix.hole(p.position, next); err != nil {
				return err
			}
			if err := r.yield(&q, p, leastRead, yield); err != nil {
				return err
			}
			next = p.position - 1
		}
	}
	return ix.hole(backend.Position(q.From), next)
}

// walk sets r.places to those of the records from a waypoint up to the next, or to the
// end of its groups, and brings the records into the window.
func (r *reader) walk(from, to waypoint) error {
	r.places = r.places[:0]
	sg := r.segment(from.segment)
	n := min(int(from.end-from.off), keepWindow)
	if _, err := r.window.bytes(sg, int64(from.off), n, max(n, readSize)); err != nil {
		return corruptRecord(sg, int64(from.off), 0, &backend.Record{Position: from.position}, err)
	}
	w, ahead := &r.window, readSize
	if from.nth > 0 {
		w, ahead = &r.heads, 0
	}
	nth, at := from.nth, from.off
	for off := from.group; off < from.end; {
		b, err := w.bytes(sg, int64(off), groupSize, ahead)
		if err != nil {
			return corruptRecord(sg, int64(off), 0, &backend.Record{Position: r.follows(from)}, err)
		}
		g, ok := parseGroup(b, sg, int64(off))
		if !ok || !g.known() {
			return &backend.CorruptError{File: sg.name, Offset: int64(off), Length: groupSize, Position: r.follows(from), Detail: "the group's header is not what was written"}
		}
		upTo := g.records
		if to.position > 0 && to.segment == from.segment && to.group == off {
			upTo = to.nth
		}
		if nth == 0 {
			at = off + groupSize + uint32(g.table())
		}
		if err := r.table(w, sg, &g, off, nth, upTo, at); err != nil {
			return err
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
		return corruptRecord(sg, first, 0, &backend.Record{Position: g.first}, err)
	}
	for i := nth; i < upTo && len(b) >= entry; i++ {
		p := g.first + backend.Position(i)
		if entry == sparseEntry {
			p = g.first + backend.Position(binary.LittleEndian.Uint64(b[denseEntry:]))
		}
		r.places = append(r.places, place{p, g.base, sg.ordinal, at})
		at += binary.LittleEndian.Uint32(b)
		b = b[entry:]
	}
	return nil
}

// before returns the last waypoint at or below p; 0 if all are above.
func (ix *index) before(p backend.Position) int {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return max(0, sort.Search(len(ix.marks), func(i int) bool { return ix.marks[i].position > p })-1)
}

// interval returns waypoint i, and the next; zero if there is none.
func (ix *index) interval(i int) (from, to waypoint, ok bool) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if i >= len(ix.marks) {
		return from, to, false
	}
	if i+1 < len(ix.marks) {
		to = ix.marks[i+1]
	}
	return ix.marks[i], to, true
}

func (ix *index) segment(ordinal uint32) *segment {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.segments[ordinal]
}

// hole returns the error of the oldest hole that has positions from one to another,
// both inclusive.
func (ix *index) hole(from, to backend.Position) error {
	if len(ix.holes) == 0 { // they are all found before the first read
		return nil
	}
	for i := range ix.holes {
		if h := &ix.holes[i]; h.from <= to && h.to >= from {
			lost := h.lost
			return &lost
		}
	}
	return nil
}

// lost returns the error of the hole at p.
func (ix *index) lost(p backend.Position) error {
	if err := ix.hole(p, p); err != nil {
		return err
	}
	return &backend.CorruptError{Offset: -1, Position: p, Detail: "the record is lost"}
}

// upTo is the end of a read: past the last position if all there is was asked for, so
// that a hole without a known end is met.
func (ix *index) upTo(to uint64) backend.Position {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if backend.Position(to) >= ix.last {
		return unbounded
	}
	return backend.Position(to)
}
