package file

import (
	"context"
	"fmt"
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
	lost  []lostFrame
	users int // guarded by unfolds.mu
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
	if uint64(sp.to-sp.from) > uint64(sp.size)*16 {
		return fmt.Errorf("%w: %s: positions %d to %d are too far apart to be read in their order", backend.ErrTooLarge, sp.name, sp.from, sp.to)
	}
	if int64(cap(f.bytes)) < sp.frames {
		f.bytes = make([]byte, sp.frames)
	}
	f.bytes = f.bytes[:sp.frames]
	if n := int(sp.to-sp.from) + 1; cap(f.order) < n {
		f.order = make([]uint32, n)
	} else {
		f.order = f.order[:n]
		clear(f.order)
	}
	f.sp, f.lost = sp, nil
	w := window{of: sp, off: 0, buf: f.bytes}
	if _, err := sp.ReadAt(f.bytes, 0); err != nil {
		return unreadable(sp.name, 0, err)
	}
	if f.hop(&w) {
		return nil
	}
	clear(f.order) // something is damaged: look at each record
	lost, err := sp.survey(ctx, s.codec, &w, func(at frame, r *backend.Record) {
		begin := at.off + int64(at.head)
		f.order[r.Position-sp.from] = uint32(begin)
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
	return err
}

// hop steps from frame to frame. It returns false if that does not come out right.
func (f *unfolded) hop(w *window) bool {
	n, places := uint64(0), uint32(0)
	for off := int64(headerSize); off < f.sp.frames; n++ {
		rel, head, size, err := f.sp.hop(w, off, f.sp.frames, 0)
		if err != nil || f.order[rel] != 0 {
			return false
		}
		f.order[rel] = uint32(off) + uint32(head)
		places = placesCRC(places, rel)
		off += int64(size)
	}
	return n == f.sp.records && places == f.sp.places
}

// logSpan reads a span, in position order.
func (r *reader) logSpan(sp *span, q *backend.Query, next *uint64, yield func(backend.Record, error) bool) error {
	f, err := r.s.unfolds.get(r.ctx, r.s, sp)
	if err != nil {
		return corruptRecord(sp.name, 0, 0, &backend.Record{Position: max(sp.from, backend.Position(*next))}, err)
	}
	defer r.s.unfolds.put(f)
	for at := max(sp.from, backend.Position(q.From)); at <= min(sp.to, backend.Position(q.To)); at++ {
		off := f.order[at-sp.from]
		if off == 0 && len(f.lost) == 0 {
			continue
		}
		if err := f.lostBetween(backend.Position(*next), at); err != nil {
			return err
		}
		if off == 0 {
			continue
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
	return f.lostBetween(backend.Position(*next), min(sp.to, backend.Position(q.To)))
}

func (r *reader) logSpanDown(sp *span, q *backend.Query, next *backend.Position, yield func(backend.Record, error) bool) error {
	f, err := r.s.unfolds.get(r.ctx, r.s, sp)
	if err != nil {
		return corruptRecord(sp.name, 0, 0, &backend.Record{Position: min(sp.to, *next)}, err)
	}
	defer r.s.unfolds.put(f)
	for at := min(sp.to, backend.Position(q.To)); at >= max(sp.from, backend.Position(q.From)); at-- {
		off := f.order[at-sp.from]
		if off == 0 && len(f.lost) == 0 {
			continue
		}
		if err := f.lostBetween(at, *next); err != nil {
			return err
		}
		if off == 0 {
			continue
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
	return f.lostBetween(max(sp.from, backend.Position(q.From)), *next)
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
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	if _, err := r.decoder.Decode(f.bytes[off:], p, f.sp.base, &r.record); err != nil {
		return corruptRecord(f.sp.name, off, 0, &r.record, err)
	}
	return nil
}
