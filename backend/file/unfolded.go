package file

import (
	"cmp"
	"context"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"sync/atomic"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// unfolded is a span in memory, as reading it by position needs it: its records stand by
// stream, and where each position is must be gathered from all of them. That takes one
// reading of the whole, some 10 ms for 64 MiB. A read that goes on has all records checked
// in the order in which they stand, and a brief made of each.
type unfolded struct {
	sp      *span
	bytes   []byte   // the file up to the end of its records
	order   []uint32 // the number of the record of each position, from the span's first on; 0: nowhere
	far     []farOff // the same for positions that lie far apart, in their order; then order is empty
	briefs  []brief  // in the order of the file: numbers count them from 1. Without, a number is where the envelope begins
	names   []string // of briefs' streams
	types   []string // of briefs' records
	texts   texts    // what these are in
	decoder codec.Decoder
	lost    []lostFrame
	damaged bool // each record was looked at: there are no briefs

	served atomic.Int64  // records that reads were given
	passed atomic.Bool   // a read has come to its end
	users  int           // guarded by unfolds.mu
	ready  chan struct{} // closed when it is filled, or can't be; guarded by unfolds.mu
	err    error         // why it can't be
}

// farOff is the number of the record of a position.
type farOff struct {
	position backend.Position
	number   uint32
}

// lostFrame is positions of a span whose records can't be read.
type lostFrame struct {
	from, to backend.Position
	lost     lostRecord
}

// brief is a record that was checked, without its bytes. One that it has no room for, or that
// failed its check, has no kind: its envelope is at off, and tells more when it is read.
type brief struct {
	version, epoch           uint64
	time                     int64  // in nanoseconds since 1970
	off                      uint32 // of meta; the payload follows
	payload                  uint32 // its bytes
	name                     uint32 // of names
	typ, schema, place, meta uint16 // typ is of types, meta its bytes
	kind                     backend.Kind
	id                       uint8 // how far before off the batch ID stands; 0: there is none
}

// checked reports whether there are briefs.
func (f *unfolded) checked() bool { return len(f.briefs) > 0 }

// record makes the record at a position from its brief.
func (f *unfolded) record(w *brief, p backend.Position, r *backend.Record) {
	off := int(w.off)
	at := off + int(w.meta)
	end := at + int(w.payload)
	r.Position, r.Stream, r.Version, r.Kind, r.Type = p, f.names[w.name], backend.Version(w.version), w.kind, f.types[w.typ]
	r.Schema, r.Time, r.Epoch = uint32(w.schema), time.Unix(0, w.time).UTC(), w.epoch
	r.Batch = backend.BatchRef{Place: uint32(w.place)}
	if w.id > 0 {
		copy(r.Batch.ID[:], f.bytes[off-int(w.id):])
	}
	r.Payload, r.Meta = f.bytes[at:end:end], nil
	if w.meta > 0 {
		r.Meta = backend.Meta(f.bytes[off:at:at])
	}
}

// brief returns the brief of the record at p, whose envelope of n bytes is at off.
func (f *unfolded) brief(p backend.Position, off, n int) brief {
	o, ok := f.decoder.Outline(f.bytes[off:off+n], p, f.sp.base)
	if !ok {
		return brief{off: uint32(off)}
	}
	w := brief{version: uint64(o.Version), epoch: o.Epoch, time: o.Time, off: uint32(off + o.Meta), payload: uint32(n - 4 - o.Payload),
		schema: uint16(o.Schema), place: uint16(o.Place), meta: uint16(o.Payload - o.Meta), kind: o.Kind}
	if o.ID > 0 {
		w.id = uint8(o.Meta - o.ID)
	}
	w.typ, ok = f.typeNumber(o.Type)
	if !ok || uint32(w.schema) != o.Schema || uint32(w.place) != o.Place || int(w.meta) != o.Payload-o.Meta {
		return brief{off: uint32(off)}
	}
	if last := len(f.names) - 1; last < 0 || f.names[last] != string(o.Stream) {
		f.names = append(f.names, f.texts.add(o.Stream))
	}
	w.name = uint32(len(f.names) - 1)
	return w
}

// typesMost is how many types briefs may have: they are looked for one by one.
const typesMost = 64

func (f *unfolded) typeNumber(t []byte) (n uint16, ok bool) {
	for i := len(f.types) - 1; i >= 0; i-- {
		if f.types[i] == string(t) {
			return uint16(i), true
		}
	}
	if len(f.types) == typesMost {
		return 0, false
	}
	f.types = append(f.types, f.texts.add(t))
	return uint16(len(f.types) - 1), true
}

// fill reads the span and finds out where each position is, with briefs if all records are to
// be checked.
func (f *unfolded) fill(ctx context.Context, s *store, check bool) error {
	sp := f.sp
	if err := sp.with(func(disk.File) error { return nil }); err != nil { // before room is made for what can't be had
		return unreadable(sp.name, 0, err)
	}
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
	f.lost, f.damaged = nil, false
	f.forget()
	f.decoder.Seed = s.codec
	if sound, err := f.walk(ctx, check, 0); sound || err != nil {
		return err
	}
	return f.survey(ctx, s)
}

// check makes briefs, of a span that was filled without.
func (f *unfolded) check(ctx context.Context, s *store) error {
	f.forget()
	if sound, err := f.walk(ctx, true, len(f.bytes)); sound || err != nil {
		return err
	}
	return f.survey(ctx, s)
}

// survey is fill for a span in which something is damaged: it looks at each record.
func (f *unfolded) survey(ctx context.Context, s *store) error {
	sp := f.sp
	w := window{of: sp, off: 0, buf: f.bytes}
	f.forget()
	f.damaged = true
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
	clear(f.names)
	f.far, f.briefs, f.names, f.types = f.far[:0], f.briefs[:0], f.names[:0], f.types[:0]
}

// put notes the number of a record, by how far its position is above the span's first. It
// returns false if another is known to be there.
func (f *unfolded) put(rel uint64, number uint32) bool {
	if len(f.order) == 0 {
		f.far = append(f.far, farOff{f.sp.from + backend.Position(rel), number})
		return true
	}
	if f.order[rel] != 0 {
		return false
	}
	f.order[rel] = number
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

// slots is how many there are: one for each position, or, where these lie far apart, for
// each record.
func (f *unfolded) slots() int { return max(len(f.order), len(f.far)) }

// at returns the position of a slot, and the number of its record; 0 if there is none.
func (f *unfolded) at(i int) (p backend.Position, number uint32) {
	if len(f.order) > 0 {
		return f.sp.from + backend.Position(i), f.order[i]
	}
	return f.far[i].position, f.far[i].number
}

// seek returns the first slot of a position or of one above it. The position is at least
// the span's first.
func (f *unfolded) seek(p backend.Position) int {
	if len(f.order) > 0 {
		return int(min(p-f.sp.from, backend.Position(len(f.order))))
	}
	i, _ := slices.BinarySearchFunc(f.far, p, func(a farOff, p backend.Position) int { return cmp.Compare(a.position, p) })
	return i
}

// seekDown returns the last slot of a position or of one below it; -1 if there is none. The
// position is at most the span's last.
func (f *unfolded) seekDown(p backend.Position) int {
	if p < f.sp.from {
		return -1
	}
	i := f.seek(p)
	if i < f.slots() {
		if at, _ := f.at(i); at == p {
			return i
		}
	}
	return i - 1
}

// walk steps from frame to frame of the bytes, of which it reads those from have on, behind
// the reading: they are still near then. With check, each record is checked, and gets a brief.
// It returns false if that does not come out right.
func (f *unfolded) walk(ctx context.Context, check bool, have int) (sound bool, err error) {
	w := walking{f: f, check: check, off: headerSize, sound: true}
	if check {
		f.briefs = slices.Grow(f.briefs, int(min(f.sp.records, uint64(len(f.bytes)/leastFrame))))
	}
	for b := f.bytes; ; {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if have < len(b) {
			part := b[have:min(have+readSize, len(b))]
			if _, err := f.sp.ReadAt(part, int64(have)); err != nil {
				return false, unreadable(f.sp.name, int64(have), err)
			}
			have += len(part)
		}
		if w.steps(b, have); have == len(b) {
			return w.right() && f.sort(), nil
		}
	}
}

// leastFrame is less than any frame takes.
const leastFrame = 16

// walking is a span on its way through walk.
type walking struct {
	f      *unfolded
	check  bool
	off    int // of the next frame
	n      uint64
	rels   []byte // of the last frames, not yet in places
	places uint32
	sound  bool
}

// steps goes as far as the first have bytes reach.
func (w *walking) steps(b []byte, have int) {
	const ahead = binary.MaxVarintLen64 + 6 // what it takes to step over a frame
	f, most := w.f, uint64(w.f.sp.to-w.f.sp.from)
	for w.sound && (w.off+ahead <= have || have == len(b) && w.off < have) {
		rel, head := binary.Uvarint(b[w.off:have])
		if w.sound = head > 0 && rel <= most; !w.sound {
			return
		}
		at := w.off + head
		size, err := codec.Length(b[at:have])
		if w.sound = err == nil && size <= len(b)-at; !w.sound {
			return
		}
		number := uint32(at)
		if w.check {
			if at+size > have {
				return
			}
			f.briefs = append(f.briefs, f.brief(f.sp.from+backend.Position(rel), at, size))
			number = uint32(len(f.briefs))
		}
		w.sound = f.put(rel, number)
		w.place(rel)
		w.off = at + size
		w.n++
	}
}

// place goes on with the checksum of the numbers before envelopes: see placesCRC.
func (w *walking) place(rel uint64) {
	if w.rels = binary.LittleEndian.AppendUint64(w.rels, rel); len(w.rels) >= 4<<10 {
		w.sum()
	}
}

func (w *walking) sum() {
	w.places, w.rels = crc32.Update(w.places, castagnoli, w.rels), w.rels[:0]
}

// right reports whether all of the span was as its line in the manifest says.
func (w *walking) right() bool {
	w.sum()
	return w.sound && w.n == w.f.sp.records && w.places == w.f.sp.places
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
