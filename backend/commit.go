package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/papyra-go/papyra/internal/pace"
)

// groupBytes is how much one group gathers; a request that is larger by itself
// goes alone.
const groupBytes = 1 << 20

// recordOverhead is what a record is reckoned at in queues and groups beyond its
// bytes, so that empty records fill them too.
const recordOverhead = 64

// weight is what a batch counts for in queues and groups.
func weight(b *Batch) int { return b.Size() + recordOverhead*len(b.Records) }

// request is what one caller wants written: batches that go together into one
// group.
type request struct {
	batches []Batch
	results []Result // as many as batches, filled in when it was written, or tried
	err     error    // the verdict on the whole, if it could not be written
	size    int      // weight of the batches

	answered chan struct{} // capacity 1: one token when answered
	next     *request      // in the queue
	state    requestState  // guarded by committer.mu

	// Room for the common single batch, so that it costs no allocation.
	oneBatch  [1]Batch
	oneResult [1]Result
	oneRecord [1]Record
}

// restores reports whether r's batches are restored ones; they go in groups of
// their own.
func (r *request) restores() bool { return r.batches[0].Restore }

type requestState uint8

const (
	fresh     requestState = iota
	queued                 // may still be withdrawn
	taken                  // being written
	forgotten              // answered with an unknown outcome while being written: its leader may still refer to it
	answered               // err and results stand
)

// committer is the group commit that all appends of a Backend go through.
//
// Callers queue. One goroutine at a time leads: it takes all that wait, up to
// groupBytes, first come first served, writes it as one driver append, answers,
// and goes on while there is a queue. While it syncs, the next group gathers; so
// no caller ever waits for a timer, and one group is in flight.
//
// A caller that finds nobody leading leads its first group itself if its context
// can never end: that saves a change of goroutine, which is 10 to 15 % of a
// single writer's time. Else a goroutine leads, so that the caller can come back
// when the store hangs (docs/adr/0003).
type committer struct {
	b      *Backend
	unused sync.Pool // of *request; this Backend's own, so that their channels are too

	mu       sync.Mutex
	first    *request // the queue, oldest first
	last     *request
	waiting  int           // requests in the queue
	bytes    int           // bytes in the queue
	room     chan struct{} // not nil: somebody waits for room; closed when there may be some
	leading  bool          // somebody leads
	stopped  bool          // Close has begun: nothing more is queued
	inFlight []*request    // what the leader has taken
	dueBy    time.Time     // when the watchdog gives up on inFlight; zero: it has its verdicts

	// The leader's own; handed on with leading.
	group    []Batch
	results  []Result
	watchdog *time.Timer
	pace     pace.Pace
}

func (c *committer) init(b *Backend) { c.b = b }

// request returns an empty request.
func (c *committer) request() *request {
	if r, ok := c.unused.Get().(*request); ok {
		return r
	}
	return &request{answered: make(chan struct{}, 1)}
}

// recycle takes r back. Only its caller may give it, and only if no leader refers
// to it.
func (c *committer) recycle(r *request) {
	*r = request{answered: r.answered}
	c.unused.Put(r)
}

// do has r written and returns once it is answered, or can't be waited for.
func (c *committer) do(ctx context.Context, r *request) error {
	lead, err := c.enqueue(ctx, r)
	if err != nil {
		return err
	}
	if ctx.Done() == nil {
		if lead {
			c.leadOnce()
		}
		<-r.answered
		return r.err
	}
	if lead {
		c.spawn()
	}
	select {
	case <-r.answered:
		return r.err
	case <-ctx.Done():
		if c.withdraw(r) {
			return context.Cause(ctx)
		}
		<-r.answered // at most WriteTimeout: the watchdog answers
		return r.err
	}
}

