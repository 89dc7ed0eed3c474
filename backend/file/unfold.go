package file

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// unfolds keeps the spans that were unfolded last: a read goes page by page. Of a read that
// goes on it unfolds the next span beside it.
type unfolds struct {
	mu    sync.Mutex
	kept  []*unfolded // the one used last comes last
	next  *unfolded   // the one that a read will come to; nil: none
	began time.Time   // when that was
	stop  context.CancelFunc
	wait  sync.WaitGroup // for its filling
	timer *time.Timer
}

const (
	unfoldsKept = 2
	unfoldsIdle = 2 * time.Second // then they go
	// A read goes on when a span has given it, and reads before, one record in so many.
	goesOnAfter = 32
)

// get returns the span unfolded, to be given back by put.
func (u *unfolds) get(ctx context.Context, s *store, sp *span) (*unfolded, error) {
	for {
		u.mu.Lock()
		u.idle()
		f := u.find(sp)
		if f == nil {
			f = u.room(sp)
			u.kept = append(u.kept, f)
			u.mu.Unlock()
			return f, u.filled(f, f.fill(ctx, s, false))
		}
		f.users++
		ready := f.ready
		u.mu.Unlock()
		select {
		case <-ready: // others wait: they want the same
		case <-ctx.Done():
			u.put(f)
			return nil, context.Cause(ctx)
		}
		if f.err == nil {
			return f, nil
		}
		u.put(f) // it failed for another, whose context may have ended
	}
}

// find returns what is kept of a span, as the one used last; nil if nothing is.
func (u *unfolds) find(sp *span) *unfolded {
	if f := u.next; f != nil && f.sp == sp {
		if len(u.kept) >= unfoldsKept {
			u.take(u.least())
		}
		u.kept, u.next = append(u.kept, f), nil
		return f
	}
	for i, f := range u.kept {
		if f.sp == sp {
			u.kept = append(append(u.kept[:i:i], u.kept[i+1:]...), f)
			return f
		}
	}
	return nil
}

// room returns room for one more of those that are kept, which the caller uses and fills.
func (u *unfolds) room(sp *span) *unfolded {
	var f *unfolded
	if len(u.kept) >= unfoldsKept {
		f = u.take(u.least())
	}
	return f.of(sp)
}

// least is the one that is needed least: one that a read has passed, or else the one that
// was used least recently.
func (u *unfolds) least() int { return max(0, u.passed()) }

// passed is one that a read has passed, and nobody uses; -1 if there is none.
func (u *unfolds) passed() int {
	return slices.IndexFunc(u.kept, func(f *unfolded) bool { return f.users == 0 && f.passed.Load() })
}

// take takes one out of those that are kept, and returns it if nobody uses it: its memory is
// used again. There is none at -1.
func (u *unfolds) take(i int) *unfolded {
	if i < 0 {
		return nil
	}
	f := u.kept[i]
	if u.kept = append(u.kept[:i:i], u.kept[i+1:]...); f.users > 0 {
		return nil
	}
	return f
}

// of begins with a span, in the memory of f if that is not nil.
func (f *unfolded) of(sp *span) *unfolded {
	if f == nil {
		f = &unfolded{}
	}
	f.sp, f.users, f.err, f.ready = sp, 1, nil, make(chan struct{})
	f.served.Store(0)
	f.passed.Store(false)
	return f
}

// filled says that one is filled, or why not; then it is not kept, and its user is gone.
func (u *unfolds) filled(f *unfolded, err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if f.err = err; err != nil {
		f.users--
		u.kept = slices.DeleteFunc(slices.Clone(u.kept), func(k *unfolded) bool { return k == f })
		if u.next == f {
			u.next = nil
		}
	}
	close(f.ready)
	return err
}

func (u *unfolds) put(f *unfolded) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f.users--
}

// check has all records of f checked at once, which costs less than each when it is read
// if most of them are. Its one user calls it; if there are others, nothing is done.
func (u *unfolds) check(ctx context.Context, s *store, f *unfolded) error {
	u.mu.Lock()
	if f.checked() || f.damaged || f.users > 1 {
		u.mu.Unlock()
		return nil
	}
	f.ready = make(chan struct{})
	u.mu.Unlock()
	return u.filled(f, f.check(ctx, s))
}

// begin unfolds a span, with all records checked, beside a read that has pinned v and will
// come to it. It ends with the read's context. One is unfolded so at a time, and stays until
// the read comes to it, or does not for long.
func (u *unfolds) begin(ctx context.Context, s *store, v *view, sp *span) {
	u.mu.Lock()
	defer u.mu.Unlock()
	of := func(f *unfolded) bool { return f.sp == sp }
	if u.next != nil && (of(u.next) || u.next.users > 0 || time.Since(u.began) < unfoldsIdle) || slices.ContainsFunc(u.kept, of) {
		return
	}
	room := u.next
	if room == nil {
		room = u.take(u.passed())
	}
	f := room.of(sp)
	u.next, u.began = f, time.Now()
	ctx, u.stop = context.WithCancel(ctx)
	stop := u.stop
	v.readers.Add(1)
	u.wait.Go(func() {
		defer s.unpin(v)
		defer stop()
		if u.filled(f, f.fill(ctx, s, true)) == nil {
			u.put(f)
		}
	})
}

// idle lets go of what nobody reads when nobody has for a while.
func (u *unfolds) idle() {
	if u.timer == nil {
		u.timer = time.AfterFunc(unfoldsIdle, u.forget)
	}
	u.timer.Reset(unfoldsIdle)
}

func (u *unfolds) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.kept, u.next = nil, nil
}

