package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// walker reads the log, checks all of it, and builds the tables of its segments: when a
// store is opened, and again for a full scan.
//
// The segments are one log. Where a group ends, the next one of the log stands either
// there or at the beginning of the next segment; what else may be there, see tail.go.
type walker struct {
	ctx      context.Context
	store    [16]byte
	mark     *mark  // the newest; nil if there is none
	limit    cursor // with a segment: the walk ends there
	beside   bool   // another process may be appending meanwhile
	givingUp bool   // what may have been lost counts as lost
	report   func(backend.Anomaly)
	progress func(done, total int64)

	// prior returns where a stream stands behind the spans. It is asked only where the log
	// is damaged.
	prior func(name string) (standing, error)

	segments []*segment
	holes    holes
	pos      backend.Position // the last there is, or was
	window   window
	decoder  codec.Decoder
	extents  []extent
	found    []found
	sound    bool     // of found: all of the group verifies
	places   bool     // of found: the positions are right even of records that are not sound
	adrift   int      // one more than the hole that ends where the next group begins; 0: none
	last     struct { // where the last group is
		sg       *segment
		off, end int64
		sequence uint64
		crc      uint32
	}
	tail     torn // what to cut
	mended   []mended
	lostCuts []backend.Anomaly
	retabled []byte // the table of found as it should be, if one byte of it is wrong
	damaged  bool   // something is lost
	done     int64  // bytes, for progress
	total    int64
	err      error // the walk could not go on
}

// found is a record's numbers, as far as they are sound, and where it is.
type found struct {
	stream  string // empty: not even the record's head is sound
	version backend.Version
	kind    backend.Kind
	epoch   uint64
	cut     backend.StreamFloor // in a group of cuts; the rest is then not set
	at      extent
	err     error  // why the record can't be read
	patch   []byte // with err: what the record's bytes should be, if that is certain
}

func (f *found) record() backend.Record {
	return backend.Record{Position: f.at.position, Stream: f.stream, Version: f.version, Kind: f.kind, Epoch: f.epoch}
}

// torn is what a crash left above the end of the log. The zero torn is nothing.
type torn struct {
	sg       *segment
	from, to int64
}

// state is what stands where a group may.
type state uint8

const (
	nothing state = iota // no header that can be trusted
	broken               // a header, but its group does not verify
	whole                // a group that verifies
)

func newWalker(ctx context.Context, store [16]byte, seed codec.Seed, start logStart, segments []*segment) *walker {
	w := &walker{ctx: ctx, store: store, segments: segments, pos: start.position, report: func(backend.Anomaly) {}, progress: func(int64, int64) {}}
	w.decoder.Seed = seed
	w.last.sequence, w.last.crc = start.sequence, start.chain
	for i, sg := range segments {
		sg.ordinal, sg.end, sg.table = i, headerSize, newTable()
		w.total += sg.laid
	}
	return w
}

// run walks the whole log. What it finds is reported; an error means that it could not
// go on.
func (w *walker) run() error {
	for i, sg := range w.segments {
		if w.header(i, sg); w.err != nil {
			return w.err
		}
	}
	at := cursor{}
	if len(w.segments) > 0 {
		at = cursor{w.segments[0], headerSize}
	} else if w.mark != nil && w.mark.sequence > w.last.sequence {
		w.damaged = true
		detail := fmt.Sprintf("it lists no segment, but group %d was durable: the manifest is an old one, or the disk lost acknowledged writes", w.mark.sequence)
		w.report(backend.Anomaly{Code: backend.MissingRecord, Severity: backend.Damage, File: manifestName, Offset: -1, Detail: detail})
		w.holes = append(w.holes, hole{from: w.pos + 1, to: unbounded, lost: backend.CorruptError{File: manifestName, Offset: -1, Position: w.pos + 1, Detail: detail}})
		w.pos = max(w.pos, w.mark.last)
	}
	for at.sg != nil && w.err == nil {
		if w.err = context.Cause(w.ctx); w.err == nil {
			at = w.step(at)
		}
	}
	return w.err
}

