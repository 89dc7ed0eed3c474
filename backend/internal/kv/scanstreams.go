package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// streamWalk is where the walk through table 'e' is, and what it has counted.
type streamWalk struct {
	at      []byte // the key to go on with
	decoder codec.Decoder

	inside bool // of a stream
	name   string
	head   head
	sound  bool   // head could be read
	there  bool   // there is a head
	known  bool   // it is among the names
	value  []byte // of a head that can't be read
	note   bool   // a cut of the stream is not done yet
	wrong  string // why head disagrees with what was seen; empty: it does not

	next     backend.Version // that is to come
	first    backend.Version // that was seen, or is marked as lost
	last     backend.Version // the highest that was seen, or is marked as lost
	epoch    uint64          // the highest that was seen
	count    uint64          // snapshots
	newest   backend.Version // the last snapshot …
	newestAt backend.Position
	views    int // that have looked at the stream

	// Of the whole store.
	records uint64                    // that can be read
	lost    bool                      // some can't, or are missing
	rebuilt map[backend.Position]bool // positions whose records are sound, and that don't lead to them
	reached backend.Position          // the highest position that anything speaks of
	derived map[string]bool           // streams whose head follows from their records alone
	version backend.Version
	highest uint64 // epoch
}

// someStreams looks at as many keys of table 'e' as one view may.
func (w *walk) someStreams(s Snapshot) (done bool, err error) {
	t := &w.streams
	if t.inside {
		t.views++
		if err := w.readHead(s); err != nil { // it may have moved on
			return false, err
		}
		t.next = max(t.next, t.head.Floor)
	}
	c := s.Cursor([]byte{tableStreams}, after(tableStreams))
	defer c.Close()
	ok := c.Seek(t.at)
	for ; ok; ok = c.Next() {
		key := c.Key()
		k, sound := parseStreamKey(key)
		if t.inside && sound && string(k.name) != t.name {
			if err := w.endStream(s); err != nil {
				return false, err
			}
		}
		if w.value, err = c.Value(w.value[:0]); err != nil {
			return false, err
		}
		if !sound {
			w.strayKey(key, "a key among the streams is none")
		} else if err := w.streamKey(s, key, &k); err != nil {
			return false, err
		}
		if w.full(len(key) + len(w.value)) {
			t.at = append(append(t.at[:0], key...), 0)
			return false, nil
		}
	}
	if err := c.Err(); err != nil {
		return false, err
	}
	if t.inside {
		return true, w.endStream(s)
	}
	return true, nil
}

// strayKey reports a key that is none. Its value is w.value.
func (w *walk) strayKey(key []byte, detail string) {
	key, saved := bytes.Clone(key), append(bytes.Clone(key), w.value...)
	w.streams.lost = true
	w.add(backend.StrayBytes, backend.Damage, "", 0, 0, fmt.Sprintf("%s: %d bytes, beginning with %.24x", detail, len(key), key)).under(key).
		quarantine("quarantine", saved, func(b Batch) error { return b.Delete(key) })
}

// readHead reads the head of the stream that the walk is in, and whether it is being cut.
func (w *walk) readHead(s Snapshot) error {
	t := &w.streams
	key := appendHeadKey(nil, t.name)
	value, found, err := s.Get(key, nil)
	if err != nil {
		return err
	}
	t.there = found
	t.head, err = parseHead(w.l.sums, key, value)
	t.sound = found && err == nil
	t.value = value
	key = appendNameKey(key[:0], t.name)
	name, found, err := s.Get(key, nil)
	if err != nil {
		return err
	}
	was, nameErr := parseHead(w.l.sums, key, name)
	t.known = found && nameErr == nil
	key = appendCutKey(key[:0], t.name)
	if value, t.note, err = s.Get(key, nil); err != nil || t.sound {
		return err
	}
	if note, err := parseHead(w.l.sums, key, value); t.note && err == nil { // says what is below the floors
		t.head = note
		return nil
	}
	if t.known { // says where it stood without records
		t.head = was
	}
	return nil
}

func (w *walk) streamKey(s Snapshot, key []byte, k *streamKey) error {
	t := &w.streams
	if !t.inside {
		*t = streamWalk{at: t.at, decoder: t.decoder, records: t.records, lost: t.lost, rebuilt: t.rebuilt, derived: t.derived, reached: t.reached, version: t.version, highest: t.highest,
			inside: true, name: string(k.name)}
		if err := w.readHead(s); err != nil {
			return err
		}
		t.next = t.head.Floor
	}
	if !t.there && !t.known && k.part < partHead {
		if misplaced, err := w.misplaced(s, key, k); misplaced || err != nil {
			return err
		}
	}
	switch k.part {
	case partRecord:
		return w.record(s, key, k)
	case partSnapshot:
		return w.snapshot(s, key, k)
	case partHead:
	default:
		if !t.there && !t.known {
			w.strayKey(key, "a key of a stream of which nothing else tells")
			return nil
		}
		w.add(backend.StrayBytes, backend.Notice, t.name, 0, 0, fmt.Sprintf("a key of part %d of the stream, which a newer version may have written", k.part))
	}
	return nil
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
	w.add(backend.WrongStore, backend.Damage, t.name, k.version, p, fmt.Sprintf("the record of stream %q version %d stands here", r.Stream, r.Version)).under(here).
		quarantine("move", bytes.Clone(w.value), func(b Batch) error {
			if err := b.Delete(here); err != nil || home == nil {
				return err
			}
			return home(b)
		})
	return true, nil
}

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
			t.lost = t.lost || mark.position == 0
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
	f.quarantine("quarantine", saved, func(b Batch) error {
		if err := b.Set(name, mark.append(nil, w.l.sums, name)); err != nil || home == nil {
			return err
		}
		return home(b)
	})
	return nil
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

