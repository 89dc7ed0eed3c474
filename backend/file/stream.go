package file

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// piece is where some records of a stream are: in a segment of the log, or in a span.
type piece struct {
	sg    *segment
	st    *stream
	sp    *span
	entry entry
}

// versions returns the first and the last version that the piece has, or has lost.
func (p *piece) versions() (first, last backend.Version) {
	if p.st != nil {
		return p.st.first, p.st.version
	}
	if p.entry.dense() {
		return p.entry.first, p.entry.Version
	}
	return p.entry.first, max(p.entry.first, p.entry.Version)
}

// pieces returns where the numbered records of a stream are from a version on, the oldest
// first: those of the log, and if they do not reach back, of spans, of which each names
// the one before it. The list is the reader's own.
func (r *reader) pieces(name string, from backend.Version) (list []piece, err error) {
	least := backend.Any
	list = r.list[:0]
	defer func() { r.list = list }()
	for i := len(r.v.segments) - 1; i >= 0 && from < least; i-- {
		sg := r.v.segments[i]
		if st := r.s.stream(sg, name); st != nil && st.holdsVersions() {
			list, least = append(list, piece{sg: sg, st: st}), st.first
		}
	}
	if from < least && len(r.v.spans) > 0 {
		h := r.behind
		if r.of != name {
			if h, err = r.v.standing(name); err != nil {
				return nil, err
			}
		}
		for id := h.records; id > 0 && from < least; {
			sp, e, err := r.v.holding(id, name)
			if err != nil {
				return nil, err
			}
			if sp == nil {
				break
			}
			if e.count > 0 {
				list, least = append(list, piece{sp: sp, entry: e}), e.first
			}
			id = e.records
		}
	}
	slices.Reverse(list)
	return list, nil
}

// stream reads the numbered records of a stream, in version order.
func (r *reader) stream(q backend.Query, yield func(backend.Record, error) bool) error {
	from, to := backend.Version(q.From), backend.Version(q.To)
	h, last, err := r.reach(q.Stream, from)
	if err != nil {
		return err
	}
	from, to = max(from, h.Floor), min(to, h.Version)
	if hole := r.s.unsureBegin(r.v, q.Stream, &h); hole != nil && from > backend.Version(q.From) {
		return doubtful(q.Stream, hole)
	}
	var doubt error
	if backend.Version(q.To) >= h.Version {
		if hole := r.v.holes.above(last); hole != nil {
			doubt = doubtful(q.Stream, hole)
		}
	}
	if h.Version == 0 || q.Reverse && doubt != nil {
		return doubt
	}
	if err := r.versions(&q, from, to, yield); err != nil {
		return err
	}
	return doubt
}

// reach returns where a stream stands. If the log alone tells all that reading from a
// version needs, the spans are not asked.
func (r *reader) reach(name string, from backend.Version) (h standing, last backend.Position, err error) {
	for i := len(r.v.segments) - 1; i >= 0; i-- {
		sg := r.v.segments[i]
		if st := r.s.stream(sg, name); st != nil {
			if st.holdsVersions() && st.first <= from {
				return standing{}.after(st, sg.id), st.last, nil
			}
			break
		}
	}
	return r.standing(name)
}

// standing is store.standing, and keeps what the spans say of it.
func (r *reader) standing(name string) (h standing, last backend.Position, err error) {
	if h, err = r.v.standing(name); err != nil {
		return h, 0, err
	}
	if r.of, r.behind = name, h; h != (standing{}) {
		last = r.v.packed()
	}
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	for _, sg := range r.v.segments {
		if st := sg.table.streams[name]; st != nil {
			h = h.after(st, sg.id)
			last = max(last, st.last)
		}
	}
	return h, last, nil
}

// unsureBegin returns a hole that may hold records below a stream's first known one.
func (s *store) unsureBegin(v *view, name string, h *standing) *hole {
	if len(v.holes) == 0 || h.Floor <= 1 {
		return nil
	}
	for _, sg := range v.segments {
		if st := s.stream(sg, name); st != nil && st.floor == 0 && len(st.numbered) > 0 && st.first == h.Floor {
			return v.holes.below(st.numbered[0].position)
		}
	}
	return nil
}

