package kv

import (
	"errors"

	"github.com/papyra-go/papyra/backend"
)

// places fills pages with the records of the store, by position. Each place says which
// stands before it, so that one that is missing is noticed.
func (r *reading) places() func(Snapshot) error {
	return func(s Snapshot) error {
		c := s.Cursor([]byte{tablePlaces}, after(tablePlaces))
		defer c.Close()
		st, err := r.l.readState(s)
		if errors.Is(err, backend.ErrCorrupt) && r.l.unfit.Load() != nil { // reported when it was opened
			st, err = r.l.guessState(s)
		}
		if err != nil {
			return err
		}
		cut, err := anyCuts(s)
		if err != nil {
			return err
		}
		if r.q.Reverse {
			return r.placesDown(s, c, st, cut)
		}
		return r.placesUp(s, c, st, cut)
	}
}

// anyCuts reports whether some cut is not done yet.
func anyCuts(s Snapshot) (bool, error) {
	c := s.Cursor([]byte{tableCuts}, after(tableCuts))
	defer c.Close()
	return c.Seek([]byte{tableCuts}), c.Err()
}

func (r *reading) placesUp(s Snapshot, c Cursor, st state, cut bool) error {
	r.key = appendPlaceKey(r.key[:0], backend.Position(r.q.From))
	for ok := c.Seek(r.key); ; ok = c.Next() {
		if err := c.Err(); err != nil {
			return err
		}
		if r.done = r.q.From > r.q.To; r.done {
			return nil
		}
		if !ok {
			if r.done = true; uint64(st.newest) >= r.q.From {
				return r.l.corrupt("", 0, min(st.newest, backend.Position(r.q.To)), "the record is missing")
			}
			return nil
		}
		p, pl, err := r.place(c)
		if err != nil { // also above To: it may be what should stand below
			return err
		}
		if uint64(pl.before) >= r.q.From { // none was there, or the loop would have come by
			return r.l.corrupt("", 0, min(pl.before, backend.Position(r.q.To)), "the record is missing")
		}
		if pl.kind == 0 { // and nobody knows whether there were others between it and the one before
			return r.l.corrupt("", 0, min(p, backend.Position(r.q.To)), "the record is lost: quarantined")
		}
		if uint64(p) > r.q.To {
			r.done = true
			return nil
		}
		full, err := r.placed(s, p, &pl, cut)
		if err != nil {
			return err
		}
		if r.q.From = uint64(p) + 1; full {
			return nil
		}
	}
}

func (r *reading) placesDown(s Snapshot, c Cursor, st state, cut bool) error {
	want, err := r.highest(c, st)
	if err != nil {
		return err
	}
	r.key = appendPlaceKey(r.key[:0], backend.Position(r.q.To)+1)
	for ok := c.SeekBelow(r.key); ; ok = c.Prev() {
		if err := c.Err(); err != nil {
			return err
		}
		if uint64(want) < r.q.From {
			r.done = true
			return nil
		}
		if !ok {
			return r.l.corrupt("", 0, want, "the record is missing")
		}
		p, pl, err := r.place(c)
		if err != nil {
			return err
		}
		if p != want {
			return r.l.corrupt("", 0, max(p, want), "the record at position %d is missing, or one that was not stored is at position %d", want, p)
		}
		full, err := r.placed(s, p, &pl, cut)
		if err != nil {
			return err
		}
		if want, r.q.To = pl.before, uint64(p)-1; full {
			return nil
		}
	}
}

// highest returns the highest position up to q.To that there must be: what the one above
// says.
func (r *reading) highest(c Cursor, st state) (backend.Position, error) {
	if uint64(st.newest) <= r.q.To {
		return st.newest, nil
	}
	r.key = appendPlaceKey(r.key[:0], backend.Position(r.q.To)+1)
	if !c.Seek(r.key) {
		if err := c.Err(); err != nil {
			return 0, err
		}
		return 0, r.l.corrupt("", 0, st.newest, "the record is missing")
	}
	_, pl, err := r.place(c)
	if err == nil && pl.kind == 0 && uint64(pl.before) < r.q.To {
		return 0, r.l.corrupt("", 0, backend.Position(r.q.To), "the record is lost: quarantined")
	}
	if err == nil && uint64(pl.before) > r.q.To {
		err = r.l.corrupt("", 0, pl.before, "the record is missing")
	}
	return pl.before, err
}

// place reads the place that the cursor stands on.
func (r *reading) place(c Cursor) (p backend.Position, pl place, err error) {
	p, ok := parsePlaceKey(c.Key())
	if !ok {
		return 0, pl, r.l.corrupt("", 0, 0, "a key among the positions is none")
	}
	if r.value, err = c.Value(r.value[:0]); err != nil {
		return p, pl, err
	}
	if pl, err = parsePlace(r.l.sums, c.Key(), r.value, p); err != nil {
		return p, pl, r.l.corrupt("", 0, p, "which record is there can't be read: %v", err)
	}
	return p, pl, nil
}

// placed takes the record of a place, unless it is not asked for or was cut away.
func (r *reading) placed(s Snapshot, p backend.Position, pl *place, cut bool) (full bool, err error) {
	if err := r.ended(); err != nil {
		return false, err
	}
	if pl.kind == 0 {
		return false, r.l.corrupt("", 0, p, "the record is lost: quarantined")
	}
	if !r.q.Kinds.Has(pl.kind) {
		return false, nil
	}
	name := string(pl.name)
	if cut {
		h, _, err := r.l.readHead(s, name, &buffers{})
		if err != nil || h.gone(pl.kind, pl.version, p) {
			return false, err
		}
	}
	r.key = pl.recordKey(r.key[:0], p)
	from := len(r.bytes)
	found := false
	if r.bytes, found, err = s.Get(r.key, r.bytes); err != nil {
		return false, err
	}
	if !found {
		return false, r.l.corrupt(name, pl.version, p, "the record is missing")
	}
	var rec backend.Record
	if err := r.decode(r.bytes[from:], name, pl.version, p, &rec); err != nil {
		return false, err
	}
	if rec.Kind != pl.kind {
		return false, r.l.corrupt(name, pl.version, p, "the record is of kind %v, not %v", rec.Kind, pl.kind)
	}
	return r.take(rec), nil
}

// recordKey is the key of the record at a place.
func (pl *place) recordKey(dst []byte, p backend.Position) []byte {
	if pl.kind == backend.Snapshot {
		return appendSnapshotKey(dst, string(pl.name), pl.version, p)
	}
	return appendRecordKey(dst, string(pl.name), pl.version)
}
