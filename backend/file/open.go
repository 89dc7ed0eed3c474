package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"github.com/papyra-go/papyra/backend/file/internal/sorted"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// openStore opens what is in a directory:
//
//	look     nothing is touched if it holds something else, or a newer format
//	LOCK     unless read-only
//	create   if there is no store
//	MANIFEST and MARK, and the files that the manifest lists
//	walk     the log behind the spans, to build the tables of its segments and to find
//	         its end
//	settle   unless read-only or damaged: cut a torn tail, make the last group durable
//	         again, mark
//	seal     what is full, in the background
//
// A damaged store opens, for reading what is healthy; the startup check of package
// backend decides whether that is wanted.
func openStore(ctx context.Context, o Options, open func(create bool) (disk.FS, error)) (*store, error) {
	dir, err := open(!o.ReadOnly)
	if err != nil {
		return nil, openError("open the directory", err)
	}
	s := &store{dir: dir, opts: o, leaves: sorted.NewCache(leavesKept)}
	s.open.all = o.ReadOnly
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(openError("open", err), s.quiet(false), s.release())
	}
	return s, nil
}

func (s *store) begin(ctx context.Context) error {
	fresh, err := s.look()
	if err != nil {
		return err
	}
	if !s.opts.ReadOnly {
		if s.lock, err = s.dir.Lock(lockName, disk.Holder()); err != nil {
			return lockError(err)
		}
		if fresh, err = s.look(); err != nil { // what was seen before the lock may have changed
			return err
		}
	}
	if fresh {
		if err := s.createStore(); err != nil {
			return err
		}
	}
	if s.opts.ReadOnly {
		return s.openReading(ctx)
	}
	return s.start(ctx)
}

// start reads what the manifest lists, and makes it ready for appends.
func (s *store) start(ctx context.Context) error {
	ms, err := s.read(ctx)
	if err != nil {
		return err
	}
	return s.beginWriting(ms)
}

// read reads what the manifest lists, and the log.
func (s *store) read(ctx context.Context) (*marks, error) {
	ms, err := s.load()
	if err == nil {
		err = s.readLog(ctx, &ms)
	}
	return &ms, err
}

// restart begins anew with what is on disk now, without letting go of the lock. Nothing
// else uses the store. It goes on though ctx ends, as there is no way back: a store that was
// half read would lie. If it fails all the same, what was read before is read on, and the
// store takes no appends. If there is no room to begin writing, what is on disk is read, and
// another recovery tries again.
func (s *store) restart(ctx context.Context) error {
	v := s.pin()
	defer s.unpin(v)
	end, found, tail, damaged := s.proof, s.findings, s.tail, s.damaged
	err := errors.Join(s.quiet(false), s.closeIdle())
	if err == nil {
		err = s.beginAgain(context.WithoutCancel(ctx))
	}
	switch {
	case err == nil:
	case s.roomless != nil:
		return err
	default:
		s.proof, s.findings, s.tail, s.damaged = end, found, tail, damaged
		next := v.copy()
		next.holes = v.holes.with(s.listed.Load().holes) // what was given up by then
		s.install(next)
		s.setPoison(fmt.Errorf("the store could not be read again: %w", err))
		return fmt.Errorf("%w: the store could not be read again: %w", backend.ErrPoisoned, err)
	}
	return nil
}

// beginAgain is start for a store that was in use. The view of before stays until there is
// another.
func (s *store) beginAgain(ctx context.Context) error {
	s.poison.Store(nil)
	s.proof, s.writer, s.findings, s.tail, s.damaged, s.roomless = proof{}, appender{}, nil, torn{}, false, nil
	s.preparer.spare, s.preparer.taken = nil, 0
	s.marker.newest, s.marker.slot = mark{}, 0
	s.marker.awake.Store(false)
	if _, err := s.look(); err != nil {
		return err
	}
	ms, err := s.read(ctx)
	if err != nil {
		return err
	}
	if err = s.beginWriting(ms); noSpace(err) {
		s.roomless = err
	}
	return err
}