// versions reads from and to, both inclusive, and stops at a gap.
func (r *reader) versions(q *backend.Query, from, to backend.Version, yield func(backend.Record, error) bool) error {
	if from > to {
		return nil
	}
	if q.Reverse && r.left > 0 && q.Kinds&backend.Numbered == backend.Numbered && to-from >= backend.Version(r.left) {
		from = to - backend.Version(r.left) + 1 // no others are looked at
	}
	list, err := r.pieces(q.Stream, from)
	if err != nil {
		return err
	}
	if q.Reverse {
		return r.versionsDown(q, list, from, to, yield)
	}
	next := from
	for i := range list {
		p := &list[i]
		first, last := p.versions()
		if last < next || first > to {
			continue
		}
		if first > next {
			return r.lostVersion(q.Stream, next)
		}
		read := r.segmentVersions
		if p.sp != nil {
			read = r.spanVersions
		}
		if next, err = read(q, p, next, min(to, last), yield); err != nil {
			return err
		}
	}
	if next <= to {
		return r.lostVersion(q.Stream, next)
	}
	return nil
}

// lostVersion is the error for a version that is nowhere.
func (r *reader) lostVersion(stream string, v backend.Version) error {
	lost := r.v.holes.blame(stream, v, unbounded)
	lost.Stream, lost.Version = stream, v
	return &lost
}

// segmentVersions reads versions out of a segment, and returns the next.
func (r *reader) segmentVersions(q *backend.Query, p *piece, from, to backend.Version, yield func(backend.Record, error) bool) (backend.Version, error) {
	j, _ := p.st.find(to)
	for v := from; v <= to; v++ {
		i, in := p.st.find(v)
		if in != nil || i >= len(p.st.numbered) {
			return v, p.st.lostAt(v, in)
		}
		if err := r.version(q, p, v, r.near(p.sg, p.st.numbered, i, j), yield); err != nil {
			return v, err
		}
	}
	return to + 1, nil
}

// version reads one version out of a segment.
func (r *reader) version(q *backend.Query, p *piece, v backend.Version, ahead int, yield func(backend.Record, error) bool) error {
	i, in := p.st.find(v)
	if in != nil || i >= len(p.st.numbered) {
		return p.st.lostAt(v, in)
	}
	at := p.st.numbered[i]
	if err := r.load(p.sg, at, ahead); err != nil {
		return blame(err, q.Stream, v)
	}
	if r.record.Stream != q.Stream || r.record.Version != v {
		return swapped(p.sg.name, int64(at.off), q.Stream, v, at.position)
	}
	return r.hand(q, yield)
}

// swapped is the error for a version in whose place another record stands. That one is
// not handed out: whoever asked may have no business with it.
func swapped(file string, off int64, stream string, v backend.Version, p backend.Position) error {
	return &backend.CorruptError{File: file, Offset: off, Stream: stream, Version: v, Position: p, Detail: "another record stands in its place"}
}

// lostAt is the error for a version in a gap.
func (st *stream) lostAt(v backend.Version, in *gap) error {
	lost := backend.CorruptError{Offset: -1, Detail: "the record is lost"}
	if in != nil {
		lost = in.lost
	}
	lost.Stream, lost.Version = st.name, v
	return &lost
}

// blame fills in which record of a stream could not be read, where the error does not
// say it.
func blame(err error, stream string, v backend.Version) error {
	if ce, ok := err.(*backend.CorruptError); ok && ce.Stream == "" {
		ce.Stream, ce.Version = stream, v
	}
	return err
}

