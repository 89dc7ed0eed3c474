package conformance

import (
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/papyra-go/papyra/backend"
)

// The rules of COMPACT about crashes, failures and damage, which need seams, and about reports.

func compact15(c *Case) {
	store := seam[Crasher](c)
	s := c.openCompacting()
	floors := c.furnishCut(s)
	before := c.image(s)
	after := before.below(floors...)
	var acked atomic.Int32
	moments := c.cuts(store, 1, &acked, func() {
		c.compact(s, slices.Clone(floors)...)
		acked.Store(1)
	})
	c.close(s)
	for i := range moments {
		m := &moments[i]
		c.after(m, func(s Subject, now image) {
			if m.acked == 1 {
				c.eachStream(m.String(), now, after, after)
			} else {
				c.eachStream(m.String(), now, before, after)
			}
			report, err := s.Scan(c.ctx, nil)
			c.noError("Scan", err)
			c.check(report.Clean(), "a clean store", "%s: %v", m, few(report.Anomalies))
		})
	}
}

// furnishCut fills a store with streams and returns floors to cut them at.
func (c *Case) furnishCut(s Subject) []backend.StreamFloor {
	for i, name := range []string{"a", "b", "c", "d"} {
		for n := range 4 {
			c.put(s, expecting(name, backend.Version(3*n), 3))
		}
		c.snapshot(s, name, backend.Version(6+i), "snap")
	}
	c.put(s, unchecked(audits("sys"), 6))
	return []backend.StreamFloor{floorAt(audits("sys"), 4), floorAt("a", 7), deletion("b"), floorAt("d", 3)}
}

// eachStream fails the rule unless each stream is as in one of two images: a compaction
// that is cut off leaves each stream's floor as it was or as the cut says.
func (c *Case) eachStream(what string, now, one, other image) {
	for _, info := range one.streams {
		got, a, b := now.of(info.Name), one.of(info.Name), other.of(info.Name)
		if da, db := streamDifference(got, a), streamDifference(got, b); da != "" && db != "" {
			c.failf("the stream as it was before or after the cut", "%s: stream %q: %s; or %s", what, info.Name, da, db)
		}
	}
}

// of is what an image has of one stream. What lies below the floor is left out: bytes may
// go later than the floor rises, and a read of the store may meet them until then.
func (im image) of(stream string) (out image) {
	for _, info := range im.streams {
		if info.Name == stream {
			out.streams = append(out.streams, info)
		}
	}
	for _, r := range im.records {
		if r.Stream == stream && (len(out.streams) == 0 || r.Kind != backend.Snapshot && r.Version >= out.streams[0].Head.Floor) {
			out.records = append(out.records, r)
		}
	}
	return out
}

func streamDifference(got, want image) string {
	if d := listDifference(got.records, want.records); d != "" {
		return d
	}
	if fmt.Sprint(got.streams) != fmt.Sprint(want.streams) {
		return fmt.Sprintf("head %+v, want %+v", got.streams, want.streams)
	}
	return ""
}

func compact16(c *Case) {
	s := c.openCompacting()
	for _, op := range []Operation{OpWrite, OpSync} {
		if op == OpSync && !s.Capabilities().Durable {
			continue
		}
		floor := func() []backend.StreamFloor { // takes two of the oldest, and puts files in order
			c.put(s, unchecked(audits("sys"), 3))
			return []backend.StreamFloor{floorAt(audits("sys"), c.head(s, audits("sys")).Floor+2)}
		}
		c.put(s, unchecked("kept", 5))
		for n := 0; ; n++ {
			c.check(n < mostOperations, "a compaction that comes to an end", "%d operations of the medium and no end", n)
			floors := floor()
			before := c.image(s)
			after := before.below(floors...)
			hits, heal := c.fail(Fault{Op: op, Skip: n, Times: 1, Err: syscall.ENOSPC})
			err := c.tryCompact(s, floors...)
			met := hits() > 0
			heal()
			c.fit(s, err)
			if n%2 == 0 {
				s = c.reopen(s)
			}
			if err == nil {
				c.eachStream("after a compaction", c.image(s), after, after)
			} else {
				c.eachStream("after a compaction that failed", c.image(s), before, after)
				_, err := s.Append(c.ctx, unchecked("kept", 1))
				c.fit(s, err)
				c.compact(s, floors...)
			}
			report, err := s.Scan(c.ctx, nil)
			c.noError("Scan", err)
			c.check(report.Clean(), "a clean store", "%v", few(report.Anomalies))
			if !met {
				break
			}
		}
	}
}