// openReading reads the store, again if something seems wrong with it: another process may
// be writing meanwhile, and what it changes between two reads looks like that. It is tried
// readTries times, and readMost times as long as the manifest changes.
func (s *store) openReading(ctx context.Context) error {
	for try := 1; ; try++ {
		ms, err := s.load()
		if err == nil {
			err = s.readLog(ctx, &ms)
		}
		if err != nil || !s.damaged && !s.uneasy() || try >= readTries && (try == readMost || !s.superseded()) {
			return err
		}
		if err := s.closeFiles(); err != nil {
			return err
		}
		if _, err := s.look(); err != nil {
			return err
		}
	}
}

const (
	readTries = 3
	readMost  = 50
)

// superseded reports whether there is a newer manifest than the one that was read.
func (s *store) superseded() bool {
	m, _, err := readManifest(s.dir)
	return err == nil && m.generation != s.listed.Load().generation
}

// look reports whether the directory is one to create a store in, or an error if it
// holds neither a store nor nothing.
func (s *store) look() (fresh bool, err error) {
	entries, err := s.dir.ReadDir(".")
	if err != nil {
		return false, err
	}
	segments, foreign := "", ""
	for _, e := range entries {
		switch {
		case e.Name == manifestName || e.Name == copyName:
			return false, s.lookAtManifest(entries)
		case isPart(e.Name):
			segments = e.Name
		case !ours(e.Name):
			foreign = e.Name
		}
	}
	switch {
	case segments != "":
		return false, &backend.CorruptError{File: manifestName, Offset: -1, Detail: fmt.Sprintf("it is missing, though there are segments (%s): the store is damaged, not new", segments)}
	case foreign != "":
		return false, fmt.Errorf("%w: the directory is not a papyra store: it holds %q, and no %s", backend.ErrFormat, foreign, manifestName)
	case s.marked():
		return false, &backend.CorruptError{File: manifestName, Offset: -1, Detail: "it is missing, though " + markName + " says that there were groups: the store is damaged, not new"}
	case s.opts.ReadOnly:
		return false, fmt.Errorf("%w: the directory holds no papyra store, and a read-only open creates none", backend.ErrFormat)
	}
	return true, nil
}

// lookAtManifest reads the manifest before anything is touched.
func (s *store) lookAtManifest(entries []disk.Entry) error {
	m, rotten, err := readManifest(s.dir)
	if err == nil {
		s.listed.Store(&m)
		s.rotten = rotten
		return nil
	}
	if !errors.Is(err, errNotOurs) && !oddFile(err) {
		return err
	}
	for _, e := range entries {
		if isPart(e.Name) || e.Name == markName {
			return &backend.CorruptError{File: manifestName, Offset: 0, Detail: err.Error()}
		}
	}
	if oddFile(err) {
		return fmt.Errorf("%w: the directory is not a papyra store: %w", backend.ErrFormat, err)
	}
	return fmt.Errorf("%w: the directory is not a papyra store: %s %v", backend.ErrFormat, manifestName, err)
}

// isPart reports whether a name is of a file that holds records.
func isPart(name string) bool {
	_, isSegment := segmentID(name)
	_, _, _, isSpan := parseSpanName(name)
	return isSegment || isSpan
}

// ours reports whether a name, of a file that holds no records, is one that a store uses,
// or at least does not mind.
func ours(name string) bool {
	switch name {
	case lockName, manifestName, copyName, markName, reserveName, quarantineDir, lostAndFound:
		return true
	}
	_, isHeads := headsGeneration(name)
	return isHeads || isRubbish(name)
}

// isRubbish reports whether a name is of a file that a crash left unfinished.
func isRubbish(name string) bool {
	whole, tmp := strings.CutSuffix(name, tmpSuffix)
	_, isHeads := headsGeneration(whole)
	return tmp && (isPart(whole) || isHeads || whole == manifestName || whole == copyName || whole == markName || whole == reserveName)
}

