package file

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// unfolded is a span in memory, as reading it by position needs it: its records stand by
// stream, and where each position is must be gathered from all of them. That takes one
// reading of the whole, some 10 ms for 16 MiB.
type unfolded struct {
	sp    *span
	bytes []byte   // the file up to the end of its records
	order []uint32 // where the record of each position, from the span's first on, has its envelope; 0: nowhere
	far   []farOff // the same for positions that lie far apart, in their order; then order is empty
	lost  []lostFrame
	users int // guarded by unfolds.mu
}

// farOff is where the record of a position has its envelope.
type farOff struct {
	position backend.Position
	off      uint32
}

// lostFrame is positions of a span whose records can't be read.
type lostFrame struct {
	from, to backend.Position
	lost     lostRecord
}

// unfolds keeps the spans that were unfolded last: a read goes page by page.
type unfolds struct {
	mu    sync.Mutex
	kept  []*unfolded // the one used last comes last
	spare []*unfolded // their memory is used again
	timer *time.Timer
}

const (
	unfoldsKept = 2
	unfoldsIdle = 2 * time.Second // then they go
)

// get returns the span unfolded, to be given back by put.
func (u *unfolds) get(ctx context.Context, s *store, sp *span) (*unfolded, error) {
	u.mu.Lock()
	defer u.mu.Unlock() // others wait: they may want the same
	for i, f := range u.kept {
		if f.sp == sp {
			u.kept = append(append(u.kept[:i:i], u.kept[i+1:]...), f)
			f.users++
			u.timer.Reset(unfoldsIdle)
			return f, nil
		}
	}
	f := &unfolded{}
	if n := len(u.spare); n > 0 {
		f, u.spare = u.spare[n-1], u.spare[:n-1]
	}
	if err := f.fill(ctx, s, sp); err != nil {
		return nil, err
	}
	f.users = 1
	if u.kept = append(u.kept, f); len(u.kept) > unfoldsKept {
		u.retire(0)
	}
	if u.timer == nil {
		u.timer = time.AfterFunc(unfoldsIdle, u.forget)
	}
	u.timer.Reset(unfoldsIdle)
	return f, nil
}

// retire takes one out of those that are kept.
func (u *unfolds) retire(i int) {
	f := u.kept[i]
	u.kept = append(u.kept[:i:i], u.kept[i+1:]...)
	if f.users == 0 && len(u.spare) == 0 {
		f.sp = nil
		u.spare = append(u.spare, f)
	}
}

func (u *unfolds) put(f *unfolded) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f.users--
}

// forget lets go of what nobody reads: nobody has for a while.
func (u *unfolds) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.kept, u.spare = nil, nil
}

// drop is forget for good.
func (u *unfolds) drop() {
	if u.timer != nil {
		u.timer.Stop()
	}
	u.forget()
}

// fill reads the span and finds out where each position is.
func (f *unfolded) fill(ctx context.Context, s *store, sp *span) error {
	if int64(cap(f.bytes)) < sp.frames {
		f.bytes = make([]byte, sp.frames)
	}
	f.bytes = f.bytes[:sp.frames]
	switch n := uint64(sp.to-sp.from) + 1; {
	case n > uint64(sp.size): // a record takes more than a byte: most positions are nowhere
		f.order = f.order[:0]
	case uint64(cap(f.order)) < n:
		f.order = make([]uint32, n)
	default:
		f.order = f.order[:n]
	}
	f.sp, f.lost = sp, nil
	f.forget()
	if sound, err := f.hop(); sound || err != nil {
		return err
	}
	w := window{of: sp, off: 0, buf: f.bytes}
	f.forget() // something is damaged: look at each record
	lost, err := sp.survey(ctx, s.codec, &w, func(at frame, r *backend.Record) {
		begin := at.off + int64(at.head)
		f.put(uint64(r.Position-sp.from), uint32(begin))
		if at.mended {
			d := codec.Decoder{Seed: s.codec}
			d.Mend(f.bytes[begin:at.off+int64(at.n)], r.Position)
		}
	})
	for _, l := range lost {
		if l.position > 0 {
			f.lost = append(f.lost, lostFrame{l.position, l.to, l})
		}
	}
	f.sort()
	return err
}

// forget drops what is known of where positions are.
func (f *unfolded) forget() {
	clear(f.order)
	f.far = f.far[:0]
}

// put notes where a record is, by how far its position is above the span's first. It
// returns false if another is known to be there.
func (f *unfolded) put(rel uint64, off uint32) bool {
	if len(f.order) == 0 {
		f.far = append(f.far, farOff{f.sp.from + backend.Position(rel), off})
		return true
	}
	if f.order[rel] != 0 {
		return false
	}
	f.order[rel] = off
	return true
}

// sort orders what was put, and returns false if a position was put twice.
func (f *unfolded) sort() bool {
	slices.SortFunc(f.far, func(a, b farOff) int { return cmp.Compare(a.position, b.position) })
	for i := 1; i < len(f.far); i++ {
		if f.far[i].position == f.far[i-1].position {
			return false
		}
	}
	return true
}

// above returns the first record at a position or above it, at most at to; off is 0 if
// there is none.
func (f *unfolded) above(p, to backend.Position) (at backend.Position, off uint32) {
	if len(f.order) == 0 {
		i, _ := slices.BinarySearchFunc(f.far, p, func(a farOff, p backend.Position) int { return cmp.Compare(a.position, p) })
		if i < len(f.far) && f.far[i].position <= to {
			return f.far[i].position, f.far[i].off
		}
		return 0, 0
	}
	for ; p <= to; p++ {
		if off := f.order[p-f.sp.from]; off != 0 {
			return p, off
		}
	}
	return 0, 0
}

