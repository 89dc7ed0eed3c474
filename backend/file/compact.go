package file

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/papyra-go/papyra/backend"
)

// Compact makes the cut durable, as groups of the log; then it packs the log, and packs
// again the spans that hold something below a floor, and those that are small. It runs
// beside appends; each span takes the place of what it was made of at one moment, that of
// the manifest that lists it. If it ends early the cut stands all the same: nobody reads
// what is below it, and what was not removed yet goes with the next compaction.
func (s *store) Compact(ctx context.Context, cut backend.Cut) (stats backend.CompactionStats, err error) {
	stats.RecordsBefore, stats.BytesBefore = s.weigh()
	if err = s.cut(ctx, cut.Floors); err == nil {
		err = s.compact(ctx)
	}
	stats.RecordsAfter, stats.BytesAfter = s.weigh()
	if err == nil {
		s.counts.compactions.Add(1)
	}
	return stats, err
}

// weigh returns how many records there are, and how many bytes of files they take.
func (s *store) weigh() (records, size int64) {
	v := s.pin()
	defer s.unpin(v)
	for _, sp := range v.spans {
		records += int64(sp.records)
		size += sp.size
	}
	for _, h := range v.heads {
		size += h.size
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, sg := range v.segments {
		records += sg.table.records
		size += sg.end
	}
	return records, size
}

// compact packs the log and what holds something below a floor. Where the disk is full it
// makes room first, and moves no more at a time than one file from then on.
func (s *store) compact(ctx context.Context) error {
	s.reshape.Lock()
	defer s.reshape.Unlock()
	defer s.reserve()
	for most := int64(spanMost); ; most = 0 {
		err := s.compactBy(ctx, most)
		if !errors.Is(err, backend.ErrNoSpace) {
			return err
		}
		if freed, failed := s.makeRoom(ctx); failed != nil {
			return failed
		} else if !freed && most == 0 && s.dir.Remove(reserveName) != nil {
			return err
		}
	}
}

// compactBy is compact in steps that move at most so many bytes, or one file.
func (s *store) compactBy(ctx context.Context, most int64) error {
	active, err := s.fill()
	if err != nil {
		return err
	}
	for s.oldest() < active { // what others fill meanwhile is not waited for
		if n, err := s.sealUpTo(ctx, most, true); err != nil {
			return err
		} else if n == 0 {
			break
		}
	}
	dirty, err := s.dirty(ctx)
	if err != nil {
		return err
	}
	for after := uint64(0); ; {
		next, err := s.compactSome(ctx, after, dirty, most)
		if err != nil {
			return err
		}
		if next == 0 {
			return s.cutsGone()
		}
		after = next
	}
}

// makeRoom packs the spans that hold something below a floor one by one, those first of
// which the least is left, as that needs room beside them. It reports whether the disk had
// room for any.
func (s *store) makeRoom(ctx context.Context) (freed bool, err error) {
	dirty, err := s.dirty(ctx)
	if err != nil {
		return false, err
	}
	order := slices.SortedFunc(maps.Keys(dirty), func(a, b uint64) int { return cmp.Or(cmp.Compare(dirty[a], dirty[b]), cmp.Compare(a, b)) })
	for _, last := range order {
		switch err := s.packAlone(ctx, last); {
		case err == nil:
			freed = true
		case !errors.Is(err, backend.ErrNoSpace):
			return freed, err
		}
	}
	return freed, nil
}

// packAlone packs the span with a last id again.
func (s *store) packAlone(ctx context.Context, last uint64) error {
	v := s.pin()
	defer s.unpin(v)
	at := slices.IndexFunc(v.spans, func(sp *span) bool { return sp.last == last })
	return s.swap(s.packSpans(ctx, v, at, 1), nil)
}

// fill makes the active segment a full one, if it holds anything, and returns the id of
// the one that groups go to now.
func (s *store) fill() (active uint64, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.mayAppend(); err != nil {
		return 0, err
	}
	if w := &s.writer; w.active.end == headerSize {
		return w.active.id, nil
	}
	next, err := s.takeSpare()
	if err != nil {
		return 0, err
	}
	s.rotate(next)
	return next.id, nil
}

// oldest returns the id of the oldest segment of the log.
func (s *store) oldest() uint64 {
	v := s.pin()
	defer s.unpin(v)
	return v.segments[0].id // there is the active one at least
}

// dirty returns the spans that may hold something below a floor, by their last ids, and of
// each about how many bytes of records are not below: those that were packed before the
// floor was what it is. It goes through all tables at once, so that what an earlier
// compaction has left is found too.
func (s *store) dirty(ctx context.Context) (map[uint64]int64, error) {
	v := s.pin()
	defer s.unpin(v)
	p := &packer{s: s, ctx: ctx, view: v} // it knows where streams stand
	p.lookUp()
	its := make([]*tableRows, len(v.spans))
	for i, sp := range v.spans {
		its[i] = &tableRows{rows: sp.table.Seek("")}
		its[i].advance()
	}
	dirty, left := map[uint64]int64{}, make([]int64, len(v.spans))
	for n := 0; ; n++ {
		if err := context.Cause(ctx); n%256 == 0 && err != nil {
			return nil, err
		}
		name, any, err := leastName(v, its)
		if err != nil {
			return nil, err
		}
		if !any {
			for i, sp := range v.spans {
				if _, is := dirty[sp.last]; is {
					dirty[sp.last] = left[i]
				}
			}
			return dirty, nil
		}
		now, _, err := p.standing(name)
		if err != nil {
			return nil, err
		}
		for i, it := range its {
			if !it.more || string(it.name()) != name {
				continue
			}
			var e entry
			if err := e.parse(it.value(), v.spans[i].frames); err != nil {
				return nil, v.spans[i].corruptTable(err)
			}
			if e.Floor < now.Floor && e.count > 0 && e.first < now.Floor || e.cut < now.cut && e.snaps > 0 {
				dirty[v.spans[i].last] = 0
			}
			left[i] += e.above(now.Floor)
			it.advance()
		}
	}
}

// leastName returns the first name that any of the spans' tables is at.
func leastName(v *view, its []*tableRows) (name string, any bool, err error) {
	var least []byte
	for i, it := range its {
		if it.more && (least == nil || bytes.Compare(it.name(), least) < 0) {
			least = it.name()
		}
		if err := it.err(); err != nil {
			return "", false, v.spans[i].corruptTable(err)
		}
	}
	return string(least), least != nil, nil
}

// compactSome packs spans behind the one with a last id again, and returns the last id of
// those that it has dealt with; 0 if there are no more. The caller holds store.reshape.
func (s *store) compactSome(ctx context.Context, after uint64, dirty map[uint64]int64, most int64) (last uint64, err error) {
	v := s.pin()
	defer s.unpin(v)
	from := 0
	for from < len(v.spans) && v.spans[from].last <= after {
		from++
	}
	if from == len(v.spans) {
		return 0, nil
	}
	size, largest, n, wanted := int64(0), int64(0), 0, false
	for _, sp := range v.spans[from:] {
		if n > 0 && size+sp.size > most {
			break
		}
		size, largest = size+sp.size, max(largest, sp.size)
		_, is := dirty[sp.last]
		wanted = wanted || is
		n++
	}
	last = v.spans[from+n-1].last
	if !wanted && (n == 1 || largest > size/4*3) { // little is gained by moving so much
		return last, nil
	}
	err = s.swap(s.packSpans(ctx, v, from, n), nil)
	if !wanted && errors.Is(err, backend.ErrNoSpace) {
		err = nil // it would only have made them fewer
	}
	return last, err
}

// packSpans prepares to pack n spans of a view again.
func (s *store) packSpans(ctx context.Context, v *view, from, n int) *packer {
	spans := v.spans[from : from+n]
	p := &packer{s: s, ctx: ctx, view: v}
	p.info = spanInfo{first: spans[0].first, last: spans[n-1].last, generation: s.listed.Load().generation + 1, life: newLife(), base: spans[0].base}
	for _, sp := range spans {
		if sp.records > 0 && p.info.from == 0 {
			p.info.from, p.info.base = sp.from, sp.base
		}
		if sp.records > 0 {
			p.info.to = sp.to
		}
		p.sources = append(p.sources, s.spanSource(sp))
	}
	if p.info.from == 0 {
		p.info.from, p.info.to = spans[0].from, spans[0].from
	}
	return p
}

// swap puts a span in the place of those that hold its segments, in the steps of seal. The heads stay: they
// name segments, which the new span covers.
func (s *store) swap(p *packer, lost holes) error {
	s.preparer.count(&s.preparer.began)
	defer s.preparer.count(&s.preparer.ended)
	if err := p.run(); err != nil {
		return s.packError(true, p.name(), err)
	}
	if err := s.putNames(p.name()); err != nil {
		return s.packError(false, p.name(), err)
	}
	sp := s.newSpan(p.info)
	if err := sp.readsBack(p.ctx, s.codec); err != nil {
		err = errors.Join(fmt.Errorf("what was packed does not read as it was written: %w", err), sp.close(), s.dir.Remove(sp.name))
		return s.packError(true, p.name(), err)
	}
	s.manifests.Lock()
	defer s.manifests.Unlock()
	replaced := func(i *spanInfo) bool { return p.info.first <= i.first && i.last <= p.info.last }
	clean, err := s.relist(func(m *manifest) {
		at := slices.IndexFunc(m.spans, func(i spanInfo) bool { return i.first >= p.info.first })
		m.spans = slices.DeleteFunc(m.spans, func(i spanInfo) bool { return replaced(&i) })
		m.spans = slices.Insert(m.spans, at, p.info)
		m.holes = append(m.holes, lost...)
	})
	if err != nil {
		return s.packError(clean, manifestName, errors.Join(err, sp.close(), s.removeIf(clean, sp.name)))
	}
	for _, old := range s.view.spans {
		if replaced(&old.spanInfo) {
			old.use.dead.Store(true)
		}
	}
	s.change(func(v *view) {
		at := slices.IndexFunc(v.spans, func(old *span) bool { return replaced(&old.spanInfo) })
		v.spans = slices.DeleteFunc(v.spans, func(old *span) bool { return replaced(&old.spanInfo) })
		v.spans = slices.Insert(v.spans, at, sp)
	})
	s.counts.packs.Add(1)
	s.counts.packed.Add(p.info.size)
	return nil
}
