package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
)

func ctxGroup() Group {
	staller := []Seam{SeamStaller}
	return Group{"CTX", "What a context ends, and what it does not.", []Rule{
		{ID: "CTX-01", Name: "a call whose context has ended does nothing", Requires: needs(intact, []ID{"APPEND-22", "ERROR-01", "OCC-07", "READ-13"}), Since: "0.4",
			Sentence: "Every call but Compact (see COMPACT-06), with a context that has ended before it, returns the context's error, changes nothing, and yields nothing.",
			Check:    ctx01},
		{ID: "CTX-02", Name: "a store that hangs is given up", Seams: staller, Requires: needs(sound, []ID{"IDEM-06", "OCC-07", "READ-21"}), Since: "0.4",
			Sentence: "An append that the store does not answer is ErrUnknownOutcome after WriteTimeout, though the store hangs; once it goes on the batch is there wholly or not at all, and appends go on after Reopen.",
			Check:    ctx02},
		{ID: "CTX-03", Name: "who waits behind a store that hangs can leave", Seams: staller, Requires: needs(sound, []ID{"IDEM-06", "OCC-07", "READ-21"}), Since: "0.4",
			Sentence: "An append that waits behind one that hangs ends when its context does, with the context's error, and nothing of it is ever written.",
			Check:    ctx03},
		{ID: "CTX-04", Name: "a loop ends with its context", Requires: needs(reads, []ID{"APPEND-12", "READ-16", "READ-18", "READ-19", "READ-21", "CTX-01"}), Since: "0.4",
			Sentence: "A loop over a long read or listing whose context ends inside it ends with the context's error before it has yielded all.",
			Check:    ctx04},
		{ID: "CTX-05", Name: "one caller's cancel fails nobody else", Seams: staller, Requires: []ID{"CTX-03"}, Since: "0.4",
			Sentence: "Appends that wait beside one that is cancelled, and the one that is being written, succeed.",
			Check:    ctx05},
		{ID: "CTX-06", Name: "the observer sees the caller's context", Requires: stored, Since: "0.4",
			Sentence: "Options.Observer is told the start and the end of each append, read, head, listing, snapshot, scan and recovery, once, with the caller's context and the call's error.",
			Check:    ctx06},
		{ID: "CTX-07", Name: "a write that hangs keeps nobody from reading", Seams: staller, Requires: needs(sound, []ID{"IDEM-06", "OCC-07", "READ-21"}), Since: "0.4",
			Sentence: "While an append hangs in the store, reads, heads and listings answer, and show nothing of it.",
			Check:    ctx07},
		{ID: "CTX-08", Name: "a read that finds little ends with its context", Requires: []ID{"CTX-04", "KIND-02"}, Since: "0.4",
			Sentence: "A read of one kind that goes through much and yields nothing, for thirty milliseconds or more, ends with the context's error when its context ends inside it.",
			Check:    ctx08},
	}}
}

func ctx01(c *Case) {
	s := c.open()
	before := c.furnish(s)
	cancelled, cancel := context.WithCancel(c.ctx)
	cancel()
	expired, stop := context.WithDeadline(c.ctx, time.Now().Add(-time.Hour))
	defer stop()
	for ctx, want := range map[context.Context]error{cancelled: context.Canceled, expired: context.DeadlineExceeded} {
		for _, call := range failingCalls(ctx, s) {
			if call.op == backend.OpHold || call.op == backend.OpCompact {
				continue // takes no context; see COMPACT-06
			}
			c.wantError(call.name+" with a context that has ended", call.do(), want)
			c.unchanged(s, before)
		}
		n := 0
		for _, err := range s.Read(ctx, backend.Query{Stream: "a"}) {
			if err == nil {
				n++
			}
		}
		c.check(n == 0, "no records", "a read with a context that has ended yields %d", n)
	}
}

// stall makes the store hang, until the check ends at the latest.
func (c *Case) stall() (reached <-chan struct{}, release func()) {
	reached, free := seam[Staller](c).Stall()
	if reached == nil || free == nil {
		c.unavailable("the harness's Stall returns no channel, or no function")
	}
	var once sync.Once
	release = func() { once.Do(free) }
	c.cleanups = append(c.cleanups, release)
	return reached, release
}

// hanging appends b in a goroutine and returns once the store hangs in it. release lets
// the store go on and returns what came of the append.
func (c *Case) hanging(s Subject, b backend.Batch) (release func() error) {
	reached, free := c.stall()
	done := make(chan error, 1)
	go func() { _, err := s.Append(c.ctx, b); done <- err }()
	select {
	case <-reached:
	case err := <-done:
		c.failf("an append that is written to the medium before it is acknowledged", "it returned %s while the medium hangs; or the harness's Stall stalls nothing", errText(err))
	case <-c.ctx.Done():
		c.failf("an append that is written to the medium", "nothing was written")
	}
	c.note("append %s: hangs in the store", batchText(&b))
	return func() error {
		free()
		err := <-done
		c.note("the store goes on: %s", errText(err))
		return err
	}
}

