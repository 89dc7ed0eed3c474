package file

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// quarantine plans to give up what can't be read. Its bytes are saved first.
func (rc *recovery) quarantine() error {
	if err := rc.oldManifest(); err != nil {
		return err
	}
	if err := rc.spans(true); err != nil {
		return err
	}
	rc.log()
	return nil
}

// oldManifest moves files aside that say the manifest is an old one.
func (rc *recovery) oldManifest() error {
	entries, err := rc.s.dir.ReadDir(".")
	if err != nil {
		return err
	}
	files := rc.s.listed.Load().files()
	for _, e := range entries {
		if files[e.Name] || !isPart(e.Name) || !e.Mode.IsRegular() {
			continue
		}
		severity, detail, err := rc.s.unlisted(e.Name)
		if err != nil {
			return err
		}
		if severity == backend.Damage {
			saved := quarantineDir + "/" + e.Name
			rc.add("quarantine", e.Name, -1, 0, saved, detail+": moved, not changed", func() error { return rc.s.moveAside(e.Name, saved) })
		}
	}
	return nil
}

// log packs all of a damaged log that can be read. What follows goes to a new segment.
func (rc *recovery) log() {
	damaged := false
	for _, a := range rc.found {
		if a.Severity != backend.Damage {
			continue
		}
		damaged = true
		sg := rc.named(a.File)
		if sg == nil || a.Offset < 0 || a.Length <= 0 {
			continue
		}
		t := torn{sg, a.Offset, min(a.Offset+a.Length, sg.laid)}
		if a.Code == backend.WrongStore {
			t = torn{sg, 0, sg.laid}
		}
		if t.to > t.from && a.Code != backend.Unreadable {
			rc.add("save", sg.name, t.from, t.to-t.from, rc.folder, a.Detail, func() error { return rc.saveAnd(t, func() error { return nil }) })
		}
	}
	if !damaged {
		return
	}
	if len(rc.v.segments) == 0 {
		rc.add("quarantine", manifestName, -1, 0, "", "a log that is lost: a hole is marked for its records", rc.packLog)
		return
	}
	rc.add("quarantine", rc.v.segments[0].name, -1, 0, "", "what can be read of the log is packed; holes are marked for the rest", rc.packLog)
}

// packLog packs the log as it was walked, into as many spans as it takes. What the walk has
// given up is marked with the first, what can't be read of a segment with the span that it
// goes to: each manifest says what is missing in what it lists.
func (rc *recovery) packLog() error {
	s, w := rc.s, rc.walk
	lost := append(rc.bound(), rc.lostCuts()...)
	end := logStart{max(w.last.sequence, rc.ms.newest.sequence), w.last.crc, w.pos}
	for _, h := range lost {
		end.position = max(end.position, h.to)
	}
	for rest := w.segments; len(rest) > 0; {
		n, size := 0, int64(0)
		for ; n < len(rest) && (n == 0 || size+rest[n].end <= spanMost); n++ {
			size += rest[n].end
		}
		start := rest[n-1].table.end
		if start == (logStart{}) { // nothing of it could be read
			start = s.view.start
		}
		if n == len(rest) {
			start = end
		}
		p := s.packSegments(rc.ctx, &view{spans: s.view.spans, heads: s.view.heads, segments: rest, start: s.view.start}, n)
		p.reserve = true
		p.lost = func(stream string, at spot, err error) error {
			if at.off != nowhere {
				lost = append(lost, markedHole(at.position, stream, at.version, err))
			}
			return nil
		}
		if err := s.sealMarked(p, n, start, &lost); err != nil {
			return err
		}
		rest, lost = rest[n:], nil
	}
	if len(w.segments) == 0 {
		if err := s.beginLog(end, lost); err != nil {
			return err
		}
	}
	if rc.ms.ok { // the old marks speak of a log that is no more
		return s.makeMark(mark{store: s.uuid, generation: max(rc.ms.newest.generation, s.marker.newest.generation) + 1, sequence: end.sequence, chain: end.chain, last: end.position})
	}
	return nil
}

// lostCuts returns a hole for each cut that can't be read: it has no positions, and says
// that some stream may show again what was cut away.
func (rc *recovery) lostCuts() (list holes) {
	for _, a := range rc.walk.lostCuts {
		list = append(list, hole{marked: true, lost: backend.CorruptError{File: a.File, Offset: a.Offset, Length: a.Length, Detail: "quarantined: " + a.Detail}})
	}
	return list
}

