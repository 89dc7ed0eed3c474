package file

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/internal/sorted"
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
// the one before it.
func (r *reader) pieces(name string, from backend.Version) (list []piece, err error) {
	least := backend.Any
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
	for ; at <= to; at++ {
		if err := r.ended(); err != nil {
			return next, err
		}
		b, head, err := sp.frame(&r.window, off, end, int(min(end-off, readSize)))
		if err != nil { // a length that is not right: look at each record
			return r.sparseVersions(q, p, next, to, yield)
		}
		if at >= from {
			err := sp.decode(b, head, &r.decoder, &r.record)
			if err != nil || r.record.Stream != q.Stream || r.record.Version != at {
				return r.sparseVersions(q, p, next, to, yield)
			}
			if err := r.hand(q, yield); err != nil {
				return next, err
			}
			next = at + 1
		}
		off += int64(len(b))
	}
	return next, nil
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
		if err := p.sp.load(&r.window, &r.decoder, at.off, readSize, &r.record); err != nil {
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
	spots, ok := r.hopVersions(p, from, to)
	var lost []lostRecord
	if !ok {
		var err error
		if spots, lost, err = r.surveyStream(q.Stream, p); err != nil {
			return blame(err, q.Stream, to)
		}
	}
	next := to
	for i := len(spots) - 1; i >= 0 && next >= from; i-- {
		at := spots[i]
		if at.version > next {
			continue
		}
		if at.version < next {
			break
		}
		if err := r.ended(); err != nil {
			return err
		}
		err := sp.load(&r.window, &r.decoder, at.off, leastRead, &r.record)
		if err == nil && (r.record.Stream != q.Stream || r.record.Version != next) {
			err = swapped(sp.name, at.off, q.Stream, next, at.position)
		}
		if err != nil {
			return blame(err, q.Stream, next)
		}
		if err := r.hand(q, yield); err != nil {
			return err
		}
		next--
	}
	if next >= from {
		return r.lostInSpan(q.Stream, next, lost)
	}
	return nil
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

// snapshots reads the snapshots beside a stream, ordered by (version, position).
func (r *reader) snapshots(q backend.Query, yield func(backend.Record, error) bool) error {
	h, _, err := r.s.standing(r.v, q.Stream)
	if err != nil {
		return err
	}
	var doubt error
	if hole := r.v.holes.above(0); hole != nil {
		doubt = doubtful(q.Stream, hole) // they are not dense, so that no later record proves that none is lost
	}
	if doubt != nil && q.Reverse {
		return doubt
	}
	list, err := r.snapshotSpots(&q, &h)
	if err != nil {
		return err
	}
	for i := range list {
		at := &list[i]
		if q.Reverse {
			at = &list[len(list)-1-i]
		}
		if err := r.snapshot(&q, at); err != nil {
			return err
		}
		if err := r.hand(&q, yield); err != nil {
			return err
		}
	}
	return doubt
}

// snapshotSpot is where one snapshot is.
type snapshotSpot struct {
	sg *segment
	sp *span
	spot
}

func (r *reader) snapshot(q *backend.Query, at *snapshotSpot) (err error) {
	file := ""
	if at.sp != nil {
		file, err = at.sp.name, at.sp.load(&r.window, &r.decoder, at.off, leastRead, &r.record)
	} else {
		file, err = at.sg.name, r.load(at.sg, at.place, leastRead)
	}
	if err != nil {
		return blame(err, q.Stream, at.version)
	}
	if r.record.Stream != q.Stream || r.record.Version != at.version {
		return swapped(file, at.off, q.Stream, at.version, at.position)
	}
	return nil
}

// snapshotSpots returns where the snapshots that a query asks for are.
func (r *reader) snapshotSpots(q *backend.Query, h *standing) (list []snapshotSpot, err error) {
	add := func(at snapshotSpot) {
		if uint64(at.version) >= q.From && uint64(at.version) <= q.To && !h.gone(backend.Snapshot, at.version, at.position) {
			list = append(list, at)
		}
	}
	if len(r.v.spans) > 0 {
		behind, err := r.v.standing(q.Stream)
		if err != nil {
			return nil, err
		}
		for id := behind.snapshots; id > 0; {
			sp, e, err := r.v.holding(id, q.Stream)
			if err != nil {
				return nil, err
			}
			if sp == nil {
				break
			}
			if e.snaps > 0 {
				spots, err := sp.spots(&r.window, &r.decoder, &e, r.spots[:0])
				if r.spots = spots; err != nil {
					return nil, blame(err, q.Stream, 0)
				}
				for _, at := range spots[e.count:] {
					add(snapshotSpot{sp: sp, spot: at})
				}
			}
			id = e.snapshots
		}
	}
	for _, sg := range r.v.segments {
		if st := r.s.stream(sg, q.Stream); st != nil {
			for _, sn := range st.snapshots {
				add(snapshotSpot{sg: sg, spot: spot{place: sn.place, version: sn.version, off: int64(sn.off)}})
			}
		}
	}
	slices.SortFunc(list, func(a, b snapshotSpot) int {
		if a.version != b.version {
			return int(int64(a.version) - int64(b.version))
		}
		return int(int64(a.position) - int64(b.position))
	})
	return list, nil
}

// Head returns where the stream stands. If the store is damaged so that this can't be
// told, it is ErrCorrupt.
func (s *store) Head(_ context.Context, name string) (backend.Head, error) {
	v := s.pin()
	defer s.unpin(v)
	h, last, err := s.standing(v, name)
	if err != nil {
		return backend.Head{}, err
	}
	hole := v.holes.above(last)
	if hole == nil {
		hole = s.unsureBegin(v, name, &h)
	}
	if hole != nil {
		return h.Head, doubtful(name, hole)
	}
	return h.Head, nil
}

// Last returns the newest position.
func (s *store) Last(context.Context) (backend.Position, error) { return s.end().last, nil }

// Streams lists the streams by name: those of the heads merged with those of the log. If
// the store is damaged so that streams may be missing from the list, or stand elsewhere
// than it says, it ends with ErrCorrupt.
func (s *store) Streams(ctx context.Context, q backend.StreamQuery) iter.Seq2[backend.StreamInfo, error] {
	return func(yield func(backend.StreamInfo, error) bool) {
		v := s.pin()
		defer s.unpin(v)
		n := 0
		err := s.names(ctx, v, max(q.Prefix, q.After), func(name string) error {
			switch {
			case name == q.After:
				return nil
			case !strings.HasPrefix(name, q.Prefix):
				return errStop
			}
			h, _, err := s.standing(v, name)
			if err != nil {
				return err
			}
			if n++; !yield(backend.StreamInfo{Name: name, Head: h.Head}, nil) || n == q.Limit {
				return errLeft
			}
			return nil
		})
		if err == errLeft {
			return
		}
		if hole := v.holes.above(0); hole != nil && (err == nil || err == errStop) {
			err = doubtful("", hole)
		}
		if err != nil && err != errStop {
			yield(backend.StreamInfo{}, err)
		}
	}
}

// errLeft ends a listing that was left.
var errLeft = errors.New("left")

// names calls f with each stream's name from one on, in order, until it returns an error.
// Where heads turn out to be damaged it goes on with what the spans say.
func (s *store) names(ctx context.Context, v *view, from string, f func(string) error) error {
	told := false
	once := func(name string) error {
		if told && name == from {
			return nil
		}
		from, told = name, true
		return f(name)
	}
	err := s.namesOf(ctx, v, v.heads, from, once)
	if errors.Is(err, errHeads) {
		err = s.namesOf(ctx, v, nil, from, once)
	}
	return err
}

// errHeads says that a file of heads can't be read.
var errHeads = errors.New("the heads can't be read")

// namesOf is names by some heads, or by the spans if there are none.
func (s *store) namesOf(ctx context.Context, v *view, heads []*heads, from string, f func(string) error) error {
	tables, err := v.tables(heads, from)
	if err != nil {
		return err
	}
	var lists [][]string
	for _, sg := range v.segments {
		s.mu.RLock()
		names := sg.table.names
		s.mu.RUnlock()
		list := sg.table.list(names)
		at, _ := slices.BinarySearch(list, from)
		lists = append(lists, list[at:])
	}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var least []byte
		for _, t := range tables {
			if t.more && (least == nil || bytes.Compare(t.rows.Name(), least) < 0) {
				least = t.rows.Name()
			}
			if err := t.rows.Err(); err != nil {
				if len(heads) > 0 {
					return errHeads
				}
				return err
			}
		}
		name, any := string(least), least != nil
		for _, l := range lists {
			if len(l) > 0 && (!any || l[0] < name) {
				name, any = l[0], true
			}
		}
		if !any {
			return nil
		}
		if err := f(name); err != nil {
			return err
		}
		for _, t := range tables {
			if t.more && string(t.rows.Name()) == name {
				t.advance()
			}
		}
		for i, l := range lists {
			if len(l) > 0 && l[0] == name {
				lists[i] = l[1:]
			}
		}
	}
}

// tables returns the tables that together have all streams of the spans: the heads, or if
// there are none, the spans' own.
func (v *view) tables(heads []*heads, from string) (list []*tableRows, err error) {
	add := func(t *sorted.Table) {
		rows := &tableRows{rows: t.Seek(from)}
		rows.advance()
		list = append(list, rows)
	}
	for _, h := range heads {
		t, err := h.open()
		if err != nil {
			return nil, errHeads
		}
		add(t)
	}
	if len(heads) > 0 {
		return list, nil
	}
	for _, sp := range v.spans {
		add(sp.table)
	}
	return list, nil
}
