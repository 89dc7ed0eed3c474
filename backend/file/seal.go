package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/internal/sorted"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// sealer packs segments that are full, beside appends, in a goroutine that Close waits
// for. What can't be packed stays in the log, where it reads as well: opening takes longer
// then.
type sealer struct {
	wait sync.WaitGroup
	quit context.CancelFunc

	mu      sync.Mutex
	running bool
	again   bool // somebody kicked meanwhile
}

// spanMost is how large a span is made, if not by one segment alone.
const spanMost = 64 << 20

// sealEarly has full segments packed.
func (s *store) sealEarly() {
	p := &s.sealer
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.again = true; p.running || s.opts.keepLog || s.uneasy() {
		return
	}
	p.running = true
	ctx, quit := context.WithCancel(context.Background())
	p.quit = quit
	p.wait.Go(func() {
		for p.more() {
			if err := s.sealFull(ctx); err != nil && ctx.Err() == nil {
				s.counts.packErrors.Add(1)
			}
		}
		quit()
	})
}

// uneasy reports whether opening has found something wrong: nothing is then packed in the
// background, as that would remove what was found.
func (s *store) uneasy() bool {
	return slices.ContainsFunc(s.findings, func(a backend.Anomaly) bool { return a.Severity != backend.Notice })
}

// more reports whether there may be something to do, and ends the goroutine if not.
func (p *sealer) more() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running, p.again = p.again, false
	return p.running
}

// stop waits until nothing is packed any more: what is being packed may go on for a while,
// and is then given up.
func (p *sealer) stop(patience time.Duration) {
	p.mu.Lock()
	if p.running {
		defer time.AfterFunc(patience, p.quit).Stop()
	}
	p.mu.Unlock()
	p.wait.Wait()
}

const (
	closePatience = 2 * time.Second // for what Close packs
	closeSealFrom = 1 << 20         // bytes of the active segment from which Close packs it
)

// sealAll packs the log when the store is closed, so that opening it again costs little:
// all full segments, and the active one if it is not small. What can't be packed stays in
// the log.
func (s *store) sealAll() {
	if s.opts.keepLog || s.uneasy() || s.mayAppend() != nil || s.writer.active == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	s.reshape.Lock()
	defer s.reshape.Unlock()
	if s.writer.active.end >= closeSealFrom {
		if _, err := s.fill(); err != nil {
			return
		}
	}
	for {
		if n, err := s.sealSome(ctx); n == 0 || err != nil {
			return
		}
	}
}

// sealFull packs all segments that are full. In between it lets others in that pack: there
// may be full ones for as long as somebody appends.
func (s *store) sealFull(ctx context.Context) error {
	one := func() (n int, err error) {
		s.reshape.Lock()
		defer s.reshape.Unlock()
		if err := s.mayAppend(); err != nil {
			return 0, nil // a damaged or poisoned store is left as it is
		}
		if !s.worthPacking() {
			return 0, nil
		}
		return s.sealSome(ctx)
	}
	for {
		if n, err := one(); n == 0 || err != nil {
			return err
		}
		s.reserve()
	}
}

// packLeast is how much must be full before it is packed in the background, unless segments
// have a size of their own: packing takes some ten syncs, however little there is to pack.
const packLeast = 32 << 20

// worthPacking reports whether so much is full.
func (s *store) worthPacking() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	size := int64(0)
	for _, sg := range s.view.segments {
		if sg.full {
			size += sg.end
		}
	}
	return size >= packLeast || s.opts.SegmentBytes > 0
}

// sealSome packs full segments from the oldest on, as many as make one span. The caller
// holds store.reshape.
func (s *store) sealSome(ctx context.Context) (n int, err error) {
	return s.sealUpTo(ctx, spanMost, false)
}

// sealUpTo is sealSome for a span of at most so many bytes, or of one segment, and says
// whether its manifest may have the reserve.
func (s *store) sealUpTo(ctx context.Context, most int64, reserve bool) (n int, err error) {
	v := s.pin()
	defer s.unpin(v)
	size := int64(0)
	s.mu.RLock()
	for _, sg := range v.segments {
		if size += sg.end; !sg.full || n > 0 && size > most {
			break
		}
		n++
	}
	s.mu.RUnlock()
	if n == 0 {
		return 0, nil
	}
	p := s.packSegments(ctx, v, n)
	p.reserve = reserve
	return n, s.seal(p, n, v.segments[n-1].table.end, nil)
}