func compact17(c *Case) {
	r, s, before := c.hurt()
	if !s.Capabilities().Compact {
		c.unsupported("the engine does not claim compaction")
	}
	for range 2 {
		if err := c.tryCompact(s); err != nil {
			c.wantError("a compaction of a damaged store", err, backend.ErrCorrupt)
		}
		c.keeps("after a compaction", c.survivors(s, r.want.streams), before)
		c.wantError("reading the streams across the damage", r.streams(s), backend.ErrCorrupt)
		report := c.scan(s, false)
		c.check(report.Damages > 0, "a scan that reports damage", "%s", few(anomalies(report)))
		s = c.reopen(s, unjudged)
	}
}

func compact18(c *Case) {
	s := c.openCompacting()
	for i := range 40 {
		for _, stream := range []string{"kept", "gone"} {
			c.put(s, backend.Batch{Stream: stream, Expected: backend.Version(i), Records: []backend.Record{{Type: "large", Payload: c.random(20 << 10), Time: someTime}}})
		}
	}
	report, err := s.Compact(c.ctx, backend.Cut{Floors: []backend.StreamFloor{deletion("gone")}})
	c.noError("Compact", err)
	c.check(report.RecordsAfter < report.RecordsBefore && report.BytesAfter < report.BytesBefore, "fewer records and bytes after than before", "%+v", report.CompactionStats)
}

func compact19(c *Case) {
	s := c.openCompacting()
	for _, stream := range []string{"a", "b", "gone"} {
		b := unchecked(stream, 10)
		for i := range b.Records {
			b.Records[i].Payload = c.random(2 << 10)
		}
		c.put(s, b)
		c.snapshot(s, stream, 4, "older")
		c.snapshot(s, stream, 8, "newest")
	}
	c.put(s, unchecked(audits("x"), 5))
	before := backend.CompactionStats{RecordsBefore: 41, RecordsAfter: 41}
	for round, floors := range [][]backend.StreamFloor{{floorAt(audits("x"), 3), floorAt("a", 7), deletion("gone")}, nil, {floorAt("b", 9)}, nil} {
		report, err := s.Compact(c.ctx, backend.Cut{Floors: floors})
		c.noError("Compact", err)
		left := c.read(s, backend.Query{Kinds: backend.AllKinds})
		now := report.CompactionStats
		c.note("compact %s: %+v, %d records are left", cutText(floors), now, len(left))
		if round == 0 {
			c.check(now.RecordsBefore == 41, "41 records before", "%d", now.RecordsBefore)
		}
		c.check(int64(len(left)) <= now.RecordsAfter && now.RecordsAfter <= now.RecordsBefore && now.RecordsBefore <= before.RecordsAfter,
			fmt.Sprintf("at most %d records before, and after no more than that and no fewer than the %d that are left", before.RecordsAfter, len(left)), "%d and %d", now.RecordsBefore, now.RecordsAfter)
		size := int64(0)
		for i := range left {
			size += int64(len(left[i].Payload))
		}
		c.check(min(now.BytesBefore, now.BytesAfter) >= size, fmt.Sprintf("at least the %d bytes of the payloads that are left", size), "%d before, %d after", now.BytesBefore, now.BytesAfter)
		before = now
	}
}
