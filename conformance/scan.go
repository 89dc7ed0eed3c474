package conformance

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/metrics"
)

func scanGroup() Group {
	corrupter, digester := []Seam{SeamCorrupter}, []Seam{SeamDigester}
	return Group{"SCAN", "What a scan finds, and what reads make of stored bytes that rot.", []Rule{
		{ID: "SCAN-01", Name: "a healthy store is clean", Requires: needs(intact, []ID{"APPEND-19", "APPEND-22", "OCC-01", "OPEN-14", "READ-13"}), Since: "0.4",
			Sentence: "A scan of a healthy store, quick or full, finds no damage and no warning: while it is empty, after every kind of write, and after opening again.",
			Check:    scan01},
		{ID: "SCAN-02", Name: "damage that a read meets is found", Capability: Durable, Seams: corrupter, Requires: []ID{"SCAN-04", "SCAN-08"}, Since: "0.4",
			Sentence: "Whatever stored byte is wrong, if any read is ErrCorrupt a full scan is not clean.",
			Check:    scan02},
		{ID: "SCAN-03", Name: "a scan changes nothing", Seams: digester, Requires: []ID{"SCAN-04", "OPEN-13"}, Since: "0.4",
			Sentence: "Scans, quick and full, change no stored byte.",
			Check:    scan03},
		{ID: "SCAN-04", Name: "a read-only backend scans", Capability: Reopens, Requires: sound, Since: "0.4",
			Sentence: "Opened read-only a healthy store is scanned as it is otherwise, and recovery with Ignore reports as much.",
			Check:    scan04},
		{ID: "SCAN-05", Name: "two scans agree", Capability: Durable, Seams: corrupter, Requires: []ID{"SCAN-02"}, Since: "0.4",
			Sentence: "Scans of a damaged store that nobody changes report the same findings in the same order, and recovery with Ignore reports them too.",
			Check:    scan05},
		{ID: "SCAN-06", Name: "a scan does not stop at the first finding", Capability: Durable, Seams: corrupter, Requires: []ID{"SCAN-05"}, Since: "0.4",
			Sentence: "Of twenty stores that are damaged in two places, each of which costs records, a scan of one at least reports more than where only one of the two is: it goes on.",
			Check:    scan06},
		{ID: "SCAN-07", Name: "a scan ends with its context", Requires: []ID{"SCAN-01", "CTX-01"}, Since: "0.4",
			Sentence: "A scan whose context ends when it has told of half its way at most ends with the context's error.",
			Check:    scan07},
		{ID: "SCAN-08", Name: "no wrong byte is a lie", Capability: Durable, Seams: corrupter, Requires: sound, Since: "0.4",
			Sentence: "Whatever stored byte is wrong, an open, a read, a listing, a head and a snapshot each say what was stored or an error that wraps ErrCorrupt or ErrFormat, never anything else, and a stream is never read as less than it holds; but for the end of the store where a scan calls it a torn tail.",
			Check:    scan08},
		{ID: "SCAN-09", Name: "a finding says where", Capability: Quarantines, Seams: corrupter, Requires: []ID{"SCAN-02"}, Since: "0.4",
			Sentence: "Of damage that a read meets, some finding names the place: a file and an offset, or the stream and the version, or the position.",
			Check:    scan09},
		{ID: "SCAN-11", Name: "no wrong byte hides what is stored", Capability: Quarantines, Seams: corrupter, Requires: []ID{"SCAN-08"}, Since: "0.4",
			Sentence: "Whatever stored byte is wrong, a read of the store, a listing and the newest snapshot are whole or an error that wraps ErrCorrupt or ErrFormat: nothing is left out, but for a torn tail.",
			Check:    scan11},
		{ID: "SCAN-10", Name: "a scan tells how far it is", Requires: []ID{"SCAN-01"}, Since: "0.4",
			Sentence: "Progress is told of a full scan of a store that holds something: how much of how much, neither of which falls, at last that all is done; and nothing once Scan has returned.",
			Check:    scan10},
	}}
}