// within runs f, which must return long before the check's time is up, while the store
// hangs.
func (c *Case) within(what string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- guarded(f) }()
	timer := time.NewTimer(patience(c))
	defer timer.Stop()
	select {
	case err := <-done:
		c.note("%s: %s", what, errText(err))
		return err
	case <-timer.C:
		c.failf("an answer while the store hangs", "%s: none", what)
	}
	return nil
}

func ctx02(c *Case) {
	s := c.open(func(o *backend.Options) { o.WriteTimeout = 20 * time.Millisecond })
	c.put(s, expecting("a", 0, 2))
	before := c.image(s)
	reached, release := c.stall()
	b := expecting("a", 2, 3)
	err := c.within("an append to a store that hangs", func() error { _, err := s.Append(c.ctx, b); return err })
	c.wantError("an append to a store that hangs", err, backend.ErrUnknownOutcome)
	select {
	case <-reached:
	default:
		c.failf("an append that is written to the medium", "nothing was written")
	}
	release()
	c.noError("Reopen", s.Reopen(c.ctx))
	c.agrees(s, err, before, b)
	s = c.reopen(s)
	c.agrees(s, err, before, b)
	c.put(s, unchecked("a", 1))
}

func ctx03(c *Case) {
	s := c.open()
	c.put(s, expecting("a", 0, 1))
	release := c.hanging(s, expecting("a", 1, 1))
	cancelled, cancel := context.WithCancel(c.ctx)
	cancel()
	c.wantError("an append behind it, cancelled", c.within("an append behind it, cancelled", func() error { _, err := s.Append(cancelled, unchecked("b", 1)); return err }), context.Canceled)
	soon, stop := context.WithTimeout(c.ctx, 20*time.Millisecond)
	defer stop()
	c.wantError("an append behind it, with a deadline", c.within("an append behind it, with a deadline", func() error { _, err := s.Append(soon, unchecked("b", 1)); return err }), context.DeadlineExceeded)
	c.noError("the append that hung", release())
	c.check(c.head(s, "a").Version == 2 && c.head(s, "b") == backend.Head{}, "what hung, and nothing of those that left", "heads %+v, %+v", c.head(s, "a"), c.head(s, "b"))
	c.put(s, unchecked("c", 1))
	c.check(c.head(s, "b") == backend.Head{}, "nothing of those that left, ever", "head %+v", c.head(s, "b"))
}

func ctx05(c *Case) {
	s := c.open()
	for round := range 10 {
		at := backend.Version(round)
		release := c.hanging(s, expecting("a", at, 1))
		ctx, cancel := context.WithCancel(c.ctx)
		var wg sync.WaitGroup
		errs := make([]error, 5)
		left := make(chan struct{})
		for i := range errs {
			wg.Go(func() {
				of := c.ctx
				if i == 2 {
					of = ctx
					defer close(left)
				}
				errs[i] = guarded(func() error { _, err := s.Append(of, unchecked(fmt.Sprint("w", i), 1)); return err })
			})
		}
		cancel()
		c.noError("", c.within("an append that is cancelled", func() error { <-left; return nil }))
		c.noError("the append that hung", release())
		wg.Wait()
		for i, err := range errs {
			if i == 2 && err != nil {
				c.wantError("the append that was cancelled", err, context.Canceled)
				continue
			}
			c.noError(fmt.Sprintf("append %d beside one that was cancelled", i), err)
		}
	}
	for i := range 5 {
		if h := c.head(s, fmt.Sprint("w", i)); i != 2 && h.Version != 10 {
			c.failf("10 records of each that was acknowledged", "stream w%d: head %+v", i, h)
		}
	}
}

func ctx07(c *Case) {
	s := c.open()
	c.furnish(s)
	before := c.image(s)
	b := expecting("a", 5, 2)
	release := c.hanging(s, b)
	c.noError("reading while an append hangs", c.within("reading while an append hangs", func() error {
		got, err := collect(c.ctx, s, backend.Query{Kinds: backend.AllKinds})
		if err != nil {
			return err
		}
		if d := listDifference(got, before.records); d != "" {
			return errors.New("the store: " + d)
		}
		h, err := s.Head(c.ctx, "a")
		if err == nil && h.Version != 5 {
			err = fmt.Errorf("head %+v shows what is not acknowledged", h)
		}
		list, listErr := collectStreams(c.ctx, s, backend.StreamQuery{})
		if listErr == nil && len(list) != len(before.streams) {
			listErr = fmt.Errorf("%d streams, want %d", len(list), len(before.streams))
		}
		return errors.Join(err, listErr)
	}))
	c.noError("the append that hung", release())
	c.agrees(s, nil, before, b)
}

