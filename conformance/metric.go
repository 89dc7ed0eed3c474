package conformance

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/metrics"
)

func metricGroup() Group {
	return Group{"METRIC", "What is counted, exactly.", []Rule{
		{ID: "METRIC-01", Name: "writes_total counts acknowledged records", Requires: stored,
			Sentence: "writes_total grows by one for each acknowledged record, snapshots and restored ones too, and by nothing else.",
			Check:    metric01},
		{ID: "METRIC-02", Name: "bytes_written counts stream, type, meta and payload", Requires: stored,
			Sentence: "bytes_written grows by the bytes of stream, type, meta and payload of each acknowledged record, on every engine.",
			Check:    metric02},
		{ID: "METRIC-03", Name: "a failed write is one write error", Requires: []ID{"APPEND-08", "APPEND-23", "OCC-01", "OCC-02", "OCC-07", "READ-03", "METRIC-01", "METRIC-02"},
			Sentence: "Each batch or snapshot that is not acknowledged counts one write error, and nothing else; a failed read counts nothing.",
			Check:    metric03},
		{ID: "METRIC-04", Name: "a write after Close is an error, not a write", Requires: []ID{"OPEN-08", "METRIC-01", "METRIC-02"},
			Sentence: "An append that is refused because the backend is closed counts one write error and no write.",
			Check:    metric04},
		{ID: "METRIC-05", Name: "scans, recoveries and compactions count once", Requires: stored,
			Sentence: "A scan counts one scan, a recovery one recovery and no scan, a compaction one compaction; one that fails counts one error of its own kind instead.",
			Check:    metric05},
		{ID: "METRIC-06", Name: "scan_anomalies is the sum of what was reported", Capability: Durable, Seams: []Seam{SeamCorrupter}, Requires: []ID{"SCAN-05", "METRIC-05"}, Since: "0.4",
			Sentence: "Each scan adds its warnings and damages to scan_anomalies, and notices not.",
			Check:    metric06},
		{ID: "METRIC-07", Name: "totals of concurrent writers are exact", Requires: []ID{"METRIC-01", "METRIC-02"},
			Sentence: "After writers on many goroutines, writes_total and bytes_written are exactly what was acknowledged.",
			Check:    metric07},
		{ID: "METRIC-08", Name: "counters only grow, and not late", Requires: []ID{"METRIC-07"},
			Sentence: "No counter ever goes down, and whoever has seen an append acknowledged finds it counted.",
			Check:    metric08},
		{ID: "METRIC-09", Name: "reading counts nothing", Requires: needs(reads, []ID{"APPEND-22"}),
			Sentence: "Reads, listings, heads and snapshots read move no counter.",
			Check:    metric09},
		{ID: "METRIC-11", Name: "counters handed in are used", Requires: []ID{"METRIC-01", "OPEN-14"},
			Sentence: "A backend counts in the counters that it was handed, going on from where they stand, and never replaces them; without, it has its own, from zero.",
			Check:    metric11},
		{ID: "METRIC-12", Name: "a repeated batch counts nothing", Requires: []ID{"IDEM-01", "IDEM-09", "METRIC-01", "METRIC-02"},
			Sentence: "A batch sent again that was there already counts neither as written nor as an error.",
			Check:    metric12},
	}}
}

// counts fails the rule unless the counters grew by exactly want while f ran.
func (c *Case) counts(s Subject, what string, want metrics.Snapshot, f func()) {
	before := s.Metrics().Snapshot()
	f()
	got := s.Metrics().Snapshot().Sub(before)
	c.note("%s", what)
	c.check(got == want, countsText(want), "%s counted %s", what, countsText(got))
}

func countsText(s metrics.Snapshot) string {
	text := ""
	for counter, n := range s.All() {
		if n != 0 {
			text += fmt.Sprintf(" %s %+d", counter.Name, int64(n))
		}
	}
	if text == "" {
		return "nothing"
	}
	return text[1:]
}

// sized returns b, its size and its number of records as they must be counted.
func sized(b backend.Batch) metrics.Snapshot {
	return metrics.Snapshot{WritesTotal: uint64(len(b.Records)), BytesWritten: uint64(b.Size())}
}

func metric01(c *Case) {
	s := c.open()
	written := func(what string, n uint64, f func()) {
		before := s.Metrics().Snapshot().WritesTotal
		f()
		got := s.Metrics().Snapshot().WritesTotal - before
		c.check(got == n, fmt.Sprintf("writes_total %+d", n), "%s: %+d", what, got)
	}
	for _, n := range []int{1, 2, 7} {
		written("a batch", uint64(n), func() { c.put(s, unchecked("a", n)) })
	}
	written("AppendAll of 1 and 2 records", 3, func() {
		c.putAll(s, []backend.Batch{unchecked("a", 1), unchecked("b", 2)})
	})
	written("a snapshot", 1, func() { c.snapshot(s, "a", 1, "snap") })
	above := uint64(c.last(s)) + 1000
	written("a restored batch", 2, func() { c.put(s, restored("r", [2]uint64{above, 1}, [2]uint64{above + 1, 2})) })
}

