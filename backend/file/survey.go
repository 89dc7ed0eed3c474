package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// lostRecord is a record of a span that can't be read, as far as it is known.
type lostRecord struct {
	file     string
	off, n   int64
	position backend.Position // 0: not known
	stream   string
	version  backend.Version // 0: not known, or a snapshot's
	detail   string
}

func (l *lostRecord) err() error {
	return &backend.CorruptError{File: l.file, Offset: l.off, Length: l.n, Stream: l.stream, Version: l.version, Position: l.position, Detail: l.detail}
}

// survey reads each record of the span and hands it on with the offset of its frame. What
// can't be read is returned. It goes by the table, or, where that is damaged, from frame
// to frame.
func (sp *span) survey(ctx context.Context, seed codec.Seed, w *window, visit func(off int64, r *backend.Record)) (lost []lostRecord, err error) {
	positions := map[backend.Position]bool{} // of what was found, where something is lost
	each := func(off int64, r *backend.Record) {
		positions[r.Position] = true
		visit(off, r)
	}
	rows, err := sp.rows()
	if err != nil {
		lost, err = sp.surveyPart(ctx, seed, w, headerSize, sp.frames, "", each)
		return sp.place(lost, positions), err
	}
	at := int64(headerSize)
	for i := range rows {
		row := &rows[i]
		var versions []backend.Version
		part, err := sp.surveyPart(ctx, seed, w, at, row.off+row.size, row.name, func(off int64, r *backend.Record) {
			if r.Kind != backend.Snapshot {
				versions = append(versions, r.Version)
			}
			each(off, r)
		})
		if err != nil {
			return lost, err
		}
		row.attribute(part, versions)
		lost, at = append(lost, part...), row.off+row.size
	}
	return sp.place(lost, positions), nil
}

// row is a line of the table.
type row struct {
	name string
	entry
}

// rows returns the table, if all of it is sound and goes with the frames.
func (sp *span) rows() (list []row, err error) {
	_, table, err := sp.open()
	if err != nil {
		return nil, err
	}
	it, at := table.Seek(""), int64(headerSize)
	for it.Next() {
		r := row{name: string(it.Name())}
		if err := r.parse(it.Value(), sp.frames); err != nil {
			return nil, sp.corruptTable(err)
		}
		if r.off != at {
			return nil, &backend.CorruptError{File: sp.name, Offset: sp.skipsEnd(), Stream: r.name, Detail: fmt.Sprintf("the table says that the stream's records begin at %d, but those before end at %d", r.off, at)}
		}
		at += r.size
		list = append(list, r)
	}
	if err := it.Err(); err != nil {
		return nil, sp.corruptTable(err)
	}
	if at != sp.frames || uint64(len(list)) != sp.streams {
		return nil, &backend.CorruptError{File: sp.name, Offset: sp.skipsEnd(), Detail: fmt.Sprintf("the table tells of %d streams and %d bytes of records, the header of %d and %d", len(list), at, sp.streams, sp.frames)}
	}
	return list, nil
}

// attribute finds out which versions are lost, where versions have no gaps.
func (r *row) attribute(lost []lostRecord, found []backend.Version) {
	if !r.dense() {
		return
	}
	have := map[backend.Version]bool{}
	for _, v := range found {
		have[v] = true
	}
	for i := range lost {
		have[lost[i].version] = true
	}
	next := r.first
	for i := range lost {
		if l := &lost[i]; l.version == 0 {
			for ; next <= r.Version; next++ {
				if !have[next] {
					l.version = next
					next++
					break
				}
			}
		}
	}
}

// place finds out which positions are lost, where positions have no gaps.
func (sp *span) place(lost []lostRecord, found map[backend.Position]bool) []lostRecord {
	for i := range lost {
		if p := lost[i].position; p > 0 && found[p] {
			lost[i].position = 0
		} else if p > 0 {
			found[p] = true
		}
	}
	next := sp.from
	for i := range lost {
		if l := &lost[i]; l.position == 0 {
			for ; next <= sp.to; next++ {
				if !found[next] {
					l.position = next
					next++
					break
				}
			}
		}
	}
	return lost
}