// marked reports whether there is a mark, of whatever store, that says that groups were
// written.
func (s *store) marked() bool {
	b, err := readWhole(s.dir, markName, markSize)
	if err != nil {
		return false
	}
	for at := 0; at+markSlot <= len(b); at += pageSize {
		if m, ok := parseMark(b[at:], [16]byte(b[at+16:at+32])); ok && m.sequence > 0 {
			return true
		}
	}
	return false
}

// createStore makes a store without segments. The manifest comes last: without it, what
// a crash leaves is an empty directory to the next open.
func (s *store) createStore() error {
	id := backend.BatchID(newUUID())
	if _, err := replace(s.dir, markName, newMarkFile(mark{store: id, generation: 1})); err != nil {
		return err
	}
	m := manifest{format: FormatVersion, store: id, generation: 1}
	for _, name := range [...]string{manifestName, copyName} { // never a copy without what it is a copy of
		if _, err := replace(s.dir, name, m.encode()); err != nil {
			return err
		}
	}
	s.listed.Store(&m)
	return nil
}

// load reads MARK and opens what the manifest lists. What is missing is found, and is a
// hole.
func (s *store) load() (marks, error) {
	m := s.listed.Load()
	s.uuid, s.codec, s.findings, s.damaged = m.store, codec.NewSeed(m.store), nil, false
	ms, err := readMarks(s.dir, s.uuid)
	if err != nil {
		return ms, err
	}
	entries, err := s.dir.ReadDir(".")
	if err != nil {
		return ms, err
	}
	sizes := map[string]int64{}
	for _, e := range entries {
		sizes[e.Name] = e.Size
	}
	v := &view{start: m.start, holes: m.holes, cuts: m.cuts}
	for _, info := range m.spans {
		sp := s.newSpan(info)
		v.spans = append(v.spans, sp)
		s.loadPacked(v, sp, sizes)
	}
	for _, info := range m.heads {
		h := s.newHeads(info)
		v.heads = append(v.heads, h)
		s.loadHeads(h, sizes)
	}
	err = s.loadSegments(v, m, ms.ok && ms.newest.clean)
	s.install(v) // also with an error: what is open is to be closed
	return ms, err
}

// loadPacked finds out whether a span is there.
func (s *store) loadPacked(v *view, sp *span, sizes map[string]int64) {
	size, there := sizes[sp.name]
	detail := "the manifest lists it"
	switch {
	case there && size == sp.size:
		if !s.opts.ReadOnly {
			return
		}
		if err := sp.openFile(); err == nil { // now: a writer in another process may remove it
			return
		} else if !errors.Is(err, fs.ErrNotExist) {
			detail = err.Error()
		}
	case there && size > sp.size:
		s.findings = append(s.findings, backend.Anomaly{Code: backend.StrayBytes, Severity: backend.Warning, File: sp.name, Offset: sp.size, Length: size - sp.size, Detail: "bytes behind the end of the span"})
		return
	case there:
		detail = fmt.Sprintf("it has %d bytes, the manifest says %d", size, sp.size)
	}
	s.damaged = true
	s.findings = append(s.findings, backend.Anomaly{Code: backend.MissingFile, Severity: backend.Damage, File: sp.name, Offset: -1, Position: sp.from, Detail: detail})
}

// loadHeads finds out whether a file of heads is there. Without it streams are looked for
// in the spans.
func (s *store) loadHeads(h *heads, sizes map[string]int64) {
	if size, there := sizes[h.name]; !there || size != h.size {
		s.findings = append(s.findings, backend.Anomaly{Code: backend.MissingFile, Severity: backend.Warning, File: h.name, Offset: -1,
			Detail: "the manifest lists it, with another size or at all; recover makes it again from the spans"})
	} else if s.opts.ReadOnly { // now: a writer in another process may remove it
		if _, err := h.open(); err != nil {
			s.findings = append(s.findings, backend.Anomaly{Code: backend.MissingFile, Severity: backend.Warning, File: h.name, Offset: -1, Detail: err.Error() + "; recover makes it again from the spans"})
		}
	}
}

