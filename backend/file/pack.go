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
	"github.com/papyra-go/papyra/backend/file/internal/sorted"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// Packing makes one span out of segments or spans that follow one another. It is the one
// way in which stored records move: when a segment is full, when a store is compacted,
// and when damage is put aside.

// source is what is being packed: a piece of the log, or a span.
type source interface {
	// next returns what the source holds of the next stream, in the order of names;
	// nil at the end. It is valid until next is called again.
	next() (*part, error)
	// load reads a record that next has told of, and returns what its time is counted from.
	// Of one that can't be read the error is a *backend.CorruptError.
	load(at spot, raw *codec.Raw) (base int64, err error)
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
	segment int   // which of several it is in
}

// packer writes one span.
type packer struct {
	s       *store
	ctx     context.Context
	view    *view
	sources []source
	reserve bool                                          // the manifest that lists the span may have the reserve
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
	raw   codec.Raw   // the record that is being moved
	// raising are the segments that may raise some stream's floor.
	raising []*segment
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
	spots   []spot
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
			if src, ok := src.(*logSource); ok {
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
	p.s.mu.RLock()
	for _, sg := range p.view.segments {
		if sg.table.raises {
			p.raising = append(p.raising, sg)
		}
	}
	p.s.mu.RUnlock()
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

// standing returns where a stream stands now, as far as what is gone depends on it, and
// where it stood behind all spans.
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
	if len(p.raising) == 0 {
		return now, packed, nil
	}
	p.s.mu.RLock()
	defer p.s.mu.RUnlock()
	raises := func(sg *segment) bool { st := sg.table.streams[name]; return st != nil && st.raises() }
	if !slices.ContainsFunc(p.raising, raises) {
		return now, packed, nil
	}
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
	p, raw := w.p, &w.p.raw
	base, err := src.load(at, raw)
	if err != nil {
		if p.lost == nil {
			return err
		}
		return p.lost(w.name, at, err)
	}
	kind, version := raw.Kind(), raw.Version()
	if w.now.gone(kind, version, at.position) {
		return nil
	}
	off := p.at() - w.e.off
	if kind == backend.Snapshot {
		w.e.snaps++
	} else {
		if w.e.count == 0 {
			w.e.first = version
		}
		w.e.count++
		w.skip.add(version, off, w.e.count)
	}
	return p.put(at.position, base)
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

// put writes a frame: of the record in p.raw, whose time is counted from base.
func (p *packer) put(at backend.Position, base int64) error {
	rel := uint64(at - p.info.from)
	p.info.places = placesCRC(p.info.places, rel)
	p.buf = binary.AppendUvarint(p.buf, rel)
	p.buf = p.raw.Append(p.buf, p.s.codec, at, base, p.info.base)
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

func (src *spanSource) load(at spot, raw *codec.Raw) (base int64, err error) {
	sp := src.sp
	b, head, err := sp.frame(&src.window, at.off, sp.frames, packBuffer)
	if err == nil {
		err = raw.Read(b[head:], src.decoder.Seed, at.position)
	}
	if err != nil {
		r := backend.Record{Position: at.position}
		_, _ = src.decoder.Head(b[head:], at.position, sp.base, &r) // as much as can be told of it
		return 0, corruptRecord(sp.name, at.off, int64(len(b)), &r, err)
	}
	return sp.base, nil
}
