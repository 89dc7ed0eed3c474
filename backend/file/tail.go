package file

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// Where the log ends, and what is damage, is decided here and nowhere else. One group
// is in flight at a time, and the next is written only after the sync of the one
// before. So a valid header proves that every byte of the log below it was durable, and
// a crash leaves at most one group's bytes above the end, among zeros. E is the end of
// the last group that verifies, n its sequence:
//
//	at E                             evidence above E                verdict
//	zeros or the file's end          none                            the log ends
//	header n+1 valid, body bad       none                            torn: cut
//	no valid header, bytes           none                            torn: cut
//	the same, in two segments        none                            damage
//	header n+1 valid, other chain    –                               damage: a write to n was lost
//	anything                         a valid header ≥ n+2            damage: not cut
//	anything                         the newest mark is above E      damage: acknowledged groups are lost
//	bytes that can't be read         –                               damage, never torn
//	a group that verifies, though never acknowledged                 kept whole
//
// E may be in one segment and the group after it at the beginning of the next.

// trouble decides what to do at a place where the next group of the log is not, and
// returns where the log goes on.
func (w *walker) trouble(at cursor, g group, st state) cursor {
	if st != nothing && g.sequence > w.last.sequence && !(st == broken && g.sequence == w.last.sequence+1 && g.chain == w.last.crc) {
		return w.unchained(at, g) // whole, or at least its header, but not what follows
	}
	if next, ok := w.continues(at); ok {
		return next
	}
	later, h, stale := w.search(at)
	if proved := later.sg != nil || w.mark != nil && w.mark.sequence > w.last.sequence; proved && st == nothing && w.err == nil {
		if g, ok := w.mend(at); ok {
			return w.accept(at, &g)
		}
		if at.sg.ordinal+1 < len(w.segments) { // or there, if the log left this segment here
			next := cursor{w.segments[at.sg.ordinal+1], headerSize}
			if g, ok := w.mend(next); ok {
				return w.accept(next, &g)
			}
		}
	}
	switch {
	case w.err != nil:
		return cursor{}
	case later.sg != nil && w.caughtUp(at, &g):
		return w.accept(at, &g)
	case later.sg != nil:
		return w.damagedBefore(at, g, st, later, &h)
	case w.mark != nil && w.mark.sequence > w.last.sequence:
		return w.lostAcknowledged(at, g, st)
	}
	w.ending(at, stale || st == whole)
	return cursor{}
}

// mended is bytes of which one is wrong, as they should be.
type mended struct {
	sg  *segment
	off int64
	b   []byte
}

// patch notes that bytes are certain to be one byte off. They read as they should be, and
// the store takes no appends until recover has written them.
func (w *walker) patch(sg *segment, off int64, b []byte, detail string) {
	w.keepMended(sg, off, b)
	w.damaged = true
	w.warn(backend.BadHeader, sg, off, int64(len(b)), detail)
}

func (w *walker) keepMended(sg *segment, off int64, b []byte) {
	w.mended = append(w.mended, mended{sg, off, b})
	if sg.mended == nil {
		sg.mended = map[int64][]byte{}
	}
	sg.mended[off] = b
}

// mend looks whether one byte of a group's header is all that is wrong at a place. The
// header's checksum tells which and what it was; that the group is the next of the log,
// and that all of its body verifies, tells that this is no accident. No crash leaves it.
func (w *walker) mend(at cursor) (g group, ok bool) {
	b, err := w.window.bytes(at.sg, at.off, groupSize, readSize)
	if err != nil || len(b) < groupSize || zero(b) {
		return g, false
	}
	header := append([]byte{}, b...)
	for i := range header {
		was := header[i]
		for x := 1; x < 256; x++ {
			header[i] = was ^ byte(x)
			g, ok = parseGroup(header, at.sg, at.off)
			if !ok || !g.known() || g.sequence != w.last.sequence+1 || g.chain != w.last.crc {
				continue
			}
			if b, err := w.window.bytes(at.sg, at.off, int(g.length), readSize); err == nil && w.examine(&g, b) {
				w.patch(at.sg, at.off, header, fmt.Sprintf("byte %d of a group's header is not what was written; nothing else of the group is damaged, and recover mends it", i))
				return g, true
			}
		}
		header[i] = was
	}
	return g, false
}

