package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// load reads the record whose frame is at off, and ahead bytes if they must be read
// anyway.
func (sp *span) load(w *window, d *codec.Decoder, off int64, ahead int, r *backend.Record) error {
	b, head, err := sp.frame(w, off, sp.frames, ahead)
	if err == nil {
		err = sp.decode(b, head, d, r)
	}
	if err != nil {
		return corruptRecord(sp.name, off, int64(len(b)), r, err)
	}
	return nil
}

// decode reads the record of a frame, whose envelope begins at head.
func (sp *span) decode(frame []byte, head int, d *codec.Decoder, r *backend.Record) error {
	rel, _ := binary.Uvarint(frame)
	_, err := d.Decode(frame[head:], sp.from+backend.Position(rel), sp.base, r)
	return err
}

// dense reports whether the stream's versions in the span have no gaps.
func (e *entry) dense() bool { return e.count > 0 && e.first+backend.Version(e.count)-1 == e.Version }

// spots appends where the records of a stream are: e.count numbered ones, then e.snaps
// snapshots, whose versions are known only once they are read, and so are those of a
// stream with gaps. A frame that can't be stepped over is an error.
func (sp *span) spots(w *window, d *codec.Decoder, e *entry, to []spot) ([]spot, error) {
	end := e.off + e.size
	off, dense := e.off, e.dense()
	var r backend.Record
	for i := range e.count + e.snaps {
		rel, head, n, err := sp.hop(w, off, end, int(min(end-off, readSize)))
		if err != nil {
			return to, corruptRecord(sp.name, off, int64(n), &backend.Record{}, err)
		}
		at := spot{place: place{position: sp.from + backend.Position(rel)}, off: off}
		if dense && i < e.count {
			at.version = e.first + backend.Version(i)
		} else {
			b, err := sp.bytes(w, off, n, 0)
			if err == nil {
				err = sp.decode(b, head, d, &r)
			}
			if err != nil && r.Stream == "" && !sp.mended(b, d, &r) {
				return to, corruptRecord(sp.name, off, int64(n), &r, err)
			}
			at.version = r.Version
		}
		to = append(to, at)
		off += int64(n)
	}
	if off != end {
		return to, &backend.CorruptError{File: sp.name, Offset: off, Length: end - off, Detail: fmt.Sprintf("%d bytes follow a stream's %d records", end-off, e.count+e.snaps)}
	}
	return to, nil
}

// frame returns the frame at off, which ends by limit, and where its envelope begins.
func (sp *span) frame(w *window, off, limit int64, ahead int) (b []byte, head int, err error) {
	b, err = sp.bytes(w, off, int(min(limit-off, leastRead)), ahead)
	if err != nil {
		return nil, 0, err
	}
	rel, head := binary.Uvarint(b)
	if head <= 0 || rel > uint64(sp.to-sp.from) {
		return nil, 0, errPosition
	}
	n, err := codec.Length(b[head:])
	if err != nil {
		return nil, 0, err
	}
	if n += head; n > len(b) {
		if int64(n) > limit-off {
			return nil, 0, fmt.Errorf("%w: the record goes on beyond the end of its place", backend.ErrCorrupt)
		}
		if b, err = sp.bytes(w, off, n, ahead); err == nil && len(b) < n {
			err = codec.ErrShort
		}
		return b, head, err
	}
	return b[:n], head, nil
}

// ahead returns what stands at off and ends by limit, as much of it as is read at once but
// the whole of one frame.
func (sp *span) ahead(w *window, off, limit int64) ([]byte, error) {
	_, _, n, err := sp.hop(w, off, limit, int(min(limit-off, readSize)))
	if err != nil {
		return nil, err
	}
	return sp.bytes(w, off, int(min(limit-off, max(int64(n), readSize))), 0)
}

// errPosition says that a frame is not one.
var errPosition = fmt.Errorf("%w: a position that can't be", backend.ErrCorrupt)

// sound reports whether all of the span is as it was written. It looks for what verify
// does, in one go through frames and table, and stops at the first thing that is wrong:
// verify tells what that is.
func (sp *span) sound(ctx context.Context, seed codec.Seed) bool {
	header := make([]byte, headerSize)
	if _, err := sp.ReadAt(header, 0); err != nil || !bytes.Equal(header, sp.encode(sp.store)) {
		return false
	}
	if size, err := sp.fileSize(); err != nil || size != sp.size {
		return false
	}
	scratch := scratches.Get().(*packScratch)
	c := soundness{sp: sp, decoder: &scratch.decoder, off: headerSize}
	c.window.buf, c.decoder.Seed = scratch.buf[:0], seed
	defer func() {
		scratch.buf = c.window.buf
		scratches.Put(scratch)
	}()
	rows := sp.table.Seek("")
	for n := 0; rows.Next(); n++ {
		giveWay(n)
		if ctx.Err() != nil || !c.stream(rows.Name(), rows.Value()) {
			return false
		}
	}
	if rows.Err() != nil || c.off != sp.frames || c.streams != sp.streams || c.records != sp.records {
		return false
	}
	c.skips = append(c.skips, make([]byte, sp.skipsEnd()-sp.skips)...)
	if int64(len(c.skips)) != sp.skipsEnd()-sp.frames {
		return false
	}
	skips := make([]byte, len(c.skips))
	_, err := sp.ReadAt(skips, sp.frames)
	return err == nil && bytes.Equal(skips, c.skips) && sp.table.Check(nil) == nil
}

// readsBack returns what is wrong with a span that was just written.
func (sp *span) readsBack(ctx context.Context, seed codec.Seed) error {
	if sp.sound(ctx, seed) {
		return nil
	}
	return sp.verify(ctx, seed, nil)
}

// soundness is a span on its way through sound.
type soundness struct {
	sp               *span
	window           window
	decoder          *codec.Decoder
	record           backend.Record
	off              int64 // of the frame that comes next
	streams, records uint64
	skips            []byte // the skip lists that follow from the frames
}

// stream goes through the frames of the stream that a line of the table is about.
func (c *soundness) stream(name, value []byte) bool {
	var e entry
	if e.parse(value, c.sp.frames) != nil || e.off != c.off {
		return false
	}
	r, list := &c.record, skipList{list: c.skips, start: len(c.skips)}
	end, next := e.off+e.size, e.first
	for i := range e.count + e.snaps {
		b, head, err := c.sp.frame(&c.window, c.off, end, packBuffer)
		if err != nil || c.sp.decode(b, head, c.decoder, r) != nil || r.Stream != string(name) || (r.Kind == backend.Snapshot) != (i >= e.count) {
			return false
		}
		if i < e.count {
			if r.Version < next || i == 0 && r.Version != next {
				return false
			}
			next = r.Version + 1
			list.add(r.Version, c.off-e.off, i+1)
		}
		c.off += int64(len(b))
	}
	c.skips = list.finish(c.sp.seed)
	c.streams++
	c.records += e.count + e.snaps
	return c.off == end
}
