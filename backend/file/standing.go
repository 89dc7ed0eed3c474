package file

import (
	"encoding/binary"
	"errors"

	"github.com/papyra-go/papyra/backend"
)

// standing is where a stream stands at some place of the log, and where its newest
// records are.
type standing struct {
	backend.Head
	cut       backend.Position // the newest cut was made here: a snapshot that came later is not below it
	pictured  backend.Version  // no snapshot of a version below is left: a floor that a restored record sets takes none
	records   uint64           // the id of the segment that its newest numbered record was written to; 0: there is none
	snapshots uint64           // … its newest snapshot
}

// after returns the standing behind a segment.
func (h standing) after(st *stream, id uint64) standing {
	if st.holdsVersions() {
		// What the segment's own cut leaves nothing of may go on anywhere too.
		if h.Unreadable() || st.floor > h.Version && st.first > h.Version+1 {
			h.Floor = st.first
		}
		h.records = id
	}
	for i := range st.snapshots { // restored from a store where all that it covers was cut away
		if sn := &st.snapshots[i]; sn.version > max(h.Version, st.version) {
			h.Version, h.Floor = sn.version, sn.version+1
		}
	}
	if len(st.snapshots) > 0 {
		h.snapshots = id
	}
	h.Version = max(h.Version, st.version)
	h.Floor = max(h.Floor, st.floor)
	h.Epoch = max(h.Epoch, st.epoch)
	h.cut, h.pictured = max(h.cut, st.cut), max(h.pictured, st.pictured)
	return h
}

// gone reports whether a record is below the cut.
func (h *standing) gone(kind backend.Kind, v backend.Version, p backend.Position) bool {
	if kind == backend.Snapshot {
		return p <= h.cut && v < h.pictured
	}
	return v < h.Floor
}

// entry is what a span's table holds of one stream: where it stands behind the span, and
// where its records in the span are.
type entry struct {
	standing
	off   int64           // of its records' first byte in the span
	size  int64           // of its records' bytes
	first backend.Version // of the numbered records, if there are any
	count uint64          // of the numbered records: fewer than versions if some are lost
	snaps uint64          // of the snapshots that follow them
	skips uint64          // of the entries in the span's skip list
	skip  int64           // where those are in the list: its bytes
	// standing.records and .snapshots are those before this span.
}

// above is about how many bytes the stream's records take in the span that are not below a
// floor.
func (e *entry) above(floor backend.Version) int64 {
	gone := uint64(0)
	if e.count > 0 && floor > e.first {
		gone = min(uint64(floor-e.first), e.count)
	}
	all := max(1, e.count+e.snaps)
	return int64(float64(e.size) / float64(all) * float64(all-gone))
}

// newest returns the standing behind the span whose last id is given.
func (e *entry) newest(id uint64) standing {
	h := e.standing
	if e.count > 0 {
		h.records = id
	}
	if e.snaps > 0 {
		h.snapshots = id
	}
	return h
}

func (h *standing) append(b []byte) []byte {
	for _, u := range [...]uint64{uint64(h.Version), h.Epoch, uint64(h.Floor), uint64(h.cut), uint64(h.pictured), h.records, h.snapshots} {
		b = binary.AppendUvarint(b, u)
	}
	return b
}

func (e *entry) append(b []byte) []byte {
	b = e.standing.append(b)
	for _, u := range [...]uint64{uint64(e.off), uint64(e.size), uint64(e.first), e.count, e.snaps, e.skips, uint64(e.skip)} {
		b = binary.AppendUvarint(b, u)
	}
	return b
}

// errEntry says that a value in a table is not as it is written.
var errEntry = errors.New("the entry can't be parsed")

// take reads as many numbers as there are places for, and returns the rest.
func take(b []byte, to ...*uint64) ([]byte, error) {
	for _, u := range to {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errEntry
		}
		*u, b = v, b[n:]
	}
	return b, nil
}

func (h *standing) parse(b []byte) ([]byte, error) {
	return take(b, (*uint64)(&h.Version), &h.Epoch, (*uint64)(&h.Floor), (*uint64)(&h.cut), (*uint64)(&h.pictured), &h.records, &h.snapshots)
}

// parse reads an entry of a span whose records end at limit.
func (e *entry) parse(b []byte, limit int64) error {
	b, err := e.standing.parse(b)
	if err != nil {
		return err
	}
	var off, size, skip uint64
	b, err = take(b, &off, &size, (*uint64)(&e.first), &e.count, &e.snaps, &e.skips, &skip)
	switch {
	case err != nil:
		return err
	case len(b) > 0, off > uint64(limit), size > uint64(limit)-off, e.count > size, e.snaps > size, e.skips > size, skip > 1<<40:
		return errEntry
	}
	e.off, e.size, e.skip = int64(off), int64(size), int64(skip)
	return nil
}