// leastRecord is less than any record takes in a group.
const leastRecord = 16

// bound returns the holes that the walk has found, marked, and with an end: positions
// that may have been given are never given again.
func (rc *recovery) bound() holes {
	list := slices.Clone(rc.walk.holes)
	_, total := rc.s.weigh()
	for i := range list {
		h := &list[i]
		h.marked = true
		if h.to == unbounded {
			h.to = max(h.from, rc.walk.pos)
			for _, sg := range rc.walk.segments { // what a segment may have held that is there no more counts too
				h.to += backend.Position(max(sg.laid-sg.end, rc.s.capacityAt(total))) / leastRecord
			}
			if len(rc.walk.segments) == 0 {
				h.to += mostSegmentBytes / leastRecord
			}
		}
		if h.stream != "" {
			h.lost.Stream = h.stream
		}
	}
	return list
}

// markedHole is the hole of one record.
func markedHole(p backend.Position, stream string, v backend.Version, err error) hole {
	lost := backend.CorruptError{Offset: -1, Detail: err.Error()}
	var ce *backend.CorruptError
	if errors.As(err, &ce) {
		lost = *ce
	}
	lost.Stream, lost.Version, lost.Position = stream, v, p
	lost.Detail = "quarantined: " + lost.Detail
	return hole{from: p, to: p, stream: stream, lost: lost, marked: true}
}

// sealMarked is seal for holes that are known only once all was packed.
func (s *store) sealMarked(p *packer, n int, start logStart, lost *holes) error {
	s.preparer.count(&s.preparer.began)
	defer s.preparer.count(&s.preparer.ended)
	if err := p.run(); err != nil {
		return s.packError(true, p.name(), err)
	}
	return s.sealPacked(p, n, start, *lost)
}

// spans plans what is to be done about damaged spans: headers, tables and skip lists are
// made again; records that can't be read are given up only with lossy.
func (rc *recovery) spans(lossy bool) error {
	for i, sp := range rc.v.spans {
		if err := context.Cause(rc.ctx); err != nil {
			return err
		}
		if err := rc.span(i, sp, lossy); err != nil {
			return err
		}
	}
	return nil
}

func (rc *recovery) span(i int, sp *span, lossy bool) error {
	s := rc.s
	if err := sp.reachable(); err != nil && lossy {
		return err
	}
	var bad []backend.Anomaly
	if err := sp.verify(rc.ctx, s.codec, func(a backend.Anomaly) { bad = append(bad, a) }); err != nil && len(bad) == 0 {
		return err
	}
	header, rest, lost := false, false, false
	for _, a := range bad {
		switch {
		case a.Offset >= sp.frames: // table and skip lists follow from the records
			rest = true
		case a.Severity == backend.Damage:
			lost = true
		case a.Code == backend.BadChecksum: // a record that can be mended
			rest = true
		default:
			header = true
		}
	}
	if lost && !lossy { // unless all of it can be mended
		var w window
		if left, err := sp.survey(rc.ctx, s.codec, &w, func(frame, *backend.Record) {}); err == nil && len(left) == 0 {
			lost, rest = false, true
		}
	}
	switch {
	case lost && lossy:
		rc.giveUp(i, sp, bad)
	case lost || lossy:
	case rest:
		rc.add("rebuild", sp.name, -1, 0, "", "what follows from the span's records, and bytes that are proved: it is packed again", func() error { return rc.packAgain(sp) })
	case header:
		rc.add("rebuild", sp.name, 0, headerSize, "", "the span's header, from the manifest", func() error { return rc.rewriteSpanHeader(sp) })
	}
	return nil
}

// rewriteSpanHeader writes a span's first page again.
func (rc *recovery) rewriteSpanHeader(sp *span) error {
	_, err := replaceWith(rc.s.dir, ".", sp.name, func(f disk.File) error { return copySpan(sp, f) })
	return err
}

// copySpan writes a span's header and copies the rest.
func copySpan(sp *span, to disk.File) error {
	if _, err := to.WriteAt(sp.encode(sp.store), 0); err != nil {
		return err
	}
	b := make([]byte, packBuffer)
	for off := int64(headerSize); off < sp.size; off += int64(len(b)) {
		b = b[:min(int64(len(b)), sp.size-off)]
		if _, err := sp.ReadAt(b, off); err != nil {
			return unreadable(sp.name, off, err)
		}
		if _, err := to.WriteAt(b, off); err != nil {
			return err
		}
	}
	return nil
}

