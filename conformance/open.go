package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
)

// What the rules of several groups rest on.
var (
	empty    = []ID{"OPEN-01"}
	appends  = []ID{"APPEND-01"}
	stored   = []ID{"APPEND-02", "APPEND-04", "APPEND-05", "APPEND-06", "APPEND-10", "APPEND-11"}
	intact   = needs(stored, []ID{"APPEND-09"})
	survives = []ID{"OPEN-02"}
)

func openGroup() Group {
	return Group{"OPEN", "Opening, closing, and what outlives both.", []Rule{
		{ID: "OPEN-01", Name: "an empty place is an empty backend",
			Sentence: "Opening an empty place gives an empty backend: no streams, no records, last position 0, zero heads, no snapshots.",
			Check:    open01},
		{ID: "OPEN-02", Name: "what was acknowledged is there after reopening", Capability: Reopens, Requires: needs(stored, []ID{"APPEND-15", "APPEND-22", "OPEN-14"}),
			Sentence: "Acknowledged records and snapshots are there after closing and opening again, identical and in order, and so are the streams' heads.",
			Check:    open02},
		{ID: "OPEN-03", Name: "numbers go on after reopening", Capability: Reopens, Requires: survives,
			Sentence: "After opening again, versions go on without a gap and positions above every one that was given.",
			Check:    open03},
		{ID: "OPEN-04", Name: "a cancelled open leaves no lock", Requires: appends,
			Sentence: "Opening with a cancelled context returns the context's error, and the place can be opened afterwards.",
			Check:    open04},
		{ID: "OPEN-05", Name: "a refused open changes nothing", Capability: Reopens, Requires: survives,
			Sentence: "An open that is refused leaves the store as it was, and able to be opened.",
			Check:    open05},
		{ID: "OPEN-06", Name: "closing twice is closing once", Requires: []ID{"OPEN-01", "OPEN-14"},
			Sentence: "Close may be called again, also at the same time, and returns nil each time.",
			Check:    open06},
		{ID: "OPEN-07", Name: "Close beside appends keeps every verdict true", Capability: Reopens, Requires: needs(survives, []ID{"OPEN-08"}),
			Sentence: "Close waits for each append inside or refuses it with ErrClosed; none hangs, and after reopening exactly the acknowledged ones are there.",
			Check:    open07},
		{ID: "OPEN-08", Name: "a closed backend answers ErrClosed", Requires: appends,
			Sentence: "After Close every method that can fail answers ErrClosed.",
			Check:    open08},
		{ID: "OPEN-09", Name: "opening changes nothing", Capability: Reopens, Requires: survives,
			Sentence: "Opening and closing again and again, writing nothing, changes nothing that can be read.",
			Check:    open09},
		{ID: "OPEN-10", Name: "Reopen keeps what was acknowledged", Capability: Reopens, Requires: survives,
			Sentence: "Reopen on a healthy backend keeps everything that was acknowledged, and appends go on after it.",
			Check:    open10},
		{ID: "OPEN-11", Name: "a read-only backend reads and refuses to write", Capability: Reopens, Requires: survives,
			Sentence: "Opened read-only, a store reads as it does otherwise, appends and snapshots are ErrUnsupported, and nothing is changed.",
			Check:    open11},
		{ID: "OPEN-12", Name: "Reopen after Close answers ErrClosed", Requires: []ID{"OPEN-08"},
			Sentence: "Reopen does not bring a closed backend back, and does not wait for it: it answers ErrClosed.",
			Check:    open12},
		{ID: "OPEN-13", Name: "a read-only opening changes no byte", Capability: Reopens, Seams: []Seam{SeamDigester}, Requires: []ID{"OPEN-11"}, Since: "0.4",
			Sentence: "Opening read-only, reading all there is, being refused appends, cuts and repairs with ErrUnsupported, and closing change no stored byte.",
			Check:    open13},
		{ID: "OPEN-14", Name: "a closed store can be opened again", Requires: appends, Since: "0.4",
			Sentence: "Once its backend is closed a place can be opened again and written to, again and again; where a store ends with its backend it is empty each time.",
			Check:    open14},
		{ID: "OPEN-15", Name: "a read-only opening makes no store", Capability: Reopens, Requires: []ID{"OPEN-11"}, Since: "0.4",
			Sentence: "Opened read-only, a place without a store is ErrUnavailable or ErrFormat each time, or an empty backend each time, and nothing is there afterwards; opened for writing it is an empty backend.",
			Check:    open15},
		{ID: "OPEN-16", Name: "thousands of records outlive reopening", Capability: Reopens, Requires: needs(survives, reads, []ID{"OPEN-03", "READ-18", "READ-19"}), Since: "0.4",
			Sentence: "Of nine thousand records, half of them in one stream and half in as many streams, each is there after opening again, in its order forwards and in reverse, and so is each stream's head; and appends go on.",
			Check:    open16},
	}}
}