// close lets go of all, and ends what is unfolded beside reads, of which there are none any
// more.
func (u *unfolds) close() {
	u.mu.Lock()
	if u.timer != nil {
		u.timer.Stop()
	}
	if u.stop != nil {
		u.stop()
	}
	u.mu.Unlock()
	u.wait.Wait()
	u.forget()
}

// logSpan reads span i, in position order.
func (r *reader) logSpan(i int, q *backend.Query, next *uint64, yield func(backend.Record, error) bool) error {
	sp := r.v.spans[i]
	f, err := r.unfold(i, 1, q)
	if err != nil {
		return corruptRecord(sp.name, 0, 0, &backend.Record{Position: max(sp.from, backend.Position(*next))}, err)
	}
	served := 0
	defer func() { r.s.unfolds.served(f, served) }()
	to := min(sp.to, backend.Position(q.To))
	for i := f.seek(max(sp.from, backend.Position(q.From))); i < f.slots(); i++ {
		at, number := f.at(i)
		if at > to {
			break
		}
		if number == 0 {
			continue
		}
		if served%fetchOnce == 0 {
			r.fetch(f, i, 1)
		}
		served++
		if err := f.lostBetween(backend.Position(*next), at); err != nil {
			return err
		}
		if err := r.v.holes.between(backend.Position(*next), at); err != nil {
			return err
		}
		if err := r.numbered(f, at, number); err != nil {
			return err
		}
		if err := r.handAbove(q, yield); err != nil {
			return err
		}
		*next = uint64(at) + 1
	}
	f.passed.Store(to == sp.to)
	return f.lostBetween(backend.Position(*next), to)
}

func (r *reader) logSpanDown(i int, q *backend.Query, next *backend.Position, yield func(backend.Record, error) bool) error {
	sp := r.v.spans[i]
	f, err := r.unfold(i, -1, q)
	if err != nil {
		return corruptRecord(sp.name, 0, 0, &backend.Record{Position: min(sp.to, *next)}, err)
	}
	served := 0
	defer func() { r.s.unfolds.served(f, served) }()
	from := max(sp.from, backend.Position(q.From))
	for i := f.seekDown(min(sp.to, backend.Position(q.To))); i >= 0; i-- {
		at, number := f.at(i)
		if at < from {
			break
		}
		if number == 0 {
			continue
		}
		if served%fetchOnce == 0 {
			r.fetch(f, i, -1)
		}
		served++
		if err := f.lostBetween(at, *next); err != nil {
			return err
		}
		if err := r.v.holes.between(at, *next); err != nil {
			return err
		}
		if err := r.numbered(f, at, number); err != nil {
			return err
		}
		if err := r.handAbove(q, yield); err != nil {
			return err
		}
		*next = at - 1
	}
	f.passed.Store(from == sp.from)
	return f.lostBetween(from, *next)
}

// unfold returns span i of the view unfolded. If the read goes on, the one that it comes to
// next, a step away, is unfolded beside it.
func (r *reader) unfold(i, step int, q *backend.Query) (*unfolded, error) {
	u, sp := &r.s.unfolds, r.v.spans[i]
	f, err := u.get(r.ctx, r.s, sp)
	if err != nil {
		return nil, err
	}
	enough := int64(sp.records / goesOnAfter)
	wanted := r.left < 0 && min(q.To, uint64(sp.to))-max(q.From, uint64(sp.from)) >= uint64(enough)
	if !wanted && f.served.Load() < enough {
		return f, nil
	}
	if i += step; i >= 0 && i < len(r.v.spans) {
		if next := r.v.spans[i]; next.records > 0 && uint64(next.from) <= q.To && uint64(next.to) >= q.From {
			u.begin(r.ctx, r.s, r.v, next)
		}
	}
	return f, u.check(r.ctx, r.s, f)
}

// served is put for a read that was given so many records.
func (u *unfolds) served(f *unfolded, n int) {
	f.served.Add(int64(n))
	u.put(f)
}

// So many records are brought in at once, and so many bytes of each.
const (
	fetchOnce  = 16
	fetchBytes = 320
)

// fetch has the processor bring in the records of the next positions, i being the first's
// slot. They lie all over the span, and memory answers late, but to many at a time.
func (r *reader) fetch(f *unfolded, i, step int) {
	var sum byte
	var offs [fetchOnce]uint32
	for n := range offs {
		if i < 0 || i >= len(f.order) {
			break
		}
		off := f.order[i]
		if off > 0 && f.checked() {
			off = f.briefs[off-1].off
		}
		offs[n] = off
		i += step
	}
	b, last := f.bytes, len(f.bytes)-1
	for _, off := range offs {
		for at := int(off); at < int(off)+fetchBytes; at += 64 {
			sum += b[min(at, last)]
		}
	}
	r.fetched = sum
}

// numbered reads the record at a position into r.record: see unfolded.order.
func (r *reader) numbered(f *unfolded, p backend.Position, number uint32) error {
	if err := r.ended(); err != nil {
		return err
	}
	off := number
	if f.checked() {
		w := &f.briefs[number-1]
		if w.kind != 0 {
			f.record(w, p, &r.record)
			return nil
		}
		off = w.off
	}
	b := f.bytes[off:]
	_, err := r.decoder.Decode(b, p, f.sp.base, &r.record)
	if err == nil {
		return nil
	}
	err = corruptRecord(f.sp.name, int64(off), 0, &r.record, err)
	if n, short := codec.Length(b); short == nil && n <= len(b) && f.sp.mendedAt(b[:n], p, &r.decoder, &r.record) {
		return nil
	}
	return err
}
