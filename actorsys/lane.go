package actorsys

import (
	"sync"
	"sync/atomic"
)

// lane carries what is worth storing and never worth waiting for: facts, snapshots.
// It holds so many bytes (or one larger item); what comes beyond is dropped and
// counted. With a key, an item takes the place of the one that waits under the same key.
type lane[T any] struct {
	most    int
	key     func(T) string // nil: every item stays
	dropped atomic.Uint64
	wake    chan struct{} // capacity 1: told when there is something, or it was closed

	mu     sync.Mutex
	items  []T
	at     map[string]waiting // the items by key
	bytes  int
	closed bool
}

// waiting is where an item stands, and its size.
type waiting struct{ index, size int }

func newLane[T any](most int, key func(T) string) *lane[T] {
	return &lane[T]{most: most, key: key, wake: make(chan struct{}, 1), at: map[string]waiting{}}
}

// put adds an item, or drops it. One that it takes the place of is not lost.
func (l *lane[T]) put(item T, size int) {
	if !l.add(item, size) {
		l.dropped.Add(1)
		return
	}
	l.rouse()
}

func (l *lane[T]) add(item T, size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	var key string
	var old waiting
	replaces := false
	if l.key != nil {
		key = l.key(item)
		old, replaces = l.at[key]
	}
	others := l.bytes - old.size
	if l.closed || others > 0 && others+size > l.most {
		return false
	}
	l.bytes = others + size
	if replaces {
		l.items[old.index] = item
	} else {
		old.index = len(l.items)
		l.items = append(l.items, item)
	}
	if l.key != nil {
		l.at[key] = waiting{old.index, size}
	}
	return true
}

// close lets nothing more in; run ends when it has done what is left.
func (l *lane[T]) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.rouse()
}

func (l *lane[T]) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run hands what comes to do, all that waits at a time, until the lane is closed or
// killed; do gets what is left then, so that it is counted.
func (l *lane[T]) run(killed <-chan struct{}, do func([]T)) {
	for closed := false; !closed; {
		select {
		case <-l.wake:
		case <-killed:
			closed = true
		}
		l.mu.Lock()
		items := l.items
		l.items, l.bytes, l.closed = nil, 0, l.closed || closed
		closed = l.closed
		clear(l.at)
		l.mu.Unlock()
		if len(items) > 0 {
			do(items)
		}
	}
}