// cursor is a place in the log. Without a segment it is the end.
type cursor struct {
	sg  *segment
	off int64
}

// step takes in what stands at a place, and returns the next.
func (w *walker) step(at cursor) cursor {
	if at == w.limit {
		return cursor{}
	}
	g, st := w.look(at)
	if w.err != nil {
		return cursor{}
	}
	if st == whole && g.sequence == w.last.sequence+1 && g.chain == w.last.crc {
		return w.accept(at, &g)
	}
	return w.trouble(at, g, st)
}

// header checks a segment's first page.
func (w *walker) header(i int, sg *segment) {
	if sg.file == nil && sg.odd != "" {
		w.damage(backend.MissingFile, sg, -1, 0, "the manifest lists it, but "+sg.odd)
		return
	}
	if sg.file == nil {
		w.damage(backend.MissingFile, sg, -1, 0, "the manifest lists it")
		return
	}
	b, err := w.window.bytes(sg, 0, headerSize, headerSize)
	if err != nil {
		w.damage(backend.Unreadable, sg, 0, headerSize, err.Error())
		return
	}
	h, ok := parseSegmentHeader(b)
	wrong := h.store != w.store || h.id != sg.id || h.life != sg.life || i > 0 && h.previous != w.segments[i-1].id
	switch {
	case !ok:
		w.warn(backend.BadHeader, sg, 0, headerSize, "the segment's header is not what was written; the manifest holds all that it said")
	case h.format > FormatVersion:
		w.err = fmt.Errorf("%w: %s: format %d: this version of papyra reads up to %d; nothing was changed", backend.ErrFormat, sg.name, h.format, FormatVersion)
	case wrong:
		w.damage(backend.WrongStore, sg, 0, headerSize, fmt.Sprintf("the file is segment %d of this or another store, not the one that the manifest lists", h.id))
	}
}

// look reads what stands at a place. w.found holds the records, if there is a header.
func (w *walker) look(at cursor) (g group, st state) {
	b, err := w.window.bytes(at.sg, at.off, groupSize, readSize)
	if err != nil {
		return g, nothing
	}
	g, ok := parseGroup(b, at.sg, at.off)
	if !ok {
		return g, nothing
	}
	if !g.known() {
		w.err = fmt.Errorf("%w: %s offset %d: a group of kind %d, flags %#x: a newer version wrote it; nothing was changed", backend.ErrFormat, at.sg.name, at.off, g.kind, g.flags)
		return g, nothing
	}
	b, err = w.window.bytes(at.sg, at.off, int(g.length), readSize)
	if err != nil {
		b = nil
	}
	if w.examine(&g, b) {
		return g, whole
	}
	return g, broken
}

// examine decodes a group's records into w.found, and reports whether all of it
// verifies. b may be short.
func (w *walker) examine(g *group, b []byte) (sound bool) {
	defer func() { w.sound = sound }()
	w.found, w.extents, w.retabled = w.found[:0], w.extents[:0], nil
	if len(b) < groupSize+g.table() {
		w.places = g.flags&flagSparse == 0
		w.absent(g)
		return false
	}
	laid := false
	w.extents, laid = g.lay(b, w.extents)
	sound = laid && len(b) == int(g.length) && g.bodyCRC(b, w.extents) == g.body
	w.places = sound || g.flags&flagSparse == 0 || len(b) == int(g.length) && w.mendTable(g, b)
	next := groupSize + g.table()
	for i := range int(g.records) {
		e := extent{at: next, position: g.first + backend.Position(i)}
		if i < len(w.extents) {
			e = w.extents[i]
		}
		f := w.decode(b, g, e)
		if f.err != nil && f.stream == "" && i < len(w.extents) && g.kind == kindRecords {
			w.mendRecord(b, g, &f)
		}
		if f.err != nil { // the table may be what is wrong
			if own := w.decode(b, g, extent{at: next, position: e.position}); own.err == nil {
				f = own
			}
		}
		sound = sound && f.err == nil && (i >= len(w.extents) || f.at.n == w.extents[i].n)
		next = f.at.at + f.at.n
		w.found = append(w.found, f)
	}
	return sound
}