func metric02(c *Case) {
	s := c.open()
	written := func(what string, n int, f func()) {
		before := s.Metrics().Snapshot().BytesWritten
		f()
		got := s.Metrics().Snapshot().BytesWritten - before
		c.check(got == uint64(n), fmt.Sprintf("bytes_written %+d", n), "%s: %+d", what, got)
	}
	meta, _ := backend.MakeMeta("key", "value") // 10 bytes
	b := backend.Batch{Stream: "stream", Expected: backend.Any, Records: []backend.Record{
		{Type: "type", Payload: make([]byte, 100), Meta: meta}, // 6 + 4 + 100 + 10
		{}, // 6
	}}
	written("a batch of stream, type, meta and payload", 126, func() { c.put(s, b) })
	b.Records = b.Records[:1]
	written("AppendAll", 240, func() { c.putAll(s, []backend.Batch{b, b}) })
	c.put(s, unchecked("a", 1))
	written("a snapshot", 1+4+6, func() { c.snapshot(s, "a", 1, "snap") })
}

func metric03(c *Case) {
	s := c.open(func(o *backend.Options) { o.Limits.RecordBytes = 1000 })
	c.put(s, unchecked("a", 2))
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	large := unchecked("a", 1)
	large.Records[0].Payload = make([]byte, 1001)
	append1 := func(ctx context.Context, b backend.Batch) func() error {
		return func() error { _, err := s.Append(ctx, b); return err }
	}
	snapshot := event("snap")
	snapshot.Stream, snapshot.Version = "a", 99
	for _, call := range []struct {
		name   string
		errors uint64
		do     func() error
	}{
		{"a conflict", 1, append1(c.ctx, expecting("a", 0, 3))},
		{"an invalid batch", 1, append1(c.ctx, unchecked("", 3))},
		{"too large a record", 1, append1(c.ctx, large)},
		{"a cancelled append", 1, append1(ctx, unchecked("a", 1))},
		{"a refused snapshot", 1, func() error { _, err := s.SaveSnapshot(c.ctx, snapshot); return err }},
		{"AppendAll with 2 refused of 2", 2, func() error {
			res, _ := s.AppendAll(c.ctx, []backend.Batch{expecting("a", 0, 2), unchecked("", 3)})
			return res[0].Err
		}},
		{"an invalid read", 0, func() error { _, err := collect(c.ctx, s, backend.Query{Limit: -1}); return err }},
		{"a snapshot that is not there", 0, func() error { _, err := s.Snapshot(c.ctx, "a", 0); return err }},
	} {
		c.counts(s, call.name, metrics.Snapshot{WriteErrors: call.errors}, func() {
			c.check(call.do() != nil, "an error", "%s: none", call.name)
		})
	}
	c.counts(s, "an append afterwards", sized(unchecked("a", 2)), func() { c.put(s, unchecked("a", 2)) })
}

func metric04(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 1))
	c.close(s)
	c.counts(s, "an append after Close", metrics.Snapshot{WriteErrors: 1}, func() { c.refused(s, unchecked("a", 3), backend.ErrClosed) })
	c.counts(s, "AppendAll of two after Close", metrics.Snapshot{WriteErrors: 2}, func() {
		_, err := s.AppendAll(c.ctx, []backend.Batch{unchecked("a", 1), unchecked("b", 1)})
		c.wantError("AppendAll", err, backend.ErrClosed)
	})
}

