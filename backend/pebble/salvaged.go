package pebble

import (
	"bytes"
	"path"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// What was salvaged, as a kv.Snapshot: see salvage.go.

// list is what was salvaged.
func (s *salvaged) list() kv.Listed {
	return kv.Listed{
		Len:   len(s.entries),
		Key:   func(i int) string { return s.entries[i].key },
		Value: func(i int, dst []byte) ([]byte, error) { return s.value(s.entries[i], dst) },
	}
}

// seek returns the first entry that is not below key.
func (s *salvaged) seek(key []byte) (at int, there bool) { return s.list().Find(key) }

func (s *salvaged) value(e entry, dst []byte) ([]byte, error) {
	if e.table < 0 {
		return append(dst, e.value...), nil
	}
	c := &s.cache
	c.Lock()
	defer c.Unlock()
	if c.table != e.table || c.at != e.at {
		c.table, c.at, c.rows = -1, e.at, map[string]row{}
		_, err := s.tables[e.table].rows(e.at, func(r *row) {
			if _, newer := c.rows[string(r.key)]; !newer {
				c.rows[string(r.key)] = row{value: bytes.Clone(r.value), seq: r.seq}
			}
		})
		if err != nil {
			return dst, dbError("read", &backend.CorruptError{File: path.Join(dbName, s.tables[e.table].name), Offset: int64(e.at.Offset), Length: int64(e.at.Length), Detail: err.Error()})
		}
		c.table = e.table
	}
	return append(dst, c.rows[e.key].value...), nil
}

// Lossy says that records are missing: with those of a stream all that tells of it may be.
func (s *salvaged) Lossy() bool { return !s.complete }

func (s *salvaged) Get(key, dst []byte) (value []byte, found bool, err error) {
	return s.list().Get(key, dst)
}

func (s *salvaged) Cursor(low, high []byte) kv.Cursor { return s.list().Cursor(low, high) }