// caughtUp looks again at a place where the next group was not when it was looked at,
// though a later one is there now: beside a process that appends, both were written
// meanwhile. The later header proves that the group before it is whole.
func (w *walker) caughtUp(at cursor, g *group) bool {
	if !w.beside {
		return false
	}
	w.window.forget()
	again, st := w.look(at)
	if st != whole || again.sequence != w.last.sequence+1 || again.chain != w.last.crc {
		return false
	}
	*g = again
	return true
}

// unchained takes in a group whose header is sound but does not follow the last.
func (w *walker) unchained(at cursor, g group) cursor {
	if missing := g.sequence - w.last.sequence - 1; missing > 0 {
		w.damage(backend.MissingRecord, at.sg, at.off, 0, fmt.Sprintf("%d groups are missing before this one", missing))
	} else {
		w.damage(backend.BadHeader, at.sg, at.off, groupSize, "the group follows another than the one that stands before it: a write was lost")
	}
	w.holeUpTo(g.first, at.sg, at.off, 0, "groups are missing here")
	if g.first <= w.pos {
		w.damage(backend.BadHeader, at.sg, at.off, groupSize, fmt.Sprintf("its first position is %d, but %d was reached before", g.first, w.pos))
		w.last.sequence, w.last.crc = g.sequence, g.crc
		return cursor{at.sg, at.off + int64(g.length)}
	}
	return w.accept(at, &g)
}

// continues reports whether the log goes on regularly at the beginning of the next
// segment, and returns that place.
func (w *walker) continues(at cursor) (cursor, bool) {
	if at.sg.ordinal+1 >= len(w.segments) {
		return cursor{}, false
	}
	next := cursor{w.segments[at.sg.ordinal+1], headerSize}
	if w.limit.sg != nil && next.sg.ordinal > w.limit.sg.ordinal {
		return cursor{}, false
	}
	b, err := w.window.bytes(next.sg, next.off, groupSize, readSize)
	if err != nil {
		return cursor{}, false
	}
	g, ok := parseGroup(b, next.sg, next.off)
	if !ok || g.sequence != w.last.sequence+1 || g.chain != w.last.crc {
		return cursor{}, false
	}
	if from, to, err := w.nonzero(at); err != nil {
		w.damage(backend.Unreadable, at.sg, at.off, 0, err.Error())
	} else if to > from {
		w.warn(backend.StrayBytes, at.sg, from, to-from, "the log left this segment before these bytes")
	}
	w.done += max(0, at.sg.laid-at.sg.end)
	return next, true
}

// damagedBefore deals with damage from at up to a later group with header h, and
// returns where the log goes on.
func (w *walker) damagedBefore(at cursor, g group, st state, later cursor, h *group) cursor {
	if st == broken && g.first > w.pos && !(later.sg == at.sg && at.off+int64(g.length) > later.off) {
		return w.accept(at, &g) // its records are judged one by one
	}
	if next := w.leaves(at); later.sg != at.sg && next != later { // the group after the last was not there
		at = next
	}
	end := later.off
	if later.sg != at.sg {
		if _, to, err := w.nonzero(at); err == nil {
			end = to
		} else {
			end = max(at.off, at.sg.laid)
		}
	}
	w.damage(backend.BadHeader, at.sg, at.off, end-at.off, fmt.Sprintf("no group can be read here; the log goes on in %s at offset %d", later.sg.name, later.off))
	if h.sequence == w.last.sequence+2 && later.sg == at.sg {
		w.salvage(at, end, h)
	}
	w.holeUpTo(h.first, at.sg, at.off, end-at.off, "no group can be read here")
	w.last.sequence, w.last.crc = h.sequence-1, h.chain
	return later
}

// leaves returns the beginning of the next segment if nothing stands at a place: the log
// left the segment there. Else it returns the place.
func (w *walker) leaves(at cursor) cursor {
	from, to, err := w.nonzero(at)
	if err != nil || to > from || at.sg.file == nil || at.sg.ordinal+1 == len(w.segments) {
		return at
	}
	return cursor{w.segments[at.sg.ordinal+1], headerSize}
}

