package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// strayKey reports a key that is none. Its value is w.value.
func (w *walk) strayKey(key []byte, detail string) {
	key, saved := bytes.Clone(key), append(bytes.Clone(key), w.value...)
	w.streams.lost = true
	w.add(backend.StrayBytes, backend.Damage, "", 0, 0, fmt.Sprintf("%s: %d bytes, beginning with %.24x", detail, len(key), key)).under(key).
		quarantine("quarantine", saved, func(b Batch) error { return b.Delete(key) })
}

// misplaced reports a sound record of another stream, under the name of one that nothing else
// tells of: a key that was damaged.
func (w *walk) misplaced(s Snapshot, key []byte, k *streamKey) (bool, error) {
	t := &w.streams
	if len(w.value) <= 8 {
		return false, nil
	}
	var r backend.Record
	p := backend.Position(binary.BigEndian.Uint64(w.value))
	n, err := t.decoder.Decode(w.value[8:], p, w.l.store.created, &r)
	if err != nil || n != len(w.value)-8 || r.Stream == t.name {
		return false, nil
	}
	here := bytes.Clone(key)
	home, err := w.bringHome(s, here, &r)
	if err != nil {
		return false, err
	}
	t.lost = true
	if !w.giving || home != nil {
		t.records++
	}
	w.add(backend.WrongStore, backend.Damage, t.name, k.version, p, fmt.Sprintf("the record of stream %q version %d stands here", r.Stream, r.Version)).under(here).
		quarantine("move", bytes.Clone(w.value), func(b Batch) error {
			if err := b.Delete(here); err != nil || home == nil {
				return err
			}
			return home(b)
		})
	return true, nil
}

// bringHome returns what puts a sound record, whose bytes are w.value, where it belongs; nil
// if there is one.
func (w *walk) bringHome(s Snapshot, here []byte, r *backend.Record) (func(Batch) error, error) {
	key := appendRecordKey(nil, r.Stream, r.Version)
	if r.Kind == backend.Snapshot {
		key = appendSnapshotKey(nil, r.Stream, r.Version, r.Position)
	}
	there, found, err := s.Get(key, nil)
	if err != nil || found && !isLost(there) || bytes.Equal(key, here) {
		return nil, err
	}
	h, found, err := w.l.readHead(s, r.Stream, new(buffers))
	if err != nil && !errors.Is(err, backend.ErrCorrupt) {
		return nil, err
	}
	if err != nil || !found || h.gone(r.Kind, r.Version, r.Position) || r.Version > h.Version {
		return nil, nil
	}
	value := bytes.Clone(w.value)
	return func(b Batch) error { return b.Set(key, value) }, nil
}