func metric05(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 3))
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	scan := func(ctx context.Context, o *backend.ScanOptions) func() error {
		return func() error { _, err := s.Scan(ctx, o); return err }
	}
	recovery := func(o backend.RecoveryOptions) func() error {
		return func() error { _, err := s.Recover(c.ctx, o); return err }
	}
	for _, call := range []struct {
		name     string
		ok, fail metrics.Snapshot
		do       func() error
	}{
		{"a full scan", metrics.Snapshot{ScanCount: 1}, metrics.Snapshot{ScanErrors: 1}, scan(c.ctx, nil)},
		{"a quick scan", metrics.Snapshot{ScanCount: 1}, metrics.Snapshot{ScanErrors: 1}, scan(c.ctx, &backend.ScanOptions{Quick: true})},
		{"a cancelled scan", metrics.Snapshot{ScanCount: 1}, metrics.Snapshot{ScanErrors: 1}, scan(ctx, nil)},
		{"a recovery that ignores", metrics.Snapshot{RecoverCount: 1}, metrics.Snapshot{RecoverErrors: 1}, recovery(backend.RecoveryOptions{})},
		{"a recovery that repairs", metrics.Snapshot{RecoverCount: 1}, metrics.Snapshot{RecoverErrors: 1}, recovery(backend.RecoveryOptions{Mode: backend.Repair})},
		{"a compaction", metrics.Snapshot{CompactCount: 1}, metrics.Snapshot{CompactErrors: 1}, func() error { _, err := s.Compact(c.ctx, backend.Cut{}); return err }},
	} {
		before := s.Metrics().Snapshot()
		err := call.do()
		c.note("%s: %s", call.name, errText(err))
		want := call.ok
		if err != nil {
			want = call.fail
		}
		got := s.Metrics().Snapshot().Sub(before)
		c.check(got == want, countsText(want), "%s (%s) counted %s", call.name, errText(err), countsText(got))
	}
}

func metric07(c *Case) {
	s := c.open()
	before := s.Metrics().Snapshot()
	var records, size atomic.Uint64
	c.race(func(int) (one, other func() error) {
		add := func(stream string, n int) func() error {
			return func() error {
				b := unchecked(stream, n)
				_, err := s.Append(c.ctx, b)
				records.Add(uint64(n))
				size.Add(uint64(b.Size()))
				return err
			}
		}
		return add("a", 1), add("bb", 3)
	}, func(_ int, errs []error) {
		c.noError("append", errs[0])
		c.noError("append", errs[1])
	})
	want := metrics.Snapshot{WritesTotal: records.Load(), BytesWritten: size.Load()}
	got := s.Metrics().Snapshot().Sub(before)
	c.check(got == want, countsText(want), "%s", countsText(got))
}

func metric08(c *Case) {
	s := c.open()
	var acked atomic.Uint64
	var writing atomic.Int32
	base := s.Metrics().Snapshot()
	newest, was := base, uint64(0)
	c.beside(2, func(w, n int) error {
		writing.Add(1)
		defer writing.Add(-1)
		_, err := s.Append(c.ctx, unchecked(fmt.Sprint("s", w), 2))
		acked.Add(2)
		return err
	}, func() (bool, error) {
		busy, done := writing.Load() > 0, acked.Load()
		now := s.Metrics().Snapshot()
		for counter, n := range now.All() {
			if old := counter.Of(&newest); n < old {
				return false, fmt.Errorf("%s went from %d down to %d", counter.Name, old, n)
			}
		}
		if got := now.WritesTotal - base.WritesTotal; got < done {
			return false, fmt.Errorf("writes_total says %d records, %d were acknowledged before", got, done)
		}
		newest = now
		counts := busy && done > was
		was = done
		return counts, nil
	})
}

func metric09(c *Case) {
	s := c.open()
	c.furnish(s)
	c.counts(s, "reads", metrics.Snapshot{}, func() {
		c.image(s)
		c.read(s, backend.Query{Stream: "a", Reverse: true})
		c.read(s, snapshotsOf("a"))
		c.head(s, "a")
		_, err := s.Snapshot(c.ctx, "a", 0)
		c.noError("Snapshot", err)
	})
}

func metric11(c *Case) {
	shared := new(metrics.Counters)
	shared.WritesTotal.Add(1000)
	for round := range 2 {
		s := c.open(func(o *backend.Options) { o.Counters = shared })
		c.check(s.Metrics() == shared, "the counters that were handed in", "others")
		c.put(s, unchecked("a", 3))
		want := uint64(1000 + 3*(round+1))
		got := s.Metrics().Snapshot().WritesTotal
		c.check(got == want, fmt.Sprint("writes_total ", want), "writes_total %d", got)
		c.check(s.Metrics() == shared, "the counters that were handed in", "others, after an append")
		c.close(s)
	}
	s := c.open()
	got := s.Metrics().Snapshot().WritesTotal
	c.check(got == 0, "counters of its own, from zero", "writes_total %d", got)
}

func metric12(c *Case) {
	s := c.open()
	b := identified(1, "a", 0, 2)
	c.counts(s, "the first sending", sized(b), func() { c.put(s, b) })
	c.counts(s, "the second sending", metrics.Snapshot{}, func() { c.put(s, b) })
	next := identified(2, "a", 2, 3)
	c.counts(s, "a batch twice in one AppendAll", sized(next), func() { c.putAll(s, []backend.Batch{next, next}) })
}