// enqueue waits for room, at most until ctx ends, and queues r. It returns whether
// nobody leads: the caller must see to it then.
func (c *committer) enqueue(ctx context.Context, r *request) (lead bool, err error) {
	c.mu.Lock()
	for c.bytes > 0 && c.bytes+r.size > c.b.opts.QueueBytes && !c.stopped {
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if c.stopped {
		return false, ErrClosed
	}
	r.state = queued
	if c.last == nil {
		c.first = r
	} else {
		c.last.next = r
	}
	c.last = r
	c.waiting++
	c.bytes += r.size
	lead = !c.leading
	c.leading = true
	return lead, nil
}

// withdraw takes r out of the queue, if it is still there.
func (c *committer) withdraw(r *request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.state != queued {
		return false
	}
	var before *request
	for q := c.first; q != r; q = q.next {
		before = q
	}
	if before == nil {
		c.first = r.next
	} else {
		before.next = r.next
	}
	if c.last == r {
		c.last = before
	}
	c.left(1, r.size)
	return true
}

// left notes that n requests of so many bytes have left the queue.
func (c *committer) left(n, bytes int) {
	c.waiting -= n
	c.bytes -= bytes
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// stop answers everything that is queued with ErrClosed and lets nothing more in.
func (c *committer) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	for r := c.first; r != nil; r = r.next {
		c.answer(r, ErrClosed)
	}
	c.first, c.last = nil, nil
	c.left(c.waiting, c.bytes)
}

// answer tells r's caller. The lock is held.
func (c *committer) answer(r *request, err error) {
	r.err = err
	r.state = answered
	r.answered <- struct{}{}
}

// leadOnce leads one group in the caller's goroutine and hands on.
func (c *committer) leadOnce() {
	if c.lead() {
		c.spawn()
	}
}

// spawn leads in a goroutine of its own until the queue is empty. The goroutine is
// inside the gate: callers may leave a store that hangs, but nobody gets the driver to
// himself while it is writing. The caller is inside, or leads.
func (c *committer) spawn() {
	c.b.gate.stay()
	go func() {
		defer c.b.gate.leave()
		for c.lead() {
		}
	}()
}

// lead takes a group, has it written and answers. It returns whether there is
// more to lead; if not, it has given up leadership. A driver that panics or exits
// the goroutine poisons the backend, and everyone in the group is answered.
func (c *committer) lead() (more bool) {
	c.pace.Gather(c.length)
	if !c.take() {
		return false
	}
	var err error
	exiting := true
	defer func() {
		if p := recover(); p != nil {
			exiting = false
			err = fmt.Errorf("%w: %w: the driver's append panicked: %v", ErrPoisoned, ErrUnknownOutcome, p)
		} else if exiting {
			err = fmt.Errorf("%w: %w: the driver's append ended its goroutine", ErrPoisoned, ErrUnknownOutcome)
		}
		if more = c.finish(err); more && exiting { // nobody is left here to lead on
			c.spawn()
		}
	}()
	err = c.write()
	exiting = false
	return
}

// take moves requests from the queue to c.group. If there are none it gives up
// leadership.
func (c *committer) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	bytes := 0
	c.dueBy = time.Now().Add(c.b.opts.WriteTimeout)
	for r := c.first; r != nil && (len(c.inFlight) == 0 || bytes+r.size <= groupBytes && r.restores() == c.inFlight[0].restores()); r = r.next {
		r.state = taken
		bytes += r.size
		c.inFlight = append(c.inFlight, r)
		c.group = append(c.group, r.batches...)
		c.first = r.next
	}
	if c.first == nil {
		c.last = nil
	}
	c.left(len(c.inFlight), bytes)
	if len(c.inFlight) == 0 {
		c.leading = false
		return false
	}
	return true
}

// write appends c.group. On nil, c.results stand.
func (c *committer) write() error {
	if p := c.b.poison.Load(); p != nil {
		return *p
	}
	if err := c.stamp(); err != nil {
		return err
	}
	if c.watchdog == nil {
		c.watchdog = time.AfterFunc(c.b.opts.WriteTimeout, c.giveUp)
	} else {
		c.watchdog.Reset(c.b.opts.WriteTimeout)
	}
	ctx := context.Background()
	start := time.Now()
	results, err := c.b.driver.Append(ctx, c.group)
	c.pace.Wrote(len(c.group), time.Since(start))
	if err != nil && len(results) != len(c.group) {
		results = nil
	} else if len(results) != len(c.group) {
		err = fmt.Errorf("%w: %w: the driver answered %d batches with %d results", ErrPoisoned, ErrUnknownOutcome, len(c.group), len(results))
	}
	c.results = results
	return err
}

