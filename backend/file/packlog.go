package file

import (
	"fmt"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// logSource packs segments of the log that follow one another. They are full, or nobody
// else has them: nothing changes them any more. What their tables say is gathered by
// stream once, in the order in which it lies in memory.
type logSource struct {
	segments []*segment
	ends     []int64 // of their groups
	runs     []logRun
	rest     []int32 // of runs, those that next is yet to tell of, by their names
	spots    []spot  // of all runs, each run's together
	one      *logRun // that next was called for last
	part     part

	seed    codec.Seed
	whole   [][]byte // of each segment, if all are read at once
	window  window   // if not
	scratch *packScratch
	loaded  int  // how many spots were read
	fetched byte // see fetch
}

// logRun is what the segments hold of one stream.
type logRun struct {
	name                string
	from                int // its spots: first the numbered records, then the snapshots
	numbered, snapshots int // how many
	filled, pictured    int // of them, so many are known so far

	// What standing.after comes to, over all segments; not so if the run is odd.
	first, version backend.Version
	epoch, id      uint64
	odd            bool // some segment has more of it than numbered records without gaps
}

// add takes in what one segment has.
func (r *logRun) add(st *stream, id uint64) {
	r.odd = r.odd || st.floor > 0 || st.cut > 0 || len(st.gaps) > 0 || len(st.snapshots) > 0
	if r.id == 0 {
		r.first = st.first
	}
	r.version, r.epoch, r.id = st.version, max(r.epoch, st.epoch), id
	r.numbered += len(st.numbered)
	r.snapshots += len(st.snapshots)
}

// wholeMost is the most of the log that is read at once, to be packed.
const wholeMost = spanMost

func (s *store) logSource(segments []*segment) *logSource {
	src := &logSource{segments: segments, seed: s.codec, scratch: scratches.Get().(*packScratch)}
	src.part.after = src.after
	s.mu.RLock()
	for _, sg := range segments {
		src.ends = append(src.ends, sg.end)
	}
	s.mu.RUnlock()
	src.gather()
	src.read()
	return src
}

// gather finds out where each stream's records are.
func (src *logSource) gather() {
	var which []int32 // the run of each stream of each segment, in turn
	index := map[string]int32{}
	for _, sg := range src.segments {
		for _, st := range sg.table.order {
			i, known := index[st.name]
			if !known {
				i = int32(len(src.runs))
				index[st.name] = i
				src.runs = append(src.runs, logRun{name: st.name})
				src.rest = append(src.rest, i)
			}
			src.runs[i].add(st, sg.id)
			which = append(which, i)
		}
	}
	slices.SortFunc(src.rest, func(a, b int32) int { return strings.Compare(src.runs[a].name, src.runs[b].name) })
	n := 0
	for _, i := range src.rest {
		r := &src.runs[i]
		r.from = n
		n += r.numbered + r.snapshots
	}
	if cap(src.scratch.spots) < n {
		src.scratch.spots = make([]spot, n)
	}
	src.spots = src.scratch.spots[:n]
	for at, sg := range src.segments {
		for _, st := range sg.table.order {
			src.runs[which[0]].fill(src.spots, st, at)
			which = which[1:]
		}
	}
}

// fill adds the spots of what one segment has.
func (r *logRun) fill(spots []spot, st *stream, segment int) {
	gaps, next := st.gaps, st.first
	for i, at := range st.numbered {
		for len(gaps) > 0 && gaps[0].at == i {
			next, gaps = gaps[0].first+gaps[0].n, gaps[1:]
		}
		spots[r.from+r.filled] = spot{place: at, version: next, off: int64(at.off), segment: segment}
		r.filled++
		next++
	}
	for _, sn := range st.snapshots {
		spots[r.from+r.numbered+r.pictured] = spot{place: sn.place, version: sn.version, off: int64(sn.off), segment: segment}
		r.pictured++
	}
}

// read reads the segments at once, if they are not too large. What can't be read shows
// again when a record is.
func (src *logSource) read() {
	size := int64(0)
	for i, sg := range src.segments {
		if size += src.ends[i]; size > wholeMost || sg.file == nil {
			return
		}
	}
	if int64(cap(src.scratch.buf)) < size {
		src.scratch.buf = make([]byte, size)
	}
	buf := src.scratch.buf[:size]
	whole := make([][]byte, len(src.segments))
	for i, sg := range src.segments {
		whole[i], buf = buf[:src.ends[i]:src.ends[i]], buf[src.ends[i]:]
		if _, err := sg.file.ReadAt(whole[i], 0); err != nil {
			return
		}
	}
	src.whole = whole
}

// free gives back what the source has borrowed.
func (src *logSource) free() {
	scratches.Put(src.scratch)
	src.scratch, src.whole = nil, nil
}

func (src *logSource) next() (*part, error) {
	if len(src.rest) == 0 {
		return nil, nil
	}
	r, p := &src.runs[src.rest[0]], &src.part
	src.one, src.rest = r, src.rest[1:]
	p.name = r.name
	p.numbered = src.spots[r.from : r.from+r.numbered]
	p.snapshots = src.spots[r.from+r.numbered : r.from+r.numbered+r.snapshots]
	return p, nil
}

// after returns where the stream stands behind the segments.
func (src *logSource) after(h standing) standing {
	r := src.one
	if r.odd {
		for _, sg := range src.segments {
			if st := sg.table.streams[r.name]; st != nil {
				h = h.after(st, sg.id)
			}
		}
		return h
	}
	if h.Unreadable() {
		h.Floor = r.first
	}
	h.Version, h.Epoch, h.records = max(h.Version, r.version), max(h.Epoch, r.epoch), r.id
	return h
}

func (src *logSource) load(at spot, raw *codec.Raw) (base int64, err error) {
	sg := src.segments[at.segment]
	if at.place.off == nowhere {
		return 0, &backend.CorruptError{File: sg.name, Offset: -1, Position: at.position, Version: at.version, Detail: "the record is lost"}
	}
	b, err := src.bytes(sg, at)
	if err == nil {
		err = raw.Read(b, src.seed, at.position)
	}
	if mended := sg.mended[at.off]; err != nil && mended != nil {
		err = raw.Read(mended, src.seed, at.position)
	}
	if err == nil && raw.Version() != at.version {
		err = fmt.Errorf("%w: another record stands in its place", backend.ErrCorrupt)
	}
	if err != nil {
		r := backend.Record{Position: at.position}
		d := codec.Decoder{Seed: src.seed}
		_, _ = d.Head(b, at.position, at.base, &r) // as much as can be told of it
		return 0, corruptRecord(sg.name, at.off, 0, &r, err)
	}
	return at.base, nil
}

// bytes returns the bytes from a record's first on: all of it, if it is sound.
func (src *logSource) bytes(sg *segment, at spot) ([]byte, error) {
	if src.whole != nil {
		if src.loaded%fetchOnce == 0 {
			src.fetch()
		}
		src.loaded++
		b := src.whole[at.segment]
		return b[min(at.off, int64(len(b))):], nil
	}
	least := int(min(leastRead, max(src.ends[at.segment]-at.off, 0)))
	b, err := src.window.bytes(sg, at.off, least, least)
	if err == nil {
		if n, short := codec.Length(b); short == nil && n > len(b) {
			b, err = src.window.bytes(sg, at.off, n, n)
		}
	}
	return b, err
}

// fetch has the processor bring in the records that come next, as reader.fetch does.
func (src *logSource) fetch() {
	var sum byte
	for i := src.loaded; i < min(src.loaded+fetchOnce, len(src.spots)); i++ {
		at := &src.spots[i]
		b := src.whole[at.segment]
		for off := int(at.off); off < min(int(at.off)+fetchBytes, len(b)); off += 64 {
			sum += b[off]
		}
	}
	src.fetched = sum
}