// loadSegments opens the segments. After an unclean end, what the operating system keeps in
// memory of them may not be what is on the disk.
func (s *store) loadSegments(v *view, m *manifest, clean bool) error {
	flag := os.O_RDWR
	if s.opts.ReadOnly {
		flag = os.O_RDONLY
	}
	for _, l := range m.segments {
		f, err := s.dir.Open(segmentName(l.id), flag)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !oddFile(err) {
			return fmt.Errorf("%s: %w", segmentName(l.id), err)
		}
		sg := newSegment(s.uuid, l, f)
		if oddFile(err) {
			sg.odd = err.Error()
		}
		v.segments = append(v.segments, sg)
		if f != nil {
			if !clean && !s.opts.ReadOnly {
				f.Forget()
			}
			if sg.laid, err = f.Size(); err != nil {
				return unreadable(sg.name, 0, err)
			}
		}
	}
	return nil
}

// readLog walks the log.
func (s *store) readLog(ctx context.Context, ms *marks) error {
	v := s.view
	w := s.walker(ctx, v, v.segments, ms)
	w.report = func(a backend.Anomaly) { s.findings = append(s.findings, a) }
	if err := w.run(); err != nil {
		return err
	}
	s.tail, s.damaged = w.tail, s.damaged || w.damaged
	v.holes = append(slices.Clone(v.holes), w.holes...)
	p := &s.proof
	p.mark = mark{store: s.uuid, sequence: w.last.sequence, chain: w.last.crc, last: w.pos}
	if sg := w.last.sg; sg != nil {
		p.segment, p.life, p.end = sg.id, sg.life, uint64(w.last.end)
		p.off, p.sg = w.last.off, sg
	}
	return nil
}

func (s *store) walker(ctx context.Context, v *view, segments []*segment, ms *marks) *walker {
	w := newWalker(ctx, s.uuid, s.codec, v.start, segments)
	w.beside = s.opts.ReadOnly
	if ms.ok {
		w.mark = &ms.newest
	}
	w.prior = v.standing
	return w
}

// beginWriting makes the store ready for appends: unless it is damaged, in which case
// nothing is changed.
func (s *store) beginWriting(ms *marks) error {
	s.startMarker()
	stray, err := s.strays()
	if err != nil {
		return err
	}
	for _, a := range stray {
		s.damaged = s.damaged || a.Severity == backend.Damage
	}
	if s.rotten != nil { // opening rewrites nothing over the evidence
		s.damaged = true
	}
	if s.tail.sg != nil && !ms.ok { // the mark would say whether it was acknowledged
		s.damaged = true
	}
	if s.damaged {
		return nil
	}
	if err := s.removeRubbish(); err != nil {
		return err
	}
	s.beginAppending()
	if err := s.settle(ms); err != nil {
		return err
	}
	if !ms.ok || !ms.newest.clean || ms.newest.sequence != s.proof.sequence {
		if err := s.rewriteManifest(); err != nil {
			return err
		}
	}
	if err := s.beginMarking(ms); err != nil {
		return err
	}
	if w := &s.writer; w.active == nil {
		if w.active, err = s.takeSpare(); err != nil {
			return err
		}
		w.capacity = s.capacity()
	}
	s.reserve()
	s.sealEarly()
	return nil
}

// beginMarking marks that the store is open, before the manifest changes: from then on it
// counts as cleanly closed only when Close says so. A handle that acknowledges nothing
// may still leave a manifest that is in memory alone.
func (s *store) beginMarking(ms *marks) (err error) {
	if !ms.ok {
		return nil // the marks are damaged, which recover mends: nothing is written over the evidence
	}
	m := &s.marker
	m.mu.Lock()
	defer m.mu.Unlock()
	m.newest, m.slot = ms.newest, ms.slot
	if m.file, err = s.dir.Open(markName, os.O_RDWR); err != nil {
		return err
	}
	return s.putMark(s.nextMark(false)) // also if it says nothing new: what was read may be in memory alone
}

