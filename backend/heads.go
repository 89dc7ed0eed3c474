package backend

import "sync"

// headCache keeps the heads of the streams used lately, at most so many, and all
// that a group in flight touches. When it is full, the next entry goes that was
// not used since the hand came by (the clock algorithm).
type headCache struct {
	mu      sync.Mutex
	entries map[string]*headEntry
	ring    []*headEntry
	hand    int
	most    int
}

type headEntry struct {
	stream string
	head   Head // acknowledged; guarded by headCache.mu
	next   Head // as the group in flight will leave it; Append's own
	pinned bool // a group in flight touches it; guarded by headCache.mu
	used   bool // since the hand came by; guarded by headCache.mu
}

func newHeadCache(most int) *headCache {
	return &headCache{entries: map[string]*headEntry{}, most: most}
}

// get returns the stream's entry, or nil. Only Append may use its next.
func (c *headCache) get(stream string) *headEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[stream]
	if e != nil {
		e.used = true
	}
	return e
}

// acked returns the stream's acknowledged head, if it is known here.
func (c *headCache) acked(stream string) (Head, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[stream]
	if e == nil {
		return Head{}, false
	}
	e.used = true
	return e.head, true
}

// put adds an entry; only Append does.
func (c *headCache) put(stream string, h Head) *headEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evict()
	e := &headEntry{stream: stream, head: h, next: h, used: true}
	c.entries[stream] = e
	c.ring = append(c.ring, e)
	return e
}

// evictProbes bounds how many entries one put looks at, so that a group which
// pins more streams than are kept costs no more than others. The ring exceeds its
// bound for as long.
const evictProbes = 32

// evict makes room for one entry.
func (c *headCache) evict() {
	for probes := 0; probes < evictProbes && len(c.ring) >= c.most; probes++ {
		c.hand %= len(c.ring)
		e, end := c.ring[c.hand], len(c.ring)-1
		if e.pinned || e.used {
			e.used = false
			c.hand++
			continue
		}
		delete(c.entries, e.stream)
		c.ring[c.hand] = c.ring[end]
		c.ring[end] = nil
		c.ring = c.ring[:end]
	}
}

// pin notes what the group in flight will make of e, and returns whether it is the
// first to touch it.
func (c *headCache) pin(e *headEntry, next Head) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.next = next
	first := !e.pinned
	e.pinned = true
	return first
}

// pinned reports whether the group in flight touches the stream.
func (c *headCache) pinned(stream string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[stream]
	return e != nil && e.pinned
}

// settle publishes what the group made of the entries, or takes it back.
func (c *headCache) settle(touched []*headEntry, stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range touched {
		if stored {
			e.next.Floor = max(e.next.Floor, e.head.Floor)
			e.head = e.next
		} else {
			e.next = e.head
		}
		e.pinned = false
	}
}

// raise raises a stream's floor.
func (c *headCache) raise(stream string, floor Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[stream]; e != nil {
		e.head.Floor = max(e.head.Floor, floor)
		if !e.pinned {
			e.next.Floor = e.head.Floor
		}
	}
}
