package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/metrics"
)

func scanGroup() Group {
	corrupter, digester := []Seam{SeamCorrupter}, []Seam{SeamDigester}
	return Group{"SCAN", "What a scan finds, and what reads make of stored bytes that rot.", []Rule{
		{ID: "SCAN-01", Name: "a healthy store is clean", Requires: needs(intact, []ID{"APPEND-19", "APPEND-22", "OCC-01", "READ-13"}), Since: "0.4",
			Sentence: "A scan of a healthy store, quick or full, finds no damage and no warning: while it is empty, after every kind of write, and after opening again.",
			Check:    scan01},
		{ID: "SCAN-02", Name: "damage that a read meets is found", Capability: Durable, Seams: corrupter, Requires: []ID{"SCAN-04", "SCAN-08"}, Since: "0.4",
			Sentence: "Whatever stored byte is wrong, if any read is ErrCorrupt a full scan reports damage.",
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
		{ID: "SCAN-06", Name: "a scan does not stop at the first finding", Capability: Durable, Seams: corrupter, Requires: []ID{"SCAN-05", "SCAN-09"}, Since: "0.4",
			Sentence: "A scan of a store that is damaged in two places, each of which costs records, reports more than where only one is.",
			Check:    scan06},
		{ID: "SCAN-07", Name: "a scan ends with its context", Requires: []ID{"SCAN-01", "CTX-01"}, Since: "0.4",
			Sentence: "A scan whose context ends while it runs ends with the context's error, or was through by then.",
			Check:    scan07},
		{ID: "SCAN-08", Name: "no wrong byte is a lie", Capability: Durable, Seams: corrupter, Requires: sound, Since: "0.4",
			Sentence: "Whatever stored byte is wrong, an open, a read, a listing, a head and a snapshot each say what was stored or an error that wraps ErrCorrupt or ErrFormat, never other bytes, and never less; but for the end of the store where a scan calls it a torn tail.",
			Check:    scan08},
		{ID: "SCAN-09", Name: "a finding says where", Capability: Durable, Seams: corrupter, Requires: []ID{"SCAN-02"}, Since: "0.4",
			Sentence: "Of damage that a read meets, some finding names the place: a file and an offset, or the stream and the version, or the position.",
			Check:    scan09},
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
	before := c.last(s)
	s = c.reopen(s)
	if c.last(s) != before { // a store that ends with its backend
		return nil
	}
	return s
}

func scan07(c *Case) {
	s := c.open()
	for i := range 20 {
		b := unchecked(fmt.Sprint("s", i), 50)
		c.put(s, b)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	report, err := s.Scan(ctx, &backend.ScanOptions{Progress: func(int64, int64) { cancel() }})
	c.note("a scan whose context ends at its first progress: %s", errText(err))
	if err != nil {
		c.wantError("a scan whose context ends", err, context.Canceled)
	} else {
		c.check(report != nil && report.Clean(), "a clean report", "%+v", report)
	}
	ctx2, cancel2 := context.WithCancel(c.ctx)
	cancel2()
	_, err = s.Scan(ctx2, nil)
	c.wantError("a scan with a context that has ended", err, context.Canceled)
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

// rotten is a store of which one byte at a time is wrong.
type rotten struct {
	c     *Case
	store Corrupter
	bytes int64
	want  image
	snaps map[string]backend.Record

	judging bool // SCAN-08: whether reads lie
}

// rotting fills the store, closes it, and makes it ready to rot.
func (c *Case) rotting() *rotten {
	s := c.open()
	c.furnish(s)
	b := unchecked("b", 2)
	for i := range b.Records {
		b.Records[i].Payload = c.random(700)
	}
	c.put(s, b)
	c.put(s, unchecked("c", 3))
	r := &rotten{c: c, store: seam[Corrupter](c), want: c.image(s), snaps: map[string]backend.Record{}}
	for _, info := range r.want.streams {
		if snap, err := s.Snapshot(c.ctx, info.Name, 0); err == nil {
			r.snaps[info.Name] = snap
		}
	}
	c.close(s)
	r.measure()
	return r
}

// measure looks how many bytes can rot. The store is closed.
func (r *rotten) measure() {
	n, err := r.store.Bytes(r.c.ctx)
	if err != nil || n == 0 {
		r.c.unavailable("the harness has no bytes that could rot: %d, %v", n, err)
	}
	r.bytes = n
}

// rots is in how many places a store rots in a sweep.
const rots = 250

// each makes one byte after the other wrong, spread over the store, and calls look with
// the store as it is then; s is nil and err set if it does not open.
func (r *rotten) each(look func(at int64, s Subject, err error)) {
	n := min(r.bytes, rots)
	for k := range n {
		at := k*r.bytes/n + r.c.env.Rand.Int64N(max(1, r.bytes/n))
		mask := byte(1) << r.c.env.Rand.IntN(8)
		r.flip(at, mask)
		s, err := r.c.store.Open(r.c.ctx, backend.Options{ReadOnly: true, Startup: backend.Startup{Mode: backend.IgnoreAnomalies}})
		look(at, s, err)
		if err == nil {
			r.c.noError("Close", s.Close())
		}
		r.flip(at, mask)
	}
}

func (r *rotten) flip(at int64, mask byte) {
	if err := r.store.Flip(r.c.ctx, at, mask); err != nil {
		r.c.unavailable("the harness flips no byte: %v", err)
	}
}

// truth fails the rule unless err is nil or says that something is wrong.
func (r *rotten) truth(what string, err error) {
	if err != nil && !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, backend.ErrFormat) {
		r.lie("no error, or one that wraps ErrCorrupt or ErrFormat", "%s: %v", what, err)
	}
}

// lie fails SCAN-08; other rules are not about it.
func (r *rotten) lie(wanted, seen string, args ...any) {
	if r.judging {
		r.c.failf(wanted, seen, args...)
	}
}

// damaged reads all there is and returns whether any read met damage. Less than all is no
// lie where a scan takes the end of the store for a torn tail.
func (r *rotten) damaged(at int64, s Subject) (met bool) {
	c, torn, scanned := r.c, false, false
	isTorn := func() bool {
		if !scanned {
			scanned = true
			report, err := s.Scan(c.ctx, nil)
			torn = err == nil && slices.ContainsFunc(report.Anomalies, func(a backend.Anomaly) bool { return a.Code == backend.TornTail })
		}
		return torn
	}
	what := fmt.Sprintf("byte %d of %d wrong", at, r.bytes)
	records := func(q backend.Query, want []backend.Record) {
		got, err := collect(c.ctx, s, q)
		r.truth(what+": "+queryText(q), err)
		met = met || err != nil
		if d := listDifference(got, want[:min(len(got), len(want))]); d != "" {
			r.lie("what was stored, or ErrCorrupt", "%s: %s: %s", what, queryText(q), d)
		}
		if err == nil && len(got) < len(want) && !isTorn() {
			r.lie("all that was stored, or ErrCorrupt", "%s: %s: %d records without an error, want %d", what, queryText(q), len(got), len(want))
		}
	}
	records(backend.Query{Kinds: backend.AllKinds}, r.want.records)
	back, err := collect(c.ctx, s, backend.Query{Kinds: backend.AllKinds, Reverse: true})
	r.truth(what+": in reverse", err)
	slices.Reverse(back)
	if d := listDifference(back, r.want.records[len(r.want.records)-min(len(back), len(r.want.records)):]); d != "" && !isTorn() {
		r.lie("what was stored, or ErrCorrupt", "%s: in reverse: %s", what, d)
	}
	for _, info := range r.want.streams {
		records(backend.Query{Stream: info.Name}, r.want.of(info.Name).numbered())
		h, err := s.Head(c.ctx, info.Name)
		r.truth(what+": head", err)
		met = met || err != nil
		if err == nil && h != info.Head && !isTorn() {
			r.lie(fmt.Sprintf("head %+v, or ErrCorrupt", info.Head), "%s: head of %q: %+v", what, info.Name, h)
		}
		if want, ok := r.snaps[info.Name]; ok {
			snap, err := s.Snapshot(c.ctx, info.Name, 0)
			if !errors.Is(err, backend.ErrNotFound) || !isTorn() {
				r.truth(what+": snapshot", err)
			}
			if d := difference(&snap, &want); err == nil && d != "" && !isTorn() {
				r.lie("the newest snapshot, or ErrCorrupt", "%s: snapshot of %q: %s", what, info.Name, d)
			}
			met = met || errors.Is(err, backend.ErrCorrupt)
		}
	}
	list, err := collectStreams(c.ctx, s, backend.StreamQuery{})
	r.truth(what+": listing", err)
	met = met || err != nil
	if err == nil && len(list) != len(r.want.streams) && !isTorn() {
		r.lie(fmt.Sprint(len(r.want.streams), " streams, or ErrCorrupt"), "%s: %d streams", what, len(list))
	}
	return met
}

// numbered are an image's records without snapshots.
func (im image) numbered() (out []backend.Record) {
	for _, r := range im.records {
		if r.Kind != backend.Snapshot {
			out = append(out, r)
		}
	}
	return out
}

func scan08(c *Case) {
	r := c.rotting()
	r.judging = true
	met := 0
	r.each(func(at int64, s Subject, err error) {
		r.truth(fmt.Sprintf("open with byte %d of %d wrong", at, r.bytes), err)
		if err == nil && r.damaged(at, s) {
			met++
		}
	})
	if met == 0 {
		c.inconclusive("no byte of %d mattered to any read", min(r.bytes, rots))
	}
	c.unchanged(c.open(), r.want)
}

func scan02(c *Case) {
	r := c.rotting()
	r.each(func(at int64, s Subject, err error) {
		if err != nil || !r.damaged(at, s) {
			return
		}
		report := c.scan(s, false)
		c.check(report.Damages > 0, "a scan that reports damage", "byte %d of %d is wrong, reads are ErrCorrupt, and the scan reports %d damages, %d warnings, %d notices", at, r.bytes, report.Damages, report.Warnings, report.Notices)
	})
}

func scan09(c *Case) {
	r := c.rotting()
	r.each(func(at int64, s Subject, err error) {
		if err != nil || !r.damaged(at, s) {
			return
		}
		report := c.scan(s, false)
		placed := slices.ContainsFunc(report.Anomalies, func(a backend.Anomaly) bool {
			return a.Severity != backend.Notice && (a.File != "" && a.Offset >= 0 || a.Stream != "" && a.Version > 0 || a.Position > 0)
		})
		c.check(placed, "a finding with a place", "byte %d of %d is wrong: %v", at, r.bytes, few(report.Anomalies))
	})
}

// hurt makes a byte wrong that costs records, while the store is closed, and leaves it
// so. It returns where.
func (r *rotten) hurt() int64 {
	c := r.c
	for range 40 * rots {
		at := c.env.Rand.Int64N(r.bytes)
		r.flip(at, 0x41)
		if s, err := c.store.Open(c.ctx, backend.Options{ReadOnly: true, Startup: backend.Startup{Mode: backend.IgnoreAnomalies}}); err == nil {
			_, errAll := collect(c.ctx, s, backend.Query{Kinds: backend.AllKinds})
			report, errScan := s.Scan(c.ctx, nil)
			s.Close()
			if errors.Is(errAll, backend.ErrCorrupt) && errScan == nil && report.Damages > 0 {
				c.note("byte %d of %d is wrong: %v", at, r.bytes, errAll)
				return at
			}
		}
		r.flip(at, 0x41)
	}
	c.inconclusive("no wrong byte was found that costs a record and can be scanned")
	return 0
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
	for range 20 {
		one := r.hurt()
		alone := found()
		r.flip(one, 0x41)
		two := r.hurt()
		other := found()
		if slices.Equal(places(alone), places(other)) { // the same record twice
			r.flip(two, 0x41)
			continue
		}
		r.flip(one, 0x41)
		s, err := c.tryOpen(c.ctx, readOnly, unjudged)
		if err != nil { // both together are more than it opens with
			r.flip(one, 0x41)
			r.flip(two, 0x41)
			continue
		}
		both := c.scan(s, false)
		c.check(both.Damages > min(alone.Damages, other.Damages), fmt.Sprintf("more than the fewer of %d and %d damages", alone.Damages, other.Damages), "bytes %d and %d are wrong: %d damages: %s", one, two, both.Damages, few(anomalies(both)))
		return
	}
	c.inconclusive("no two wrong bytes were found with which the store opens")
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
