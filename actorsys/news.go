package actorsys

import (
	"context"
	"iter"
	"sync"
)

// Bounds on facts in memory.
const (
	factsKept    = 256  // for WaitFor to look back on
	factsWaiting = 1024 // for one listener
)

// news numbers the facts, keeps the newest, and hands them to who listens. It never
// waits for a listener: one that is too slow misses some, as their numbers tell.
type news struct {
	mu        sync.Mutex
	count     uint64
	newest    []Fact // a ring
	listeners map[chan Fact]struct{}
	over      bool
}

// add numbers a fact and makes it known; then is called in the same order, and must
// call nobody else's code.
func (n *news) add(f Fact, then func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count++
	f.Seq = n.count
	if len(n.newest) < factsKept {
		n.newest = append(n.newest, f)
	} else {
		n.newest[(n.count-1)%factsKept] = f
	}
	for l := range n.listeners {
		select {
		case l <- f:
		default:
		}
	}
	if then != nil {
		then()
	}
}

// listen returns what is kept, oldest first, and a channel that gets what comes.
func (n *news) listen() (kept []Fact, l chan Fact) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.newest {
		kept = append(kept, n.newest[(n.count+uint64(i))%uint64(len(n.newest))])
	}
	l = make(chan Fact, factsWaiting)
	if n.over {
		close(l)
		return kept, l
	}
	if n.listeners == nil {
		n.listeners = map[chan Fact]struct{}{}
	}
	n.listeners[l] = struct{}{}
	return kept, l
}

func (n *news) unlisten(l chan Fact) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.listeners, l)
}

// end closes every listener's channel.
func (n *news) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	for l := range n.listeners {
		close(l)
	}
	n.listeners = nil
}

// Facts returns the facts from now on, also those that are not recorded, in order. They
// end with ctx, and when the system is gone. A reader may lag behind by 1024; what it
// misses beyond that shows in [Fact.Seq].
func (s *System) Facts(ctx context.Context) iter.Seq[Fact] {
	_, l := s.news.listen()
	stop := context.AfterFunc(ctx, func() { s.news.unlisten(l) })
	return func(yield func(Fact) bool) {
		defer s.news.unlisten(l)
		defer stop()
		for ctx.Err() == nil {
			select {
			case f, ok := <-l:
				if !ok || !yield(f) {
					return
				}
			case <-ctx.Done():
			}
		}
	}
}

// WaitFor returns the first fact that matches, of the last 256 and of those to come: for
// tests, which need no pause then. The error is the cause of ctx's end, or [ErrStopped].
func (s *System) WaitFor(ctx context.Context, match func(Fact) bool) (Fact, error) {
	kept, l := s.news.listen()
	defer s.news.unlisten(l)
	for _, f := range kept {
		if match(f) {
			return f, nil
		}
	}
	for {
		select {
		case f, ok := <-l:
			if !ok {
				return Fact{}, ErrStopped
			}
			if match(f) {
				return f, nil
			}
		case <-ctx.Done():
			return Fact{}, context.Cause(ctx)
		}
	}
}