// surveyPart is survey for the frames from one offset to another, of one stream if it is
// given. Where a frame can't be read it looks for the next that can.
func (sp *span) surveyPart(ctx context.Context, seed codec.Seed, w *window, off, end int64, name string, visit func(off int64, r *backend.Record)) (lost []lostRecord, err error) {
	d := codec.Decoder{Seed: seed}
	var r backend.Record
	for n := 0; off < end; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return lost, context.Cause(ctx)
		}
		_, head, size, err := sp.hop(w, off, end, readSize)
		if err == nil {
			var b []byte
			if b, err = sp.bytes(w, off, size, readSize); err == nil {
				err = sp.decode(b, head, &d, &r)
			}
			if err == nil && name != "" && r.Stream != name {
				err = fmt.Errorf("%w: a record of another stream", backend.ErrCorrupt)
			}
		}
		if err == nil {
			visit(off, &r)
			off += int64(size)
			continue
		}
		l := lostRecord{file: sp.name, off: off, stream: name, detail: err.Error()}
		next := sp.resync(w, &d, off+1, end, name)
		l.n = next - off
		sp.guess(w, &d, off, &l)
		lost = append(lost, l)
		off = next
	}
	return lost, nil
}

// guess reads what can still be read of a damaged frame: its head if that is sound, or
// else the position that stands before it.
func (sp *span) guess(w *window, d *codec.Decoder, off int64, l *lostRecord) {
	b, err := sp.bytes(w, off, int(min(l.n, 4096)), 0)
	if err != nil {
		return
	}
	rel, n := binary.Uvarint(b)
	if n <= 0 || rel > uint64(sp.to-sp.from) {
		return
	}
	l.position = sp.from + backend.Position(rel)
	var r backend.Record
	if _, err := d.Head(b[n:], l.position, sp.base, &r); err == nil {
		l.stream = r.Stream
		if r.Kind != backend.Snapshot {
			l.version = r.Version
		}
	}
}

// resync returns the first offset from off on at which a sound frame stands; end if there
// is none.
func (sp *span) resync(w *window, d *codec.Decoder, off, end int64, name string) int64 {
	var r backend.Record
	for ; off < end; off++ {
		b, err := sp.bytes(w, off, int(min(end-off, backend.MaxStreamBytes+256)), readSize)
		if err != nil {
			off += pageSize - off%pageSize - 1
			continue
		}
		rel, n := binary.Uvarint(b)
		if n <= 0 || rel > uint64(sp.to-sp.from) || name != "" && !bytes.Contains(b[n:min(len(b), n+8+len(name))], []byte(name)) {
			continue
		}
		if _, err := d.Head(b[n:], sp.from+backend.Position(rel), sp.base, &r); err != nil && err != codec.ErrShort {
			continue
		}
		_, head, size, err := sp.hop(w, off, end, readSize)
		if err != nil {
			continue
		}
		if b, err = sp.bytes(w, off, size, readSize); err == nil && sp.decode(b, head, d, &r) == nil {
			return off
		}
	}
	return end
}

// verify reads all of the span and checks that it is as it was written: the file's size,
// the header, each record, the order of streams and versions, the table, the skip lists.
// With report it goes on, without it returns the first finding as an error.
func (sp *span) verify(ctx context.Context, seed codec.Seed, report func(backend.Anomaly)) error {
	c := &check{sp: sp, report: report}
	f, _, err := sp.open()
	if err != nil {
		return c.tell(backend.MissingFile, 0, 0, err.Error())
	}
	size, err := f.Size()
	if err != nil {
		return c.tell(backend.Unreadable, 0, 0, err.Error())
	}
	if size != sp.size {
		c.tell(backend.MissingRecord, min(size, sp.size), 0, fmt.Sprintf("the file has %d bytes, the manifest says %d", size, sp.size))
	}
	c.header()
	c.records(ctx, seed)
	return c.first
}

// check is a span being verified.
type check struct {
	sp     *span
	report func(backend.Anomaly)
	first  error
}

func (c *check) tell(code backend.AnomalyCode, off, n int64, detail string) error {
	return c.found(backend.Anomaly{Code: code, Severity: backend.Damage, File: c.sp.name, Offset: off, Length: n, Detail: detail})
}

func (c *check) found(a backend.Anomaly) error {
	if c.first == nil {
		c.first = &backend.CorruptError{File: a.File, Offset: a.Offset, Length: a.Length, Stream: a.Stream, Version: a.Version, Position: a.Position, Detail: a.Detail}
	}
	if c.report != nil {
		c.report(a)
	}
	return c.first
}

// warn reports what can be made again without loss.
func (c *check) warn(code backend.AnomalyCode, off, n int64, detail string) {
	c.found(backend.Anomaly{Code: code, Severity: backend.Warning, File: c.sp.name, Offset: off, Length: n, Detail: detail})
}