// spanVersions reads versions out of a span, and returns the next.
func (r *reader) spanVersions(q *backend.Query, p *piece, from, to backend.Version, yield func(backend.Record, error) bool) (backend.Version, error) {
	sp, e := p.sp, &p.entry
	if !e.dense() {
		return r.sparseVersions(q, p, from, to, yield)
	}
	off, at := sp.skipTo(e, from)
	end, next := e.off+e.size, from
	var b []byte // what is in the window, from off on
	for ; at <= to; at++ {
		if err := r.ended(); err != nil {
			return next, err
		}
		n, err := r.next(sp, b, at < from)
		if errors.Is(err, codec.ErrShort) && int64(len(b)) < end-off {
			if b, err = sp.ahead(&r.window, off, end); err == nil {
				n, err = r.next(sp, b, at < from)
			}
		}
		// A length that is not right, or a record that is not: look at each.
		if err != nil || at >= from && (r.record.Stream != q.Stream || r.record.Version != at) {
			return r.sparseVersions(q, p, next, to, yield)
		}
		if at >= from {
			if err := r.hand(q, yield); err != nil {
				return next, err
			}
			next = at + 1
		}
		off, b = off+int64(n), b[n:]
	}
	return next, nil
}

// next reads the record of the frame at the beginning of b into r.record, unless it is to be
// stepped over, and returns how long the frame is.
func (r *reader) next(sp *span, b []byte, over bool) (n int, err error) {
	rel, head := binary.Uvarint(b)
	switch {
	case head == 0:
		return 0, codec.ErrShort
	case head < 0 || rel > uint64(sp.to-sp.from):
		return 0, errPosition
	case !over:
		n, err = r.decoder.Decode(b[head:], sp.from+backend.Position(rel), sp.base, &r.record)
	default:
		if n, err = codec.Length(b[head:]); err == nil && n > len(b)-head {
			err = codec.ErrShort
		}
	}
	return head + n, err
}

// sparseVersions is spanVersions for a stream of which something is missing in the span.
func (r *reader) sparseVersions(q *backend.Query, p *piece, from, to backend.Version, yield func(backend.Record, error) bool) (backend.Version, error) {
	found, lost, err := r.surveyStream(q.Stream, p)
	if err != nil {
		return from, blame(err, q.Stream, from)
	}
	next := from
	for _, at := range found {
		if at.version < next || at.version > to {
			continue
		}
		if at.version > next {
			break
		}
		if err := r.loadSpot(p.sp, &at, readSize); err != nil {
			return next, blame(err, q.Stream, next)
		}
		if err := r.hand(q, yield); err != nil {
			return next, err
		}
		next++
	}
	if next <= to {
		return next, r.lostInSpan(q.Stream, next, lost)
	}
	return next, nil
}

// surveyStream looks at each record of a stream in a span, and returns the numbered ones,
// and what can't be read.
func (r *reader) surveyStream(name string, p *piece) (found []spot, lost []lostRecord, err error) {
	e := &p.entry
	lost, err = p.sp.surveyPart(r.ctx, r.s.codec, &r.window, e.off, e.off+e.size, name, func(at frame, rec *backend.Record) {
		if rec.Kind != backend.Snapshot && rec.Stream == name {
			found = append(found, spot{version: rec.Version, off: at.off, place: place{position: rec.Position}})
		}
	})
	found, lost = r.mendLost(p.sp, name, found, lost)
	slices.SortStableFunc(found, func(a, b spot) int { return int(int64(a.version) - int64(b.version)) })
	return found, lost, err
}

// lostInSpan is the error for a version that is not in a span where it should be.
func (r *reader) lostInSpan(stream string, v backend.Version, lost []lostRecord) error {
	for i := range lost {
		if l := &lost[i]; l.version == v || l.version == 0 {
			err := l.err()
			return blame(err, stream, v)
		}
	}
	return r.lostVersion(stream, v)
}

// versionsDown is versions backwards.
func (r *reader) versionsDown(q *backend.Query, list []piece, from, to backend.Version, yield func(backend.Record, error) bool) (err error) {
	next := to
	for i := len(list) - 1; i >= 0 && next >= from; i-- {
		p := &list[i]
		first, last := p.versions()
		if first > next {
			continue
		}
		if last < next {
			break
		}
		least := max(from, first)
		if p.sp != nil {
			err = r.spanVersionsDown(q, p, least, next, yield)
		} else {
			err = r.segmentVersionsDown(q, p, least, next, yield)
		}
		if err != nil {
			return err
		}
		next = least - 1
	}
	if next >= from {
		return r.lostVersion(q.Stream, next)
	}
	return nil
}