// packAgain packs what can be read of a span, by looking at each record.
func (rc *recovery) packAgain(sp *span) error {
	s := rc.s
	at := slices.Index(s.view.spans, sp)
	if at < 0 {
		return nil
	}
	if _, err := sp.fileSize(); err != nil { // it was there when this was planned
		return openError("open "+sp.name, err)
	}
	v := s.pin()
	defer s.unpin(v)
	src, lost, err := s.surveySource(rc.ctx, v, at)
	if err != nil {
		return err
	}
	p := &packer{s: s, ctx: rc.ctx, view: v, sources: []source{src}}
	p.info = spanInfo{first: sp.first, last: sp.last, generation: s.listed.Load().generation + 1, life: newLife(), base: sp.base, from: sp.from, to: sp.to}
	var marked holes
	for i := range lost {
		l := &lost[i]
		if l.position == 0 && l.version == 0 {
			continue // the record stands elsewhere, too
		}
		h := markedHole(l.position, l.stream, l.version, l.err())
		h.to = l.to
		marked = append(marked, h)
	}
	return s.swap(p, marked)
}

// heads plans to make all heads again if any can't be read or is wrong.
func (rc *recovery) heads() {
	for _, h := range rc.v.heads {
		t, err := h.open()
		if err == nil {
			err = t.Check(nil)
		}
		if err != nil {
			rc.add("rebuild", h.name, -1, 0, "", "the heads of all streams, from the spans", rc.rebuildHeads)
			return
		}
	}
	if wrong := rc.wrongHeads(); wrong != "" {
		rc.add("rebuild", wrong, -1, 0, "", "the heads of all streams, from the spans", rc.rebuildHeads)
	}
}

// wrongHeads returns the name of a file of heads if one does not agree with the spans.
func (rc *recovery) wrongHeads() (name string) {
	sc := &scan{s: rc.s, ctx: rc.ctx, yield: func(a backend.Anomaly, _ error) bool {
		if a.Code == backend.WrongHead && a.Severity == backend.Warning {
			name = a.File
		}
		return true
	}}
	_ = sc.streams(rc.v)
	return name
}

// rebuildHeads writes one file of heads in the place of all.
func (rc *recovery) rebuildHeads() error {
	s := rc.s
	v := s.pin()
	defer s.unpin(v)
	info := headsInfo{generation: s.listed.Load().generation + 1}
	var err error
	if info.size, info.streams, err = s.writeHeads(info.generation, v.spanRows()); err != nil {
		return err
	}
	if err := s.putNames(headsName(info.generation)); err != nil {
		return err
	}
	s.manifests.Lock()
	defer s.manifests.Unlock()
	if _, err := s.relist(func(m *manifest) { m.heads = []headsInfo{info} }); err != nil {
		return err
	}
	for _, h := range s.view.heads {
		h.use.dead.Store(true)
	}
	s.change(func(v *view) { v.heads = []*heads{s.newHeads(info)} })
	return nil
}

// spanRows are where the streams of a span stand behind it.
type spanRows struct {
	tableRows
	sp  *span
	bad error
}

func (r *spanRows) value() []byte {
	var e entry
	if err := e.parse(r.tableRows.value(), r.sp.frames); err != nil {
		r.bad = r.sp.corruptTable(err)
		return nil
	}
	h := e.newest(r.sp.last)
	return h.append(nil)
}

func (r *spanRows) err() error { return errors.Join(r.bad, r.tableRows.err()) }

// surveySource packs what can be read of a span, whatever of it is damaged.
type surveySource struct {
	sp      *span
	parts   []*part
	window  window
	decoder codec.Decoder
}

