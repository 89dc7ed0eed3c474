package backend

import "sync"

// headCache keeps the heads of the streams used lately, at most so many, and all
// that a group in flight is about. When it is full, the next entry goes that was
// not used since the hand came by (the clock algorithm).
type headCache struct {
	mu      sync.Mutex
	entries map[string]*headEntry
	ring    []*headEntry
	hand    int
	most    int
	cuts    int             // compactions that have ended
	cutting map[string]bool // streams that a compaction is cutting: the engine knows their floors
}

type headEntry struct {
	stream string
	head   Head // acknowledged; guarded by headCache.mu
	pinned bool // the group in flight is about it: it stays; guarded by headCache.mu
	used   bool // since the hand came by; guarded by headCache.mu
	stale  bool // the engine is to be asked again; guarded by headCache.mu

	// Append's own, while it is pinned.
	next   Head // as the group in flight will leave it
	stores bool // the group stores something in the stream
}

func newHeadCache(most int) *headCache {
	return &headCache{entries: map[string]*headEntry{}, most: most}
}

// pin appends the entries of the streams that the group is about to out, one for each
// batch, nil for those that are not known here.
func (c *headCache) pin(group []Batch, out []*headEntry) []*headEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range group {
		e := c.entries[group[i].Stream]
		if e != nil && e.stale && !e.pinned {
			e = nil
		}
		if e != nil {
			e.pin()
		}
		out = append(out, e)
	}
	return out
}

// pin begins a group's work on e. The lock is held.
func (e *headEntry) pin() {
	if !e.pinned {
		e.pinned, e.used, e.next, e.stores = true, true, e.head, false
	}
}

// acked returns the stream's acknowledged head, if it is known here.
func (c *headCache) acked(stream string) (Head, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[stream]
	if e == nil || e.stale && !e.pinned {
		return Head{}, false
	}
	e.used = true
	return e.head, true
}

// asked returns the stream's entry, pinned, or nil and what to give to put when the
// engine has been asked. Only Append asks.
func (c *headCache) asked(stream string) (e *headEntry, cuts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e = c.entries[stream]; e != nil && (e.pinned || !e.stale) {
		e.pin()
		return e, c.cuts
	}
	return nil, c.cuts
}

// put adds an entry, pinned, for what the engine has answered; only Append does. It
// returns nil if a compaction has ended since: the answer may be older.
func (c *headCache) put(stream string, h Head, cuts int) *headEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cuts != c.cuts {
		return nil
	}
	e := c.entries[stream]
	if e == nil {
		c.evict()
		e = &headEntry{stream: stream}
		c.entries[stream] = e
		c.ring = append(c.ring, e)
	}
	e.head, e.stale = h, false
	e.pin()
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

// settle publishes what the group made of the entries, or takes it back. Those that
// are not known stand as nil; one may stand there several times.
func (c *headCache) settle(group []*headEntry, stored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range group {
		if e == nil || !e.pinned {
			continue
		}
		if stored && e.stores {
			e.next.Floor = max(e.next.Floor, e.head.Floor) // which a compaction may have raised
			e.head = e.next
		}
		e.pinned = false
	}
}

// beginCut notes whose floors a compaction is about to raise: it shows them to readers before
// it has ended.
func (c *headCache) beginCut(floors []StreamFloor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutting = make(map[string]bool, len(floors))
	for i := range floors {
		c.cutting[floors[i].Stream] = true
	}
}

// endCut ends what beginCut has begun, once raise was called for all.
func (c *headCache) endCut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutting = nil
}

// isCut reports whether a compaction is cutting the stream.
func (c *headCache) isCut(stream string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cutting[stream]
}

// cut ends a compaction: answers that the engine gave before it are not kept.
func (c *headCache) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts++
}

// raise sets the floor of a stream that is known here to what the engine says it is
// after a compaction. If it did not say, it is asked again when the stream is used.
func (c *headCache) raise(stream string, h Head, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[stream]; e != nil {
		e.head.Floor = max(e.head.Floor, h.Floor)
		e.stale = e.stale || err != nil
	}
}
