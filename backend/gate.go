package backend

import (
	"context"
	"sync"
	"sync/atomic"
)

// gate counts the calls that are inside, and can be shut: for a while, to be
// alone with the driver, or for good. Passing an open gate costs one atomic add
// each way.
type gate struct {
	inside atomic.Int64  // calls inside, less shutBias while shut
	idle   chan struct{} // capacity 1: told when a shut gate has emptied

	mu     sync.Mutex
	opened chan struct{} // closed when the gate opens again; replaced by shut
	closed bool          // for good
}

const shutBias = 1 << 40

func newGate() *gate { return &gate{idle: make(chan struct{}, 1)} }

// enter waits while the gate is shut for a while, at most until ctx ends. It
// returns ErrClosed once it is shut for good.
func (g *gate) enter(ctx context.Context) error {
	for g.inside.Add(1) <= 0 {
		g.leave()
		g.mu.Lock()
		closed, opened := g.closed, g.opened
		g.mu.Unlock()
		if closed {
			return ErrClosed
		}
		if opened == nil { // opened again since
			continue
		}
		select {
		case <-opened:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// stay counts one more inside, for work that outlives the call it is done for. The
// caller is inside itself.
func (g *gate) stay() { g.inside.Add(1) }

func (g *gate) leave() {
	if g.inside.Add(-1) == -shutBias {
		select {
		case g.idle <- struct{}{}:
		default:
		}
	}
}

// shut keeps new calls out and waits until those inside have left; if ctx ends
// first the gate opens again. The caller excludes other shutters.
func (g *gate) shut(ctx context.Context) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return ErrClosed
	}
	g.opened = make(chan struct{})
	g.mu.Unlock()
	g.inside.Add(-shutBias)
	for g.inside.Load() != -shutBias {
		select {
		case <-g.idle:
		case <-ctx.Done():
			g.open()
			return context.Cause(ctx)
		}
	}
	return nil
}

// open undoes shut.
func (g *gate) open() {
	g.inside.Add(shutBias)
	g.mu.Lock()
	close(g.opened)
	g.opened = nil
	g.mu.Unlock()
}

// close is shut for good.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.inside.Add(-shutBias)
	for g.inside.Load() != -shutBias {
		<-g.idle
	}
}