// packSegments prepares to pack the first n segments of a view.
func (s *store) packSegments(ctx context.Context, v *view, n int) *packer {
	segments := v.segments[:n]
	p := &packer{s: s, ctx: ctx, view: v}
	p.info = spanInfo{first: segments[0].id, last: segments[n-1].id, generation: s.listed.Load().generation + 1, life: newLife()}
	if k := len(v.spans); k > 0 {
		p.info.first = v.spans[k-1].last + 1 // ids that were never used, or were given up, too
	}
	s.mu.RLock()
	based := false
	for _, sg := range segments {
		t := sg.table
		if p.info.from == 0 {
			p.info.from = t.first
		}
		p.info.to = max(p.info.to, t.last)
		if !based && len(t.order) > 0 {
			p.info.base, based = t.order[0].base()
		}
	}
	if p.info.from == 0 { // cuts alone
		p.info.from, p.info.to = v.start.position, v.start.position
	}
	s.mu.RUnlock()
	p.sources = []source{s.logSource(segments)}
	return p
}

// base is a time that the stream's records are near to.
func (st *stream) base() (int64, bool) {
	for _, at := range st.numbered {
		if at.off != nowhere {
			return at.base, true
		}
	}
	for _, sn := range st.snapshots {
		if sn.off != nowhere {
			return sn.base, true
		}
	}
	return 0, false
}

// seal puts a span in the place of the first n segments. start is what stands behind them,
// lost what of them was given up:
//
//	write the span, and heads, each under a tmp name; sync; rename; sync the directory
//	make the manifest that lists them durable: from here on they count
//	remove what they replace, once nobody reads it
//
// A crash before the manifest leaves files that nothing lists, one after it files that
// nothing lists any more; the next writing open removes either.
func (s *store) seal(p *packer, n int, start logStart, lost holes) error {
	s.preparer.count(&s.preparer.began) // no scan minds the files that nothing lists yet
	defer s.preparer.count(&s.preparer.ended)
	if err := p.run(); err != nil {
		return s.packError(true, p.name(), err)
	}
	return s.sealPacked(p, n, start, lost)
}

// sealPacked is seal for what was packed already.
func (s *store) sealPacked(p *packer, n int, start logStart, lost holes) error {
	made, err := s.mergeHeads(p)
	if err != nil {
		return s.packError(true, made.name, p.drop(err))
	}
	if err := s.putNames(p.name(), made.name); err != nil {
		return s.packError(false, p.name(), err)
	}
	sp := s.newSpan(p.info)
	if err := sp.readsBack(p.ctx, s.codec); err != nil {
		err = errors.Join(fmt.Errorf("what was packed does not read as it was written: %w", err), sp.close(), s.dir.Remove(sp.name), s.dir.Remove(made.name))
		return s.packError(true, p.name(), err)
	}
	kept := p.view.heads[made.merged:]
	s.manifests.Lock()
	defer s.manifests.Unlock()
	cuts := len(p.view.spans) > 0 && s.cutsAmong(p.view.segments[:n])
	clean, err := s.relistWithin(func(m *manifest) {
		m.start = start
		m.cuts = m.cuts || cuts
		m.spans = append(m.spans, p.info)
		m.heads = []headsInfo{made.info}
		for _, h := range kept {
			m.heads = append(m.heads, h.headsInfo)
		}
		m.segments = m.segments[n:]
		m.holes = append(m.holes, lost...)
	}, p.reserve)
	if err != nil {
		return s.packError(clean, manifestName, errors.Join(err, sp.close(), s.removeIf(clean, sp.name, made.name)))
	}
	for _, sg := range s.view.segments[:n] {
		sg.use.dead.Store(true)
	}
	for _, h := range p.view.heads[:made.merged] {
		h.use.dead.Store(true)
	}
	s.change(func(v *view) {
		v.cuts = v.cuts || cuts
		v.spans = append(v.spans, sp)
		v.heads = append([]*heads{s.newHeads(made.info)}, kept...)
		v.segments = v.segments[n:]
		v.start = start
	})
	s.counts.packs.Add(1)
	s.counts.packed.Add(p.info.size)
	return nil
}

// packError is why nothing could be packed. Where everything is as it was, it can be tried
// again; else the handle is not fit to write.
func (s *store) packError(clean bool, name string, err error) error {
	switch {
	case clean && noSpace(err):
		return fmt.Errorf("%w: packing %s: %w", backend.ErrNoSpace, name, err)
	case clean:
		return err
	}
	s.setPoison(fmt.Errorf("packing %s: %w", name, err))
	return *s.poison.Load()
}

// removeIf removes files that nothing lists, if that is certain.
func (s *store) removeIf(certain bool, names ...string) error {
	var errs []error
	for _, name := range names {
		if certain {
			errs = append(errs, s.dir.Remove(name))
		}
	}
	return errors.Join(errs...)
}

// putNames gives files the names that they were written for, durably.
func (s *store) putNames(names ...string) error {
	for _, name := range names {
		if err := s.dir.Rename(name+tmpSuffix, name); err != nil {
			return err
		}
	}
	return s.dir.SyncDir(".")
}