func (c *Case) scan(s Subject, quick bool) *backend.ScanReport {
	report, err := s.Scan(c.ctx, &backend.ScanOptions{Quick: quick})
	c.noError("Scan", err)
	return report
}

func scan01(c *Case) {
	s := c.open()
	clean := func(when string) {
		for _, quick := range []bool{true, false} {
			report := c.scan(s, quick)
			c.check(report.Clean(), "a clean store", "%s, quick %v: %v", when, quick, few(report.Anomalies))
			c.check(report.Full == !quick, fmt.Sprint("Full ", !quick), "%v", report.Full)
		}
	}
	clean("while it is empty")
	c.furnish(s)
	clean("after writing")
	c.refused(s, expecting("a", 1, 1), backend.ErrConflict)
	above := uint64(c.last(s)) + 1000
	c.put(s, restored("copied", [2]uint64{above, 5}, [2]uint64{above + 7, 6}))
	clean("after restoring with gaps")
	c.put(s, backend.Batch{Stream: "large", Expected: backend.Any, Records: []backend.Record{{Payload: c.random(300 << 10), Time: someTime}, {Payload: make([]byte, 100<<10), Time: someTime}}})
	clean("after large records")
	if s = c.again(s); s != nil {
		clean("after opening again")
	}
}

// again opens the store again, if it can be; else it returns nil.
func (c *Case) again(s Subject) Subject {
	if c.volatile {
		return nil
	}
	return c.reopen(s)
}

func scan07(c *Case) {
	s := c.open()
	c.bulk(s)
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	at := ""
	report, err := s.Scan(ctx, &backend.ScanOptions{Progress: func(done, total int64) {
		if at == "" && done <= total/2 {
			at = fmt.Sprintf("%d of %d", done, total)
			cancel()
		}
	}})
	c.note("a scan whose context ends at %q: %s", at, errText(err))
	if at == "" { // it tells of no step so early
		c.noError("Scan", err)
		c.check(report.Clean(), "a clean store", "%s", few(anomalies(report)))
	} else {
		c.wantError("a scan whose context ends at "+at, err, context.Canceled)
	}
	ctx2, cancel2 := context.WithCancel(c.ctx)
	cancel2()
	_, err = s.Scan(ctx2, nil)
	c.wantError("a scan with a context that has ended", err, context.Canceled)
}

// bulk stores a few megabytes, so that what goes through all of it has a way to go.
func (c *Case) bulk(s Subject) {
	for i := range 20 {
		b := unchecked(fmt.Sprint("s", i), 50)
		for j := range b.Records {
			b.Records[j].Payload = c.random(4 << 10)
		}
		c.put(s, b)
	}
}

func scan10(c *Case) {
	s := c.open()
	c.bulk(s)
	type step struct{ done, total int64 }
	var mu sync.Mutex
	var told []step
	late, returned := 0, 0
	for scan := range 2 {
		_, err := s.Scan(c.ctx, &backend.ScanOptions{Progress: func(done, total int64) {
			mu.Lock()
			defer mu.Unlock()
			if told = append(told, step{done, total}); scan < returned {
				late++
			}
		}})
		c.noError("Scan", err)
		mu.Lock()
		steps, overdue := told, late
		told, returned = nil, scan+1
		mu.Unlock()
		c.note("a scan told %d times", len(steps))
		c.check(overdue == 0, "nothing once Scan has returned", "the scan before told %d times more", overdue)
		c.check(len(steps) > 0, "to be told at least once", "a full scan told nothing")
		last := step{0, 1}
		for _, now := range steps {
			c.check(last.done <= now.done && last.total <= now.total && now.done <= now.total, fmt.Sprintf("no less than %d of %d", last.done, last.total), "%d of %d", now.done, now.total)
			last = now
		}
		c.check(last.done == last.total, fmt.Sprintf("at last %d of %d", last.total, last.total), "%d of %d", last.done, last.total)
	}
}

func readOnly(o *backend.Options) { o.ReadOnly = true }