func (r *reader) segmentVersionsDown(q *backend.Query, p *piece, from, to backend.Version, yield func(backend.Record, error) bool) error {
	j, _ := p.st.find(from)
	for v := to; v >= from; v-- {
		i, in := p.st.find(v)
		if in != nil || i >= len(p.st.numbered) {
			return p.st.lostAt(v, in)
		}
		if err := r.version(q, p, v, r.near(p.sg, p.st.numbered, i, j), yield); err != nil {
			return err
		}
	}
	return nil
}

// spanVersionsDown steps forwards through the records of a span to know where they are,
// and reads them backwards.
func (r *reader) spanVersionsDown(q *backend.Query, p *piece, from, to backend.Version, yield func(backend.Record, error) bool) error {
	sp := p.sp
	spots, hopped := r.hopVersions(p, from, to)
	var lost []lostRecord
	for next := to; ; {
		if !hopped {
			var err error
			if spots, lost, err = r.surveyStream(q.Stream, p); err != nil {
				return blame(err, q.Stream, next)
			}
		}
		var err error
		for i := len(spots) - 1; i >= 0 && next >= from; i-- {
			at := &spots[i]
			if at.version > next {
				continue
			}
			if at.version < next {
				break
			}
			if err := r.ended(); err != nil {
				return err
			}
			err = r.loadSpot(sp, at, leastRead)
			if err == nil && (r.record.Stream != q.Stream || r.record.Version != next) {
				err = swapped(sp.name, at.off, q.Stream, next, at.position)
			}
			if err != nil {
				break
			}
			if err := r.hand(q, yield); err != nil {
				return err
			}
			next--
		}
		switch {
		case hopped && err != nil: // a length may be wrong: look at each record
			hopped = false
		case err != nil:
			return blame(err, q.Stream, next)
		case next >= from:
			return r.lostInSpan(q.Stream, next, lost)
		default:
			return nil
		}
	}
}

// hopVersions returns where versions are in a span, if their frames can be stepped over.
func (r *reader) hopVersions(p *piece, from, to backend.Version) ([]spot, bool) {
	sp, e := p.sp, &p.entry
	if !e.dense() {
		return nil, false
	}
	off, at := sp.skipTo(e, from)
	r.spots = r.spots[:0]
	for end := e.off + e.size; at <= to; at++ {
		rel, _, n, err := sp.hop(&r.window, off, end, int(min(end-off, readSize)))
		if err != nil {
			return nil, false
		}
		if at >= from {
			r.spots = append(r.spots, spot{version: at, off: off, place: place{position: sp.from + backend.Position(rel)}})
		}
		off += int64(n)
	}
	return r.spots, true
}

// near is how many bytes to read at once for place i on the way to place j: as long as
// the records that are wanted stand close to each other. Backwards, the window is
// brought to begin with the lowest of them.
func (r *reader) near(sg *segment, places []place, i, j int) int {
	p := places[i]
	if p.off == nowhere || r.window.has(sg, int64(p.off), leastRead) {
		return leastRead
	}
	low, high := int64(p.off), int64(p.off)
	step := 1
	if j < i {
		step = -1
	}
	for k := i; k != j; {
		if k += step; k >= len(places) {
			break
		}
		off := int64(places[k].off)
		if off > high+apart || off < low-apart || max(high, off)-min(low, off) > readSize-apart {
			break
		}
		low, high = min(low, off), max(high, off)
	}
	n := int(high-low) + leastRead
	if low < int64(p.off) && low > nowhere {
		_, _ = r.window.bytes(sg, low, n, n) // an error shows again when the record is read
	}
	return n
}

// apart is how far records may stand apart to be read at once.
const apart = 8 << 10