// absent makes w.found say that all records of a group are lost.
func (w *walker) absent(g *group) {
	for i := range g.records {
		p := g.first + backend.Position(i)
		w.found = append(w.found, found{at: extent{position: p}, err: fmt.Errorf("%w: the group is cut short", backend.ErrCorrupt)})
		if g.flags&flagSparse != 0 {
			return // the positions of the others stood in the table
		}
	}
}

// mendTableMost is the largest table of which each byte is tried.
const mendTableMost = 4096

// mendTable looks whether one byte of the table is all that is wrong with a sparse group,
// and puts it right in b. The body's checksum tells, and each record's, which holds its
// position.
func (w *walker) mendTable(g *group, b []byte) bool {
	table := b[groupSize : groupSize+g.table()]
	if len(table) > mendTableMost {
		return false
	}
	for i, was := range table {
		for x := 1; x < 256; x++ {
			table[i] = was ^ byte(x)
			extents, ok := g.lay(b, w.extents[:0])
			if w.extents = extents; ok && g.bodyCRC(b, extents) == g.body && w.allSound(g, b) {
				w.retabled = append([]byte{}, table...)
				return true
			}
		}
		table[i] = was
	}
	w.extents, _ = g.lay(b, w.extents[:0])
	return false
}

func (w *walker) allSound(g *group, b []byte) bool {
	for _, e := range w.extents {
		if f := w.decode(b, g, e); f.err != nil {
			return false
		}
	}
	return true
}

// mendRecord looks whether one byte of a record's head is all that is wrong with it. If so
// the record is there, and its bytes as they should be are in f.patch.
func (w *walker) mendRecord(b []byte, g *group, f *found) {
	if f.at.n < 0 || f.at.at+f.at.n > len(b) {
		return
	}
	patch := append([]byte{}, b[f.at.at:f.at.at+f.at.n]...)
	if !w.decoder.Mend(patch, f.at.position) {
		return
	}
	if fixed := w.decode(patch, g, extent{n: f.at.n, position: f.at.position}); fixed.err == nil {
		fixed.at, fixed.patch, fixed.err = f.at, patch, f.err
		*f = fixed
	}
}

func (w *walker) decode(b []byte, g *group, e extent) (f found) {
	f.at = e
	if g.kind == kindCut {
		n, err := parseCut(b[min(e.at, len(b)):], g.sequence, &f.cut)
		f.settle(n, err)
		return f
	}
	var r backend.Record
	n, err := w.decoder.Decode(b[min(e.at, len(b)):], e.position, g.base, &r)
	f.stream, f.version, f.kind, f.epoch = r.Stream, r.Version, r.Kind, r.Epoch
	f.settle(n, err)
	return f
}

// settle notes what decoding said: how many bytes it took, or why it failed.
func (f *found) settle(n int, err error) {
	want := f.at.n
	if err == nil {
		f.at.n = n
	}
	if f.err = err; err == nil && want > 0 && n != want {
		f.err = fmt.Errorf("%w: %d bytes, the table says %d", backend.ErrCorrupt, n, want)
	}
}

// accept takes in the group whose records w.found holds, and returns what follows it.
func (w *walker) accept(at cursor, g *group) cursor {
	end := at.off + int64(g.length)
	if w.adrift > 0 {
		w.holes[w.adrift-1].to = g.first - 1
		w.adrift = 0
	}
	if !w.sound && !w.anyRecordBad() {
		w.framing(at, g)
	}
	if g.kind == kindCut {
		w.acceptCut(at, g)
	} else {
		w.acceptRecords(at, g)
	}
	at.sg.end = end
	t := at.sg.table
	t.end = logStart{g.sequence, g.crc, max(w.pos, t.end.position)}
	w.last.sg, w.last.off, w.last.end, w.last.sequence, w.last.crc = at.sg, at.off, end, g.sequence, g.crc
	w.checkMark(at, g)
	w.done += int64(g.length)
	w.progress(w.done, max(w.total, w.done))
	return cursor{at.sg, end}
}

