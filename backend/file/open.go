package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"github.com/papyra-go/papyra/backend/file/internal/disk"
)

// openStore opens what is in a directory:
//
//	look     nothing is touched if it holds something else, or a newer format
//	LOCK     unless read-only
//	create   if there is no store
//	MANIFEST and MARK, and the segments that the manifest lists
//	walk     the whole log, to build the index and to find its end
//	settle   unless read-only or damaged: cut a torn tail, make the last group durable
//	         again, mark
//
// A damaged store opens, for reading what is healthy; the startup check of package
// backend decides whether that is wanted.
func openStore(ctx context.Context, o Options, open func(create bool) (disk.FS, error)) (*store, error) {
	dir, err := open(!o.ReadOnly)
	if err != nil {
		return nil, openError("open the directory", err)
	}
	s := &store{dir: dir, opts: o}
	if err := s.open(ctx); err != nil {
		s.marker.stop()
		return nil, errors.Join(openError("open", err), s.release())
	}
	return s, nil
}

func (s *store) open(ctx context.Context) error {
	fresh, err := s.look()
	if err != nil {
		return err
	}
	if !s.opts.ReadOnly {
		if s.lock, err = s.dir.Lock(lockName, holder()); err != nil {
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
	ms, err := s.load()
	if err == nil {
		err = s.readLog(ctx, &ms)
	}
	if err != nil {
		return err
	}
	return s.beginWriting(&ms)
}

// openReading reads the store, as often as readTries if it seems damaged: another process
// may be writing meanwhile, and what it changes between two reads looks like that.
func (s *store) openReading(ctx context.Context) error {
	for try := 1; ; try++ {
		ms, err := s.load()
		if err == nil {
			err = s.readLog(ctx, &ms)
		}
		if err != nil || !s.damaged || try == readTries {
			return err
		}
		if err := s.closeSegments(); err != nil {
			return err
		}
		if _, err := s.look(); err != nil {
			return err
		}
	}
}

const readTries = 3

// holder is what the lock says of this process.
func holder() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("process %d on host %q since %s", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
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
		switch _, isSegment := segmentID(e.Name); {
		case e.Name == manifestName:
			return false, s.lookAtManifest(entries)
		case isSegment:
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
	m, err := readManifest(s.dir)
	if err == nil {
		s.preparer.manifest = m
		return nil
	}
	if !errors.Is(err, errNotOurs) && !oddFile(err) {
		return err
	}
	for _, e := range entries {
		if _, isSegment := segmentID(e.Name); isSegment || e.Name == markName {
			return &backend.CorruptError{File: manifestName, Offset: 0, Detail: err.Error()}
		}
	}
	if oddFile(err) {
		return fmt.Errorf("%w: the directory is not a papyra store: %w", backend.ErrFormat, err)
	}
	return fmt.Errorf("%w: the directory is not a papyra store: %s %v", backend.ErrFormat, manifestName, err)
}

// ours reports whether a name, of a file that is no segment, is one that a store uses,
// or at least does not mind.
func ours(name string) bool {
	switch name {
	case lockName, manifestName, markName, quarantineDir, lostAndFound:
		return true
	}
	return isRubbish(name)
}

// isRubbish reports whether a name is of a file that a crash left unfinished.
func isRubbish(name string) bool {
	whole, tmp := strings.CutSuffix(name, tmpSuffix)
	_, isSegment := segmentID(whole)
	return tmp && (isSegment || whole == manifestName || whole == markName)
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
	m := manifest{store: id, generation: 1}
	if _, err := replace(s.dir, manifestName, m.encode()); err != nil {
		return err
	}
	s.preparer.manifest = m
	return nil
}

// load reads MARK and opens the segments.
func (s *store) load() (marks, error) {
	m := &s.preparer.manifest
	s.uuid, s.codec = m.store, codec.NewSeed(m.store)
	ms, err := readMarks(s.dir, s.uuid)
	if err != nil {
		return ms, err
	}
	flag := os.O_RDWR
	if s.opts.ReadOnly {
		flag = os.O_RDONLY
	}
	s.index = newIndex()
	for _, l := range m.segments {
		f, err := s.dir.Open(segmentName(l.id), flag)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !oddFile(err) {
			return ms, fmt.Errorf("%s: %w", segmentName(l.id), err)
		}
		sg := newSegment(s.uuid, l, f)
		if oddFile(err) {
			sg.odd = err.Error()
		}
		s.index.segments = append(s.index.segments, sg)
		if f != nil {
			if sg.laid, err = f.Size(); err != nil {
				return ms, unreadable(sg.name, 0, err)
			}
		}
	}
	return ms, nil
}

// readLog walks the log.
func (s *store) readLog(ctx context.Context, ms *marks) error {
	s.findings = nil
	w := s.walker(ctx, s.index.segments, ms)
	w.report = func(a backend.Anomaly) { s.findings = append(s.findings, a) }
	if err := w.run(); err != nil {
		return err
	}
	s.index, s.tail, s.damaged = w.ix, w.tail, w.damaged
	s.proof.mark = mark{store: s.uuid}
	if w.last.sg != nil {
		s.proof.segment, s.proof.life, s.proof.end = w.last.sg.id, w.last.sg.life, uint64(w.last.end)
		s.proof.sequence, s.proof.chain, s.proof.last = w.last.sequence, w.last.crc, w.ix.last
		s.proof.off, s.proof.ordinal = w.last.off, w.last.sg.ordinal
	}
	return nil
}

func (s *store) walker(ctx context.Context, segments []*segment, ms *marks) *walker {
	w := newWalker(ctx, s.uuid, s.codec, segments)
	w.beside = s.opts.ReadOnly
	if ms.ok {
		w.mark = &ms.newest
	}
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
	segments := s.index.segments
	for _, sg := range segments {
		w.bytes += sg.end
	}
	if len(segments) == 0 {
		return
	}
	at := int(s.proof.ordinal)
	w.active, w.capacity = segments[at], s.capacity()
	if at+1 < len(segments) {
		s.preparer.spare = segments[at+1]
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
	m := s.preparer.manifest
	m.generation++
	if _, err := replace(s.dir, manifestName, m.encode()); err != nil {
		return err
	}
	s.preparer.manifest = m
	return nil
}

// rewriteLast writes the pages of the last group again, and syncs them.
func (s *store) rewriteLast() error {
	if s.proof.sequence == 0 {
		return nil
	}
	sg := s.index.segments[s.proof.ordinal]
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