func ctx04(c *Case) {
	s := c.open()
	const n = 5000
	for at := 0; at < n; at += 500 {
		c.put(s, expecting("a", backend.Version(at), 500))
	}
	var batches []backend.Batch
	for i := range n {
		batches = append(batches, backend.Batch{Stream: fmt.Sprintf("s%04d", i), Expected: backend.Any, Records: []backend.Record{{Type: "one", Time: someTime}}})
	}
	c.putAll(s, batches)
	loop := func(what string, each func(ctx context.Context, seen func()) error) {
		ctx, cancel := context.WithCancel(c.ctx)
		defer cancel()
		count := 0
		err := each(ctx, func() {
			if count++; count == 10 {
				cancel()
			}
		})
		c.note("%s, cancelled at the tenth: %d, %s", what, count, errText(err))
		c.wantError(what+", cancelled at the tenth", err, context.Canceled)
		c.check(count < n, fmt.Sprintf("fewer than %d", n), "%s: %d", what, count)
	}
	for _, q := range []backend.Query{{Stream: "a"}, {}, {Reverse: true}} {
		loop(queryText(q), func(ctx context.Context, seen func()) error {
			for _, err := range s.Read(ctx, q) {
				if err != nil {
					return err
				}
				seen()
			}
			return nil
		})
	}
	loop("a listing", func(ctx context.Context, seen func()) error {
		for _, err := range s.Streams(ctx, backend.StreamQuery{}) {
			if err != nil {
				return err
			}
			seen()
		}
		return nil
	})
}

// A read is long if it takes so long. Quicker ones, of a store of so many records, need
// not look at their context.
const (
	longRead    = 30 * time.Millisecond
	longestRead = 32 << 10
	ctxTries    = 5 // on a machine that is busy a context may end before the read begins
)

func ctx08(c *Case) {
	s := c.open()
	q := backend.Query{Kinds: backend.KindSet(backend.DeadLetter)}
	read := func(ctx context.Context) (took time.Duration, err error) {
		start := time.Now()
		_, err = collect(ctx, s, q)
		return time.Since(start), err
	}
	n, took := 0, time.Duration(0)
	for took < longRead && took*longestRead >= longRead*time.Duration(n) {
		for range 4 {
			c.put(s, unchecked("a", 1024))
			n += 1024
		}
		took = longRead
		for range 3 { // the quickest: any may be slow on a machine that is busy
			once, err := read(c.ctx)
			c.noError(queryText(q), err)
			took = min(took, once)
		}
		c.note("a read of dead letters among %d events takes %v", n, took.Round(time.Microsecond))
	}
	if took < longRead {
		return
	}
	left, stayed := 0, 0
	for left < ctxTries && stayed < ctxTries {
		ctx, cancel := context.WithTimeout(c.ctx, took/4)
		took, err := read(ctx)
		cancel()
		switch {
		case err != nil:
			c.wantError("a read whose context ends inside it", err, context.DeadlineExceeded)
			left++
		case took < longRead*3/4: // it was quick this time
			left++
		default:
			stayed++
		}
	}
	c.check(stayed < left, "an end with its context", "reads that take %v and more went on to their end %d times of %d, though their context ended after a quarter of that", longRead, stayed, stayed+left)
}

// marked is the key of a value in a caller's context.
type marked struct{}

func ctx06(c *Case) {
	var mu sync.Mutex
	type seen struct {
		op    backend.Op
		value any
		ends  int
		err   error
	}
	var calls []*seen
	s := c.open(func(o *backend.Options) {
		o.Observer = func(ctx context.Context, call backend.Call) (context.Context, func(error)) {
			mu.Lock()
			defer mu.Unlock()
			now := &seen{op: call.Op, value: ctx.Value(marked{})}
			calls = append(calls, now)
			return ctx, func(err error) {
				mu.Lock()
				defer mu.Unlock()
				now.ends++
				now.err = err
			}
		}
	})
	c.put(s, unchecked("a", 1))
	for i, call := range failingCalls(context.WithValue(c.ctx, marked{}, "caller"), s) {
		if call.op == backend.OpHold || call.op == backend.OpPlanCut || call.op == backend.OpCompact { // no context; made of other calls; may be refused before
			continue
		}
		mu.Lock()
		calls = nil
		mu.Unlock()
		err := call.do()
		mu.Lock()
		got := calls
		mu.Unlock()
		at := slices.IndexFunc(got, func(s *seen) bool { return s.op == call.op })
		c.check(at >= 0, fmt.Sprintf("a call %q", call.op), "%s: %d calls were observed, and none of it", call.name, len(got))
		first := got[at]
		c.check(first.value == "caller", "the caller's context", "call %d, %s: another one", i, call.name)
		c.check(first.ends == 1, "one end", "%s: %d", call.name, first.ends)
		c.check((first.err == nil) == (err == nil) && (err == nil || errors.Is(first.err, errors.Unwrap(err))), errText(err), "%s: the observer was told %s", call.name, errText(first.err))
	}
}
