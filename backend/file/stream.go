package file

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// stream reads the numbered records of a stream, in version order.
func (r *reader) stream(q backend.Query, yield func(backend.Record, error) bool) error {
	st, ok := r.s.index.view(q.Stream)
	if !ok {
		return r.s.index.unsure(st)
	}
	from := max(backend.Version(q.From), st.first)
	to := min(backend.Version(q.To), st.head.Version)
	begin, end := r.s.index.unsureBegin(st), r.s.index.unsureEnd(st)
	if from == backend.Version(q.From) {
		begin = nil
	}
	if backend.Version(q.To) < st.head.Version {
		end = nil
	}
	if q.Reverse {
		begin, end = end, begin
	}
	if begin != nil {
		return begin
	}
	if err := r.versions(&q, st, from, to, yield); err != nil {
		return err
	}
	return end
}

// versions reads from and to, both inclusive, and stops at a gap.
func (r *reader) versions(q *backend.Query, st *stream, from, to backend.Version, yield func(backend.Record, error) bool) error {
	step := backend.Version(1)
	at, last := from, to
	if q.Reverse {
		step, at, last = ^backend.Version(0), to, from
	}
	for n := to - from + 1; n > 0 && from <= to; n-- {
		i, in := st.find(at)
		if in != nil || i == len(st.numbered) {
			return st.lostAt(at, in)
		}
		j, _ := st.find(last)
		if err := r.load(st.numbered[i], r.near(st.numbered, i, j)); err != nil {
			return blame(err, st.name, at)
		}
		if r.record.Stream != st.name || r.record.Version != at {
			return r.swapped(st, at, st.numbered[i])
		}
		if err := r.hand(q, yield); err != nil {
			return err
		}
		at += step
	}
	return nil
}

// swapped is the error for a version in whose place another record stands. That one is
// not handed out: whoever asked may have no business with it.
func (r *reader) swapped(st *stream, v backend.Version, p place) error {
	return &backend.CorruptError{File: r.segment(p.segment).name, Offset: int64(p.off), Stream: st.name, Version: v,
		Position: p.position, Detail: "another record stands in its place"}
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

// near is how many bytes to read at once for place i on the way to place j: as long as
// the records that are wanted stand close to each other. Backwards, the window is
// brought to begin with the lowest of them.
func (r *reader) near(places []place, i, j int) int {
	p := places[i]
	if p.segment == nowhere || r.window.holds(r.segment(p.segment), int64(p.off)) {
		return leastRead
	}
	low, high := int64(p.off), int64(p.off)
	step := 1
	if j < i {
		step = -1
	}
	for k := i; k != j; {
		k += step
		n := places[k]
		if n.segment != p.segment || int64(n.off) > high+apart || int64(n.off) < low-apart || max(high, int64(n.off))-min(low, int64(n.off)) > readSize-apart {
			break
		}
		low, high = min(low, int64(n.off)), max(high, int64(n.off))
	}
	n := int(high-low) + leastRead
	if low < int64(p.off) {
		_, _ = r.window.bytes(r.segment(p.segment), low, n, n) // an error shows again when the record is read
	}
	return n
}

// apart is how far records may stand apart to be read at once.
const apart = 8 << 10

// holds reports whether a record at off is likely in the window.
func (w *window) holds(sg *segment, off int64) bool {
	return sg != nil && w.sg == sg && off >= w.off && off+leastRead <= w.off+int64(len(w.buf))
}

// snapshots reads the snapshots beside a stream, ordered by (version, position).
func (r *reader) snapshots(q backend.Query, yield func(backend.Record, error) bool) error {
	st, _ := r.s.index.view(q.Stream)
	doubt := r.s.index.unsureSnapshots(st)
	if doubt != nil && q.Reverse {
		return doubt
	}
	list := st.snapshots
	from := sort.Search(len(list), func(i int) bool { return uint64(list[i].version) >= q.From })
	to := sort.Search(len(list), func(i int) bool { return uint64(list[i].version) > q.To })
	list = list[from:max(from, to)]
	for i := range list {
		sn := list[i]
		if q.Reverse {
			sn = list[len(list)-1-i]
		}
		if err := r.load(sn.place, leastRead); err != nil {
			return blame(err, st.name, sn.version)
		}
		if r.record.Stream != st.name || r.record.Version != sn.version {
			return r.swapped(st, sn.version, sn.place)
		}
		if err := r.hand(&q, yield); err != nil {
			return err
		}
	}
	return doubt
}

// view returns a copy of a stream's entry. Its slices stay good while others append.
func (ix *index) view(name string) (st *stream, ok bool) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if st, ok = ix.streams[name]; !ok {
		return &stream{name: name}, false
	}
	c := *st
	return &c, true
}