func (c *check) header() {
	b := make([]byte, headerSize)
	if _, err := c.sp.ReadAt(b, 0); err != nil {
		c.tell(backend.Unreadable, 0, headerSize, err.Error())
		return
	}
	if !bytes.Equal(b, c.sp.encode(c.sp.store)) {
		c.warn(backend.BadHeader, 0, headerSize, "the span's header is not what was written; the manifest says all that it does")
	}
}

// records checks records, table and skip lists.
func (c *check) records(ctx context.Context, seed codec.Seed) {
	sp := c.sp
	var w window
	rows, err := sp.rows()
	if err != nil {
		c.table(err)
		lost, err := sp.surveyPart(ctx, seed, &w, headerSize, sp.frames, "", func(int64, *backend.Record) {})
		c.lost(lost, err)
		return
	}
	var skips []byte
	count := uint64(0)
	for i := range rows {
		if ctx.Err() != nil {
			return
		}
		var made entry
		made, skips, err = c.stream(ctx, seed, &w, &rows[i], skips)
		if err != nil {
			return
		}
		count += made.count + made.snaps
	}
	if count != sp.records && c.first == nil {
		c.tell(backend.MissingRecord, headerSize, 0, fmt.Sprintf("%d records, the header says %d", count, sp.records))
	}
	c.skips(skips)
	_, table, err := sp.open()
	if err == nil {
		err = table.Check(nil)
	}
	if err != nil {
		c.table(sp.corruptTable(err))
	}
}

// table reports a damaged table: it can be made again.
func (c *check) table(err error) {
	if ce, ok := err.(*backend.CorruptError); ok {
		c.warn(backend.BadHeader, ce.Offset, ce.Length, ce.Detail)
		return
	}
	c.warn(backend.BadHeader, c.sp.skipsEnd(), 0, err.Error())
}

// skips compares the skip lists, and the zeros behind them, with what follows from the
// records.
func (c *check) skips(want []byte) {
	sp := c.sp
	want = append(want, make([]byte, sp.skipsEnd()-sp.skips)...)
	b := make([]byte, sp.skipsEnd()-sp.frames)
	if _, err := sp.ReadAt(b, sp.frames); err != nil {
		c.tell(backend.Unreadable, sp.frames, int64(len(b)), err.Error())
	} else if c.first == nil && !bytes.Equal(b, want) {
		at := 0
		for at < min(len(b), len(want)) && b[at] == want[at] {
			at++
		}
		c.warn(backend.BadHeader, sp.frames+int64(at), 0, "the skip lists are not what was written; they can be made again")
	}
}

// stream checks one stream's records against its line in the table, and returns the line
// that follows from them.
func (c *check) stream(ctx context.Context, seed codec.Seed, w *window, row *row, skips []byte) (made entry, _ []byte, err error) {
	sl := skipList{list: skips, start: len(skips)}
	var last backend.Version
	var versions []backend.Version
	snapshots := false
	lost, err := c.sp.surveyPart(ctx, seed, w, row.off, row.off+row.size, row.name, func(off int64, r *backend.Record) {
		if r.Kind == backend.Snapshot {
			snapshots = true
			made.snaps++
			return
		}
		if snapshots || made.count > 0 && r.Version <= last {
			c.found(backend.Anomaly{Code: backend.MissingRecord, Severity: backend.Damage, File: c.sp.name, Offset: off, Stream: row.name, Version: r.Version, Position: r.Position,
				Detail: fmt.Sprintf("it stands behind version %d", last)})
		}
		if made.count == 0 {
			made.first = r.Version
		}
		made.count++
		last = r.Version
		sl.add(r.Version, off-row.off, made.count)
		versions = append(versions, r.Version)
	})
	if err != nil {
		return made, skips, err
	}
	if len(lost) > 0 {
		row.attribute(lost, versions)
		c.lost(lost, nil)
	} else if made.count != row.count || made.snaps != row.snaps || made.count > 0 && made.first != row.first {
		c.warn(backend.WrongHead, c.sp.skipsEnd(), 0, fmt.Sprintf("the table says that stream %q has %d records from version %d and %d snapshots; there are %d from %d and %d", row.name, row.count, row.first, row.snaps, made.count, made.first, made.snaps))
	}
	return made, sl.finish(c.sp.seed), nil
}

func (c *check) lost(lost []lostRecord, err error) {
	for i := range lost {
		l := &lost[i]
		c.found(backend.Anomaly{Code: backend.BadChecksum, Severity: backend.Damage, File: l.file, Offset: l.off, Length: l.n, Stream: l.stream, Version: l.version, Position: l.position, Detail: l.detail})
	}
	if err != nil && c.first == nil {
		c.first = err
	}
}
