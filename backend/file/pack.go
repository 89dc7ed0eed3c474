package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime"
	"slices"
	"sync"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"github.com/papyra-go/papyra/backend/file/internal/disk"
	"github.com/papyra-go/papyra/backend/file/internal/sorted"
)

// Packing makes one span out of segments or spans that follow one another. It is the one
// way in which stored records move: when a segment is full, when a store is compacted,
// and when damage is put aside.

// source is a segment or a span that is being packed.
type source interface {
	// next returns what the source holds of the next stream, in the order of names;
	// nil at the end. It is valid until next is called again.
	next() (*part, error)
	// load reads a record that next has told of.
	load(at spot, r *backend.Record) error
}

// part is what a source holds of one stream.
type part struct {
	name      string
	after     func(standing) standing // where the stream stands behind the source
	prior     *standing               // where it stood before; nil: the source doesn't know
	numbered  []spot                  // in version order
	snapshots []spot                  // ordered by (version, position)
}

// spot is a record that a source holds.
type spot struct {
	place
	version backend.Version
	off     int64 // place.off, without its bounds
	n       int   // how many bytes it takes; 0: not known
}

// packer writes one span.
type packer struct {
	s       *store
	ctx     context.Context
	view    *view
	sources []source
	lost    func(stream string, at spot, err error) error // what to do about a record that can't be read; nil: fail

	info  spanInfo
	file  disk.File
	off   int64 // of the file, where buf goes
	buf   []byte
	since int64  // bytes written since the last sync
	skips []byte // the skip lists, to be written behind the frames
	table *sorted.Writer
	toc   bytes.Buffer
	row   []byte      // the line of table that is being made
	known []knownHead // newest first, for ascending names
	fresh []freshHead // where each stream stands behind the span
	heads []byte      // the values of fresh
	seed  uint32      // of the skip lists
	one   runWriter   // of the stream that is being written
	rec   backend.Record
}

type knownHead struct {
	run    *heads
	cursor *sorted.Cursor
}

// freshHead is a line of the heads that go with the span.
type freshHead struct {
	name  string
	value []byte
}

const (
	packBuffer = 1 << 20
	packSync   = 8 << 20 // so much is written between syncs, so that none takes long
)

// packScratch is memory that packing uses again and again, as long as it goes on.
type packScratch struct {
	buf     []byte
	decoder codec.Decoder // of any store
}

var scratches = sync.Pool{New: func() any { return new(packScratch) }}

// run writes the span that info says to a tmp file, durable but for its name.
func (p *packer) run() (err error) {
	tmp := p.name() + tmpSuffix
	if p.file, err = createNew(p.s.dir, tmp); err != nil {
		return err
	}
	p.seed = lifeSeed(p.s.uuid, p.info.last, p.info.life)
	p.off, p.table = headerSize, sorted.NewWriter(&p.toc, p.seed)
	scratch := scratches.Get().(*packScratch)
	p.buf = scratch.buf[:0]
	defer func() {
		scratch.buf, p.buf = p.buf, nil
		scratches.Put(scratch)
		for _, src := range p.sources {
			if src, ok := src.(*segmentSource); ok {
				src.free()
			}
		}
	}()
	p.lookUp()
	err = p.streams()
	if err == nil {
		err = p.finish()
	}
	if err != nil {
		return p.drop(err)
	}
	return p.file.Close()
}

// lookUp gets ready to look up where streams stand.
func (p *packer) lookUp() {
	for _, h := range p.view.heads {
		if t, err := h.open(); err == nil {
			p.known = append(p.known, knownHead{h, t.NewCursor()})
		}
	}
}

func (p *packer) name() string { return spanName(p.info.first, p.info.last, p.info.generation) }

// drop removes what was written.
func (p *packer) drop(err error) error {
	_ = p.file.Close()
	_ = p.s.dir.Remove(p.name() + tmpSuffix)
	return err
}

