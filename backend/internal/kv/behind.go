package kv

import (
	"github.com/papyra-go/papyra/backend"
)

// Behind returns the keys of heads that can't be the newest: their streams have a record, or the
// place of one, of a later version than they say. They are what an older state of a file
// has left. each calls f with all keys and values that there are.
func (j *Judge) Behind(each func(f func(key, value []byte))) (heads [][]byte) {
	newest := map[string]backend.Version{}
	each(func(key, value []byte) {
		if k, ok := parseStreamKey(key); ok && k.part == partRecord {
			newest[string(k.name)] = max(newest[string(k.name)], k.version)
		} else if p, ok := parsePlaceKey(key); ok {
			pl, err := parsePlace(j.sums, key, value, p)
			if err == nil && pl.kind != 0 && pl.kind != backend.Snapshot {
				newest[string(pl.name)] = max(newest[string(pl.name)], pl.version)
			}
		}
	})
	each(func(key, value []byte) {
		k, ok := parseStreamKey(key)
		if !ok || k.part != partHead {
			return
		}
		if h, err := parseHead(j.sums, key, value); err == nil && h.Version < newest[string(k.name)] {
			heads = append(heads, append([]byte{}, key...))
		}
	})
	return heads
}

// Lost reports whether the value of a record's key is the mark of a record that was given up, which
// is none of those that the store says that it has.
func (j *Judge) Lost(value []byte) bool { return isLost(value) }
