package kv

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// quickRecords is how many of the newest records a quick check reads.
const quickRecords = 64

// placeWalk is where the walk through table 'p' is.
type placeWalk struct {
	at      []byte           // the key to go on with
	before  backend.Position // the last that was seen
	dropped backend.Position // the last that leads nowhere and goes
	begun   bool
	raised  map[string]head // of streams of which records are lost: where they stand with them
}

// complete reports whether every record that was ever stored, and not cut away, was seen in
// its stream: what is wrong among the positions follows from the streams then.
func (w *walk) complete(st *state) bool {
	return !w.streams.lost && !w.streams.vague && w.streams.records == st.records
}

// somePlaces looks at as many keys of table 'p' as one view may.
func (w *walk) somePlaces(s Snapshot) (done bool, err error) {
	t := &w.places
	st, stateErr := w.l.readState(s)
	if stateErr != nil {
		st = state{}
	}
	whole := stateErr == nil && w.complete(&st)
	c := s.Cursor([]byte{tablePlaces}, after(tablePlaces))
	defer c.Close()
	if t.begun { // what stood there may be cut away
		t.before = 0
		if c.SeekBelow(t.at) {
			t.before, _ = parsePlaceKey(c.Key())
		}
	}
	t.begun = true
	for ok := c.Seek(t.at); ok; ok = c.Next() {
		key := c.Key()
		if w.value, err = c.Value(w.value[:0]); err != nil {
			return false, err
		}
		if p, sound := parsePlaceKey(key); !sound || p == 0 {
			w.strayKey(key, "a key among the positions is none")
		} else if err := w.place(s, key, p, whole); err != nil {
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
	w.endPlaces(&st, stateErr, whole)
	return true, nil
}

// place looks at the place in w.value.
func (w *walk) place(s Snapshot, key []byte, p backend.Position, whole bool) error {
	t := &w.places
	pl, err := parsePlace(w.l.sums, key, w.value, p)
	if err != nil {
		w.badPlace(key, p, whole, err)
		return nil
	}
	keep := true
	if pl.kind == 0 {
		w.add(backend.MarkedHole, backend.Notice, "", 0, p, "lost")
	} else if keep, err = w.leads(s, p, &pl, whole); err != nil {
		return err
	}
	if !keep {
		t.dropped = p
		return nil
	}
	w.follows(p, &pl, whole)
	t.before = p
	return nil
}

// badPlace reports a place that can't be read. If its record is there, the walk through the
// streams has reported it, and a recovery has written it again.
func (w *walk) badPlace(key []byte, p backend.Position, whole bool, why error) {
	t := &w.places
	key, saved, before := bytes.Clone(key), bytes.Clone(w.value), t.before
	detail := fmt.Sprintf("which record is there can't be read: %v", why)
	switch {
	case w.streams.rebuilt[p] && !w.fixing:
	case whole:
		w.add(backend.WrongIndex, backend.Damage, "", 0, p, detail+"; there is none").under(key).
			repair("remove", func(b Batch) error { return b.Delete(key) })
		t.dropped = p
		return
	default:
		w.add(backend.BadChecksum, backend.Damage, "", 0, p, detail).under(key).
			quarantine("quarantine", saved, func(b Batch) error { return w.l.putPlace(b, p, place{before: before}) })
	}
	t.before = p
}

// leads looks whether a place leads to its record, and returns whether it stays.
func (w *walk) leads(s Snapshot, p backend.Position, pl *place, whole bool) (keep bool, err error) {
	name := string(pl.name)
	key := pl.recordKey(nil, p)
	value, found, err := s.Get(key, nil)
	if err != nil {
		return true, err
	}
	if found && len(value) >= 8 && backend.Position(binary.BigEndian.Uint64(value)) == p {
		return true, nil
	}
	h, there, headErr := w.l.readHead(s, name, new(buffers))
	if headErr != nil {
		there = false
	}
	drop := func(b Batch) error { return b.Delete(appendPlaceKey(nil, p)) }
	if there && h.gone(pl.kind, pl.version, p) && !w.streams.derived[name] {
		w.add(backend.WrongIndex, backend.Damage, name, pl.version, p, "the position leads to a record that was cut away").repair("remove", drop)
		return false, nil
	}
	if found && !isLost(value) {
		if whole {
			w.add(backend.WrongIndex, backend.Damage, name, pl.version, p, "the position leads to the record of another").repair("remove", drop)
			return false, nil
		}
		if len(value) < 8 { // reported with the stream
			return true, nil
		}
	}
	through := pl.version
	if mark, err := parseLost(w.l.sums, key, value); found && err == nil { // one that does not know its position
		through = max(through, mark.through)
	}
	w.lostRecord(p, pl, &h, key, through, found && !isLost(value))
	return true, nil
}

// lostRecord reports that a record is not there. otherwise is whether another stands there.
// Its stream stands at its version at least.
func (w *walk) lostRecord(p backend.Position, pl *place, h *head, key []byte, through backend.Version, otherwise bool) {
	t := &w.places
	name, now, before := string(pl.name), *h, t.before
	w.streams.lost = true
	f := func() *finding {
		return w.add(backend.MissingRecord, backend.Damage, name, pl.version, p, "the record is missing")
	}
	if otherwise {
		f().quarantine("mark", nil, func(b Batch) error { return w.l.putPlace(b, p, place{before: before}) })
		return
	}
	if was, ok := t.raised[name]; ok {
		now = was
	}
	snapshot := pl.kind == backend.Snapshot
	raise := !snapshot && pl.version > now.Version
	if raise && now.Unreadable() {
		now.Floor = pl.version
	}
	if raise {
		now.Version = pl.version
	}
	if !snapshot && pl.version < now.Floor { // the floor was taken for the first that is left
		now.Floor, raise = pl.version, true
	}
	if snapshot { // a mark counts as one
		now.snapshots++
		if pl.version > now.newest || pl.version == now.newest && p > now.newestAt {
			now.newest, now.newestAt = pl.version, p
		}
	}
	if t.raised == nil {
		t.raised = map[string]head{}
	}
	t.raised[name] = now
	if raise {
		w.add(backend.WrongHead, backend.Damage, name, pl.version, p, "the stream has a position for a version beyond those it is said to have").
			repair("rebuild", func(b Batch) error { return w.l.putHead(b, name, &now) })
	}
	mark := lost{position: p, through: through, detail: "missing"}
	f().quarantine("mark", nil, func(b Batch) error {
		if err := b.Set(key, mark.append(nil, w.l.sums, key)); err != nil || !snapshot {
			return err
		}
		return w.l.putHead(b, name, &now)
	})
}

// follows looks whether the place says which is before it.
func (w *walk) follows(p backend.Position, pl *place, whole bool) {
	t := &w.places
	if pl.before == t.before {
		return
	}
	now := *pl
	now.name = bytes.Clone(pl.name)
	now.before = t.before
	link := func(b Batch) error { return w.l.putPlace(b, p, now) }
	if w.streams.rebuilt[pl.before] && !w.fixing {
		return
	}
	if whole || pl.before < t.before || pl.before == t.dropped {
		w.add(backend.WrongIndex, backend.Damage, "", 0, p, fmt.Sprintf("position %d is said to be before it, and %d is", pl.before, t.before)).repair("rebuild", link)
		return
	}
	gone, before := pl.before, t.before
	w.add(backend.MissingRecord, backend.Damage, "", 0, gone, fmt.Sprintf("the record is missing: of which stream it was can't be told; positions above %d may be missing too", before)).
		quarantine("mark", nil, func(b Batch) error { return w.l.putPlace(b, gone, place{before: before}) })
}

// endPlaces compares where the store stands with what was seen.
func (w *walk) endPlaces(st *state, stateErr error, whole bool) {
	t := &w.places
	newest := t.before
	reached := max(w.streams.reached, newest)
	now := *st
	now.last, now.newest, now.records = max(st.last, reached), newest, w.streams.records
	now.version, now.epoch = max(st.version, w.streams.version), max(st.epoch, w.streams.highest)
	put := func(b Batch) error { return w.l.putState(b, &now) }
	if w.streams.rebuilt[st.newest] && !w.fixing {
		now.newest = st.newest
	}
	switch {
	case stateErr != nil:
		w.add(backend.BadHeader, backend.Damage, "", 0, 0, "where the store stands is missing or can't be read").under(stateKey).repair("rebuild", put)
	case st.newest > newest && !whole && st.newest != t.dropped:
		gone, before := st.newest, newest
		now.newest = gone
		w.add(backend.MissingRecord, backend.Damage, "", 0, gone, fmt.Sprintf("the newest record is missing; positions above %d may be missing too", before)).
			quarantine("mark", nil, func(b Batch) error {
				if err := w.l.putPlace(b, gone, place{before: before}); err != nil {
					return err
				}
				return put(b)
			})
	case st.newest != newest || st.last < reached || st.version < now.version || st.epoch < now.epoch:
		w.add(backend.WrongHead, backend.Damage, "", 0, 0, fmt.Sprintf("the store is said to stand at position %d, the newest at %d; positions reach %d, the newest is at %d", st.last, st.newest, reached, newest)).under(stateKey).
			repair("rebuild", put)
	case st.records != now.records && *st == w.began && !w.streams.lost:
		w.add(backend.WrongHead, backend.Warning, "", 0, 0, fmt.Sprintf("the store is said to hold %d records, and holds %d", st.records, now.records)).under(stateKey).repair("rebuild", put)
	}
}
