package kv

import (
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// snapshots fills pages with the snapshots of a stream, in the order of (version,
// position). The newest must be there, as the head says: what it covers may be gone. Who reads
// them from the first on is told first whether all are.
func (r *reading) snapshots() func(Snapshot) error {
	var last []byte // the key of the newest record that was looked at
	count := r.q.From <= 1 && r.q.Limit != 1
	return func(s Snapshot) error {
		h, found, err := r.l.readHead(s, r.q.Stream, &r.buffers)
		if err != nil {
			return err
		}
		if !found {
			r.done = true
			return r.l.headless(s, r.q.Stream, &r.buffers)
		}
		if err := r.newestThere(s, &h); err != nil {
			return err
		}
		if count {
			if err := r.allThere(s, &h); err != nil {
				return err
			}
			count = false
		}
		low := appendSnapshotKey(nil, r.q.Stream, backend.Version(r.q.From), 0)
		high := appendSnapshotKey(nil, r.q.Stream, backend.Version(min(r.q.To, backend.MaxNumber))+1, 0)
		c := s.Cursor(low, high)
		defer c.Close()
		step, ok := c.Next, false
		switch {
		case r.q.Reverse && last == nil:
			step, ok = c.Prev, c.SeekBelow(high)
		case r.q.Reverse:
			step, ok = c.Prev, c.SeekBelow(last)
		case last == nil:
			ok = c.Seek(low)
		default:
			ok = c.Seek(append(last, 0))
		}
		for ; ok; ok = step() {
			last = append(last[:0], c.Key()...)
			if full, err := r.snapshot(c, &h); full || err != nil {
				return err
			}
		}
		r.done = true
		return c.Err()
	}
}

// snapshot takes the snapshot that the cursor stands on, unless it was cut away.
func (r *reading) snapshot(c Cursor, h *head) (full bool, err error) {
	k, ok := parseStreamKey(c.Key())
	if !ok {
		return false, r.l.corrupt(r.q.Stream, 0, 0, "a key among the stream's snapshots is none")
	}
	if h.gone(backend.Snapshot, k.version, k.position) {
		return false, nil
	}
	from := len(r.bytes)
	if r.bytes, err = c.Value(r.bytes); err != nil {
		return false, err
	}
	var rec backend.Record
	if err := r.decode(r.bytes[from:], r.q.Stream, k.version, k.position, &rec); err != nil {
		return false, err
	}
	if rec.Kind != backend.Snapshot {
		return false, r.l.corrupt(r.q.Stream, k.version, k.position, "a record of kind %v stands where a snapshot should", rec.Kind)
	}
	return r.take(rec), nil
}

// newestThere looks for the newest snapshot that the head knows of, if it is asked for.
func (r *reading) newestThere(s Snapshot, h *head) error {
	if h.newestAt == 0 || uint64(h.newest) < r.q.From || uint64(h.newest) > r.q.To {
		return nil
	}
	r.key = appendSnapshotKey(r.key[:0], r.q.Stream, h.newest, h.newestAt)
	c := s.Cursor(r.key, append(append([]byte{}, r.key...), 0))
	defer c.Close()
	if !c.Seek(r.key) {
		if err := c.Err(); err != nil {
			return err
		}
		return r.l.corrupt(r.q.Stream, h.newest, h.newestAt, "the stream's newest snapshot is missing")
	}
	return nil
}

// allThere looks whether the stream has the snapshots that the head knows of, each under its
// own key: its position tells of which version it is.
func (r *reading) allThere(s Snapshot, h *head) error {
	low := appendStream(nil, r.q.Stream, partSnapshot)
	c := s.Cursor(low, appendHeadKey(nil, r.q.Stream))
	defer c.Close()
	n := uint64(0)
	var k streamKey
	for ok := c.Seek(low); ok; ok = c.Next() {
		n++
		if k, ok = parseStreamKey(c.Key()); !ok {
			return r.l.corrupt(r.q.Stream, 0, 0, "a key among the stream's snapshots is none")
		}
		key := appendPlaceKey(r.key[:0], k.position)
		value, _, err := s.Get(key, r.value[:0])
		if err != nil {
			return err
		}
		pl, err := parsePlace(r.l.sums, key, value, k.position)
		if err == nil && (pl.version != k.version || string(pl.name) != r.q.Stream) {
			err = fmt.Errorf("its position leads to version %d of stream %q", pl.version, pl.name)
		}
		if err != nil {
			return r.l.corrupt(r.q.Stream, k.version, k.position, "the snapshot: %v", err)
		}
		r.key, r.value = key, value
	}
	if err := c.Err(); err != nil {
		return err
	}
	if n != h.snapshots || k.version != h.newest || k.position != h.newestAt {
		return r.l.corrupt(r.q.Stream, 0, 0, "%d snapshots are there, and should be %d, up to that of version %d", n, h.snapshots, h.newest)
	}
	return nil
}
