package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// record looks at the numbered record in w.value.
func (w *walk) record(s Snapshot, key []byte, k *streamKey) error {
	t := &w.streams
	if t.head.gone(backend.Event, k.version, 0) {
		w.below(key, k)
		return nil
	}
	if t.first == 0 {
		t.first = k.version
		if !t.sound {
			t.next = max(t.next, k.version)
		}
	}
	w.missing(k.version)
	t.next, t.last = max(t.next, k.version+1), max(t.last, k.version)
	if t.sound && k.version > t.head.Version {
		t.wrong = fmt.Sprintf("version %d is above version %d, at which the stream is said to stand", k.version, t.head.Version)
	}
	if isLost(w.value) {
		mark, err := parseLost(w.l.sums, key, w.value)
		if err == nil {
			t.next, t.last = max(t.next, mark.through+1), max(t.last, mark.through)
			t.reached = max(t.reached, mark.position)
			t.vague = t.vague || mark.position == 0
			w.add(backend.MarkedHole, backend.Notice, t.name, k.version, mark.position, fmt.Sprintf("lost up to version %d: %s", mark.through, mark.detail))
			return nil
		}
	}
	return w.stored(s, key, k)
}

// below reports a record below the floor that no cut will delete.
func (w *walk) below(key []byte, k *streamKey) {
	t := &w.streams
	if !isLost(w.value) {
		t.records++ // until it is deleted
	}
	if t.note || !t.sound {
		return
	}
	name, h := t.name, t.head
	w.add(backend.StrayBytes, backend.Warning, name, k.version, k.position, "a record below what was cut away; the next compaction after a recovery deletes it").under(key).
		repair("note", func(b Batch) error { return w.l.putCut(b, name, &h) })
}

// missing reports that the versions before v are not there.
func (w *walk) missing(v backend.Version) {
	t := &w.streams
	if t.next == 0 || v <= t.next {
		return
	}
	name, from, through := t.name, t.next, v-1
	t.lost = true
	detail := "the version is missing"
	if through > from {
		detail = fmt.Sprintf("the versions up to %d are missing", through)
	}
	w.add(backend.MissingRecord, backend.Damage, name, from, 0, detail).quarantine("mark", nil, func(b Batch) error {
		key := appendRecordKey(nil, name, from)
		return b.Set(key, (&lost{through: through, detail: "missing"}).append(nil, w.l.sums, key))
	})
	if t.first > from {
		t.first = from
	}
}

// snapshot looks at the snapshot in w.value.
func (w *walk) snapshot(s Snapshot, key []byte, k *streamKey) error {
	t := &w.streams
	t.count++
	t.newest, t.newestAt = k.version, k.position
	if t.head.gone(backend.Snapshot, k.version, k.position) {
		w.below(key, k)
		return nil
	}
	if isLost(w.value) {
		if mark, err := parseLost(w.l.sums, key, w.value); err == nil {
			w.add(backend.MarkedHole, backend.Notice, t.name, k.version, k.position, "a snapshot is lost: "+mark.detail)
			return nil
		}
	}
	return w.stored(s, key, k)
}

// stored looks at a record that is there: at its bytes, and at its place.
func (w *walk) stored(s Snapshot, key []byte, k *streamKey) error {
	t := &w.streams
	var p backend.Position
	if len(w.value) >= 8 {
		p = backend.Position(binary.BigEndian.Uint64(w.value))
	}
	var rec backend.Record
	err := w.l.decode(&t.decoder, w.value, t.name, k.version, k.position, &rec)
	if err == nil && (rec.Kind == backend.Snapshot) != (k.part == partSnapshot) {
		err = w.l.corrupt(t.name, k.version, p, "a record of kind %v stands here", rec.Kind)
	}
	if err != nil {
		return w.damaged(s, key, k, p, err)
	}
	t.records++
	t.epoch = max(t.epoch, rec.Epoch)
	if t.sound && rec.Epoch > t.head.Epoch {
		t.wrong = fmt.Sprintf("epoch %d is above epoch %d, which is said to be the newest", rec.Epoch, t.head.Epoch)
	}
	t.reached = max(t.reached, p)
	return w.placeOf(s, k, p, rec.Kind)
}

// placeOf looks whether the position of a record that is sound leads to it.
func (w *walk) placeOf(s Snapshot, k *streamKey, p backend.Position, kind backend.Kind) error {
	key := appendPlaceKey(nil, p)
	value, found, err := s.Get(key, nil)
	if err != nil {
		return err
	}
	detail := "the position leads nowhere"
	if found {
		pl, err := parsePlace(w.l.sums, key, value, p)
		switch {
		case err != nil:
			detail = fmt.Sprintf("which record is at the position can't be read: %v", err)
		case pl.kind == 0:
			detail = "the position is marked as lost, and its record is here"
		case string(pl.name) != w.streams.name || pl.version != k.version || pl.kind != kind:
			detail = fmt.Sprintf("the position leads to stream %q version %d", pl.name, pl.version)
		default:
			return nil
		}
	}
	if w.streams.rebuilt == nil {
		w.streams.rebuilt = map[backend.Position]bool{}
	}
	w.streams.rebuilt[p] = true
	pl := place{kind, p - 1, k.version, []byte(w.streams.name)} // the walk by position looks which is before
	w.add(backend.WrongIndex, backend.Damage, w.streams.name, k.version, p, detail).
		repair("rebuild", func(b Batch) error { return w.l.putPlace(b, p, pl) })
	return nil
}

// damaged reports a record that can't be read, or is not the one that belongs here.
func (w *walk) damaged(s Snapshot, key []byte, k *streamKey, p backend.Position, why error) error {
	t := &w.streams
	code := backend.BadChecksum
	if errors.Is(why, backend.ErrFormat) {
		code = backend.BadHeader
	}
	var moved backend.Record
	if len(w.value) > 8 {
		if n, err := t.decoder.Decode(w.value[8:], p, w.l.store.created, &moved); err == nil && n == len(w.value)-8 {
			code = backend.WrongStore
		}
	}
	position := k.position
	if position == 0 && p > 0 { // only if the place agrees: the bytes may be anything
		at := appendPlaceKey(nil, p)
		value, _, err := s.Get(at, nil)
		if err != nil {
			return err
		}
		if pl, err := parsePlace(w.l.sums, at, value, p); err == nil && string(pl.name) == t.name && pl.version == k.version {
			position = p
		}
	}
	t.lost = true
	saved := bytes.Clone(w.value)
	mark := lost{position: position, through: k.version, detail: fmt.Sprintf("%d bytes quarantined", len(saved))}
	name := bytes.Clone(key)
	var detail string
	var ce *backend.CorruptError
	if detail = why.Error(); errors.As(why, &ce) {
		detail = ce.Detail
	}
	f := w.add(code, backend.Damage, t.name, k.version, position, detail).under(name)
	f.Length = int64(len(saved))
	var home func(Batch) error
	if code == backend.WrongStore {
		var err error
		if home, err = w.bringHome(s, name, &moved); err != nil {
			return err
		}
	}
	if !isLost(w.value) && !w.giving || home != nil {
		t.records++
	}
	f.quarantine("quarantine", saved, func(b Batch) error {
		if err := b.Set(name, mark.append(nil, w.l.sums, name)); err != nil || home == nil {
			return err
		}
		return home(b)
	})
	return nil
}
