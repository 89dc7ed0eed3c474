package file

import (
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/papyra-go/papyra/backend"
)

// index says where records are. It is built by reading the log once when the store is
// opened, grows with each append after its sync, and so holds only what is durable. It
// takes 24 bytes a record, 32 for each 32 KiB of log, and some 200 for each stream.
//
// Its lock is held for lookups and additions, never while a file is read, written or
// synced. Slices only grow: what was taken from them under the lock stays good.
type index struct {
	mu       sync.RWMutex
	segments []*segment
	streams  map[string]*stream
	names    []string // of streams, in the order of their first records
	marks    []waypoint
	holes    []hole // in position order; none in a healthy store
	last     backend.Position
	records  int64

	since int   // bytes of log since the last waypoint
	split bool  // the next group needs a waypoint of its own
	odd   []odd // what did not fit while the log was read; for the walker

	listing sync.Mutex // guards what follows
	sorted  []string   // names, in order: replaced, never changed
	listed  int        // how many of names are in sorted
}

// place is where a record is, and what it takes to read it.
type place struct {
	position backend.Position
	base     int64  // its group's base time
	segment  uint32 // ordinal; nowhere: the record is in a hole
	off      uint32
}

const nowhere = ^uint32(0)

// waypoint is where a read by position can begin: at a record, of which it is known in
// which group it is. The groups up to the next waypoint follow one another.
type waypoint struct {
	position backend.Position
	segment  uint32 // ordinal
	group    uint32 // offset of the group's header
	nth      uint32 // the record's number in its group
	off      uint32 // the record's offset, or the header's if nth is 0
	end      uint32 // where the last group that began after the waypoint ends
}

// wayStep is how many bytes of log lie between waypoints, at least.
const wayStep = 32 << 10

// stream is where the records of one stream are.
type stream struct {
	name      string // the one copy of it
	head      backend.Head
	first     backend.Version // of numbered[0]
	numbered  []place         // in version order, dense but for gaps
	gaps      []gap           // in version order; none in a healthy store
	snapshots []snapshot      // ordered by (version, position); replaced when one is inserted
	last      backend.Position
}

type snapshot struct {
	version backend.Version
	place
}

// gap is versions that are lost: those from first on stand before numbered[at].
type gap struct {
	at    int
	first backend.Version
	lost  backend.CorruptError
	n     backend.Version
}

// hole is positions whose records are lost.
type hole struct {
	from, to backend.Position
	stream   string // the one stream that they are of; empty: it can't be told
	lost     backend.CorruptError
}

func newIndex() *index { return &index{streams: map[string]*stream{}} }

// begin takes in a group at off of sg; put follows for each of its records. The lock is
// held.
func (ix *index) begin(sg *segment, off int64, g *group) {
	if n := len(ix.marks); n == 0 || ix.split || ix.since >= wayStep || ix.marks[n-1].segment != sg.ordinal {
		ix.since, ix.split = 0, false
		ix.waypoint(sg, off, off, g.first, 0)
	}
	ix.since += groupSize
	sg.end = off + int64(g.length)
	ix.marks[len(ix.marks)-1].end = uint32(sg.end)
}

// put takes in the nth record of the group at off of sg. Without a stream it counts, and
// is found by position alone.
func (ix *index) put(sg *segment, off int64, g *group, nth int, r *backend.Record, e extent) {
	if ix.since >= wayStep && nth > 0 {
		ix.since, ix.split = 0, true
		ix.waypoint(sg, off+int64(e.at), off, e.position, nth)
		ix.marks[len(ix.marks)-1].end = uint32(sg.end)
	}
	ix.since += e.n
	ix.records++
	ix.last = max(ix.last, e.position)
	if r.Stream != "" {
		ix.record(r, place{e.position, g.base, sg.ordinal, uint32(off) + uint32(e.at)})
	}
}

func (ix *index) waypoint(sg *segment, off, group int64, p backend.Position, nth int) {
	if n := len(ix.marks); nth > 0 {
		ix.marks[n-1].end = uint32(off)
	}
	ix.marks = append(ix.marks, waypoint{p, sg.ordinal, uint32(group), uint32(nth), uint32(off), uint32(group)})
}