// salvage tells of which streams the records are of the one group from at up to end,
// whose header is lost: their places in it follow from those of the next group, and
// their checksums prove them. They can't be read, as their times are lost with the
// header; but which versions of which streams are missing is known then.
func (w *walker) salvage(at cursor, end int64, next *group) {
	n := int64(next.first - w.pos - 1)
	if n <= 0 || n > (end-at.off)/denseEntry || end-at.off > maxGroup {
		return
	}
	b, err := w.window.bytes(at.sg, at.off, int(end-at.off), 0)
	if err != nil || int64(len(b)) < end-at.off {
		return
	}
	off := groupSize + int(n)*denseEntry
	first := w.pos + 1
	for i := range n {
		var r backend.Record
		size, err := w.decoder.Decode(b[min(off, len(b)):], first+backend.Position(i), 0, &r)
		if err != nil {
			size = int(binary.LittleEndian.Uint32(b[groupSize+i*denseEntry:]))
		}
		if r.Stream == "" || size <= 0 {
			return
		}
		w.loseRecord(at, off, size, &r)
		off = min(off+size, len(b))
	}
}

// loseRecord notes that a record of which all but the time is known can't be read.
func (w *walker) loseRecord(at cursor, off, n int, r *backend.Record) {
	lost := backend.CorruptError{File: at.sg.name, Offset: at.off + int64(off), Length: int64(n), Stream: r.Stream, Version: r.Version, Position: r.Position,
		Detail: "the header of the record's group is lost"}
	w.lose(at.sg, hole{from: r.Position, to: r.Position, stream: r.Stream, lost: lost})
	w.follow(at.sg, r, place{position: r.Position, off: nowhere})
	w.report(backend.Anomaly{Code: backend.MissingRecord, Severity: backend.Damage, File: lost.File, Offset: lost.Offset, Length: lost.Length,
		Stream: r.Stream, Version: r.Version, Position: r.Position, Detail: lost.Detail})
}

// holeUpTo notes that the positions after the last up to next, not included, are lost.
func (w *walker) holeUpTo(next backend.Position, sg *segment, off, n int64, detail string) {
	if w.adrift > 0 {
		w.holes[w.adrift-1].to = next - 1
		w.adrift = 0
	}
	if next <= w.pos+1 {
		return
	}
	w.lose(sg, hole{from: w.pos + 1, to: next - 1, lost: backend.CorruptError{File: sg.name, Offset: off, Length: n, Position: w.pos + 1,
		Detail: fmt.Sprintf("%s: positions %d to %d are lost", detail, w.pos+1, next-1)}})
}

// lostAcknowledged deals with an end of the log below the newest mark.
func (w *walker) lostAcknowledged(at cursor, g group, st state) cursor {
	if st == broken && g.first > w.pos {
		return w.accept(at, &g)
	}
	if w.mark.segment != at.sg.id {
		at = w.leaves(at)
	}
	n := int64(0) // what stands here instead
	if from, to, err := w.nonzero(at); err == nil && to > from {
		n = to - at.off
	}
	w.damage(backend.MissingRecord, at.sg, at.off, n, fmt.Sprintf("the log ends at position %d, but was durable up to %d at least: the disk lost acknowledged writes", w.pos, w.mark.last))
	for _, sg := range w.segments[at.sg.ordinal+1:] {
		if from, to, err := w.nonzero(cursor{sg, headerSize}); err == nil && to > from {
			w.damage(backend.StrayBytes, sg, from, to-from, "bytes behind the end of the log, which was durable beyond it")
		}
	}
	w.openHole(at, "the log ends here, below what was durable")
	w.pos = max(w.pos, w.mark.last)
	return cursor{}
}

// lose notes that positions are lost, where the walk has come to in a segment.
func (w *walker) lose(sg *segment, h hole) {
	w.holes = append(w.holes, h)
	sg.table.split = true // no read goes across it
	if h.to < unbounded {
		w.pos = max(w.pos, h.to)
	}
}

// openHole notes that all after the last position may be lost.
func (w *walker) openHole(at cursor, detail string) {
	w.lose(at.sg, hole{from: w.pos + 1, to: unbounded, lost: backend.CorruptError{File: at.sg.name, Offset: at.off, Position: w.pos + 1, Detail: detail}})
}