// unjudged opens a store whatever is wrong with it.
func unjudged(o *backend.Options) { o.Startup.Mode = backend.IgnoreAnomalies }

func scan03(c *Case) {
	s := c.open()
	c.furnish(s)
	s = c.reopen(s, readOnly)
	before := c.digest()
	for range 2 {
		c.scan(s, true)
		c.scan(s, false)
	}
	c.check(c.digest() == before, "the same digest", "another one after scans")
	c.close(s)
	c.check(c.digest() == before, "the same digest", "another one after scans and Close")
}

func scan04(c *Case) {
	s := c.open()
	before := c.furnish(s)
	s = c.reopen(s, readOnly)
	for _, quick := range []bool{true, false} {
		report := c.scan(s, quick)
		c.check(report.Clean(), "a clean store", "%v", few(report.Anomalies))
	}
	report, err := s.Recover(c.ctx, backend.RecoveryOptions{})
	c.noError("Recover with Ignore, read-only", err)
	c.check(report.Before.Clean() && len(report.Actions) == 0, "a clean store and nothing to do", "%+v", report)
	c.unchanged(s, before)
}

// places are where findings are, without what was seen there.
func places(report *backend.ScanReport) (out []string) {
	for _, a := range report.Anomalies {
		a.Detail = ""
		out = append(out, a.String())
	}
	return out
}

func anomalies(report *backend.ScanReport) (out []string) {
	for _, a := range report.Anomalies {
		out = append(out, a.String())
	}
	return out
}

func scan05(c *Case) {
	r := c.rotting()
	r.hurt()
	s := c.open(readOnly, unjudged)
	first := anomalies(c.scan(s, false))
	second := anomalies(c.scan(s, false))
	c.check(slices.Equal(first, second), few(first), "the second scan: %s", few(second))
	report, err := s.Recover(c.ctx, backend.RecoveryOptions{})
	c.noError("Recover with Ignore", err)
	c.check(slices.Equal(first, anomalies(report.Before)), few(first), "Recover with Ignore, before: %s", few(anomalies(report.Before)))
	c.check(len(report.Actions) == 0 && report.After != nil && slices.Equal(first, anomalies(report.After)), "nothing done, and the same after", "%d actions", len(report.Actions))
}

func scan06(c *Case) {
	r := c.rotting()
	found := func() *backend.ScanReport {
		s := c.open(readOnly, unjudged)
		defer c.close(s)
		return c.scan(s, false)
	}
	apart := "" // the last two that were found in places of their own
	for range 20 {
		one := r.hurt()
		alone := found()
		r.flip(one, 0x41)
		two := r.hurt()
		other := found()
		r.flip(one, 0x41)
		if s, err := c.tryOpen(c.ctx, readOnly, unjudged); err == nil { // both together may be more than it opens with
			both := c.scan(s, false)
			c.close(s)
			if both.Damages > min(alone.Damages, other.Damages) {
				return
			}
			if !slices.Equal(places(alone), places(other)) { // else it is the same record twice
				apart = fmt.Sprintf("bytes %d and %d are wrong: %d damages, and %d and %d where one is: %s", one, two, both.Damages, alone.Damages, other.Damages, few(anomalies(both)))
			}
		}
		r.flip(one, 0x41)
		r.flip(two, 0x41)
	}
	if apart == "" {
		c.inconclusive("no two wrong bytes were found with which the store opens")
	}
	c.failf("more damages where two bytes are wrong, in one of 20 stores at least", "the last: %s", apart)
}

func metric06(c *Case) {
	r := c.rotting()
	r.hurt()
	s := c.open(readOnly, unjudged)
	for range 2 {
		before := s.Metrics().Snapshot()
		report := c.scan(s, false)
		got := s.Metrics().Snapshot().Sub(before)
		want := metrics.Snapshot{ScanCount: 1, ScanAnomalies: uint64(report.Warnings + report.Damages)}
		c.check(got == want, countsText(want), "a scan counted %s", countsText(got))
	}
}