// below is above downwards, to from.
func (f *unfolded) below(p, from backend.Position) (at backend.Position, off uint32) {
	if len(f.order) == 0 {
		i, ok := slices.BinarySearchFunc(f.far, p, func(a farOff, p backend.Position) int { return cmp.Compare(a.position, p) })
		if !ok {
			i--
		}
		if i >= 0 && f.far[i].position >= from {
			return f.far[i].position, f.far[i].off
		}
		return 0, 0
	}
	for ; p >= from; p-- {
		if off := f.order[p-f.sp.from]; off != 0 {
			return p, off
		}
	}
	return 0, 0
}

// hop reads the span and steps from frame to frame, behind the reading: the bytes are
// still near then. It returns false if that does not come out right.
func (f *unfolded) hop() (sound bool, err error) {
	const ahead = binary.MaxVarintLen64 + 6 // what it takes to step over a frame
	n, places, b, have, sound := uint64(0), uint32(0), f.bytes, 0, true
	for off := headerSize; have < len(b); {
		part := b[have:min(have+readSize, len(b))]
		if _, err := f.sp.ReadAt(part, int64(have)); err != nil {
			return false, unreadable(f.sp.name, int64(have), err)
		}
		have += len(part)
		for sound && (off+ahead <= have || have == len(b) && off < have) {
			rel, head := binary.Uvarint(b[off:have])
			if sound = head > 0 && rel <= uint64(f.sp.to-f.sp.from) && f.put(rel, uint32(off+head)); !sound {
				break
			}
			size, err := codec.Length(b[off+head : have])
			places = placesCRC(places, rel)
			sound = err == nil && size <= len(b)-off-head
			off += head + size
			n++
		}
	}
	return sound && n == f.sp.records && places == f.sp.places && f.sort(), nil
}

// So many records are brought in at once, and so many bytes of each.
const (
	fetchOnce  = 16
	fetchBytes = 320
)

// fetch has the processor bring in the records of the next positions, i being the first's
// place in order. They lie all over the span, and memory answers late, but to many at a
// time.
func (r *reader) fetch(f *unfolded, i int) {
	var sum byte
	b, last := f.bytes, len(f.bytes)-1
	for _, off := range f.order[min(i, len(f.order)):min(i+fetchOnce, len(f.order))] {
		for at := int(off); at < int(off)+fetchBytes; at += 64 {
			sum += b[min(at, last)]
		}
	}
	r.fetched = sum
}

// logSpan reads a span, in position order.
func (r *reader) logSpan(sp *span, q *backend.Query, next *uint64, yield func(backend.Record, error) bool) error {
	f, err := r.s.unfolds.get(r.ctx, r.s, sp)
	if err != nil {
		return corruptRecord(sp.name, 0, 0, &backend.Record{Position: max(sp.from, backend.Position(*next))}, err)
	}
	defer r.s.unfolds.put(f)
	to := min(sp.to, backend.Position(q.To))
	at, off := f.above(max(sp.from, backend.Position(q.From)), to)
	for n := 0; off != 0; at, off = f.above(at+1, to) {
		if n++; n%fetchOnce == 1 {
			r.fetch(f, int(at-sp.from))
		}
		if err := f.lostBetween(backend.Position(*next), at); err != nil {
			return err
		}
		if err := r.v.holes.between(backend.Position(*next), at); err != nil {
			return err
		}
		if err := r.frame(f, at, int64(off)); err != nil {
			return err
		}
		if err := r.hand(q, yield); err != nil {
			return err
		}
		*next = uint64(at) + 1
	}
	return f.lostBetween(backend.Position(*next), to)
}

func (r *reader) logSpanDown(sp *span, q *backend.Query, next *backend.Position, yield func(backend.Record, error) bool) error {
	f, err := r.s.unfolds.get(r.ctx, r.s, sp)
	if err != nil {
		return corruptRecord(sp.name, 0, 0, &backend.Record{Position: min(sp.to, *next)}, err)
	}
	defer r.s.unfolds.put(f)
	from := max(sp.from, backend.Position(q.From))
	at, off := f.below(min(sp.to, backend.Position(q.To)), from)
	for ; off != 0; at, off = f.below(at-1, from) {
		if err := f.lostBetween(at, *next); err != nil {
			return err
		}
		if err := r.v.holes.between(at, *next); err != nil {
			return err
		}
		if err := r.frame(f, at, int64(off)); err != nil {
			return err
		}
		if err := r.hand(q, yield); err != nil {
			return err
		}
		*next = at - 1
	}
	return f.lostBetween(from, *next)
}

// lostBetween returns the error of a record that is lost, if there is one.
func (f *unfolded) lostBetween(from, to backend.Position) error {
	for i := range f.lost {
		if l := &f.lost[i]; l.from <= to && l.to >= from {
			return l.lost.err()
		}
	}
	return nil
}

// frame reads the record at a position, whose envelope is at off, into r.record.
func (r *reader) frame(f *unfolded, p backend.Position, off int64) error {
	if err := r.ended(); err != nil {
		return err
	}
	if _, err := r.decoder.Decode(f.bytes[off:], p, f.sp.base, &r.record); err != nil {
		return corruptRecord(f.sp.name, off, 0, &r.record, err)
	}
	return nil
}