// newHeadsFile is what mergeHeads has written.
type newHeadsFile struct {
	name   string
	info   headsInfo
	merged int // how many of the newest files it replaces
}

// mergeHeads writes the heads that go with a span, and merges the newest of those that
// there are into them, as long as they are not twice as large as what is merged so far.
func (s *store) mergeHeads(p *packer) (out newHeadsFile, err error) {
	out.info.generation = p.info.generation
	out.name = headsName(out.info.generation)
	count := uint64(len(p.fresh))
	for _, h := range p.view.heads {
		if h.streams > 2*count {
			break
		}
		count += h.streams
		out.merged++
	}
	rows := []rowSource{&freshRows{rows: p.fresh}}
	for _, h := range p.view.heads[:out.merged] {
		t, err := h.open()
		if err != nil { // as above
			out.merged, rows = len(p.view.heads), append(rows[:1:1], p.view.spanRows()...)
			break
		}
		rows = append(rows, &tableRows{rows: t.Seek("")})
	}
	out.info.size, out.info.streams, err = s.writeHeads(out.info.generation, rows)
	if be := (*sorted.BlockError)(nil); asBlock(err, &be) { // heads that can't be read follow from the spans
		out.merged = len(p.view.heads)
		rows = append([]rowSource{&freshRows{rows: p.fresh}}, p.view.spanRows()...)
		out.info.size, out.info.streams, err = s.writeHeads(out.info.generation, rows)
	}
	return out, err
}

// spanRows are where streams stand behind each span, the newest first.
func (v *view) spanRows() (rows []rowSource) {
	for i := len(v.spans) - 1; i >= 0; i-- {
		rows = append(rows, &spanRows{tableRows: tableRows{rows: v.spans[i].table.Seek("")}, sp: v.spans[i]})
	}
	return rows
}

// writeHeads writes the rows of several sources, of which the first that has a stream
// counts, to a tmp file.
func (s *store) writeHeads(generation uint64, rows []rowSource) (size int64, streams uint64, err error) {
	f, err := createNew(s.dir, headsName(generation)+tmpSuffix)
	if err != nil {
		return 0, 0, err
	}
	out := &fileWriter{file: f}
	w := sorted.NewWriter(out, lifeSeed(s.uuid, generation, 0))
	for _, r := range rows {
		r.advance()
	}
	var names texts
	for err == nil {
		var least rowSource
		for _, r := range rows {
			if r.ok() && (least == nil || bytes.Compare(r.name(), least.name()) < 0) {
				least = r
			}
		}
		if least == nil {
			break
		}
		names.reserve(len(least.name()))
		names.Write(least.name())
		name := names.last(len(least.name()))
		err = w.Add(name, least.value())
		for _, r := range rows {
			if r.ok() && string(r.name()) == name {
				r.advance()
			}
		}
	}
	for _, r := range rows {
		err = errors.Join(err, r.err())
	}
	if err == nil {
		size, err = w.Finish()
	}
	if err == nil {
		err = out.flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = s.dir.Remove(headsName(generation) + tmpSuffix)
	}
	return size, uint64(w.Count()), err
}

// rowSource yields names, rising, and their values.
type rowSource interface {
	advance()
	ok() bool
	name() []byte
	value() []byte
	err() error
}

// freshRows are those of a span that was just packed.
type freshRows struct {
	rows []freshHead
	at   int
	now  []byte // the name
}

func (r *freshRows) advance() {
	if r.at++; r.ok() {
		r.now = append(r.now[:0], r.rows[r.at-1].name...)
	}
}

func (r *freshRows) ok() bool      { return r.at <= len(r.rows) }
func (r *freshRows) name() []byte  { return r.now }
func (r *freshRows) value() []byte { return r.rows[r.at-1].value }
func (r *freshRows) err() error    { return nil }

// tableRows are those of a table.
type tableRows struct {
	rows *sorted.Iterator
	more bool
}

func (r *tableRows) advance()      { r.more = r.rows.Next() }
func (r *tableRows) ok() bool      { return r.more }
func (r *tableRows) name() []byte  { return r.rows.Name() }
func (r *tableRows) value() []byte { return r.rows.Value() }
func (r *tableRows) err() error    { return r.rows.Err() }

// fileWriter writes to a file from its beginning on.
type fileWriter struct {
	file disk.File
	off  int64
	buf  []byte
}

func (w *fileWriter) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	if len(w.buf) >= packBuffer {
		return len(b), w.flush()
	}
	return len(b), nil
}

func (w *fileWriter) flush() error {
	_, err := w.file.WriteAt(w.buf, w.off)
	w.off, w.buf = w.off+int64(len(w.buf)), w.buf[:0]
	return err
}