// record takes in one record.
func (ix *index) record(r *backend.Record, at place) {
	st := ix.stream(r.Stream)
	if r.Kind != backend.Snapshot && !st.head.Unreadable() && r.Version != st.head.Version+1 {
		ix.odd = append(ix.odd, odd{*r, at, st.head.Version})
		if r.Version <= st.head.Version {
			return
		}
		st.loseVersions(r.Version-st.head.Version-1, ix.blame(at.position))
	}
	if r.Kind == backend.Snapshot {
		st.snapshots = insertSnapshot(st.snapshots, snapshot{r.Version, at})
	} else {
		if len(st.numbered) == 0 && len(st.gaps) == 0 {
			st.first = r.Version
		}
		st.numbered = append(st.numbered, at)
	}
	st.head = st.head.After(r)
	st.last = at.position
}

// odd is a record that does not follow its stream's head.
type odd struct {
	record backend.Record
	at     place
	after  backend.Version
}

// blame returns the error of the newest hole below p that may hold any stream's records.
func (ix *index) blame(p backend.Position) backend.CorruptError {
	for i := len(ix.holes) - 1; i >= 0; i-- {
		if h := &ix.holes[i]; h.from < p {
			return h.lost
		}
	}
	return backend.CorruptError{Offset: -1, Detail: "the record is missing"}
}

// stream returns the named stream, new if need be.
func (ix *index) stream(name string) *stream {
	st := ix.streams[name]
	if st == nil {
		st = &stream{name: strings.Clone(name)}
		ix.streams[st.name] = st
		ix.names = append(ix.names, st.name)
	}
	return st
}

// insertSnapshot puts s in its place. Slices that readers hold are not changed.
func insertSnapshot(list []snapshot, s snapshot) []snapshot {
	at := sort.Search(len(list), func(i int) bool { return list[i].version > s.version })
	if at == len(list) {
		return append(list, s)
	}
	return slices.Insert(slices.Clip(list[:len(list):len(list)]), at, s)
}

// lose notes that positions are lost.
func (ix *index) lose(h hole) {
	ix.holes = append(ix.holes, h)
	ix.split = true // no walk goes across it
	if h.to < unbounded {
		ix.last = max(ix.last, h.to)
	}
}

// unbounded ends a hole of which only the beginning is known.
const unbounded = ^backend.Position(0)

// loseVersions notes that n versions of a stream are lost, from its head on.
func (st *stream) loseVersions(n backend.Version, lost backend.CorruptError) {
	next := st.head.Version + 1
	if st.head.Unreadable() {
		st.first = next
	}
	st.gaps = append(st.gaps, gap{at: len(st.numbered), first: next, n: n, lost: lost})
	st.head = st.head.After(&backend.Record{Kind: backend.Event, Version: next, Epoch: st.head.Epoch})
	st.head.Version = next + n - 1
}

// find returns the index in numbered of version v, or the gap that it is in. If
// numbered ends before v, the index is its length.
func (st *stream) find(v backend.Version) (i int, in *gap) {
	v = max(v, st.first)
	lost := backend.Version(0)
	for g := range st.gaps {
		gp := &st.gaps[g]
		if v < gp.first {
			break
		}
		if v < gp.first+gp.n {
			return gp.at, gp
		}
		lost += gp.n
	}
	return int(min(v-st.first-lost, backend.Version(len(st.numbered)))), nil
}

// doubt returns the newest hole that may hold records of a stream whose newest known
// record is at p; nil if there is none.
func (ix *index) doubt(p backend.Position) *hole {
	for i := len(ix.holes) - 1; i >= 0; i-- {
		if h := &ix.holes[i]; h.stream == "" && h.to > p {
			return h
		}
	}
	return nil
}

// list returns the names in order.
func (ix *index) list() []string {
	ix.mu.RLock()
	names := ix.names
	ix.mu.RUnlock()
	ix.listing.Lock()
	defer ix.listing.Unlock()
	if len(names) <= ix.listed {
		return ix.sorted
	}
	fresh := slices.Clone(names[ix.listed:])
	slices.Sort(fresh)
	ix.sorted, ix.listed = merge(ix.sorted, fresh), len(names)
	return ix.sorted
}

func merge(a, b []string) []string {
	out := make([]string, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] < b[0] {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}
