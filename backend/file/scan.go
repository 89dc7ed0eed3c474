package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
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
	done     int64 // bytes of what is finished
	total    int64 // not less than was told
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
	sc.holes()
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

// holes reports what quarantine has given up.
func (sc *scan) holes() {
	for _, h := range sc.s.listed.Load().holes {
		detail := h.lost.Detail
		if h.to > h.from {
			detail = fmt.Sprintf("up to position %d: %s", h.to, detail)
		}
		sc.report(backend.Anomaly{Code: backend.MarkedHole, Severity: backend.Notice, File: h.lost.File, Offset: h.lost.Offset, Length: h.lost.Length,
			Stream: h.stream, Version: h.lost.Version, Position: h.from, Detail: detail})
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
	listed := s.listed.Load().files()
	for _, e := range entries {
		add := func(code backend.AnomalyCode, severity backend.Severity, detail string) {
			found = append(found, backend.Anomaly{Code: code, Severity: severity, File: e.Name, Offset: -1, Detail: detail})
		}
		id, isSegment := segmentID(e.Name)
		_, isHeads := headsGeneration(e.Name)
		known := isPart(e.Name) || isHeads
		switch {
		case preparing && (isRubbish(e.Name) || known && !listed[e.Name] && (!isSegment || id == s.nextID())): // this handle's own
		case isRubbish(e.Name):
			add(backend.StrayFile, backend.Notice, "what a crash left of a file that was being written")
		case known && !listed[e.Name]:
			severity, detail, err := s.unlisted(e.Name)
			if err != nil {
				return found, err
			}
			if detail != "" && !(severity == backend.Notice && s.removes(e.Name)) {
				add(backend.StrayFile, severity, detail)
			}
		case !known && !ours(e.Name):
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

// nextID is the id that the next segment gets.
func (s *store) nextID() uint64 { return max(s.listed.Load().newestID(), s.preparer.taken) + 1 }

// removes reports whether a file that nothing lists is one that this handle is about to
// remove, once nobody reads it: opening has removed all others.
func (s *store) removes(name string) bool {
	id, isSegment := segmentID(name)
	return !s.opts.ReadOnly && (!isSegment || s.listed.Load().covers(id))
}

// files returns the names of all files that the manifest lists.
func (m *manifest) files() map[string]bool {
	names := map[string]bool{}
	for i := range m.spans {
		sp := &m.spans[i]
		names[spanName(sp.first, sp.last, sp.generation)] = true
	}
	for _, h := range m.heads {
		names[headsName(h.generation)] = true
	}
	for _, l := range m.segments {
		names[segmentName(l.id)] = true
	}
	return names
}

// unlisted judges a file that the manifest does not list. A segment that was prepared when
// a crash came holds no groups. One with groups means that the manifest is an old one,
// unless a span has taken its place. What a packing that a crash ended has left, or was
// about to replace, holds nothing that is not elsewhere.
func (s *store) unlisted(name string) (severity backend.Severity, detail string, err error) {
	m := s.listed.Load()
	if s.opts.ReadOnly { // beside a writer, which may have changed it since
		if now, _, err := readManifest(s.dir); err == nil {
			m = &now
		}
	}
	if m.files()[name] {
		return 0, "", nil
	}
	if _, ok := headsGeneration(name); ok {
		return backend.Notice, "heads that nothing lists: what a crash left", nil
	}
	if _, last, generation, ok := parseSpanName(name); ok {
		if m.newestID() < last || generation > m.generation+1 {
			return backend.Damage, "a span that goes with a newer manifest: the manifest is an old one", nil
		}
		return backend.Notice, "a span that nothing lists: what a crash left", nil
	}
	id, _ := segmentID(name)
	if m.covers(id) {
		return backend.Notice, "a segment that was packed into a span: a crash kept it from being removed", nil
	}
	return s.unlistedSegment(m, id, name)
}

// covers reports whether a span has taken the place of a segment.
func (m *manifest) covers(id uint64) bool {
	for i := range m.spans {
		if m.spans[i].first <= id && id <= m.spans[i].last {
			return true
		}
	}
	return false
}

// listedSince reports whether a writer in another process has listed a segment, or packed
// it, since it was looked at.
func (s *store) listedSince(id uint64, name string) bool {
	if !s.opts.ReadOnly {
		return false
	}
	m, _, err := readManifest(s.dir)
	return err == nil && (m.files()[name] || m.covers(id))
}

func (s *store) unlistedSegment(m *manifest, id uint64, name string) (severity backend.Severity, detail string, err error) {
	h, empty, err := s.prepared(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, "", nil // it was there a moment ago
	case err != nil:
		return 0, "", err
	case h.store == s.uuid && h.id == id && empty:
		return backend.Notice, "a segment that was being prepared: without groups, not listed", nil
	case h.store == s.uuid && h.id == id && s.listedSince(id, name):
		return 0, "", nil
	case h.store == s.uuid && h.id == id:
		return backend.Damage, "a segment with groups that the manifest does not list: the manifest is an old one", nil
	}
	return backend.Warning, "a segment that is not of this store, or not of this name", nil
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

// removeRubbish removes what a crash left unfinished, or kept from being removed, and
// notes which ids are taken.
func (s *store) removeRubbish() error {
	entries, err := s.dir.ReadDir(".")
	if err != nil {
		return err
	}
	m := s.listed.Load()
	files := m.files()
	for _, e := range entries {
		id, isSegment := segmentID(e.Name)
		_, isHeads := headsGeneration(e.Name)
		gone := isRubbish(e.Name)
		switch {
		case files[e.Name]:
		case isSegment && m.covers(id), isHeads, isPart(e.Name) && !isSegment:
			gone = true
		case isSegment:
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
	least := s.listed.Load().generation // what is on disk by now is this or newer
	for _, name := range [...]string{manifestName, copyName} {
		b, err := readWhole(s.dir, name, manifestMost)
		var m manifest
		if err == nil {
			m, err = parseManifest(b)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist) && name == copyName && s.listed.Load().format < 2: // older stores have none
		case errors.Is(err, fs.ErrNotExist):
			severity := backend.Warning
			if name == copyName && s.listed.Load().generation == 1 { // a crash while the store was created leaves that
				severity = backend.Notice
			}
			sc.report(backend.Anomaly{Code: backend.MissingFile, Severity: severity, File: name, Offset: -1, Detail: "it has gone; recover makes it again"})
		case err != nil:
			detail := err.Error()
			if ce := (*backend.CorruptError)(nil); errors.As(err, &ce) { // which file it is stands beside it
				detail = ce.Detail
			}
			sc.report(backend.Anomaly{Code: backend.BadHeader, Severity: backend.Warning, File: name, Offset: 0, Detail: detail + "; recover makes it again"})
		case m.store != s.uuid || m.generation < least:
			severity := backend.Damage
			if name == copyName {
				severity = backend.Notice // a crash before it was replaced, too
			}
			sc.report(backend.Anomaly{Code: backend.WrongStore, Severity: severity, File: name, Offset: 0, Detail: "not the manifest that was last written"})
		}
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
	v := s.pin()
	defer s.unpin(v)
	end := s.end()
	segments, err := v.copies()
	if err != nil {
		return err
	}
	w := newWalker(sc.ctx, s.uuid, s.codec, v.start, segments)
	w.report = report
	for i, sg := range segments {
		if err := context.Cause(sc.ctx); err != nil {
			return err
		}
		if w.header(i, sg); w.err != nil {
			return w.err
		}
		if !s.damaged && end.sg == v.segments[i] {
			at := cursor{sg, end.off}
			if g, st := w.look(at); st != whole || g.sequence != end.sequence || g.crc != end.chain {
				w.damage(backend.BadChecksum, sg, at.off, int64(end.end)-at.off, "the last group is not what was written")
			}
		}
	}
	return w.err
}

// log walks the whole log as opening did, and compares the heads. Beside appends it
// goes as far as the log went when the scan began.
func (sc *scan) log(ms *marks) error {
	s := sc.s
	v := s.pin()
	defer s.unpin(v)
	end := s.end()
	segments, err := v.copies()
	if err != nil {
		return err
	}
	w := s.walker(sc.ctx, v, segments, ms)
	w.report = sc.report
	sc.total = w.total
	for _, sp := range v.spans {
		sc.total += sp.size
	}
	w.progress = func(done, _ int64) { sc.tell(done) }
	if !s.damaged {
		w.limit = cursor{off: -1} // nothing of the log is left to walk
		for i, sg := range v.segments {
			if sg == end.sg {
				w.limit = cursor{segments[i], int64(max(end.end, headerSize))}
			}
		}
		for _, a := range s.findings {
			if a.Code == backend.TornTail {
				defer sc.report(a)
			}
		}
	}
	if err := sc.spans(v); err != nil || sc.stopped {
		return err
	}
	if w.limit.off >= 0 {
		if err := w.run(); err != nil || sc.stopped {
			return err
		}
		sc.tables(v, segments, end.last)
	} else {
		for i, sg := range segments {
			if w.header(i, sg); w.err != nil {
				return w.err
			}
		}
	}
	if err := sc.streams(v); err != nil || sc.stopped {
		return err
	}
	sc.tell(sc.total - sc.done)
	return nil
}

// tell tells of progress, beyond the spans that are done.
func (sc *scan) tell(done int64) {
	sc.total = max(sc.total, sc.done+done)
	if sc.progress != nil {
		sc.progress(sc.done+done, sc.total)
	}
}

// spans reads and checks all spans.
func (sc *scan) spans(v *view) error {
	ctx, cancel := context.WithCancel(sc.ctx)
	found := sc.verify(ctx, v)
	defer found.wait.Wait()
	defer cancel()
	for i, sp := range v.spans {
		select {
		case list := <-found.spans[i]:
			for _, a := range list {
				sc.report(a)
			}
		case <-sc.ctx.Done():
		}
		if err := context.Cause(sc.ctx); err != nil || sc.stopped {
			return err
		}
		sc.tell(sp.size)
		sc.done += sp.size
	}
	for _, h := range v.heads {
		t, err := h.open()
		if err == nil {
			err = t.Check(nil)
		}
		if err != nil {
			ce, _ := corruptBlock(h.name, 0, err).(*backend.CorruptError)
			sc.report(backend.Anomaly{Code: backend.BadHeader, Severity: backend.Warning, File: h.name, Offset: ce.Offset, Length: ce.Length, Detail: ce.Detail + "; recover makes it again"})
		}
	}
	return nil
}

// verifying is spans being verified, several at a time.
type verifying struct {
	wait  sync.WaitGroup
	spans []chan []backend.Anomaly // of each span what was found, once it is
}

// verifyMost is how many spans are verified at a time, if there are processors.
const verifyMost = 8

func (sc *scan) verify(ctx context.Context, v *view) *verifying {
	w := &verifying{spans: make([]chan []backend.Anomaly, len(v.spans))}
	for i := range w.spans {
		w.spans[i] = make(chan []backend.Anomaly, 1)
	}
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), verifyMost, len(v.spans)) {
		w.wait.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(v.spans)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				var list []backend.Anomaly
				_ = v.spans[i].verify(ctx, sc.s.codec, func(a backend.Anomaly) { list = append(list, a) }) // what it finds is told
				w.spans[i] <- list
			}
		})
	}
	return w
}

// tables compares where streams stand behind each segment, up to a position, with what is
// in use. What was appended or cut since is not in the former.
func (sc *scan) tables(v *view, walked []*segment, last backend.Position) {
	for i, sg := range walked {
		for _, was := range sg.table.order {
			if sc.stopped {
				return
			}
			st := sc.s.stream(v.segments[i], was.name)
			if st != nil && (st.last > last || st.version == was.version && st.epoch == was.epoch && (st.floor == was.floor || st.cut >= last)) {
				continue
			}
			version := backend.Version(0)
			if st != nil {
				version = st.version
			}
			sc.report(backend.Anomaly{Code: backend.WrongHead, Severity: backend.Damage, File: sg.name, Offset: -1, Stream: was.name, Version: was.version, Position: was.last,
				Detail: fmt.Sprintf("the records say version %d, in use is %d", was.version, version)})
		}
	}
}