// surveySource looks at each record of a span, and returns what can't be read of it.
func (s *store) surveySource(ctx context.Context, v *view, at int) (src *surveySource, lost []lostRecord, err error) {
	sp := v.spans[at]
	src = &surveySource{sp: sp}
	src.decoder.Seed = s.codec
	parts := map[string]*part{}
	heads := map[string]*standing{}
	lost, err = sp.survey(ctx, s.codec, &src.window, func(at frame, r *backend.Record) {
		p, h := parts[r.Stream], heads[r.Stream]
		if p == nil {
			p, h = &part{name: r.Stream}, new(standing)
			parts[r.Stream], heads[r.Stream] = p, h
			src.parts = append(src.parts, p)
		}
		to := spot{place: place{position: r.Position}, version: r.Version, off: at.off + int64(at.head), n: at.n - at.head}
		h.Epoch = max(h.Epoch, r.Epoch)
		if r.Kind == backend.Snapshot {
			p.snapshots, h.snapshots = append(p.snapshots, to), sp.last
			return
		}
		p.numbered, h.records = append(p.numbered, to), sp.last
	})
	if err != nil {
		return nil, lost, err
	}
	for _, p := range src.parts { // what was mended came last
		slices.SortFunc(p.numbered, func(a, b spot) int { return cmp.Compare(a.version, b.version) })
		slices.SortFunc(p.snapshots, func(a, b spot) int {
			return cmp.Or(cmp.Compare(a.version, b.version), cmp.Compare(a.position, b.position))
		})
		h := heads[p.name]
		if n := len(p.numbered); n > 0 {
			h.Floor, h.Version = p.numbered[0].version, p.numbered[n-1].version
		}
	}
	src.addRows(v, at, parts, heads)
	slices.SortFunc(src.parts, func(a, b *part) int { return strings.Compare(a.name, b.name) })
	return src, lost, nil
}

// addRows completes the parts by what the table says, as far as it can be read, or else by
// what the heads say of the streams whose newest records are here, or by spans before.
func (src *surveySource) addRows(v *view, at int, parts map[string]*part, found map[string]*standing) {
	older := &view{spans: v.spans[:at]}
	add := func(name string, prior, behind standing) {
		p := parts[name]
		if p == nil { // no record is left here
			p = &part{name: name}
			parts[name] = p
			src.parts = append(src.parts, p)
		}
		p.prior, p.after = &prior, func(standing) standing { return behind }
	}
	for name := range parts {
		if e, ok, err := src.sp.find(name); err == nil && ok {
			add(name, e.standing, e.newest(src.sp.last))
			continue
		}
		prior, _ := older.search(name)
		add(name, prior, found[name].behind(prior))
	}
	if rows, err := src.sp.rows(); err == nil {
		for i := range rows {
			if r := &rows[i]; parts[r.name] == nil {
				add(r.name, r.standing, r.newest(src.sp.last))
			}
		}
		return
	}
	for _, run := range v.heads {
		t, err := run.open()
		if err != nil {
			continue
		}
		for it := t.Seek(""); it.Next(); {
			var h standing
			if _, err := h.parse(it.Value()); err != nil || v.span(h.records) != src.sp && v.span(h.snapshots) != src.sp {
				continue
			}
			name := string(it.Name())
			if now, err := v.standing(name); err != nil || now != h {
				continue
			}
			if e, ok, err := src.sp.find(name); err == nil && ok {
				add(name, e.standing, e.newest(src.sp.last))
				continue
			}
			prior, _ := older.search(name)
			add(name, prior, h)
		}
	}
}

// behind returns the standing behind a span of which h is what its records tell, and prior
// what spans before it do.
func (h *standing) behind(prior standing) standing {
	out := prior
	if h.records > 0 {
		if prior.Unreadable() {
			out.Floor = h.Floor
		}
		out.Version, out.records = h.Version, h.records
	}
	if h.snapshots > 0 {
		out.snapshots = h.snapshots
	}
	out.Epoch = max(out.Epoch, h.Epoch)
	return out
}

func (src *surveySource) next() (*part, error) {
	if len(src.parts) == 0 {
		return nil, nil
	}
	p := src.parts[0]
	src.parts = src.parts[1:]
	return p, nil
}

// load reads the record whose envelope is at a spot: what stands before it may be wrong,
// and so may be one byte of its head.
func (src *surveySource) load(at spot, raw *codec.Raw) (base int64, err error) {
	b, err := src.sp.bytes(&src.window, at.off, at.n, at.n)
	if err == nil {
		err = raw.Read(b, src.decoder.Seed, at.position)
	}
	if fixed := append([]byte{}, b...); err != nil && src.decoder.Mend(fixed, at.position) {
		err = raw.Read(fixed, src.decoder.Seed, at.position)
	}
	if err != nil {
		r := backend.Record{Position: at.position}
		_, _ = src.decoder.Head(b, at.position, src.sp.base, &r) // as much as can be told of it
		return 0, corruptRecord(src.sp.name, at.off, 0, &r, err)
	}
	return src.sp.base, nil
}