func open01(c *Case) {
	s := c.open()
	c.check(c.last(s) == 0, "last position 0", "last position %d", c.last(s))
	c.check(c.head(s, "a") == backend.Head{}, "the zero head", "head of a stream: %+v", c.head(s, "a"))
	c.check(len(c.streams(s, backend.StreamQuery{})) == 0, "no streams", "streams %v", c.streams(s, backend.StreamQuery{}))
	for _, q := range []backend.Query{{}, {Stream: "a"}, {Kinds: backend.AllKinds}, {Reverse: true}} {
		got := c.read(s, q)
		c.check(len(got) == 0, "no records", "%s: %d records", queryText(q), len(got))
	}
	_, err := s.Snapshot(c.ctx, "a", 0)
	c.wantError("Snapshot", err, backend.ErrNotFound)
}

func open02(c *Case) {
	s := c.open()
	before := c.furnish(s)
	snaps := c.read(s, snapshotsOf("a"))
	heads := c.heads(s, before)
	s = c.reopen(s)
	c.unchanged(s, before)
	now := c.heads(s, before)
	c.check(fmt.Sprint(now) == fmt.Sprint(heads), fmt.Sprintf("heads %+v", heads), "%+v", now)
	c.same("the snapshots of a", c.read(s, snapshotsOf("a")), snaps)
}

// heads returns the heads of an image's streams, one by one.
func (c *Case) heads(s Subject, of image) (heads []backend.StreamInfo) {
	for _, info := range of.streams {
		heads = append(heads, backend.StreamInfo{Name: info.Name, Head: c.head(s, info.Name)})
	}
	return heads
}

func snapshotsOf(stream string) backend.Query {
	return backend.Query{Stream: stream, Kinds: backend.KindSet(backend.Snapshot)}
}

func open03(c *Case) {
	s := c.open()
	before := c.furnish(s)
	snap := c.snapshot(s, "b", 1, "newest of all")
	for round := range 3 {
		s = c.reopen(s)
		res := c.put(s, unchecked("a", 2))
		want := backend.Version(5 + 2*(round+1))
		c.check(res.Version == want, fmt.Sprintf("version %d", want), "version %d", res.Version)
		c.check(res.Position > max(before.last, snap)+1, fmt.Sprintf("a position above %d", max(before.last, snap)+1), "position %d", res.Position)
		before.last = res.Position
	}
}

func open04(c *Case) {
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	s, err := c.tryOpen(ctx)
	c.check(s == nil || err == nil, "no backend beside an error", "a backend and %v", err)
	c.wantError("open with a cancelled context", err, context.Canceled)
	c.put(c.open(), unchecked("a", 1))
}

func open05(c *Case) {
	s := c.open()
	before := c.furnish(s)
	c.close(s)
	for _, change := range []func(*backend.Options){
		func(o *backend.Options) { o.WriteTimeout = -1 },
		func(o *backend.Options) { o.QueueBytes = -1 },
		func(o *backend.Options) { o.Limits.RecordBytes = -1 },
		func(o *backend.Options) { o.Startup.Timeout = -1 },
	} {
		_, err := c.tryOpen(c.ctx, change)
		c.wantError("open with invalid options", err, backend.ErrInvalid)
	}
	c.unchanged(c.open(), before)
}

func open06(c *Case) {
	s := c.open()
	c.close(s)
	c.close(s)
	s = c.open()
	c.allTogether("Close", s.Close, s.Close, s.Close)
}

