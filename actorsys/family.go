package actorsys

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Parent is where an actor is spawned: a [System], or the [Turn] of a plain actor.
type Parent interface {
	home() home
	spawnContext() context.Context
}

// home is the side of a parent that its children know.
type home interface {
	path() string // its address; empty: the system
	system() *System
	children() *branch
	childFailed(reason error)
	childGone(cell)
}

// cell is a plain actor whatever its state, as its relatives know it.
type cell interface {
	home
	quit(how ending, reason error)
	startAgain(reason error, pause time.Duration)
	stopped() <-chan struct{}
	isPausing() bool
	watchedBy(watcher cell, as func(error) Delivery) bool
	unwatchedBy(watcher cell)
	watching(target cell, yes bool)
	lastReason() error
	setTimer(t *timer, d time.Duration)
	resident
}

func homeOf(in Parent) (home, error) {
	switch in := in.(type) {
	case nil:
	case *System:
		if in != nil && in.stopping.Load() {
			return nil, ErrStopped
		}
		if in != nil {
			return in, nil
		}
	case *Turn:
		if in != nil && in.self != nil {
			return in.self, nil
		}
		return nil, errDurableTurn
	}
	return nil, fmt.Errorf("%w: Spawn in nil: check Start's error", backend.ErrInvalid)
}

// errDurableTurn: what a turn wants that may be lost must go through the gate.
var errDurableTurn = fmt.Errorf("%w: in this turn nothing can be spawned, watched, stopped or timed: a durable actor's turn may be lost, so leave that to a plain actor, and tell it; the turn in which an actor stops is its last", backend.ErrInvalid)

// branch holds a parent's children.
type branch struct {
	mu     sync.Mutex
	cells  map[cell]struct{}
	serial uint64 // of the last child without a name
	shut   bool   // no more children
}

// address makes a child's address.
func (b *branch) address(parent, name string) (string, error) {
	if name == "" {
		b.mu.Lock()
		b.serial++
		name = strconv.FormatUint(b.serial, 10)
		b.mu.Unlock()
	}
	address := name
	if parent != "" {
		address = parent + "/" + name
	}
	if strings.Contains(name, "/") || backend.CheckStream(address) != nil {
		return "", fmt.Errorf("%w: actor %.80q: want a name without slash, and an address of at most %d bytes of UTF-8", backend.ErrInvalid, address, backend.MaxStreamBytes)
	}
	return address, nil
}

// add returns false if there may be no more children.
func (b *branch) add(c cell) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		return false
	}
	if b.cells == nil {
		b.cells = map[cell]struct{}{}
	}
	b.cells[c] = struct{}{}
	return true
}

func (b *branch) remove(c cell) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.cells, c)
}

func (b *branch) none() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.cells) == 0
}

func (b *branch) all() (cells []cell) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.cells {
		cells = append(cells, c)
	}
	return cells
}

// open lets children in, or no more.
func (b *branch) open(open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = !open
}

// The system is the topmost parent. A failure that is escalated to it ends there: the
// child stops.
func (s *System) home() home                    { return s }
func (s *System) spawnContext() context.Context { return nil }
func (s *System) path() string                  { return "" }
func (s *System) system() *System               { return s }
func (s *System) children() *branch             { return &s.top }
func (s *System) childGone(c cell)              { s.top.remove(c) }

func (s *System) childFailed(reason error) {
	s.cfg.Logger.Error("an actor has failed for good, and has no parent", "error", reason)
}

func (t *Turn) home() home {
	if t.self == nil {
		return nil
	}
	return t.self
}
func (t *Turn) spawnContext() context.Context { return t.ctx }

// An actor as a parent.
func (a *actor[S]) path() string      { return a.address }
func (a *actor[S]) system() *System   { return a.sys }
func (a *actor[S]) children() *branch { return &a.plain.children }

func (a *actor[S]) childGone(c cell) {
	a.plain.children.remove(c)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wake()
}

// childFailed makes a child's failure the parent's own.
func (a *actor[S]) childFailed(reason error) { a.fail(reason, false, 0) }

// startAgain has the actor start again because a sibling does.
func (a *actor[S]) startAgain(reason error, pause time.Duration) { a.fail(reason, true, pause) }

func (a *actor[S]) fail(reason error, bidden bool, pause time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.plain
	if p.phase == up && p.failure == nil && !p.again {
		p.failure, p.bidden, p.pause = reason, bidden, pause
		a.wake()
	}
}