// framing deals with a group whose records are sound, but not what stands around them. If
// the body's checksum says that the table which follows from the records, or the one that
// was found by trying, and zeros behind them are what was written, that is mended.
func (w *walker) framing(at cursor, g *group) {
	const detail = "the group's table or padding is not what was written; its records are sound"
	b, err := w.window.bytes(at.sg, at.off, int(g.length), readSize)
	if err != nil || len(b) < int(g.length) {
		w.damage(backend.BadChecksum, at.sg, at.off, int64(g.length), detail)
		return
	}
	b = append([]byte{}, b...)
	if w.retabled != nil {
		copy(b[groupSize:], w.retabled)
	}
	end := groupSize + g.table()
	extents := w.extents[:0]
	for i := range w.found {
		e := w.found[i].at
		binary.LittleEndian.PutUint32(b[groupSize+i*g.entry():], uint32(e.n))
		extents = append(extents, e)
		end = e.at + e.n
	}
	clear(b[end:])
	if g.bodyCRC(b, extents) != g.body {
		w.damage(backend.BadChecksum, at.sg, at.off, int64(g.length), detail)
		return
	}
	w.patch(at.sg, at.off+groupSize, b[groupSize:groupSize+g.table()], detail+", and recover mends it")
	w.mended = append(w.mended, mended{at.sg, at.off + int64(end), b[end:]})
}

func (w *walker) acceptRecords(at cursor, g *group) {
	at.sg.table.begin(at.off, g)
	for i := range w.found {
		f := &w.found[i]
		if f.stream != "" || w.places {
			at.sg.table.put(at.off, i, f.at.position, f.at)
			w.pos = max(w.pos, f.at.position)
		}
		if f.stream != "" {
			r := f.record()
			w.follow(at.sg, &r, place{f.at.position, g.base, uint32(at.off) + uint32(f.at.at)})
		}
		if f.err != nil {
			w.lostRecord(at, g, f)
		}
	}
}

// acceptCut takes in a group of cuts.
func (w *walker) acceptCut(at cursor, g *group) {
	for i := range w.found {
		if f := &w.found[i]; f.err != nil {
			off, detail := at.off+int64(f.at.at), "a cut that can't be read: a stream may show again what was cut away"
			w.damage(backend.BadChecksum, at.sg, off, int64(f.at.n), detail)
			w.lostCuts = append(w.lostCuts, backend.Anomaly{File: at.sg.name, Offset: off, Length: int64(f.at.n), Detail: detail})
		} else {
			at.sg.table.cut(&f.cut, w.pos)
		}
	}
}

// follow takes in where a record of a stream is, and reports it if it does not follow what
// is known of the stream.
func (w *walker) follow(sg *segment, r *backend.Record, at place) {
	next := r.Version // the version that the record itself, or what it covers, ends before
	if r.Kind == backend.Snapshot {
		next++
	}
	before, known := w.newest(sg, r.Stream)
	switch {
	case known && (next > before+1 || r.Kind != backend.Snapshot && next <= before):
		w.damaged = true
		w.report(backend.Anomaly{Code: backend.MissingRecord, Severity: backend.Damage, File: sg.name, Offset: int64(at.off), Stream: r.Stream,
			Version: r.Version, Position: r.Position, Detail: fmt.Sprintf("it follows version %d of its stream", before)})
		if next <= before {
			return
		}
		sg.table.stream(r.Stream).loseVersions(before+1, next-before-1, w.holes.blame(r.Stream, before+1, r.Position))
	case !known && next > 1 && w.givingUp && w.holes.hidden(r.Position) >= uint64(next-1) && w.unheard(sg, r.Stream): // what came before may be there
		sg.table.stream(r.Stream).loseVersions(1, next-1, w.holes.blame(r.Stream, 1, r.Position))
	}
	sg.table.record(r, at)
}