func open07(c *Case) {
	for round := range 5 {
		s := c.open()
		const writers = 4
		acked := make([]int, writers) // batches of each writer that were acknowledged
		var total atomic.Int32
		busy := make(chan struct{})
		functions := []func() error{func() error { <-busy; return s.Close() }}
		var once sync.Once
		for w := range writers {
			functions = append(functions, func() error {
				defer once.Do(func() { close(busy) })
				for {
					b := unchecked(fmt.Sprint("s", round, w), 2)
					if _, err := s.Append(c.ctx, b); err != nil {
						return onlyClosed(err)
					}
					if acked[w]++; total.Add(1) == 20 {
						once.Do(func() { close(busy) })
					}
				}
			})
		}
		c.allTogether("Append beside Close", functions...)
		c.note("4 writers of 2 records a batch, Close among them: batches acknowledged %v", acked)
		s = c.open()
		for w := range writers {
			got := c.head(s, fmt.Sprint("s", round, w)).Version
			c.check(got == backend.Version(2*acked[w]), fmt.Sprintf("version %d after %d acknowledged batches of 2", 2*acked[w], acked[w]), "writer %d: version %d", w, got)
		}
		c.close(s)
	}
}

func onlyClosed(err error) error {
	if errors.Is(err, backend.ErrClosed) {
		return nil
	}
	return err
}

func open08(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 1))
	c.close(s)
	for _, call := range failingCalls(c.ctx, s) {
		if call.name == "Compact" && !s.Capabilities().Compact {
			continue // ErrUnsupported, open or closed
		}
		c.wantError(call.name+" after Close", call.do(), backend.ErrClosed)
	}
}

type namedCall struct {
	name string
	op   backend.Op
	do   func() error
}

// failingCalls is every call that can fail, but Close and Reopen.
func failingCalls(ctx context.Context, s Subject) []namedCall {
	snapshot := event("snap")
	snapshot.Stream, snapshot.Version = "a", 1
	return []namedCall{
		{"Append", backend.OpAppend, func() error { _, err := s.Append(ctx, unchecked("a", 1)); return err }},
		{"AppendAll", backend.OpAppend, func() error { _, err := s.AppendAll(ctx, []backend.Batch{unchecked("a", 1)}); return err }},
		{"SaveSnapshot", backend.OpSaveSnapshot, func() error { _, err := s.SaveSnapshot(ctx, snapshot); return err }},
		{"Read of a stream", backend.OpRead, func() error { _, err := collect(ctx, s, backend.Query{Stream: "a"}); return err }},
		{"Read of the store", backend.OpRead, func() error { _, err := collect(ctx, s, backend.Query{}); return err }},
		{"Snapshot", backend.OpSnapshot, func() error { _, err := s.Snapshot(ctx, "a", 0); return err }},
		{"Head", backend.OpHead, func() error { _, err := s.Head(ctx, "a"); return err }},
		{"Last", backend.OpLast, func() error { _, err := s.Last(ctx); return err }},
		{"Streams", backend.OpStreams, func() error { _, err := collectStreams(ctx, s, backend.StreamQuery{}); return err }},
		{"Scan", backend.OpScan, func() error { _, err := s.Scan(ctx, nil); return err }},
		{"Recover", backend.OpRecover, func() error { _, err := s.Recover(ctx, backend.RecoveryOptions{}); return err }},
		{"Compact", backend.OpCompact, func() error { _, err := s.Compact(ctx, backend.Cut{}); return err }},
		{"PlanCut", backend.OpPlanCut, func() error { _, err := s.PlanCut(ctx, nil); return err }},
		{"Hold", backend.OpHold, func() error { _, err := s.Hold("h", 1); return err }},
	}
}

func open09(c *Case) {
	s := c.open()
	before := c.furnish(s)
	for range 3 {
		s = c.reopen(s)
	}
	c.unchanged(s, before)
}

func open10(c *Case) {
	s := c.open()
	before := c.furnish(s)
	c.noError("Reopen", s.Reopen(c.ctx))
	c.unchanged(s, before)
	res := c.put(s, expecting("a", 5, 1))
	c.check(res.Version == 6 && res.Position > before.last, fmt.Sprintf("version 6 at a position above %d", before.last), "%+v", res)
}