// streams merges the sources, stream by stream.
func (p *packer) streams() error {
	parts := make([]*part, len(p.sources))
	var err error
	for i, src := range p.sources {
		if parts[i], err = src.next(); err != nil {
			return err
		}
	}
	for n := 0; ; n++ {
		if err := context.Cause(p.ctx); err != nil {
			return err
		}
		giveWay(n)
		name, any := "", false
		for _, pt := range parts {
			if pt != nil && (!any || pt.name < name) {
				name, any = pt.name, true
			}
		}
		if !any {
			return nil
		}
		if err := p.stream(name, parts); err != nil {
			return err
		}
		for i, pt := range parts {
			if pt != nil && pt.name == name {
				if parts[i], err = p.sources[i].next(); err != nil {
					return err
				}
			}
		}
	}
}

// giveWay lets others have the processor, now and then: whoever appends meanwhile waits for
// it, and nobody for the packing.
func giveWay(streams int) {
	if streams%giveWayEach == 0 {
		runtime.Gosched()
	}
}

const giveWayEach = 32 // streams

// stream writes what the sources hold of one stream, and its entry.
func (p *packer) stream(name string, parts []*part) error {
	now, prior, err := p.standing(name)
	if err != nil {
		return err
	}
	first := true
	var behind standing
	p.one = runWriter{p: p, name: name, now: now, skip: skipList{list: p.skips, start: len(p.skips)}}
	w, e := &p.one, &p.one.e
	e.off, e.skip = p.at(), int64(len(p.skips))
	for i, pt := range parts {
		if pt == nil || pt.name != name {
			continue
		}
		if first {
			if first = false; pt.prior != nil {
				prior = *pt.prior
			}
			behind = prior
		}
		behind = pt.after(behind)
		for _, at := range pt.numbered {
			if err := w.put(p.sources[i], at); err != nil {
				return err
			}
		}
	}
	if err := w.snapshots(parts); err != nil {
		return err
	}
	w.finish()
	behind.Floor, behind.cut = max(behind.Floor, min(now.Floor, behind.Version+1)), max(behind.cut, now.cut)
	p.fresh = append(p.fresh, freshHead{name: name})
	e.standing = behind
	e.records, e.snapshots = prior.records, prior.snapshots
	e.size = p.at() - e.off
	h, from := e.newest(p.info.last), len(p.heads)
	p.heads = h.append(p.heads)
	p.fresh[len(p.fresh)-1].value = p.heads[from:len(p.heads):len(p.heads)]
	p.info.streams++
	p.row = e.append(p.row[:0])
	return p.table.Add(name, p.row)
}

// standing returns where a stream stands now, and where it stood behind all spans.
func (p *packer) standing(name string) (now, packed standing, err error) {
	for _, k := range p.known {
		var room [96]byte
		b, ok, err := k.cursor.Get(name, room[:0])
		if err == nil && ok {
			_, err = packed.parse(b)
		}
		if err != nil { // they follow from the spans
			if packed, err = p.view.search(name); err != nil {
				return now, packed, err
			}
			break
		}
		if ok {
			break
		}
	}
	if len(p.known) < len(p.view.heads) || len(p.view.heads) == 0 && len(p.view.spans) > 0 {
		if packed, err = p.view.search(name); err != nil {
			return now, packed, err
		}
	}
	now = packed
	p.s.mu.RLock()
	defer p.s.mu.RUnlock()
	for _, sg := range p.view.segments {
		if st := sg.table.streams[name]; st != nil {
			now = now.after(st, sg.id)
		}
	}
	return now, packed, nil
}

// at is the file's offset that comes next.
func (p *packer) at() int64 { return p.off + int64(len(p.buf)) }

// runWriter writes the records of one stream.
type runWriter struct {
	p    *packer
	e    entry
	name string
	now  standing
	skip skipList
}

// put writes a record, unless it is below the cut.
func (w *runWriter) put(src source, at spot) error {
	p, r := w.p, &w.p.rec
	if err := src.load(at, r); err != nil {
		if p.lost == nil {
			return err
		}
		return p.lost(w.name, at, err)
	}
	if w.now.gone(r.Kind, r.Version, r.Position) {
		return nil
	}
	off := p.at() - w.e.off
	if r.Kind == backend.Snapshot {
		w.e.snaps++
	} else {
		if w.e.count == 0 {
			w.e.first = r.Version
		}
		w.e.count++
		w.skip.add(r.Version, off, w.e.count)
	}
	return p.put(r)
}

