package kv

import (
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
	records uint64                    // that are there, also those that can't be read; marks of lost ones are none
	lost    bool                      // some can't be read, or are missing
	vague   bool                      // some are marked as lost, and it is not known which positions they had
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
		*t = streamWalk{at: t.at, decoder: t.decoder, records: t.records, lost: t.lost, vague: t.vague, rebuilt: t.rebuilt, derived: t.derived, reached: t.reached, version: t.version, highest: t.highest,
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
