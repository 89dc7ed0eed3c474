package file

import (
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/papyra-go/papyra/backend"
)

// table is where the records of one segment are. It is built by walking the segment when
// the store is opened, grows with each append after its sync, and so holds only what is
// durable. It takes 24 bytes a record, 24 for each 32 KiB of log, and some 200 for each
// stream; it goes when the segment is packed into a span.
//
// store.mu guards it: held for lookups and additions, never while a file is read, written
// or synced. Slices only grow: what was taken from them under the lock stays good.
type table struct {
	streams map[string]*stream
	order   []*stream // in the order of their first records
	marks   []waypoint
	first   backend.Position // of its records; 0: none
	last    backend.Position
	records int64
	end     logStart // what stands before the group that follows the last

	fresh  []stream // room for more: taken from the front
	room   []place  // … for the first places of streams
	copies texts    // … for names

	raises bool // some stream does

	since int  // bytes of log since the last waypoint
	split bool // the next group needs a waypoint of its own
	cuts  bool // a cut is in the segment

	listing sync.Mutex // guards what follows
	sorted  []string   // names, in order: replaced, never changed
	listed  int        // how many of table.order are in sorted
}

// place is where a record is in its segment, and what it takes to read it.
type place struct {
	position backend.Position
	base     int64 // its group's base time
	off      uint32
}

// nowhere, as an offset, says that the record is in a hole.
const nowhere = 0

// waypoint is where a read by position can begin: at a record, of which it is known in
// which group it is. The groups up to the next waypoint follow one another.
type waypoint struct {
	position backend.Position
	group    uint32 // offset of the group's header
	nth      uint32 // the record's number in its group
	off      uint32 // the record's offset, or the header's if nth is 0
	end      uint32 // where the last group that began after the waypoint ends
}

// wayStep is how many bytes of log lie between waypoints, at least.
const wayStep = 32 << 10

