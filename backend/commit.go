package backend

import (
	"context"
	"errors"
	"fmt"
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

	answered chan struct{} // capacity 1: one token when err and results stand
	next     *request      // behind it in the queue, then in the group
	ticket   uint64        // its number in the order of the queue, from 1

	// Room for the common single batch, so that it costs no allocation.
	oneBatch  [1]Batch
	oneResult [1]Result
}

// restores reports whether r's batches are restored ones; they go in groups of
// their own.
func (r *request) restores() bool { return r.batches[0].Restore }

// committer is the group commit that all appends of a Backend go through.
//
// Callers queue. One goroutine at a time leads: it takes all that wait, up to
// groupBytes, first come first served, writes it as one driver append, answers,
// and goes on while there is a queue. While it syncs, the next group gathers; so
// no caller ever waits for a timer, and one group is in flight.
//
// A caller that finds nobody leading leads its first group itself if its context
// can never end: that saves a change of goroutine, which is 8 to 15 % of a
// single writer's time. Else a goroutine leads, so that the caller can come back
// when the store hangs (docs/adr/0002).
type committer struct {
	b      *Backend
	unused sync.Pool // of *request; this Backend's own, so that their channels are too
	run    func()    // leadOn: a value, so that starting it allocates nothing

	mu        sync.Mutex
	first     *request // the queue, oldest first
	last      *request
	waiting   int           // requests in the queue
	bytes     int           // bytes in the queue
	restoring int           // requests in the queue that restore
	tickets   uint64        // the last that was given
	taken     uint64        // the last that left the queue for a group: what is above it may still be withdrawn
	room      chan struct{} // not nil: somebody waits for room; closed when there may be some
	leading   bool          // somebody leads
	stopped   bool          // Close has begun: nothing more is queued
	inFlight  *request      // what the leader has taken and is to answer, linked by next
	dueBy     time.Time     // when the watchdog gives up on inFlight
	watched   bool          // the watchdog will look

	// The leader's own; handed on with leading.
	group    []Batch
	callers  int // whose requests are in group
	results  []Result
	stamped  []Record // copies of what the callers left without time or kind
	watchdog *time.Timer
	pace     pace.Pace
}

func (c *committer) init(b *Backend) { c.b, c.run = b, c.leadOn }

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
	if c.stopped {
		c.mu.Unlock()
		return false, ErrClosed
	}
	c.tickets++
	r.ticket = c.tickets
	if c.last == nil {
		c.first = r
	} else {
		c.last.next = r
	}
	c.last = r
	c.waiting++
	c.bytes += r.size
	if r.restores() {
		c.restoring++
	}
	lead = !c.leading
	c.leading = true
	c.mu.Unlock()
	return lead, nil
}

