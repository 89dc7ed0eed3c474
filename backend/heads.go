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
	if e := c.get(stream); e != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		return e.head, true
	}
	return Head{}, false
}

// put adds an entry; only Append does.
func (c *headCache) put(stream string, h Head) *headEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &headEntry{stream: stream, head: h, next: h, used: true}
	c.entries[stream] = e
	if len(c.ring) < c.most {
		c.ring = append(c.ring, e)
		return e
	}
	for range 2 * len(c.ring) {
		old := c.ring[c.hand]
		if !old.pinned && !old.used {
			delete(c.entries, old.stream)
			c.ring[c.hand] = e
			c.hand = (c.hand + 1) % len(c.ring)
			return e
		}
		old.used = false
		c.hand = (c.hand + 1) % len(c.ring)
	}
	c.ring = append(c.ring, e) // one group touches more streams than are kept
	return e
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

// settle publishes what the group made of the entries, or takes it back.
func (c *headCache) settle(touched []*headEntry, stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range touched {
		if stored {
			e.head = e.next
		} else {
			e.next = e.head
		}
		e.pinned = false
	}
}
