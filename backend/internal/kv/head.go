package kv

import (
	"github.com/papyra-go/papyra/backend"
)

// head is where a stream stands, and what is known of its snapshots. It is written with
// the records that it follows from; while a cut of the stream is not done yet, a second time
// in table 'c'; and when the stream begins, or has no numbered record left, in table 's', so
// that it is noticed if all of a stream is missing, and no version is ever given again:
//
//	version v · epoch v · floor v · cut v · deleted v · snapshots v · newest v · newestAt v · CRC
type head struct {
	backend.Head
	cut       backend.Position // the newest cut was made here: a snapshot that came later is not below it
	deleted   backend.Version  // the floor that the newest deletion set: no snapshot below it is left
	snapshots uint64           // keys of snapshots, also of those that a cut has still to delete
	newest    backend.Version  // of those the last in their order: the version that it covers …
	newestAt  backend.Position // … and its position; 0: there is none
}

// after returns the head once r is stored in the stream.
func (h head) after(r *backend.Record) head {
	h.Head = h.Head.After(r)
	if r.Kind == backend.Snapshot {
		h.snapshots++
		if r.Version >= h.newest || h.newestAt == 0 {
			h.newest, h.newestAt = r.Version, r.Position
		}
	}
	return h
}

// gone reports whether a record is below the cut.
func (h *head) gone(kind backend.Kind, v backend.Version, p backend.Position) bool {
	if kind == backend.Snapshot {
		return p <= h.cut && (v+1 < h.Floor || v < h.deleted)
	}
	return v < h.Floor
}

// append appends the value of a key.
func (h *head) append(dst []byte, s sums, key []byte) []byte {
	from := len(dst)
	dst = appendUvarints(dst, uint64(h.Version), h.Epoch, uint64(h.Floor), uint64(h.cut), uint64(h.deleted), h.snapshots, uint64(h.newest), uint64(h.newestAt))
	sum := s.of(key, dst[from:])
	return append(dst, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}

func parseHead(s sums, key, value []byte) (h head, err error) {
	b, err := s.open(key, value)
	if err != nil {
		return h, err
	}
	b, err = take(b, (*uint64)(&h.Version), &h.Epoch, (*uint64)(&h.Floor), (*uint64)(&h.cut), (*uint64)(&h.deleted), &h.snapshots, (*uint64)(&h.newest), (*uint64)(&h.newestAt))
	if err == nil && len(b) > 0 {
		err = errFields
	}
	return h, err
}

// readHead returns where the stream stands in a snapshot of the store; the zero head if
// there is none. key is where its key is built.
func (l *Log) readHead(s Snapshot, name string, buf *buffers) (h head, found bool, err error) {
	buf.key = appendHeadKey(buf.key[:0], name)
	buf.value, found, err = s.Get(buf.key, buf.value[:0])
	if err != nil || !found {
		return h, false, err
	}
	if h, err = parseHead(l.sums, buf.key, buf.value); err != nil {
		return h, true, l.corrupt(name, 0, 0, "where the stream stands can't be read: %v", err)
	}
	return h, true, nil
}