// stream is where the records of one stream are in one segment, and what the segment
// makes of where the stream stands.
type stream struct {
	name      string          // the one copy of it
	version   backend.Version // its newest here; 0: none
	epoch     uint64
	floor     backend.Version  // what it was raised to here; 0: it was not
	cut       backend.Position // where that was
	pictured  backend.Version  // cuts here take snapshots of versions below; 0: none
	first     backend.Version  // of numbered[0]
	numbered  []place          // in version order, dense but for gaps
	gaps      []gap            // in version order; none in a healthy store
	snapshots []snapshot       // ordered by (version, position); replaced when one is inserted
	last      backend.Position // of its newest record here
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

func newTable() *table { return &table{streams: map[string]*stream{}} }

// begin takes in a group at off of a segment; put follows for each of its records.
func (t *table) begin(off int64, g *group) {
	if n := len(t.marks); n == 0 || t.split || t.since >= wayStep {
		t.since, t.split = 0, false
		t.waypoint(off, off, g.first, 0)
	}
	t.since += groupSize
	t.marks[len(t.marks)-1].end = uint32(off) + g.length
	t.end.sequence, t.end.chain = g.sequence, g.crc
}

// put takes in the nth record of the group at off.
func (t *table) put(off int64, nth int, p backend.Position, e extent) {
	if t.since >= wayStep && nth > 0 {
		end := t.marks[len(t.marks)-1].end
		t.since, t.split = 0, true
		t.waypoint(off+int64(e.at), off, p, nth)
		t.marks[len(t.marks)-1].end = end
	}
	t.since += e.n
	t.records++
	t.reach(p)
}

// reach notes that the segment holds, or has lost, a record at p.
func (t *table) reach(p backend.Position) {
	if t.first == 0 {
		t.first = p
	}
	t.last = max(t.last, p)
	t.end.position = max(t.end.position, p)
}

func (t *table) waypoint(off, group int64, p backend.Position, nth int) {
	if n := len(t.marks); nth > 0 {
		t.marks[n-1].end = uint32(off)
	}
	t.marks = append(t.marks, waypoint{p, uint32(group), uint32(nth), uint32(off), uint32(group)})
}

// record takes in where one record of a stream is.
func (t *table) record(r *backend.Record, at place) {
	st := t.stream(r.Stream)
	switch {
	case r.Kind != backend.Snapshot:
		if st.leaps(r.Version) {
			st.numbered, st.gaps = nil, nil
		}
		if len(st.numbered) == 0 && len(st.gaps) == 0 {
			st.first = r.Version
		}
		st.numbered = append(st.numbered, at)
		st.version = r.Version
	default:
		st.snapshots = insertSnapshot(st.snapshots, snapshot{r.Version, at})
		t.raises = t.raises || st.raises()
	}
	st.epoch = max(st.epoch, r.Epoch)
	st.last = at.position
}

// cut raises a stream's floor: what is below it goes. p is the last position before.
func (t *table) cut(f *backend.StreamFloor, p backend.Position) {
	t.cuts = true
	st := t.stream(f.Stream)
	t.raises = true
	st.floor, st.cut = max(st.floor, f.Floor), p
	pictured := f.Floor
	if !f.Delete {
		pictured-- // the one that the records from the floor on follow stays
	}
	st.pictured = max(st.pictured, pictured)
}

// stream returns the named stream, new if need be.
func (t *table) stream(name string) *stream {
	st := t.streams[name]
	if st == nil {
		st = t.add(name)
		t.streams[st.name] = st
		t.order = append(t.order, st)
	}
	return st
}

// Streams, their names and their first places are allocated so many, or so many bytes, at
// a time.
const (
	streamsAtOnce = 64
	placesFirst   = 2
	textBytes     = 4 << 10
)

// add returns a new stream.
func (t *table) add(name string) *stream {
	if len(t.fresh) == 0 {
		t.fresh, t.room = make([]stream, streamsAtOnce), make([]place, streamsAtOnce*placesFirst)
	}
	st := &t.fresh[0]
	st.numbered = t.room[:0:placesFirst]
	t.fresh, t.room = t.fresh[1:], t.room[placesFirst:]
	t.copies.reserve(len(name))
	t.copies.WriteString(name)
	st.name = t.copies.last(len(name))
	return st
}

// texts makes strings, many in one piece of memory.
type texts struct{ strings.Builder }

// reserve sees to it that the next n bytes are in one piece. Strings made before live on in
// the old one.
func (t *texts) reserve(n int) {
	if t.Cap()-t.Len() < n {
		t.Builder = strings.Builder{}
		t.Grow(max(textBytes, n))
	}
}

// last returns the n bytes that were written last.
func (t *texts) last(n int) string { return t.String()[t.Len()-n:] }

// add returns a string of b.
func (t *texts) add(b []byte) string {
	t.reserve(len(b))
	t.Write(b)
	return t.last(len(b))
}

// insertSnapshot puts s in its place. Slices that readers hold are not changed.
func insertSnapshot(list []snapshot, s snapshot) []snapshot {
	at := sort.Search(len(list), func(i int) bool { return list[i].version > s.version })
	if at == len(list) {
		return append(list, s)
	}
	return slices.Insert(slices.Clip(list[:len(list):len(list)]), at, s)
}

// loseVersions notes that n versions of the stream are lost, from next on.
func (st *stream) loseVersions(next, n backend.Version, lost backend.CorruptError) {
	if len(st.numbered) == 0 && len(st.gaps) == 0 {
		st.first = next
	}
	st.gaps = append(st.gaps, gap{at: len(st.numbered), first: next, n: n, lost: lost})
	st.version = next + n - 1
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

// raises reports whether the stream's floor may be raised here: by a cut, or by a snapshot
// of what was cut away elsewhere.
func (st *stream) raises() bool {
	n := len(st.snapshots)
	return st.floor > 0 || st.cut > 0 || n > 0 && st.snapshots[n-1].version > st.version
}

// holdsVersions reports whether the segment has numbered records of the stream, or has
// lost some.
func (st *stream) holdsVersions() bool { return len(st.numbered) > 0 || len(st.gaps) > 0 }

// leaps reports whether a record does not follow those that are here. A cut has taken them
// all then, and it was restored: nothing reads them any more.
func (st *stream) leaps(v backend.Version) bool {
	return st.holdsVersions() && st.floor > st.version && v > st.version+1
}

// list returns the names of streams, which are table.order, in order. The lock is not held.
func (t *table) list(streams []*stream) []string {
	t.listing.Lock()
	defer t.listing.Unlock()
	if len(streams) <= t.listed {
		return t.sorted
	}
	fresh := make([]string, 0, len(streams)-t.listed)
	for _, st := range streams[t.listed:] {
		fresh = append(fresh, st.name)
	}
	slices.Sort(fresh)
	t.sorted, t.listed = merge(t.sorted, fresh), len(streams)
	return t.sorted
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
