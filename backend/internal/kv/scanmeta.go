package kv

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// meta looks at what the store says of itself.
func (w *walk) meta(s Snapshot) (done bool, err error) {
	for _, key := range [][]byte{identityKey, identityCopy} {
		value, found, err := s.Get(key, nil)
		if err != nil {
			return true, err
		}
		if id, err := parseIdentity(value); !found || err != nil || id != w.l.store {
			w.add(backend.BadHeader, backend.Warning, "", 0, 0, "one of two keys that say what store it is, is damaged or missing").under(key).
				repair("rebuild", func(b Batch) error { return b.Set(key, w.l.store.encode()) })
		}
	}
	w.began, err = w.l.readState(s)
	if err != nil {
		if !errors.Is(err, backend.ErrCorrupt) {
			return true, err
		}
		if w.plan.Depth == backend.Quick {
			w.add(backend.BadHeader, backend.Damage, "", 0, 0, "where the store stands is missing or can't be read").under(stateKey)
		}
	}
	return true, nil
}

// cuts looks at the notes of cuts that are not done.
func (w *walk) cuts(s Snapshot) (done bool, err error) {
	c := s.Cursor([]byte{tableCuts}, after(tableCuts))
	defer c.Close()
	for ok := c.Seek([]byte{tableCuts}); ok; ok = c.Next() {
		key := bytes.Clone(c.Key())
		if w.value, err = c.Value(w.value[:0]); err != nil {
			return true, err
		}
		if _, err := parseHead(w.l.sums, key, w.value); err == nil {
			continue
		}
		name := string(key[1:])
		saved := append(bytes.Clone(key), w.value...)
		f := w.add(backend.WrongIndex, backend.Warning, name, 0, 0, "the note of a cut can't be read").under(key)
		h, found, err := w.l.readHead(s, name, new(buffers))
		switch {
		case err == nil && found:
			f.repair("rebuild", func(b Batch) error { return w.l.putCut(b, name, &h) })
		case err == nil || errors.Is(err, backend.ErrCorrupt):
			f.quarantine("quarantine", saved, func(b Batch) error { return b.Delete(key) })
		default:
			return true, err
		}
	}
	return true, c.Err()
}

// newest looks at the newest records: what a start relies on.
func (w *walk) newest(s Snapshot) (done bool, err error) {
	c := s.Cursor([]byte{tablePlaces}, after(tablePlaces))
	defer c.Close()
	st, err := w.l.readState(s)
	if err != nil { // reported
		return true, nil
	}
	want := st.newest
	ok := c.SeekBelow(after(tablePlaces))
	for n := 0; n < quickRecords && ok; n++ {
		p, sound := parsePlaceKey(c.Key())
		if !sound || p != want {
			break
		}
		if w.value, err = c.Value(w.value[:0]); err != nil {
			return true, err
		}
		pl, err := parsePlace(w.l.sums, c.Key(), w.value, p)
		if err != nil {
			w.add(backend.BadChecksum, backend.Damage, "", 0, p, fmt.Sprintf("which record is there can't be read: %v", err)).under(c.Key())
			return true, nil
		}
		if err := w.sample(s, p, &pl); err != nil {
			return true, err
		}
		want, ok = pl.before, c.Prev()
		if want == 0 {
			return true, c.Err()
		}
	}
	if err := c.Err(); err != nil {
		return true, err
	}
	if p := backend.Position(0); w.keys < quickRecords && want > 0 {
		if ok {
			p, _ = parsePlaceKey(c.Key())
		}
		if p != want {
			w.add(backend.MissingRecord, backend.Damage, "", 0, want, "the record is missing")
		}
	}
	return true, nil
}

// sample looks at one record by its place, and at where its stream stands.
func (w *walk) sample(s Snapshot, p backend.Position, pl *place) error {
	w.keys++
	if pl.kind == 0 {
		return nil
	}
	name := string(pl.name)
	pl.name = []byte(name) // of which w.value is about to change
	h, found, err := w.l.readHead(s, name, &w.buffers)
	if err != nil || !found {
		if err != nil && !errors.Is(err, backend.ErrCorrupt) {
			return err
		}
		w.add(backend.WrongHead, backend.Damage, name, 0, 0, "where the stream stands is missing or can't be read").under(appendHeadKey(nil, name))
		return nil
	}
	if h.gone(pl.kind, pl.version, p) {
		return nil
	}
	w.key = pl.recordKey(w.key[:0], p)
	if w.value, found, err = s.Get(w.key, w.value[:0]); err != nil {
		return err
	}
	var rec backend.Record
	switch {
	case !found:
		w.add(backend.MissingRecord, backend.Damage, name, pl.version, p, "the record is missing")
	case isLost(w.value):
	default:
		if err := w.l.decode(&w.streams.decoder, w.value, name, pl.version, p, &rec); err != nil {
			var ce *backend.CorruptError
			detail := err.Error()
			if errors.As(err, &ce) {
				detail = ce.Detail
			}
			w.add(backend.BadChecksum, backend.Damage, name, pl.version, p, detail).under(w.key)
		}
	}
	return nil
}