// endStream compares the head with what was seen.
func (w *walk) endStream(s Snapshot) error {
	t := &w.streams
	t.inside = false
	if t.first == 0 && t.count == 0 && !t.sound && !t.known && !t.note {
		if t.there { // a key that was damaged
			key := appendHeadKey(nil, t.name)
			w.value = append(w.value[:0], t.value...)
			w.strayKey(key, "where a stream stands, of which nothing else tells, can't be read")
		}
		return nil
	}
	if t.views > 0 {
		if err := w.recount(s); err != nil {
			return err
		}
	}
	if t.sound {
		if !t.head.Unreadable() {
			w.missing(t.head.Version + 1)
			t.last = max(t.last, t.head.Version)
		}
		w.snapshotsAgree()
	} else {
		w.lostHead()
	}
	if t.sound && t.wrong != "" {
		w.fixHead(backend.WrongHead, backend.Damage, t.wrong, backend.Repair)
	}
	if err := w.named(s); err != nil {
		return err
	}
	t.reached = max(t.reached, t.head.cut, t.newestAt)
	t.version, t.highest = max(t.version, t.head.Version, t.last), max(t.highest, t.head.Epoch, t.epoch)
	return nil
}

// recount counts the snapshots of a stream that several views have looked at: some may be
// cut away, or saved, since.
func (w *walk) recount(s Snapshot) error {
	t := &w.streams
	t.count, t.newest, t.newestAt = 0, 0, 0
	low := appendStream(nil, t.name, partSnapshot)
	c := s.Cursor(low, appendHeadKey(nil, t.name))
	defer c.Close()
	for ok := c.Seek(low); ok; ok = c.Next() {
		if k, sound := parseStreamKey(c.Key()); sound {
			t.count++
			t.newest, t.newestAt = k.version, k.position
		}
	}
	return c.Err()
}

// snapshotsAgree looks whether the snapshots are there that the head knows of.
func (w *walk) snapshotsAgree() {
	t := &w.streams
	h := &t.head
	if h.snapshots == t.count && h.newest == t.newest && h.newestAt == t.newestAt {
		return
	}
	t.lost = true
	after := h.newestAt > 0 && (t.newestAt == 0 || t.newest < h.newest || t.newest == h.newest && t.newestAt < h.newestAt)
	if !after {
		if t.wrong = fmt.Sprintf("%d snapshots are there, up to that of version %d at position %d, and should be %d", t.count, t.newest, t.newestAt, h.snapshots); t.count < h.snapshots {
			w.fixHead(backend.MissingRecord, backend.Damage, t.wrong, backend.Quarantine)
			t.wrong = ""
		}
		return
	}
	name, v, p := t.name, h.newest, h.newestAt
	now := *h
	now.snapshots = t.count + 1
	w.add(backend.MissingRecord, backend.Damage, name, v, p, "the newest snapshot is missing").quarantine("mark", nil, func(b Batch) error {
		key := appendSnapshotKey(nil, name, v, p)
		if err := b.Set(key, (&lost{position: p, through: v, detail: "missing"}).append(nil, w.l.sums, key)); err != nil {
			return err
		}
		return w.l.putHead(b, name, &now)
	})
	t.wrong = ""
}

// lostHead reports a head that is missing or can't be read. It follows from the records, if
// there are any.
func (w *walk) lostHead() {
	t := &w.streams
	detail := "where the stream stands is missing"
	if t.there {
		detail = "where the stream stands can't be read"
	}
	if t.derived == nil {
		t.derived = map[string]bool{}
	}
	t.derived[t.name] = true
	mode := backend.Repair
	if t.last == 0 && t.head.Version == 0 {
		mode = backend.Quarantine
	}
	w.fixHead(backend.WrongHead, backend.Damage, detail, mode)
}

// fixHead reports a head that is to be written again. Without a record that tells, no
// version that any stream ever had is given again.
func (w *walk) fixHead(code backend.AnomalyCode, severity backend.Severity, detail string, mode backend.RecoveryMode) {
	t := &w.streams
	now := t.head
	now.Version, now.Epoch = max(now.Version, t.last), max(now.Epoch, t.epoch)
	if !t.sound {
		now.Floor = max(now.Floor, t.first)
		if t.last == 0 && now.Version == 0 {
			now.Version = max(now.Version, w.l.state.version, t.version, t.newest)
			now.Epoch = max(now.Epoch, w.l.state.epoch, t.highest)
			now.Floor = now.Version + 1
		}
	}
	now.snapshots, now.newest, now.newestAt = t.count, t.newest, t.newestAt
	t.head = now
	name, saved := t.name, bytes.Clone(t.value)
	f := w.add(code, severity, name, 0, 0, detail).under(appendHeadKey(nil, name))
	f.repair("rebuild", func(b Batch) error { return w.l.putHead(b, name, &now) })
	if f.mode, f.Mendable = mode, mode == backend.Repair; mode == backend.Quarantine && len(saved) > 0 {
		f.save = saved
	}
}