// unsure returns an error if records of a stream may be lost that no gap in its versions
// tells of.
func (ix *index) unsure(st *stream) error {
	if err := ix.unsureEnd(st); err != nil {
		return err
	}
	return ix.unsureBegin(st)
}

// unsureEnd returns an error if records may be lost above a stream's last known one.
func (ix *index) unsureEnd(st *stream) error {
	if len(ix.holes) == 0 { // they are all found before the first read
		return nil
	}
	if h := ix.doubt(st.last); h != nil {
		return doubtful(st.name, h)
	}
	return nil
}

// unsureBegin returns an error if records may be lost below a stream's first known one.
func (ix *index) unsureBegin(st *stream) error {
	if len(ix.holes) == 0 || len(st.numbered) == 0 || st.head.Floor <= 1 {
		return nil
	}
	for i := range ix.holes {
		if h := &ix.holes[i]; h.stream == "" && h.from < st.numbered[0].position {
			return doubtful(st.name, h)
		}
	}
	return nil
}

// unsureSnapshots returns an error if snapshots of a stream may be lost: they are not
// dense, so no later record proves that none is.
func (ix *index) unsureSnapshots(st *stream) error {
	if len(ix.holes) == 0 {
		return nil
	}
	if h := ix.doubt(0); h != nil {
		return doubtful(st.name, h)
	}
	return nil
}

// doubtful is the error for a stream that may have records in a hole.
func doubtful(stream string, h *hole) error {
	lost := h.lost
	lost.Stream = stream
	lost.Detail = fmt.Sprintf("whether the stream had records here can't be told: %s", lost.Detail)
	return &lost
}

// Head returns where the stream stands. If the store is damaged so that this can't be
// told, it is ErrCorrupt.
func (s *store) Head(_ context.Context, name string) (backend.Head, error) {
	s.index.mu.RLock()
	defer s.index.mu.RUnlock()
	st := s.index.streams[name]
	if st == nil {
		return backend.Head{}, s.index.unsure(&stream{name: name})
	}
	return st.head, s.index.unsure(st)
}

// Last returns the newest position.
func (s *store) Last(context.Context) (backend.Position, error) {
	s.index.mu.RLock()
	defer s.index.mu.RUnlock()
	return s.index.last, nil
}

// Streams lists the streams by name. If the store is damaged so that streams may be
// missing from the list, or stand elsewhere than it says, it ends with ErrCorrupt.
func (s *store) Streams(ctx context.Context, q backend.StreamQuery) iter.Seq2[backend.StreamInfo, error] {
	return func(yield func(backend.StreamInfo, error) bool) {
		names := s.index.list()
		from, found := slices.BinarySearch(names, max(q.Prefix, q.After))
		if found && names[from] == q.After {
			from++
		}
		n := 0
		for _, name := range names[from:] {
			if !strings.HasPrefix(name, q.Prefix) {
				break
			}
			if err := context.Cause(ctx); err != nil {
				yield(backend.StreamInfo{}, err)
				return
			}
			st, _ := s.index.view(name)
			if !yield(backend.StreamInfo{Name: name, Head: st.head}, nil) {
				return
			}
			if n++; n == q.Limit {
				return
			}
		}
		if err := s.index.unsure(&stream{}); err != nil {
			yield(backend.StreamInfo{}, err)
		}
	}
}