// beginAppending sets the appender to the end of the log.
func (s *store) beginAppending() {
	w := &s.writer
	w.encoder.seed = s.codec
	w.sequence, w.chain = s.proof.sequence, s.proof.chain
	v := s.view
	for _, sp := range v.spans {
		w.bytes += sp.size
	}
	at := 0
	for i, sg := range v.segments {
		w.bytes += sg.end
		if sg == s.proof.sg {
			at = i
		}
	}
	if len(v.segments) == 0 {
		return
	}
	for _, sg := range v.segments[:at] {
		sg.full = true
	}
	w.active, w.capacity = v.segments[at], s.capacity()
	if at+1 < len(v.segments) {
		s.preparer.spare = v.segments[at+1]
	}
}

// settle makes the end of the log what it is taken for: a torn tail is saved and zeroed,
// and the last group is written and synced again, as it may be in memory alone: after a
// failed sync the page cache shows what the disk may not have. Without that, the next
// power cut could take acknowledged groups that follow.
func (s *store) settle(ms *marks) error {
	if s.tail.sg != nil {
		if err := s.cutTail(s.tail, s.dir, quarantineDir); err != nil {
			return err
		}
	} else if ms.ok && ms.newest.sequence == s.proof.sequence {
		return nil // marked: it was synced
	}
	return s.rewriteLast()
}

// rewriteManifest makes the manifest durable again, as a new one. After a crash or a
// failed sync of the directory, the name MANIFEST may stand for the new file in memory
// alone; groups in a segment that only the new one lists would be lost with it.
func (s *store) rewriteManifest() error {
	s.manifests.Lock()
	defer s.manifests.Unlock()
	_, err := s.relist(func(*manifest) {})
	return err
}

// rewriteLast writes the pages of the last group again, and syncs them.
func (s *store) rewriteLast() error {
	sg := s.proof.sg
	if sg == nil {
		return nil
	}
	from := s.proof.off &^ (pageSize - 1)
	for at := from; at < sg.end; at += layMost {
		b := make([]byte, min(sg.end-at, layMost))
		if _, err := sg.file.ReadAt(b, at); err != nil {
			return unreadable(sg.name, at, err)
		}
		if _, err := sg.file.WriteAt(b, at); err != nil {
			return fmt.Errorf("%s offset %d: write the last group again: %w", sg.name, at, err)
		}
	}
	if err := sg.file.Sync(); err != nil {
		return fmt.Errorf("%s: sync: %w", sg.name, err)
	}
	return nil
}

// cutTail saves what a crash left above the end of the log and makes it zeros again.
func (s *store) cutTail(t torn, to disk.FS, folder string) error {
	if _, err := save(s.dir, t, to, folder); err != nil {
		return err
	}
	if err := zeroOut(t); err != nil {
		return err
	}
	s.counts.cut.Add(t.to - t.from)
	s.tail = torn{}
	kept := s.findings[:0]
	for _, a := range s.findings {
		if a.Code != backend.TornTail {
			kept = append(kept, a)
		}
	}
	s.findings = kept
	return nil
}

// zeroOut writes zeros over an extent, durably.
func zeroOut(t torn) error {
	for at := t.from; at < t.to; at += layMost {
		if _, err := t.sg.file.WriteAt(zeros[:min(t.to-at, layMost)], at); err != nil {
			return fmt.Errorf("%s offset %d: write zeros: %w", t.sg.name, at, err)
		}
	}
	if err := t.sg.file.Sync(); err != nil {
		return fmt.Errorf("%s: sync: %w", t.sg.name, err)
	}
	return nil
}