// unheard reports whether nothing is known of a stream, neither in the log nor, where that
// is damaged, in the spans.
func (w *walker) unheard(sg *segment, name string) bool {
	for i := sg.ordinal; i >= 0; i-- {
		if st := w.segments[i].table.streams[name]; st != nil && (st.version > 0 || st.floor > 0) {
			return false
		}
	}
	if w.prior == nil {
		return true
	}
	h, err := w.prior(name)
	return err == nil && h.Version == 0
}

// newest returns the newest version of a stream that was met, or, where the log is
// damaged, that the spans hold. It is not known if a cut leaves the stream without
// records: then it may go on anywhere.
func (w *walker) newest(sg *segment, name string) (v backend.Version, known bool) {
	for i := sg.ordinal; i >= 0; i-- {
		if st := w.segments[i].table.streams[name]; st != nil && (st.version > 0 || st.floor > 0) {
			return st.version, st.version > 0 && st.floor <= st.version
		}
	}
	if len(w.holes) > 0 && w.prior != nil {
		if h, err := w.prior(name); err == nil && !h.Unreadable() {
			return h.Version, true
		}
	}
	return 0, false
}

func (w *walker) anyRecordBad() bool {
	for i := range w.found {
		if w.found[i].err != nil {
			return true
		}
	}
	return false
}

// lostRecord reports one damaged record.
func (w *walker) lostRecord(at cursor, g *group, f *found) {
	off := at.off + int64(f.at.at)
	if f.patch != nil {
		w.patch(at.sg, off, f.patch, fmt.Sprintf("stream %q version %d: one byte of the record's head is not what was written; nothing else of it is damaged, and recover mends it", f.stream, f.version))
		return
	}
	w.damaged = true
	w.report(backend.Anomaly{Code: backend.BadChecksum, Severity: backend.Damage, File: at.sg.name, Offset: off, Length: int64(f.at.n),
		Stream: f.stream, Version: f.version, Position: f.at.position, Detail: f.err.Error()})
	switch {
	case f.stream != "":
	case !w.places && w.adrift == 0: // the table is damaged: which position it had, the next group bounds
		w.lose(at.sg, hole{from: g.first, to: unbounded, lost: backend.CorruptError{File: at.sg.name, Offset: off, Position: g.first, Detail: "a record that has no sound place in its group's table"}})
		w.adrift = len(w.holes)
	case w.places:
		w.lose(at.sg, hole{from: f.at.position, to: f.at.position, lost: backend.CorruptError{File: at.sg.name, Offset: off, Length: int64(f.at.n), Position: f.at.position, Detail: f.err.Error()}})
	}
}

// checkMark compares the group that the newest mark reports with the one that is there.
func (w *walker) checkMark(at cursor, g *group) {
	m := w.mark
	if m == nil || m.sequence != g.sequence {
		return
	}
	if m.segment != at.sg.id || m.life != at.sg.life || m.end != uint64(at.off)+uint64(g.length) || m.chain != g.crc {
		w.damage(backend.BadHeader, at.sg, at.off, groupSize, "another group was marked durable in this one's place")
	}
}

func (w *walker) damage(code backend.AnomalyCode, sg *segment, off, n int64, detail string) {
	w.damaged = true
	w.report(backend.Anomaly{Code: code, Severity: backend.Damage, File: sg.name, Offset: off, Length: n, Detail: detail})
}

func (w *walker) warn(code backend.AnomalyCode, sg *segment, off, n int64, detail string) {
	w.report(backend.Anomaly{Code: code, Severity: backend.Warning, File: sg.name, Offset: off, Length: n, Detail: detail})
}

var errMissing = errors.New("the file is missing")
