package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// lostRecord is what can't be read of a span: damaged bytes, with the record in them as
// far as it is known; a version of a stream, or positions, that are missing.
type lostRecord struct {
	file         string
	off, n       int64            // of the bytes; n is 0 if it is not known which they are
	position, to backend.Position // 0: not known
	stream       string
	version      backend.Version // 0: not known, or a snapshot's
	detail       string
}

func (l *lostRecord) err() error {
	return &backend.CorruptError{File: l.file, Offset: l.off, Length: l.n, Stream: l.stream, Version: l.version, Position: l.position, Detail: l.detail}
}

// survey reads each record of the span and hands it on with the offset of its frame. What
// can't be read is returned. It goes by the table, or, where that is damaged, from frame
// to frame.
func (sp *span) survey(ctx context.Context, seed codec.Seed, w *window, visit func(at frame, r *backend.Record)) (lost []lostRecord, err error) {
	v := &surveyor{sp: sp, w: w, decoder: codec.Decoder{Seed: seed}, found: map[backend.Position]bool{}, versions: map[string][]backend.Version{}, visit: visit}
	rows, err := sp.rows()
	if err != nil {
		rows = []row{{entry: entry{off: headerSize, size: sp.frames - headerSize}}}
	}
	for i := range rows {
		row := &rows[i]
		part, err := sp.surveyPart(ctx, seed, w, row.off, row.off+row.size, row.name, v.take)
		if err != nil {
			return nil, err
		}
		v.lost = append(v.lost, part...)
	}
	v.mend()
	v.missingVersions(rows)
	v.missingPositions()
	return v.lost, nil
}

// surveyor gathers what a survey finds.
type surveyor struct {
	sp       *span
	w        *window
	decoder  codec.Decoder
	visit    func(at frame, r *backend.Record)
	found    map[backend.Position]bool
	versions map[string][]backend.Version // of streams of which something is lost, numbered
	lost     []lostRecord
}

// frame is where a record is in a span.
type frame struct {
	off    int64
	head   int  // bytes before its envelope
	n      int  // bytes with these
	mended bool // one byte of the envelope's head is wrong
}

func (v *surveyor) take(at frame, r *backend.Record) {
	if v.found[r.Position] { // a copy of it stands elsewhere, too
		return
	}
	v.found[r.Position] = true
	if r.Kind != backend.Snapshot {
		v.versions[r.Stream] = append(v.versions[r.Stream], r.Version)
	}
	v.visit(at, r)
}

// mendMost bounds how many positions are tried for a damaged frame.
const mendMost = 1 << 16

// mend tries positions that no record was found at for frames that can't be read: if
// nothing but the position before a record is damaged, its checksum tells which it is; if
// its head is sound, that tells what is lost.
func (v *surveyor) mend() {
	sp, tried := v.sp, 0
	kept := v.lost[:0]
	for _, l := range v.lost {
		if l.position > 0 { // its head is sound
			if v.found[l.position] { // but the record stands elsewhere, too
				l.position, l.to, l.stream, l.version = 0, 0, "", 0
			}
			if l.position > 0 {
				v.found[l.position] = true
			}
			kept = append(kept, l)
			continue
		}
		b, err := sp.bytes(v.w, l.off, int(l.n), 0)
		if err != nil || int64(len(b)) < l.n {
			kept = append(kept, l)
			continue
		}
		whole := v.mendHead(&l, b)
		for p := sp.from; p <= sp.to && tried < mendMost && !whole; p++ {
			if v.found[p] {
				continue
			}
			tried++
			for head := 1; head <= 4 && head < len(b); head++ {
				if !v.decoder.HeadIs(b[head:], p, len(b)-head) {
					continue
				}
				var r backend.Record
				if _, err := v.decoder.Head(b[head:], p, sp.base, &r); err != nil {
					continue
				}
				l.position, l.to, l.stream, l.version = p, p, r.Stream, 0
				if r.Kind != backend.Snapshot {
					l.version = r.Version
				}
				if _, err := v.decoder.Decode(b[head:], p, sp.base, &r); err == nil {
					whole = true
					v.take(frame{off: l.off, head: head, n: len(b)}, &r)
				} else {
					v.found[p] = true // it is known what is lost there
				}
				break
			}
			if l.position == p {
				break
			}
		}
		if !whole {
			kept = append(kept, l)
		}
	}
	v.lost = kept
}

// mendHead puts right a record of which one byte of the head is wrong.
func (v *surveyor) mendHead(l *lostRecord, b []byte) bool {
	rel, head := binary.Uvarint(b)
	p := v.sp.from + backend.Position(rel)
	if head <= 0 || p > v.sp.to || v.found[p] {
		return false
	}
	fixed := append([]byte{}, b[head:]...)
	var r backend.Record
	if !v.decoder.Mend(fixed, p) {
		return false
	}
	if _, err := v.decoder.Decode(fixed, p, v.sp.base, &r); err != nil {
		return false
	}
	v.take(frame{off: l.off, head: head, n: len(b), mended: true}, &r)
	return true
}

// missingVersions adds the versions that streams without gaps should have.
func (v *surveyor) missingVersions(rows []row) {
	for i := range rows {
		r := &rows[i]
		if !r.dense() || r.count == uint64(len(v.versions[r.name])) {
			continue
		}
		have := map[backend.Version]bool{}
		for _, version := range v.versions[r.name] {
			have[version] = true
		}
		for j := range v.lost {
			if v.lost[j].stream == r.name {
				have[v.lost[j].version] = true
			}
		}
		for version := r.first; version <= r.Version; version++ {
			if !have[version] {
				v.lost = append(v.lost, lostRecord{file: v.sp.name, off: r.off, stream: r.name, version: version, detail: "the record is damaged"})
			}
		}
	}
}

