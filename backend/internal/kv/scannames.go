package kv

import (
	"bytes"

	"github.com/papyra-go/papyra/backend"
)

// named looks whether the stream has its name among the names.
func (w *walk) named(s Snapshot) error {
	name, h := w.streams.name, w.streams.head
	key := appendNameKey(nil, name)
	value, found, err := s.Get(key, nil)
	if err != nil {
		return err
	}
	if found {
		if _, err := parseHead(w.l.sums, key, value); err == nil {
			return nil
		}
	}
	w.add(backend.WrongIndex, backend.Damage, name, 0, 0, "the stream's name is missing among the names, or can't be read").under(key).
		repair("rebuild", func(b Batch) error { return w.l.putName(b, name, &h) })
	return nil
}

// someNames looks at as many names as one view may: each stream is there.
func (w *walk) someNames(s Snapshot) (done bool, err error) {
	c := s.Cursor([]byte{tableNames}, after(tableNames))
	defer c.Close()
	for ok := c.Seek(w.names); ok; ok = c.Next() {
		key := bytes.Clone(c.Key())
		if w.value, err = c.Value(w.value[:0]); err != nil {
			return false, err
		}
		n := len(key) + len(w.value)
		if err := w.nameOf(s, key); err != nil {
			return false, err
		}
		if w.full(n) {
			w.names = append(key, 0)
			return false, nil
		}
	}
	return true, c.Err()
}

// nameOf looks at the name whose value is w.value. A stream that is missing stands where its
// name says, or where no stream ever stood.
func (w *walk) nameOf(s Snapshot, key []byte) error {
	name := string(key[1:])
	headKey := appendHeadKey(nil, name)
	_, found, err := s.Get(headKey, nil)
	if err != nil || found {
		return err
	}
	if k, ok := parseStreamKey(headKey); !ok || string(k.name) != name {
		w.strayKey(key, "a key among the names is none")
		return nil
	}
	if low := appendStream(nil, name, partRecord); !w.fixing {
		c := s.Cursor(low, headKey)
		defer c.Close()
		if c.Seek(low) || c.Err() != nil { // reported with the stream
			return c.Err()
		}
	}
	now, err := parseHead(w.l.sums, key, w.value)
	if err != nil { // the key may be another's, or none
		w.strayKey(key, "a name that can't be read, and of whose stream nothing is there")
		return nil
	}
	mode := backend.Repair
	if now.Version == 0 {
		mode = backend.Quarantine
		now = head{Head: backend.Head{Version: max(w.l.state.version, w.streams.version), Epoch: max(w.l.state.epoch, w.streams.highest)}}
		now.Floor = now.Version + 1
	}
	f := w.add(backend.WrongHead, backend.Damage, name, 0, 0, "there is such a stream, and nothing of it is there").under(key)
	f.repair("rebuild", func(b Batch) error { return w.l.putHead(b, name, &now) })
	f.mode, f.Mendable = mode, mode == backend.Repair
	return nil
}
