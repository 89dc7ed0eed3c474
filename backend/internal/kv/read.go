package kv

import (
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// versions fills pages with the numbered records of a stream. They are dense: a version
// that is not there is damage, or was cut away since the read began.
func (r *reading) versions() func(Snapshot) error {
	began := false
	return func(s Snapshot) error {
		h, found, err := r.l.readHead(s, r.q.Stream, &r.buffers)
		if err != nil {
			return err
		}
		if !found {
			r.done = true
			return r.l.headless(s, r.q.Stream, &r.buffers)
		}
		low, high := backend.Version(r.q.From), min(backend.Version(r.q.To), h.Version)
		if began && h.Floor > low && (!r.q.Reverse || h.Floor > high) {
			return fmt.Errorf("%w: the stream begins at version %d, the read was at %d", backend.ErrCompacted, h.Floor, low)
		}
		began = true
		if low = max(low, h.Floor); low > high {
			r.done = true
			return nil
		}
		if r.q.Reverse {
			return r.down(s, low, high)
		}
		return r.up(s, low, high)
	}
}

// headless reports, as damage, that a stream of which nobody knows where it stands has
// records, or once had, or may have had.
func (l *Log) headless(s Snapshot, stream string, buf *buffers) error {
	buf.key = appendNameKey(buf.key[:0], stream)
	_, known, err := s.Get(buf.key, buf.value[:0])
	if err != nil {
		return err
	}
	if known {
		return l.corrupt(stream, 0, 0, "there is such a stream, and where it stands is missing")
	}
	c := s.Cursor(appendStream(nil, stream, partRecord), appendHeadKey(nil, stream))
	defer c.Close()
	if c.Seek(appendStream(nil, stream, partRecord)) {
		return l.corrupt(stream, 0, 0, "the stream has records, and where it stands is missing")
	}
	if err := c.Err(); err != nil {
		return err
	}
	if lossy(s) {
		return l.corrupt(stream, 0, 0, "whether there is such a stream can't be told: a part of the store is lost")
	}
	return nil
}

// lossy reports whether keys may be missing of which nothing tells.
func lossy(s Snapshot) bool {
	part, ok := s.(Lossy)
	return ok && part.Lossy()
}

func (r *reading) up(s Snapshot, low, high backend.Version) error {
	c := s.Cursor(appendRecordKey(nil, r.q.Stream, low), appendStream(nil, r.q.Stream, partSnapshot))
	defer c.Close()
	r.key = appendRecordKey(r.key[:0], r.q.Stream, low)
	ok := c.Seek(r.key)
	for v := low; ; v++ {
		full, err := r.version(c, ok, v)
		if err != nil {
			return err
		}
		if r.q.From = uint64(v) + 1; v == high {
			r.done = true
		}
		if full || r.done {
			return nil
		}
		ok = c.Next()
	}
}

func (r *reading) down(s Snapshot, low, high backend.Version) error {
	c := s.Cursor(appendRecordKey(nil, r.q.Stream, low), appendStream(nil, r.q.Stream, partSnapshot))
	defer c.Close()
	r.key = appendRecordKey(r.key[:0], r.q.Stream, high+1)
	ok := c.SeekBelow(r.key)
	for v := high; ; v-- {
		full, err := r.version(c, ok, v)
		if err != nil {
			return err
		}
		if r.q.To = uint64(v) - 1; v == low {
			r.done = true
		}
		if full || r.done {
			return nil
		}
		ok = c.Prev()
	}
}

// version takes the record that the cursor stands on, if it does, which must be version v.
func (r *reading) version(c Cursor, ok bool, v backend.Version) (full bool, err error) {
	if err = c.Err(); err == nil {
		err = r.ended()
	}
	if err != nil {
		return false, err
	}
	if ok {
		k, sound := parseStreamKey(c.Key())
		ok = sound && k.version == v
	}
	if !ok {
		return false, r.l.corrupt(r.q.Stream, v, 0, "the version is missing")
	}
	from := len(r.bytes)
	if r.bytes, err = c.Value(r.bytes); err != nil {
		return false, err
	}
	var rec backend.Record
	if err := r.decode(r.bytes[from:], r.q.Stream, v, 0, &rec); err != nil {
		return false, err
	}
	if rec.Kind == backend.Snapshot {
		return false, r.l.corrupt(r.q.Stream, v, rec.Position, "a snapshot stands where a numbered record should")
	}
	if !r.q.Kinds.Has(rec.Kind) {
		r.bytes = r.bytes[:from]
		return false, nil
	}
	return r.take(rec), nil
}