// snapshots writes the snapshots of all parts, in their order.
func (w *runWriter) snapshots(parts []*part) error {
	type from struct {
		src source
		at  spot
	}
	var all []from
	for i, pt := range parts {
		if pt != nil && pt.name == w.name {
			for _, at := range pt.snapshots {
				all = append(all, from{w.p.sources[i], at})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b from) int { return int(int64(a.at.version) - int64(b.at.version)) })
	for _, f := range all {
		if err := w.put(f.src, f.at); err != nil {
			return err
		}
	}
	return nil
}

// finish adds the stream's skip list to the others.
func (w *runWriter) finish() {
	w.p.skips = w.skip.finish(w.p.seed)
	if w.e.skips = w.skip.n; w.e.skips == 0 {
		w.e.skip = 0
	}
}

// skipList is the skip list of one stream while it is made, behind those of others.
type skipList struct {
	list  []byte
	start int    // where it begins
	n     uint64 // its entries
	last  int64  // where its last entry points to
}

// add takes in that a version's frame is so far from the stream's first.
func (l *skipList) add(v backend.Version, off int64, count uint64) {
	if count == 1 || off-l.last < skipStep {
		return
	}
	l.last = off
	l.n++
	l.list = binary.LittleEndian.AppendUint64(l.list, uint64(v))
	l.list = binary.LittleEndian.AppendUint32(l.list, uint32(off))
}

// finish returns all lists, with the checksum of this one if it has entries.
func (l *skipList) finish(seed uint32) []byte {
	if l.n == 0 {
		return l.list
	}
	return binary.LittleEndian.AppendUint32(l.list, crc32.Update(seed, castagnoli, l.list[l.start:]))
}

// put writes a frame.
func (p *packer) put(r *backend.Record) error {
	rel := uint64(r.Position - p.info.from)
	p.info.places = placesCRC(p.info.places, rel)
	p.buf = binary.AppendUvarint(p.buf, rel)
	p.buf = codec.Append(p.buf, r, p.s.codec, p.info.base)
	p.info.records++
	if len(p.buf) >= packBuffer {
		return p.flush()
	}
	return nil
}

func (p *packer) flush() error {
	if p.at() > maxSegment {
		return fmt.Errorf("%w: a span of more than %d bytes", backend.ErrTooLarge, int64(maxSegment))
	}
	if _, err := p.file.WriteAt(p.buf, p.off); err != nil {
		return err
	}
	p.off += int64(len(p.buf))
	p.since += int64(len(p.buf))
	p.buf = p.buf[:0]
	if p.since >= packSync {
		p.since = 0
		return p.file.Datasync()
	}
	return nil
}

// finish writes what follows the frames, and the header.
func (p *packer) finish() error {
	p.info.frames = p.at()
	p.buf = append(p.buf, p.skips...)
	p.info.skips = p.at()
	p.buf = append(p.buf, make([]byte, p.info.skipsEnd()-p.info.skips)...)
	n, err := p.table.Finish()
	if err != nil {
		return err
	}
	p.buf = append(p.buf, p.toc.Bytes()...)
	p.info.size = p.info.skipsEnd() + n
	if err := p.flush(); err != nil {
		return err
	}
	if _, err := p.file.WriteAt(p.info.encode(p.s.uuid), 0); err != nil {
		return err
	}
	return p.file.Sync()
}

// segmentSource packs a segment, in the order of its streams' names.
type segmentSource struct {
	s       *store
	sg      *segment
	end     int64 // of its groups
	names   []string
	window  window
	scratch *packScratch
	decoder *codec.Decoder
	stream  stream // the one that next was called for last
	part    part
}

// wholeMost is the most of a segment that is read at once, to be packed.
const wholeMost = 64 << 20

func (s *store) segmentSource(sg *segment) *segmentSource {
	s.mu.RLock()
	names, end := sg.table.names, sg.end
	s.mu.RUnlock()
	src := &segmentSource{s: s, sg: sg, end: end, names: sg.table.list(names), scratch: scratches.Get().(*packScratch)}
	src.window.buf, src.decoder = src.scratch.buf[:0], &src.scratch.decoder
	src.decoder.Seed = s.codec
	src.part.after = func(h standing) standing { return h.after(&src.stream, sg.id) }
	if sg.file != nil && end <= wholeMost {
		_ = src.window.read(sg, sg.file, sg.name, 0, int(end), end) // an error shows again when a record is read
	}
	return src
}

// free gives back what the source has borrowed.
func (src *segmentSource) free() {
	src.scratch.buf, src.window = src.window.buf, window{}
	scratches.Put(src.scratch)
	src.scratch = nil
}

func (src *segmentSource) next() (*part, error) {
	if len(src.names) == 0 {
		return nil, nil
	}
	p, st := &src.part, &src.stream
	p.name, src.names = src.names[0], src.names[1:]
	src.s.mu.RLock()
	*st = *src.sg.table.streams[p.name]
	src.s.mu.RUnlock()
	p.numbered, p.snapshots = p.numbered[:0], p.snapshots[:0]
	gaps, next := st.gaps, st.first
	for i, at := range st.numbered {
		for len(gaps) > 0 && gaps[0].at == i {
			next, gaps = gaps[0].first+gaps[0].n, gaps[1:]
		}
		p.numbered = append(p.numbered, spot{place: at, version: next, off: int64(at.off)})
		next++
	}
	for _, sn := range st.snapshots {
		p.snapshots = append(p.snapshots, spot{place: sn.place, version: sn.version, off: int64(sn.off)})
	}
	return p, nil
}

func (src *segmentSource) load(at spot, r *backend.Record) error {
	r.Position, r.Version = at.position, at.version
	if at.off == nowhere {
		return &backend.CorruptError{File: src.sg.name, Offset: -1, Position: at.position, Version: at.version, Detail: "the record is lost"}
	}
	least := int(min(leastRead, max(src.end-at.off, 0))) // more would not be in a window that holds all
	b, err := src.window.bytes(src.sg, at.off, least, least)
	if err == nil {
		if n, short := codec.Length(b); short == nil && n > len(b) {
			b, err = src.window.bytes(src.sg, at.off, n, n)
		}
	}
	if err == nil {
		_, err = src.decoder.Decode(b, at.position, at.base, r)
	}
	if b := src.sg.mended[at.off]; err != nil && b != nil {
		_, err = src.decoder.Decode(b, at.position, at.base, r)
	}
	if err == nil && r.Version != at.version {
		err = fmt.Errorf("%w: another record stands in its place", backend.ErrCorrupt)
	}
	if err != nil {
		return corruptRecord(src.sg.name, at.off, 0, r, err)
	}
	return nil
}

// spanSource packs a span again.
type spanSource struct {
	sp      *span
	rows    *sorted.Iterator
	window  window
	decoder codec.Decoder
	spots   []spot
	entry   entry    // of the stream that next was called for last
	prior   standing // where it stood before
	part    part
}

func (s *store) spanSource(sp *span) *spanSource {
	src := &spanSource{sp: sp, rows: sp.table.Seek("")}
	src.decoder.Seed = s.codec
	src.part.prior, src.part.after = &src.prior, func(standing) standing { return src.entry.newest(sp.last) }
	return src
}

func (src *spanSource) next() (*part, error) {
	if !src.rows.Next() {
		if err := src.rows.Err(); err != nil {
			return nil, src.sp.corruptTable(err)
		}
		return nil, nil
	}
	p, e := &src.part, &src.entry
	err := e.parse(src.rows.Value(), src.sp.frames)
	if err != nil {
		return nil, src.sp.corruptTable(err)
	}
	p.name, src.prior = string(src.rows.Name()), e.standing
	src.spots, err = src.sp.spots(&src.window, &src.decoder, e, src.spots[:0])
	if err != nil {
		return nil, err
	}
	p.numbered, p.snapshots = src.spots[:e.count], src.spots[e.count:]
	return p, nil
}

func (src *spanSource) load(at spot, r *backend.Record) error {
	return src.sp.load(&src.window, &src.decoder, at.off, packBuffer, r)
}
