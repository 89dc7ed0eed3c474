package pebble

import (
	"bytes"
	"path"
	"sort"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// What was salvaged, as a kv.Snapshot: see salvage.go.

// seek returns the first entry that is not below key.
func (s *salvaged) seek(key []byte) (at int, there bool) {
	at = sort.Search(len(s.entries), func(i int) bool { return s.entries[i].key >= string(key) })
	return at, at < len(s.entries) && s.entries[at].key == string(key)
}

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

func (s *salvaged) Get(key, dst []byte) (value []byte, found bool, err error) {
	at, there := s.seek(key)
	if !there {
		return dst, false, nil
	}
	value, err = s.value(s.entries[at], dst)
	return value, true, err
}

func (s *salvaged) Cursor(low, high []byte) kv.Cursor {
	from, _ := s.seek(low)
	to, _ := s.seek(high)
	return &salvagedCursor{s: s, from: from, to: to, at: -1}
}

type salvagedCursor struct {
	s        *salvaged
	from, to int // the entries that it goes through
	at       int
	err      error
}

func (c *salvagedCursor) there() bool { return c.at >= c.from && c.at < c.to }

func (c *salvagedCursor) Seek(key []byte) bool {
	at, _ := c.s.seek(key)
	c.at = max(at, c.from)
	return c.there()
}

func (c *salvagedCursor) SeekBelow(key []byte) bool {
	at, _ := c.s.seek(key)
	c.at = min(at, c.to) - 1
	return c.there()
}

func (c *salvagedCursor) Next() bool {
	c.at++
	return c.there()
}

func (c *salvagedCursor) Prev() bool {
	c.at--
	return c.there()
}

func (c *salvagedCursor) Key() []byte { return []byte(c.s.entries[c.at].key) }

func (c *salvagedCursor) Value(dst []byte) (value []byte, err error) {
	value, err = c.s.value(c.s.entries[c.at], dst)
	c.err = err
	return value, err
}

func (c *salvagedCursor) Err() error { return c.err }

func (c *salvagedCursor) Close() error { return nil }