// withdraw takes r out of the queue, if it is still there.
func (c *committer) withdraw(r *request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.ticket <= c.taken {
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
	if r.restores() {
		c.restoring--
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
	for r := c.first; r != nil; {
		next := r.next
		r.answer(ErrClosed)
		r = next
	}
	c.first, c.last, c.taken, c.restoring = nil, nil, c.tickets, 0
	c.left(c.waiting, c.bytes)
}

// done lets go of the watchdog, which would keep the Backend in memory until it looks
// again. Nobody is inside any more.
func (c *committer) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchdog != nil {
		c.watchdog.Stop()
	}
}

// answer tells r's caller, who may then use r for something else.
func (r *request) answer(err error) {
	r.err = err
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
	go c.run()
}

func (c *committer) leadOn() {
	defer c.b.gate.leave()
	for c.lead() {
	}
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
	if c.first == nil {
		c.leading = false
		c.mu.Unlock()
		return false
	}
	first := c.first
	last, n, bytes := c.cut()
	c.first, last.next = last.next, nil
	if c.first == nil {
		c.last = nil
	}
	if first.restores() {
		c.restoring -= n
	}
	c.taken, c.inFlight, c.callers = last.ticket, first, n
	c.left(n, bytes)
	c.watch()
	c.mu.Unlock()
	for r := first; r != nil; r = r.next {
		c.group = append(c.group, r.batches...)
	}
	return true
}

// cut returns where the next group ends, and what is in it: n requests of so many
// bytes. The lock is held, and the queue is not empty.
func (c *committer) cut() (last *request, n, bytes int) {
	if c.bytes <= groupBytes && c.restoring == 0 { // all: nothing to look at
		return c.last, c.waiting, c.bytes
	}
	last, n, bytes = c.first, 1, c.first.size
	for r := last.next; r != nil && bytes+r.size <= groupBytes && r.restores() == last.restores(); r = r.next {
		last, n, bytes = r, n+1, bytes+r.size
	}
	return last, n, bytes
}

// watch has the watchdog look at the group that was just taken. It may be waiting for
// one before: it will see how much time is left then. The lock is held.
func (c *committer) watch() {
	c.dueBy = time.Now().Add(c.b.opts.WriteTimeout)
	switch {
	case c.watched:
	case c.watchdog == nil:
		c.watchdog = time.AfterFunc(c.b.opts.WriteTimeout, c.giveUp)
	default:
		c.watchdog.Reset(c.b.opts.WriteTimeout)
	}
	c.watched = true
}

// write appends c.group. On nil, c.results stand.
func (c *committer) write() error {
	if p := c.b.poison.Load(); p != nil {
		return *p
	}
	if err := c.stamp(); err != nil {
		return err
	}
	start := time.Now()
	results, err := c.b.driver.Append(context.Background(), c.group)
	c.pace.Wrote(c.callers, time.Since(start))
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
		untimed, unstamped := lacks(b.Records)
		if b.Restore || !unstamped {
			continue
		}
		if untimed && now.IsZero() {
			now = c.b.now()
			if err := checkTime(now); err != nil || now.IsZero() {
				return fmt.Errorf("%w: Options.Clock says %v: want a time between %v and %v", ErrInvalid, now, minTime, maxTime)
			}
		}
		b.Records = c.stampedCopy(b.Records, KindOf(b.Stream), now)
	}
	return nil
}

// lacks reports whether some record has no time, and whether some has no time or no kind.
func lacks(records []Record) (untimed, unstamped bool) {
	for i := range records {
		untimed = untimed || records[i].Time.IsZero()
		unstamped = unstamped || records[i].Kind == 0
	}
	return untimed, untimed || unstamped
}

// stampedCopy returns the records with what they lack. When c.stamped grows, the copies
// made before live on in the old piece.
func (c *committer) stampedCopy(records []Record, kind Kind, now time.Time) []Record {
	from := len(c.stamped)
	c.stamped = append(c.stamped, records...)
	out := c.stamped[from:]
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

// giveUp is the watchdog: if the group in flight has taken too long, its callers are
// told so; the leader goes on waiting. If it has time left, the watchdog looks again
// then.
func (c *committer) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched = false
	if c.inFlight == nil {
		return
	}
	if left := time.Until(c.dueBy); left > 0 {
		c.watchdog.Reset(left)
		c.watched = true
		return
	}
	for r := c.inFlight; r != nil; {
		next := r.next
		r.answer(fmt.Errorf("%w: the store did not answer within %v", ErrUnknownOutcome, c.b.opts.WriteTimeout))
		r = next
	}
	c.inFlight = nil
}

// finish counts, answers the group and returns whether there is more to lead.
func (c *committer) finish(err error) (more bool) {
	if errors.Is(err, ErrPoisoned) {
		c.b.setPoison(fmt.Errorf("%w: an earlier append failed (call Reopen): %v", ErrPoisoned, err))
	}
	if err == nil {
		c.count()
	}
	c.settle(err)
	c.group, c.stamped, c.results = emptied(c.group), emptied(c.stamped), nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leading = c.first != nil
	return c.leading
}

// emptied returns the slice for the next group: without what it referred to, and without
// its room if that was for one huge batch.
func emptied[T any](s []T) []T {
	if cap(s) > groupBytes/recordOverhead {
		return nil
	}
	clear(s)
	return s[:0]
}

// settle gives each request of the group its verdict and tells its caller, unless the
// watchdog has. It does so without the lock: those who are woken will want it.
func (c *committer) settle(err error) {
	c.mu.Lock()
	r := c.inFlight
	c.inFlight = nil
	c.mu.Unlock()
	for at := 0; r != nil; {
		next := r.next
		for i := range r.results {
			r.results[i] = c.verdict(at, err)
			at++
		}
		r.answer(err)
		r = next
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