// missingPositions adds the positions at which a record may be lost: exactly those where
// positions have no gaps.
func (v *surveyor) missingPositions() {
	sp := v.sp
	if uint64(len(v.found)) >= sp.records {
		return
	}
	detail := "a record in this span is damaged"
	next := sp.from
	gap := func(to backend.Position) { // up to it, not included
		if next < to {
			v.lost = append(v.lost, lostRecord{file: sp.name, off: headerSize, position: next, to: to - 1, detail: detail})
		}
		next = to + 1
	}
	for _, p := range slices.Sorted(maps.Keys(v.found)) {
		gap(p)
	}
	gap(sp.to + 1)
}

// row is a line of the table.
type row struct {
	name string
	entry
}

// rows returns the table, if all of it is sound and goes with the frames.
func (sp *span) rows() (list []row, err error) {
	it, at := sp.table.Seek(""), int64(headerSize)
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

// surveyPart is survey for the frames from one offset to another, of one stream if it is
// given. Where a frame can't be read it looks for the next that can.
func (sp *span) surveyPart(ctx context.Context, seed codec.Seed, w *window, off, end int64, name string, visit func(at frame, r *backend.Record)) (lost []lostRecord, err error) {
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
			visit(frame{off: off, head: head, n: size}, &r)
			off += int64(size)
			continue
		}
		l := lostRecord{file: sp.name, off: off, stream: name, detail: err.Error()}
		next := sp.resync(w, &d, off+1, end, name)
		l.n = next - off
		sp.guess(w, &d, &l)
		lost = append(lost, l)
		off = next
	}
	return lost, nil
}

// guess reads the head of a damaged record, if that is sound.
func (sp *span) guess(w *window, d *codec.Decoder, l *lostRecord) {
	b, err := sp.bytes(w, l.off, int(min(l.n, pageSize)), 0)
	if err != nil {
		return
	}
	rel, n := binary.Uvarint(b)
	if n <= 0 || rel > uint64(sp.to-sp.from) {
		return
	}
	var r backend.Record
	if _, err := d.Head(b[n:], sp.from+backend.Position(rel), sp.base, &r); err != nil {
		return
	}
	l.position, l.to, l.stream = r.Position, r.Position, r.Stream
	if r.Kind != backend.Snapshot {
		l.version = r.Version
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
		if len(b) == 0 { // the file ends before
			return end
		}
		rel, n := binary.Uvarint(b)
		if n <= 0 || rel > uint64(sp.to-sp.from) || !codec.Plausible(b[n:]) || name != "" && !bytes.Contains(b[n:min(len(b), n+8+len(name))], []byte(name)) {
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
	if sp.sound(ctx, seed) {
		return nil
	}
	c := &check{sp: sp, seed: seed, report: report}
	size, err := sp.fileSize()
	if err != nil {
		return c.tell(backend.MissingFile, 0, 0, err.Error())
	}
	if size > sp.size {
		c.warn(backend.StrayBytes, sp.size, size-sp.size, "bytes behind the end of the span")
	} else if size < sp.size {
		c.tell(backend.MissingRecord, min(size, sp.size), 0, fmt.Sprintf("the file has %d bytes, the manifest says %d", size, sp.size))
	}
	c.header()
	c.records(ctx, seed)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return c.first
}

// check is a span being verified.
type check struct {
	sp     *span
	seed   codec.Seed
	tried  int // how many records that are lost were looked at, whether they can be mended
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
		lost, err := sp.surveyPart(ctx, seed, &w, headerSize, sp.frames, "", func(frame, *backend.Record) {})
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
	if err := sp.table.Check(nil); err != nil {
		c.table(sp.corruptTable(err))
	}
}

// table reports a damaged table: nothing is lost, and it can be made again, but until then
// streams can't be read from the span.
func (c *check) table(err error) {
	if ce, ok := err.(*backend.CorruptError); ok {
		c.mendable(ce.Offset, ce.Length, ce.Detail)
		return
	}
	c.mendable(c.sp.skipsEnd(), 0, err.Error())
}

func (c *check) mendable(off, n int64, detail string) {
	_ = c.found(backend.Anomaly{Code: backend.BadHeader, Severity: backend.Damage, File: c.sp.name, Offset: off, Length: n, Mendable: true, Detail: detail + "; recover makes it again"})
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
	lost, err := c.sp.surveyPart(ctx, seed, w, row.off, row.off+row.size, row.name, func(at frame, r *backend.Record) {
		if r.Kind == backend.Snapshot {
			snapshots = true
			made.snaps++
			return
		}
		if snapshots || made.count > 0 && r.Version <= last {
			c.found(backend.Anomaly{Code: backend.MissingRecord, Severity: backend.Damage, File: c.sp.name, Offset: at.off, Stream: row.name, Version: r.Version, Position: r.Position,
				Detail: fmt.Sprintf("it stands behind version %d", last)})
		}
		if made.count == 0 {
			made.first = r.Version
		}
		made.count++
		last = r.Version
		sl.add(r.Version, at.off-row.off, made.count)
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
		if c.tried++; c.tried <= mendTries && c.sp.mendable(c.seed, l) {
			c.found(backend.Anomaly{Code: backend.BadChecksum, Severity: backend.Warning, File: l.file, Offset: l.off, Length: l.n, Stream: l.stream, Version: l.version, Position: l.position,
				Detail: "one byte of the record's head is wrong; it reads as it was, and recover mends it"})
			continue
		}
		c.found(backend.Anomaly{Code: backend.BadChecksum, Severity: backend.Damage, File: l.file, Offset: l.off, Length: l.n, Stream: l.stream, Version: l.version, Position: l.position, Detail: l.detail})
	}
	if err != nil && c.first == nil {
		c.first = err
	}
}
