package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/internal/disk"
)

// Scan checks the store: its directory, manifest, marks and segment headers as they are
// on disk now; of the log, with depth Quick what opening the store has found and the
// last group, with depth Full all of it. It reads, and changes nothing.
func (s *store) Scan(ctx context.Context, plan backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(yield func(backend.Anomaly, error) bool) {
		sc := &scan{s: s, ctx: ctx, yield: yield, progress: plan.Progress}
		sc.run(plan.Depth)
	}
}

type scan struct {
	s        *store
	ctx      context.Context
	yield    func(backend.Anomaly, error) bool
	progress func(done, total int64)
	stopped  bool
}

func (sc *scan) report(a backend.Anomaly) {
	if !sc.stopped && !sc.yield(a, nil) {
		sc.stopped = true
	}
}

func (sc *scan) run(depth backend.ScanDepth) {
	err := sc.directory()
	var ms marks
	if err == nil {
		ms, err = sc.files()
	}
	if err == nil && depth == backend.Full {
		err = sc.log(&ms)
	} else if err == nil {
		err = sc.quick()
	}
	if err != nil && !sc.stopped {
		if ctxErr := context.Cause(sc.ctx); ctxErr != nil {
			err = ctxErr
		} else {
			err = openError("scan", err)
		}
		sc.yield(backend.Anomaly{}, err)
	}
}

// directory reports files that are not where they should be, or not as they should be.
func (sc *scan) directory() error {
	stray, err := sc.s.strays()
	for _, a := range stray {
		sc.report(a)
	}
	return err
}

// strays lists what is wrong with the directory.
func (s *store) strays() (found []backend.Anomaly, err error) {
	s.preparer.mu.Lock()
	began := s.preparer.ended
	s.preparer.mu.Unlock()
	entries, err := s.dir.ReadDir(".")
	if err != nil {
		return nil, err
	}
	mode, err := s.dir.Mode()
	if err != nil {
		return nil, err
	}
	if mode.Perm()&0o002 != 0 {
		found = append(found, backend.Anomaly{Code: backend.BadPermission, Severity: backend.Warning, File: ".", Offset: -1,
			Detail: fmt.Sprintf("others than the owner may put files into the directory, and take them away: mode %v", mode)})
	}
	preparing := s.preparer.since(began)
	listed := map[string]bool{}
	for _, l := range s.currentManifest().segments {
		listed[segmentName(l.id)] = true
	}
	for _, e := range entries {
		add := func(code backend.AnomalyCode, severity backend.Severity, detail string) {
			found = append(found, backend.Anomaly{Code: code, Severity: severity, File: e.Name, Offset: -1, Detail: detail})
		}
		id, isSegment := segmentID(e.Name)
		switch {
		case isRubbish(e.Name) && preparing: // this handle's own
		case isRubbish(e.Name):
			add(backend.StrayFile, backend.Notice, "what a crash left of a file that was being written")
		case isSegment && !listed[e.Name] && preparing:
		case isSegment && !listed[e.Name]:
			severity, detail, err := s.unlisted(id, e.Name)
			if err != nil {
				return found, err
			}
			if detail != "" {
				add(backend.StrayFile, severity, detail)
			}
		case !isSegment && !ours(e.Name):
			add(backend.StrayFile, backend.Notice, "not a file of the store; it is left alone")
		}
		if e.Mode.Perm()&0o077 != 0 && e.Name != lostAndFound {
			severity := backend.Notice // a volume's group, a copy made with other defaults
			if e.Mode.Perm()&0o002 != 0 {
				severity = backend.Warning
			}
			add(backend.BadPermission, severity, fmt.Sprintf("others than the owner may use it: mode %v", e.Mode))
		}
	}
	return found, nil
}

// currentManifest is the newest that this handle knows.
func (s *store) currentManifest() manifest {
	s.preparer.mu.Lock()
	defer s.preparer.mu.Unlock()
	return s.preparer.manifest
}

// unlisted judges a segment that the manifest does not list. One that was prepared when
// a crash came holds no groups. One with groups means that the manifest is an old one.
func (s *store) unlisted(id uint64, name string) (severity backend.Severity, detail string, err error) {
	h, empty, err := s.prepared(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, "", nil // it was there a moment ago
	case err != nil:
		return 0, "", err
	case h.store == s.uuid && h.id == id && empty:
		if m := s.currentManifest(); m.lists(id) { // since
			return 0, "", nil
		}
		return backend.Notice, "a segment that was being prepared: without groups, not listed", nil
	case h.store == s.uuid && h.id == id && !s.opts.ReadOnly:
		return backend.Damage, "a segment with groups that the manifest does not list: the manifest is an old one", nil
	case h.store == s.uuid && h.id == id: // read-only beside a writer, which may have listed it since
		m, err := readManifest(s.dir)
		if err == nil && m.lists(id) {
			return 0, "", nil
		}
		return backend.Damage, "a segment with groups that the manifest does not list: the manifest is an old one", err
	}
	return backend.Warning, "a segment that is not of this store, or not of this name", nil
}

func (m *manifest) lists(id uint64) bool {
	for _, l := range m.segments {
		if l.id == id {
			return true
		}
	}
	return false
}

