package actorsys

import (
	"slices"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/pace"
)

// groupBytes is how much the committer takes at a time, if it is not one larger
// batch: a little less than the backend writes at one sync.
const groupBytes = 900 << 10

// sender is an actor, as the committer sees it, or a batch of hints.
type sender interface {
	send() backend.Batch
	settle(outcome) (more bool)
}

// committer makes the decisions of all actors durable. It is one goroutine: it takes
// what every actor on its list has decided so far, one batch for each, and has the
// backend append them together; meanwhile the next group gathers. There is no timer.
type committer struct {
	sys  *System
	wake chan struct{} // capacity 1: told when the list is no longer empty

	mu    sync.Mutex
	list  []sender // with something to send, first come first served; each stands once
	bells []*bells // with hints to send, which go in front
	soon  bool     // though there is nothing else to send

	// The goroutine's own.
	spare    []sender // an empty list to exchange for the full one
	group    []sender
	batches  []backend.Batch
	outcomes []outcome
	pace     pace.Pace
}

// add puts an actor on the list. It must not be on it, nor in the group in flight.
func (c *committer) add(s sender) {
	c.mu.Lock()
	c.list = append(c.list, s)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// addHints notes that bells have hints to send: soon, or with the next group.
func (c *committer) addHints(b *bells, soon bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.bells, b) {
		c.bells = append(c.bells, b)
	}
	if soon {
		c.soon = true
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

func (c *committer) length() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.soon {
		return len(c.list) + 1
	}
	return len(c.list)
}

// run commits until the system is gone.
func (c *committer) run() {
	for {
		select {
		case <-c.wake:
		case <-c.sys.killed:
			return
		}
		for c.length() > 0 && !c.sys.isKilled() {
			c.pace.Gather(c.length)
			c.commit()
		}
	}
}

// commit has one group written, and tells its actors.
func (c *committer) commit() {
	c.take()
	start := time.Now()
	c.write()
	c.pace.Wrote(len(c.batches), time.Since(start))
	for i, s := range c.group {
		if s.settle(c.outcomes[i]) {
			c.add(s)
		}
	}
	clear(c.group)
	clear(c.batches)
	clear(c.outcomes)
	c.group, c.batches, c.outcomes = c.group[:0], c.batches[:0], c.outcomes[:0]
}

// take moves actors from the list to the group until it has bytes enough.
func (c *committer) take() {
	c.mu.Lock()
	list := c.list
	c.list = c.spare
	c.mu.Unlock()
	size, n := 0, 0
	for ; n < len(list) && size < groupBytes; n++ {
		b := list[n].send()
		size += b.Size()
		c.group = append(c.group, list[n])
		c.batches = append(c.batches, b)
	}
	if n < len(list) { // the rest stays in front
		c.mu.Lock()
		c.list = append(slices.Clone(list[n:]), c.list...)
		c.mu.Unlock()
	}
	clear(list)
	c.spare = list[:0]
	c.takeHints()
}

// takeHints puts the hints in front of the records that they are about. Those of all
// records taken are there: they are noted before the records.
func (c *committer) takeHints() {
	c.mu.Lock()
	all := c.bells
	c.bells, c.soon = nil, false
	c.mu.Unlock()
	for _, b := range all {
		for _, s := range b.take() {
			c.group = slices.Insert(c.group, 0, sender(s))
			c.batches = slices.Insert(c.batches, 0, s.send())
		}
	}
}