// ending decides about what stands above the end of the log, where no later header and
// no mark says that there was more.
func (w *walker) ending(at cursor, odd bool) {
	var rests []torn
	for c := at; ; {
		from, to, err := w.nonzero(c)
		if err != nil || c.sg.file == nil {
			w.damaged = true
			if err != nil && c.sg.file != nil {
				w.damage(backend.Unreadable, c.sg, from, 0, err.Error())
			}
			w.openHole(c, "what follows the last group can't be read: an unread byte may be anything")
			return
		}
		if to > from {
			rests = append(rests, torn{c.sg, from, to})
		}
		if c.sg.ordinal+1 == len(w.segments) {
			break
		}
		c = cursor{w.segments[c.sg.ordinal+1], headerSize}
	}
	switch {
	case len(rests) == 0:
	case len(rests) > 1 || odd || !w.mayBeTorn(at, rests[0]):
		for _, r := range rests {
			w.damage(backend.StrayBytes, r.sg, r.from, r.to-r.from, "bytes above the end of the log that no crash leaves")
		}
		w.openHole(at, "bytes stand above the end of the log that no crash leaves")
	default:
		w.tail = torn{rests[0].sg, at.off, rests[0].to}
		if rests[0].sg != at.sg {
			w.tail.from = headerSize
		}
		w.report(backend.Anomaly{Code: backend.TornTail, Severity: backend.Notice, File: w.tail.sg.name, Offset: w.tail.from, Length: w.tail.to - w.tail.from,
			Detail: "the last append was cut by a crash, or another process is writing it: nothing proves that it was acknowledged"})
	}
}

// mayBeTorn reports whether a rest can be what one group's write left: at the end of
// the log, or at the beginning of the next segment, and not longer than a group.
func (w *walker) mayBeTorn(at cursor, r torn) bool {
	begin := int64(headerSize)
	if r.sg == at.sg {
		begin = at.off
	}
	return r.sg.ordinal <= at.sg.ordinal+1 && r.to <= begin+maxGroup
}

// nonzero returns where the first byte that is not zero is from a place to the end of
// its segment, and where the last ends. Without any, from is not below to.
func (w *walker) nonzero(at cursor) (from, to int64, err error) {
	from, to = max(at.sg.laid, at.off), at.off
	if at.sg.file == nil {
		return at.off, at.off, nil
	}
	for off := at.off; off < at.sg.laid; {
		b, err := w.window.bytes(at.sg, off, readSize, readSize)
		if err != nil {
			return off, off, err
		}
		if len(b) == 0 {
			break
		}
		if !zero(b) {
			from = min(from, off+int64(len(b)-len(bytes.TrimLeft(b, "\x00"))))
			to = off + int64(len(bytes.TrimRight(b, "\x00")))
		}
		off += int64(len(b))
	}
	return from, to, nil
}

// search looks for the first group header of a later sequence above a place. stale says
// that there are headers, but none of a later sequence.
func (w *walker) search(at cursor) (later cursor, h group, stale bool) {
	off := at.off + groupAlign
	for i := at.sg.ordinal; i < len(w.segments); i++ {
		sg := w.segments[i]
		if w.limit.sg != nil && sg.ordinal > w.limit.sg.ordinal {
			break
		}
		if i > at.sg.ordinal {
			off = headerSize
		}
		found, g, ok := w.searchSegment(sg, off, &stale)
		if ok || w.err != nil {
			return cursor{sg, found}, g, stale
		}
	}
	return cursor{}, h, stale
}

// searchSegment looks at each multiple of 8. A page that can't be read is passed over:
// it is evidence of nothing.
func (w *walker) searchSegment(sg *segment, off int64, stale *bool) (int64, group, bool) {
	life := uint32(sg.life)
	for sg.file != nil && off < sg.laid {
		if w.err = w.ctx.Err(); w.err != nil {
			break
		}
		b, err := w.window.bytes(sg, off, readSize, readSize)
		if err != nil {
			if b, err = w.window.bytes(sg, off, int(pageSize-off%pageSize), 0); err != nil {
				off += pageSize - off%pageSize
				continue
			}
		}
		i := 0
		for ; i+groupSize <= len(b); i += groupAlign {
			if binary.LittleEndian.Uint16(b[i:]) != groupMagic || binary.LittleEndian.Uint32(b[i+28:]) != life {
				continue
			}
			g, ok := parseGroup(b[i:], sg, off+int64(i))
			if ok && g.sequence > w.last.sequence && g.first > w.pos {
				return off + int64(i), g, true
			}
			*stale = *stale || ok
		}
		if i == 0 {
			break
		}
		off += int64(i)
	}
	return 0, group{}, false
}
