package sorted

import "sync"

// A Cache keeps leaves that were read and verified lately, of any number of tables, so
// that looking into them again reads nothing. It is bounded, and safe for concurrent use.
type Cache struct {
	shards [16]shard
}

// shard is a part of a cache. When it is full, a leaf goes that was not used since the
// hand came by (the clock algorithm).
type shard struct {
	mu   sync.Mutex
	kept map[place]*kept
	ring []*kept
	hand int
	most int
}

type place struct {
	t *Table
	n int64
}

type kept struct {
	place
	b    *block // never changed
	used bool
}

// NewCache returns a cache of at most so many blocks, but at least one for each of its
// parts.
func NewCache(blocks int) *Cache {
	c := new(Cache)
	for i := range c.shards {
		c.shards[i] = shard{kept: map[place]*kept{}, most: max(1, blocks/len(c.shards))}
	}
	return c
}

func (c *Cache) shard(n int64) *shard { return &c.shards[uint64(n)%uint64(len(c.shards))] }

// get returns leaf n of a table; nil if it is not here.
func (c *Cache) get(t *Table, n int64) *block {
	s := c.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kept[place{t, n}]
	if k == nil {
		return nil
	}
	k.used = true
	return k.b
}

// put keeps leaf n of a table. The block must not be changed any more.
func (c *Cache) put(t *Table, n int64, b *block) {
	s := c.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[place{t, n}] != nil {
		return
	}
	k := &kept{place: place{t, n}, b: b}
	if len(s.ring) < s.most {
		s.ring = append(s.ring, k)
	} else {
		for s.ring[s.hand].used {
			s.ring[s.hand].used = false
			s.hand = (s.hand + 1) % len(s.ring)
		}
		delete(s.kept, s.ring[s.hand].place)
		s.ring[s.hand] = k
		s.hand = (s.hand + 1) % len(s.ring)
	}
	s.kept[k.place] = k
}