// prepared reads an unlisted segment's header, and whether nothing follows it.
func (s *store) prepared(name string) (h segmentHeader, empty bool, err error) {
	f, err := s.dir.Open(name, os.O_RDONLY)
	if oddFile(err) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	defer f.Close()
	b := make([]byte, headerSize)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return h, false, unreadable(name, 0, err)
	}
	h, ok := parseSegmentHeader(b)
	if !ok {
		return segmentHeader{}, false, nil
	}
	if h.store != s.uuid {
		return h, false, nil
	}
	empty, err = zeroFrom(f, name, headerSize)
	return h, empty, err
}

// zeroFrom reports whether a file that is no larger than a segment holds nothing but
// zeros from an offset.
func zeroFrom(f disk.File, name string, off int64) (bool, error) {
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	b := make([]byte, max(0, min(size-off, readSize)))
	for size <= maxSegment && off < size {
		n, err := f.ReadAt(b[:min(size-off, readSize)], off)
		if err != nil && err != io.EOF {
			return false, unreadable(name, off, err)
		}
		if n == 0 || !zero(b[:n]) {
			return n == 0, nil
		}
		off += int64(n)
	}
	return size <= maxSegment, nil
}

// removeRubbish removes what a crash left unfinished, and notes which ids are taken.
func (s *store) removeRubbish() error {
	entries, err := s.dir.ReadDir(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, isSegment := segmentID(e.Name)
		gone := isRubbish(e.Name)
		if isSegment && !s.preparer.manifest.lists(id) {
			h, empty, err := s.prepared(e.Name)
			if err != nil {
				return err
			}
			gone = h.store == s.uuid && h.id == id && empty
		}
		if gone {
			if err := s.dir.Remove(e.Name); err != nil {
				return err
			}
		} else if isSegment {
			s.preparer.taken = max(s.preparer.taken, id)
		}
	}
	return nil
}

// files checks MANIFEST and MARK.
func (sc *scan) files() (marks, error) {
	s := sc.s
	least := s.currentManifest().generation // what is on disk by now is this or newer
	m, err := readManifest(s.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		sc.report(backend.Anomaly{Code: backend.MissingFile, Severity: backend.Damage, File: manifestName, Offset: -1, Detail: "it has gone since the store was opened"})
	case err != nil:
		sc.report(backend.Anomaly{Code: backend.BadHeader, Severity: backend.Damage, File: manifestName, Offset: 0, Detail: err.Error()})
	case m.store != s.uuid || m.generation < least:
		sc.report(backend.Anomaly{Code: backend.WrongStore, Severity: backend.Damage, File: manifestName, Offset: 0, Detail: "not the manifest that was last written"})
	}
	ms, err := readMarks(s.dir, s.uuid)
	if err != nil {
		return ms, err
	}
	for _, a := range ms.found {
		sc.report(a)
	}
	return ms, nil
}

// quick repeats what opening found about the log, and checks the segments' headers and
// the last group again.
func (sc *scan) quick() error {
	s := sc.s
	known := map[backend.Anomaly]bool{}
	report := func(a backend.Anomaly) {
		if !known[a] {
			known[a] = true
			sc.report(a)
		}
	}
	for _, a := range s.findings {
		report(a)
	}
	end := s.end()
	segments, err := s.segments()
	if err != nil {
		return err
	}
	w := newWalker(sc.ctx, s.uuid, s.codec, segments)
	w.report = report
	for i, sg := range segments {
		if err := context.Cause(sc.ctx); err != nil {
			return err
		}
		if w.header(i, sg); w.err != nil {
			return w.err
		}
	}
	if end.sequence > 0 && !s.damaged {
		at := cursor{segments[end.ordinal], end.off}
		if g, st := w.look(at); st != whole || g.sequence != end.sequence || g.crc != end.chain {
			w.damage(backend.BadChecksum, at.sg, at.off, int64(end.end)-at.off, "the last group is not what was written")
		}
	}
	return w.err
}

// log walks the whole log as opening did, and compares the heads. Beside appends it
// goes as far as the log went when the scan began.
func (sc *scan) log(ms *marks) error {
	s := sc.s
	end := s.end()
	segments, err := s.segments()
	if err != nil {
		return err
	}
	w := s.walker(sc.ctx, segments, ms)
	w.report = sc.report
	if sc.progress != nil {
		w.progress = sc.progress
	}
	if !s.damaged {
		w.limit = place{segment: end.ordinal, off: uint32(max(end.end, headerSize))}
		for _, a := range s.findings {
			if a.Code == backend.TornTail {
				defer sc.report(a)
			}
		}
	}
	if err := w.run(); err != nil || sc.stopped {
		return err
	}
	sc.heads(w.ix, end.last)
	return nil
}

// heads compares the heads that follow from the records, up to a position, with those
// that are in use.
func (sc *scan) heads(ix *index, last backend.Position) {
	for _, name := range ix.names {
		if sc.stopped {
			return
		}
		was := ix.streams[name]
		st, ok := sc.s.index.view(name)
		if ok && (st.last > last || st.head == was.head) {
			continue
		}
		sc.report(backend.Anomaly{Code: backend.WrongHead, Severity: backend.Damage, Offset: -1, Stream: name, Version: was.head.Version, Position: was.last,
			Detail: fmt.Sprintf("the records say version %d, in use is %d", was.head.Version, st.head.Version)})
	}
}
