package actorsys

import (
	"sync"
	"sync/atomic"
)

// lane carries what is worth storing and never worth waiting for: facts, snapshots.
// It holds so many bytes (or one larger item); what comes beyond is dropped and
// counted.
type lane[T any] struct {
	most    int
	dropped atomic.Uint64
	wake    chan struct{} // capacity 1: told when there is something, or it was closed

	mu     sync.Mutex
	items  []T
	bytes  int
	closed bool
}

func newLane[T any](most int) *lane[T] {
	return &lane[T]{most: most, wake: make(chan struct{}, 1)}
}

// put adds an item, or drops it.
func (l *lane[T]) put(item T, size int) {
	l.mu.Lock()
	fits := !l.closed && (l.bytes == 0 || l.bytes+size <= l.most)
	if fits {
		l.items = append(l.items, item)
		l.bytes += size
	}
	l.mu.Unlock()
	if !fits {
		l.dropped.Add(1)
		return
	}
	l.rouse()
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
// killed.
func (l *lane[T]) run(killed <-chan struct{}, do func([]T)) {
	for closed := false; !closed; {
		select {
		case <-l.wake:
		case <-killed:
			return
		}
		l.mu.Lock()
		items := l.items
		l.items, l.bytes, closed = nil, 0, l.closed
		l.mu.Unlock()
		if len(items) > 0 {
			do(items)
		}
	}
}