func open11(c *Case) {
	s := c.open()
	before := c.furnish(s)
	s = c.reopen(s, func(o *backend.Options) { o.ReadOnly = true })
	c.unchanged(s, before)
	c.refused(s, unchecked("a", 1), backend.ErrUnsupported)
	_, err := s.AppendAll(c.ctx, []backend.Batch{unchecked("a", 1)})
	c.wantError("AppendAll, read-only", err, backend.ErrUnsupported)
	r := event("snap")
	r.Stream, r.Version = "a", 1
	_, err = s.SaveSnapshot(c.ctx, r)
	c.wantError("SaveSnapshot, read-only", err, backend.ErrUnsupported)
	c.unchanged(s, before)
	c.unchanged(c.reopen(s), before)
}

func open12(c *Case) {
	s := c.open()
	c.close(s)
	ctx, cancel := context.WithTimeout(c.ctx, patience(c))
	defer cancel()
	c.wantError("Reopen after Close", s.Reopen(ctx), backend.ErrClosed)
	c.wantError("Reopen after Close, again", s.Reopen(ctx), backend.ErrClosed)
}

func open13(c *Case) {
	s := c.open()
	c.close(s)
	before := c.digest()
	s = c.open()
	c.furnish(s)
	c.close(s)
	if c.digest() == before {
		c.unavailable("the harness's Digest is the same before and after appends: it would not show a change")
	}
	before = c.digest()
	for range 2 {
		s = c.open(readOnly)
		c.image(s)
		c.check(c.digest() == before, "the same digest", "another one while it is open read-only")
		c.refused(s, unchecked("a", 1), backend.ErrUnsupported)
		c.refused(s, restored("new", [2]uint64{uint64(c.last(s)) + 9, 1}), backend.ErrUnsupported)
		can := s.Capabilities() // what is not claimed is CLAIM-01's
		if can.Compact {
			c.wantError("Compact, read-only", c.tryCompact(s, deletion("a")), backend.ErrUnsupported)
		}
		for mode, claimed := range map[backend.RecoveryMode]bool{backend.Repair: can.Repair, backend.Quarantine: can.Quarantine} {
			if claimed {
				_, err := s.Recover(c.ctx, backend.RecoveryOptions{Mode: mode})
				c.wantError(fmt.Sprintf("Recover with %v, read-only", mode), err, backend.ErrUnsupported)
			}
		}
		c.close(s)
		c.check(c.digest() == before, "the same digest", "another one after it was open read-only")
	}
}

func open14(c *Case) {
	s := c.open()
	for round := range 3 {
		c.put(s, unchecked("a", 2))
		s = c.reopen(s)
		if c.volatile {
			c.blank(s, fmt.Sprint("opening ", round+2))
		}
	}
	c.put(s, unchecked("b", 1))
	got := c.read(s, backend.Query{Stream: "b"})
	c.check(len(got) == 1, "the record that was written then", "%d records", len(got))
}

// blank fails the rule unless nothing is stored.
func (c *Case) blank(s Subject, when string) {
	list, records := c.streams(s, backend.StreamQuery{}), c.read(s, backend.Query{Kinds: backend.AllKinds})
	c.check(c.last(s) == 0 && len(list)+len(records) == 0, "an empty backend", "%s: last position %d, %d streams, %d records", when, c.last(s), len(list), len(records))
}

func open15(c *Case) {
	digest := func() (sum [32]byte) {
		if has(c.store, SeamDigester) {
			sum = c.digest()
		}
		return sum
	}
	before := digest()
	opened := 0
	for round := range 2 {
		s, err := c.tryOpen(c.ctx, readOnly)
		if err == nil {
			c.blank(s, "read-only")
			c.refused(s, unchecked("a", 1), backend.ErrUnsupported)
			c.close(s)
			opened++
		} else if !errors.Is(err, backend.ErrFormat) { // the place is there, and holds no store
			c.wantError("open read-only where no store is", err, backend.ErrUnavailable)
		}
		c.check(opened == 0 || opened == round+1, "the same answer each time", "it opens %d times of %d", opened, round+1)
		c.check(digest() == before, "the same digest", "another one after opening read-only where no store is")
	}
	s := c.open()
	c.blank(s, "opened for writing")
	c.put(s, unchecked("a", 1))
}
