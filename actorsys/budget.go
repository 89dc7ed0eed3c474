package actorsys

import (
	"sync"
	"sync/atomic"
)

// budget bounds the bytes that all actors together have decided and the store has not
// answered. Where there is no room, actors read no further letters, and wait in line
// without a goroutine. Turns that are being decided when the last room goes exceed it.
type budget struct {
	most    int64
	used    atomic.Int64
	waiting atomic.Int64 // length of line

	mu   sync.Mutex
	line []waiter
}

// waiter is an actor that waits for room.
type waiter interface{ resume() }

func (b *budget) room() bool { return b.used.Load() < b.most }

// take counts what has been decided.
func (b *budget) take(bytes int) { b.used.Add(int64(bytes)) }

// give takes back what has left, and lets those go on who wait for it. No actor's lock
// may be held.
func (b *budget) give(bytes int) {
	if b.used.Add(-int64(bytes)) >= b.most || b.waiting.Load() == 0 {
		return
	}
	b.mu.Lock()
	line := b.line
	b.line = nil
	b.waiting.Store(0)
	b.mu.Unlock()
	for _, w := range line {
		w.resume()
	}
}

// wait puts an actor in line; false if there is room.
func (b *budget) wait(w waiter) bool {
	if b.room() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting.Add(1) // before looking again: see give
	if b.room() {
		b.waiting.Add(-1)
		return false
	}
	b.line = append(b.line, w)
	return true
}