// stamp gives each batch's records the time and kind that they did not bring. The
// callers' records are theirs: those that need it are copied.
func (c *committer) stamp() error {
	var now time.Time
	for i := range c.group {
		b := &c.group[i]
		if b.Restore || !slices.ContainsFunc(b.Records, unstamped) {
			continue
		}
		if now.IsZero() && slices.ContainsFunc(b.Records, untimed) {
			now = c.b.now()
			if err := checkTime(now); err != nil || now.IsZero() {
				return fmt.Errorf("%w: Options.Clock says %v: want a time between %v and %v", ErrInvalid, now, minTime, maxTime)
			}
		}
		b.Records = stamped(b.Records, KindOf(b.Stream), now)
	}
	return nil
}

func unstamped(r Record) bool { return r.Kind == 0 || r.Time.IsZero() }

func untimed(r Record) bool { return r.Time.IsZero() }

func stamped(records []Record, kind Kind, now time.Time) []Record {
	out := make([]Record, len(records))
	copy(out, records)
	for i := range out {
		if out[i].Kind == 0 {
			out[i].Kind = kind
		}
		if out[i].Time.IsZero() {
			out[i].Time = now
		}
	}
	return out
}

// giveUp is the watchdog: the group in flight has taken too long. Its callers are
// told so; the leader goes on waiting.
func (c *committer) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dueBy.IsZero() || time.Now().Before(c.dueBy) { // fired for a group before
		return
	}
	for _, r := range c.inFlight {
		if r.state == taken {
			c.answer(r, fmt.Errorf("%w: the store did not answer within %v", ErrUnknownOutcome, c.b.opts.WriteTimeout))
			r.state = forgotten
		}
	}
}

// finish counts, answers the group and returns whether there is more to lead.
func (c *committer) finish(err error) (more bool) {
	if c.watchdog != nil {
		c.watchdog.Stop()
	}
	if errors.Is(err, ErrPoisoned) {
		c.b.setPoison(fmt.Errorf("%w: an earlier append failed (call Reopen): %v", ErrPoisoned, err))
	}
	if err == nil {
		c.count()
	}
	c.settle(err)
	for i, r := range c.inFlight { // without the lock: those who are woken will want it
		if r != nil {
			r.answered <- struct{}{}
		}
		c.inFlight[i] = nil
	}
	clear(c.group)
	c.group, c.results = c.group[:0], nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight = c.inFlight[:0]
	c.leading = c.first != nil
	return c.leading
}

// settle gives each request of the group its verdict, and leaves those in inFlight
// that are still to be told.
func (c *committer) settle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dueBy = time.Time{} // inFlight is the leader's alone from here on
	at := 0
	for i, r := range c.inFlight {
		if r.state != taken { // the watchdog has answered it
			c.inFlight[i] = nil
			at += len(r.batches)
			continue
		}
		r.state, r.err = answered, err
		for j := range r.results {
			r.results[j] = c.verdict(at, err)
			at++
		}
	}
}

// verdict is what batch i of the group gets, if the append ended with err.
func (c *committer) verdict(i int, err error) Result {
	if i < len(c.results) && (err == nil || c.results[i].decided()) {
		return c.results[i]
	}
	return Result{Err: err}
}

// count adds up what the group has made durable.
func (c *committer) count() {
	var records, bytes uint64
	for i := range c.group {
		if res := &c.results[i]; res.Err == nil && !res.Repeated {
			records += uint64(len(c.group[i].Records))
			bytes += uint64(c.group[i].Size())
		}
	}
	c.b.opts.Counters.WritesTotal.Add(records)
	c.b.opts.Counters.BytesWritten.Add(bytes)
}

// length is how many requests wait.
func (c *committer) length() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}
