package kv

import (
	"encoding/binary"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// Judge tells which key a value belongs to, for an engine that salvages what it can of a
// damaged file: there a key may be wrong as well as a value.
type Judge struct {
	store   identity
	sums    sums
	decoder codec.Decoder
}

// NewJudge returns the judge of a store. get is asked for the values of the keys under which
// the store says what it is; nil means that there is none. ok is false if neither is sound.
func NewJudge(get func(key []byte) []byte) (j *Judge, ok bool) {
	for _, key := range [][]byte{identityKey, identityCopy} {
		if id, err := parseIdentity(get(key)); err == nil {
			return &Judge{store: id, sums: newSums(id.store), decoder: codec.Decoder{Seed: codec.NewSeed(id.store)}}, true
		}
	}
	return nil, false
}

// Home returns the key that a value belongs to, which may be another than it was found
// under: a record says itself where it belongs. ok is false if the value is not sound.
func (j *Judge) Home(key, value []byte) (home []byte, ok bool) {
	if string(key) == string(identityKey) || string(key) == string(identityCopy) {
		_, err := parseIdentity(value)
		return key, err == nil
	}
	if _, err := j.sums.open(key, value); err == nil {
		return key, true
	}
	r, ok := j.Decode(value)
	if !ok {
		return nil, false
	}
	if r.Kind == backend.Snapshot {
		return appendSnapshotKey(nil, r.Stream, r.Version, r.Position), true
	}
	return appendRecordKey(nil, r.Stream, r.Version), true
}

// Decode reads the record that a value is.
func (j *Judge) Decode(value []byte) (r backend.Record, ok bool) {
	if len(value) <= 8 {
		return r, false
	}
	p := backend.Position(binary.BigEndian.Uint64(value))
	n, err := j.decoder.Decode(value[8:], p, j.store.created, &r)
	return r, err == nil && n == len(value)-8
}

// Record reports whether a key is that of a record.
func (j *Judge) Record(key []byte) bool {
	k, ok := parseStreamKey(key)
	return ok && (k.part == partRecord || k.part == partSnapshot)
}

// Complete reports whether so many sound records are all that the store ever had and has not
// cut away.
func (j *Judge) Complete(records uint64, get func(key []byte) []byte) bool {
	st, err := parseState(j.sums, get(stateKey))
	return err == nil && st.records == records
}

// Stored reports whether a sound record, whose value this is, is the one that the store
// knows at its position. get is asked for the value of the position's key.
func (j *Judge) Stored(home, value []byte, get func(key []byte) []byte) bool {
	k, ok := parseStreamKey(home)
	if !ok || len(value) < 8 {
		return false
	}
	p := backend.Position(binary.BigEndian.Uint64(value))
	key := appendPlaceKey(nil, p)
	pl, err := parsePlace(j.sums, key, get(key), p)
	return err == nil && pl.kind != 0 && string(pl.name) == string(k.name) && pl.version == k.version && (pl.kind == backend.Snapshot) == (k.part == partSnapshot)
}

// Rewritten reports whether the value of a key changes, so that another than the newest is wrong:
// where a stream stands, and where the store does.
func (j *Judge) Rewritten(key []byte) bool {
	k, ok := parseStreamKey(key)
	return ok && k.part == partHead || string(key) == string(stateKey)
}

// Beside returns the keys that are written wherever this one, which is a record's, is: where
// its stream and the store stand, and the place of its position, which the value says.
func (j *Judge) Beside(record, value []byte) (keys [][]byte) {
	k, ok := parseStreamKey(record)
	if !ok || len(value) < 8 {
		return nil
	}
	place := appendPlaceKey(nil, backend.Position(binary.BigEndian.Uint64(value)))
	return [][]byte{appendHeadKey(nil, string(k.name)), stateKey, place}
}

// Search finds sound records, with their keys, in bytes of which nothing else is known.
func (j *Judge) Search(b []byte, found func(home, value []byte)) {
	for from := 0; from+8 < len(b); {
		var r backend.Record
		p := backend.Position(binary.BigEndian.Uint64(b[from:]))
		n, err := j.decoder.Decode(b[from+8:], p, j.store.created, &r)
		if err != nil {
			from++
			continue
		}
		value := b[from : from+8+n]
		if home, ok := j.Home(nil, value); ok {
			found(home, value)
		}
		from += 8 + n
	}
}

// doubtful is how many records may have been lost at the end of a store of which it is not
// known where it stands: more than a log holds that was not written to its tables yet.
const doubtful = 1 << 20

// Doubt returns what a store says of where it stands if that is lost, and was once the
// value was: it is said to stand higher than it can have stood, so that no position is given
// twice, and the end of what it has does not look like its end. highest is the highest key of
// a place that it has, if it has any.
func (j *Judge) Doubt(was []byte, highest []byte) (key, value []byte) {
	st, err := parseState(j.sums, was)
	if err != nil {
		st = state{}
	}
	if p, ok := parsePlaceKey(highest); ok {
		st.last = max(st.last, p)
	}
	st.last += doubtful
	st.newest = st.last
	st.version += doubtful
	return stateKey, st.append(nil, j.sums)
}
