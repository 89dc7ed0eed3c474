package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/metrics"
)

func retentionGroup() Group {
	plans := needs(reads, []ID{"CLAIM-02", "READ-18", "APPEND-15", "APPEND-22"})
	bounds := []ID{"RET-01", "RET-02", "RET-03"}
	return Group{"RET", "Which cut a retention policy comes to. For backends that claim compaction.", []Rule{
		{ID: "RET-01", Name: "MaxRecords keeps the newest of each stream", Capability: Compacts, Requires: plans, Since: "0.3",
			Sentence: "MaxRecords n plans, for each stream of the policy's kind that holds more, the floor that leaves the newest n records, and nothing for other kinds.",
			Check:    ret01},
		{ID: "RET-02", Name: "MaxAge keeps what is not older", Capability: Compacts, Requires: needs(plans, []ID{"APPEND-16"}), Since: "0.3",
			Sentence: "MaxAge plans the floor after the oldest records that are older by the backend's clock, up to the first that is not; one exactly so old stays.",
			Check:    ret02},
		{ID: "RET-03", Name: "MaxBytes keeps the newest that fit", Capability: Compacts, Requires: plans, Since: "0.3",
			Sentence: "MaxBytes plans the floor that leaves the newest records whose sizes, counted as bytes_written, come to at most so many; what fits exactly stays, and nothing does if the newest alone is too large.",
			Check:    ret03},
		{ID: "RET-04", Name: "zero is no bound, and what makes no sense is ErrInvalid", Capability: Compacts, Requires: bounds, Since: "0.3",
			Sentence: "A zero field bounds nothing and a zero policy keeps everything; a negative field, and a kind that no stream holds, are ErrInvalid, in a plan and in Options.Retention.",
			Check:    ret04},
		{ID: "RET-05", Name: "all bounds of a policy hold", Capability: Compacts, Requires: bounds, Since: "0.3",
			Sentence: "With several bounds the plan has the lowest floor that keeps them all.",
			Check:    ret05},
		{ID: "RET-06", Name: "no plan passes a snapshot", Capability: Compacts, Requires: bounds, Since: "0.3",
			Sentence: "Of a stream of events a plan takes at most what its newest snapshot covers, and nothing where there is none.",
			Check:    ret06},
		{ID: "RET-07", Name: "no plan passes a hold", Capability: Compacts, Requires: needs(bounds, []ID{"COMPACT-07"}), Since: "0.3",
			Sentence: "A plan takes nothing above a held position.",
			Check:    ret07},
		{ID: "RET-08", Name: "a plan never lowers a floor", Capability: Compacts, Requires: needs(bounds, cuts), Since: "0.3",
			Sentence: "After a cut, a laxer policy and a clock that was set back plan nothing; a plan holds only streams that lose something.",
			Check:    ret08},
		{ID: "RET-09", Name: "what is planned is what a compaction makes", Capability: Compacts, Requires: []ID{"RET-05", "RET-06", "COMPACT-03"}, Since: "0.3",
			Sentence: "A planned cut is accepted, leaves what the policy says, and planning again then comes to nothing.",
			Check:    ret09},
		{ID: "RET-10", Name: "planning changes and counts nothing", Capability: Compacts, Requires: needs(bounds, []ID{"RET-06", "METRIC-09"}), Since: "0.3",
			Sentence: "PlanCut changes nothing and moves no counter; without a policy it plans by Options.Retention.",
			Check:    ret10},
	}}
}

// plans fails the rule unless the retention comes to exactly these floors. Their order
// is for RET-09.
func (c *Case) plans(s Subject, r backend.Retention, want ...backend.StreamFloor) {
	cut, err := s.PlanCut(c.ctx, r)
	c.note("plan %+v: %s, %s", r, cutText(cut.Floors), errText(err))
	c.noError("PlanCut", err)
	byName := func(a, b backend.StreamFloor) int { return strings.Compare(a.Stream, b.Stream) }
	got := slices.SortedFunc(slices.Values(cut.Floors), byName)
	slices.SortFunc(want, byName)
	c.check(slices.Equal(got, want), "floors "+cutText(want), "planned %s", cutText(got))
}

// ofAudits is a retention of audits alone.
func ofAudits(p backend.Policy) backend.Retention { return backend.Retention{backend.Audit: p} }

func ret01(c *Case) {
	s := c.openCompacting()
	dead := backend.SystemStream("x", backend.DeadLetter)
	c.put(s, unchecked(audits("x"), 5))
	c.put(s, unchecked(audits("y"), 3))
	c.put(s, unchecked(dead, 9))
	c.put(s, unchecked("a", 7))
	c.snapshot(s, "a", 7, "snap")
	c.plans(s, ofAudits(backend.Policy{MaxRecords: 3}), floorAt(audits("x"), 3))
	c.plans(s, ofAudits(backend.Policy{MaxRecords: 1}), floorAt(audits("x"), 5), floorAt(audits("y"), 3))
	c.plans(s, ofAudits(backend.Policy{MaxRecords: 5}))
	c.plans(s, backend.Retention{backend.Event: {MaxRecords: 2}}, floorAt("a", 6))
	c.plans(s, backend.Retention{backend.Event: {MaxRecords: 7}, backend.DeadLetter: {MaxRecords: 8}, backend.Lifecycle: {MaxRecords: 1}}, floorAt(dead, 2))
	c.plans(s, backend.Retention{})
}

// now is what the clock of backends opened with at says.
var now = time.Date(2024, 2, 29, 12, 0, 0, 5, time.UTC)

func at(t time.Time) func(*backend.Options) {
	return func(o *backend.Options) { o.Clock = func() time.Time { return t } }
}

// aged is a batch of records of such ages.
func aged(stream string, ages ...time.Duration) backend.Batch {
	b := unchecked(stream, len(ages))
	for i, age := range ages {
		b.Records[i].Time = now.Add(-age)
	}
	return b
}

func ret02(c *Case) {
	s := c.openCompacting(at(now))
	const h = time.Hour
	c.put(s, aged(audits("in-order"), 5*h, 4*h, 3*h, 2*h, h))
	c.put(s, aged(audits("old"), 5*h, 5*h))
	c.put(s, aged(audits("young"), 1, 0, -h))
	long := make([]time.Duration, 300) // more than a page
	for i := range long {
		long[i] = 9*h - time.Duration(i)*time.Minute
	}
	c.put(s, aged(audits("long"), long...))
	floors := func(v ...backend.Version) (floors []backend.StreamFloor) {
		for i, name := range []string{"in-order", "old", "young", "long"} {
			if v[i] > 0 {
				floors = append(floors, floorAt(audits(name), v[i]))
			}
		}
		return floors
	}
	c.plans(s, ofAudits(backend.Policy{MaxAge: 3 * h}), floors(3, 3, 0, 301)...)
	c.plans(s, ofAudits(backend.Policy{MaxAge: 3*h - 1}), floors(4, 3, 0, 301)...)
	c.plans(s, ofAudits(backend.Policy{MaxAge: 4*h + 30*time.Minute}), floors(2, 3, 0, 271)...)
	c.plans(s, ofAudits(backend.Policy{MaxAge: 5 * h}), floors(0, 0, 0, 241)...)
	c.plans(s, ofAudits(backend.Policy{MaxAge: 1<<63 - 1}))
	c.put(s, aged(audits("set-back"), 9*h, h, 9*h, 9*h))
	c.plans(s, ofAudits(backend.Policy{MaxAge: 9*h - 1}), floorAt(audits("long"), 2), floorAt(audits("set-back"), 2))
}

func ret03(c *Case) {
	s := c.openCompacting()
	b := unchecked(audits("x"), 4)
	meta, _ := backend.MakeMeta("key", "value")
	b.Records[3].Meta = meta
	b.Records[2].Payload = c.random(700 << 10) // larger than a page
	c.put(s, b)
	size := func(i int) (n int64) {
		for ; i < len(b.Records); i++ {
			r := b.Records[i]
			r.Stream = b.Stream
			n += int64(r.Size())
		}
		return n
	}
	for i := range b.Records {
		var fits, tooLarge []backend.StreamFloor
		if i > 0 {
			fits = append(fits, floorAt(b.Stream, backend.Version(i+1)))
		}
		tooLarge = append(tooLarge, floorAt(b.Stream, backend.Version(i+2)))
		c.plans(s, ofAudits(backend.Policy{MaxBytes: size(i)}), fits...)
		c.plans(s, ofAudits(backend.Policy{MaxBytes: size(i) - 1}), tooLarge...)
	}
	c.plans(s, ofAudits(backend.Policy{MaxBytes: 1}), floorAt(b.Stream, 5))
	c.plans(s, ofAudits(backend.Policy{MaxBytes: size(0) + 1}))
}

func ret04(c *Case) {
	s := c.openCompacting(at(now))
	c.put(s, aged(audits("x"), time.Hour, time.Hour, time.Hour))
	c.plans(s, ofAudits(backend.Policy{}))
	c.plans(s, backend.Retention{backend.DeadLetter: {MaxRecords: 1, MaxAge: 1, MaxBytes: 1}})
	odd := map[string]backend.Retention{
		"a negative MaxRecords":   ofAudits(backend.Policy{MaxRecords: -1}),
		"a negative MaxAge":       ofAudits(backend.Policy{MaxAge: -1}),
		"a negative MaxBytes":     {backend.Event: {MaxBytes: -1}},
		"a policy of snapshots":   {backend.Snapshot: {MaxRecords: 1}},
		"a policy of no kind":     {0: {}},
		"a policy of an odd kind": {77: {MaxRecords: 1}},
	}
	for what, r := range odd {
		_, err := s.PlanCut(c.ctx, r)
		c.wantError("planning with "+what, err, backend.ErrInvalid)
	}
	c.close(s)
	for what, r := range odd {
		_, err := c.tryOpen(c.ctx, func(o *backend.Options) { o.Retention = r })
		c.wantError("opening with "+what, err, backend.ErrInvalid)
	}
}

func ret05(c *Case) {
	s := c.openCompacting(at(now))
	const h = time.Hour
	b := aged(audits("x"), 6*h, 5*h, 4*h, 3*h, 2*h, h)
	c.put(s, b)
	one := int64(b.Size() / len(b.Records))
	for _, p := range []backend.Policy{{MaxRecords: 2, MaxAge: 4 * h, MaxBytes: 5 * one}, {MaxRecords: 3, MaxAge: 2 * h, MaxBytes: 3 * one}, {MaxRecords: 9, MaxAge: 3 * h, MaxBytes: 2 * one}, {MaxRecords: 2, MaxAge: 2 * h}, {MaxAge: 2 * h, MaxBytes: 9 * one}, {MaxRecords: 2, MaxBytes: 2 * one}} {
		c.plans(s, ofAudits(p), floorAt(b.Stream, 5))
	}
}

func ret06(c *Case) {
	s := c.openCompacting(at(now))
	ages := []time.Duration{6, 5, 4, 3, 2, 1, 0}
	for _, name := range []string{"none", "early", "late"} {
		c.put(s, aged(name, ages...))
	}
	c.snapshot(s, "early", 1, "snap")
	c.snapshot(s, "early", 3, "snap")
	c.snapshot(s, "early", 2, "saved late")
	c.snapshot(s, "late", 7, "snap")
	for _, p := range []backend.Policy{{MaxRecords: 2}, {MaxAge: 1}, {MaxBytes: int64(2*len("late") + 2*len("late.1") + 2*len("<late.1>"))}} {
		c.plans(s, backend.Retention{backend.Event: p}, floorAt("early", 4), floorAt("late", 6))
	}
	c.plans(s, backend.Retention{backend.Event: {MaxBytes: 1}}, floorAt("early", 4), floorAt("late", 8))
}

func ret07(c *Case) {
	s := c.openCompacting()
	x := audits("x")
	var positions []backend.Position
	for range 8 {
		positions = append(positions, c.put(s, unchecked(x, 1)).Position)
		c.put(s, unchecked("other", 1))
	}
	all := ofAudits(backend.Policy{MaxRecords: 1})
	far := c.hold(s, "far", positions[6])
	for i, p := range positions[:6] {
		near := c.hold(s, "near", p+backend.Position(i%2))
		if i == 0 {
			c.plans(s, all, floorAt(x, 2))
		} else {
			c.plans(s, all, floorAt(x, backend.Version(i+2)))
		}
		near()
	}
	before := c.hold(s, "before everything", positions[0]-1)
	c.plans(s, all)
	before()
	far()
	c.plans(s, all, floorAt(x, 8))
}

func ret08(c *Case) {
	clock := now
	s := c.openCompacting(func(o *backend.Options) { o.Clock = func() time.Time { return clock } })
	const h = time.Hour
	c.put(s, aged(audits("x"), 4*h, 3*h, 2*h, h))
	c.put(s, aged(audits("y"), 2*h))
	c.compact(s, floorAt(audits("x"), 3))
	for _, p := range []backend.Policy{{MaxRecords: 2}, {MaxRecords: 9}, {MaxAge: 2 * h}, {MaxAge: 9 * h}, {MaxBytes: 1 << 20}} {
		c.plans(s, ofAudits(p))
	}
	clock = now.Add(-9 * h)
	c.plans(s, ofAudits(backend.Policy{MaxAge: 1}))
	clock = now
	c.plans(s, ofAudits(backend.Policy{MaxAge: h}), floorAt(audits("x"), 4), floorAt(audits("y"), 2))
	c.compact(s, floorAt(audits("x"), 5), floorAt(audits("y"), 2))
	c.plans(s, ofAudits(backend.Policy{MaxAge: 1, MaxRecords: 1, MaxBytes: 1}))
}

func ret09(c *Case) {
	s := c.openCompacting(at(now))
	r := backend.Retention{backend.Audit: {MaxRecords: 7}, backend.Event: {MaxAge: time.Hour}, backend.DeadLetter: {MaxBytes: 300}}
	dead := backend.SystemStream("x", backend.DeadLetter)
	for i := range 20 {
		age := time.Duration(20-i) * 6 * time.Minute
		for _, name := range []string{audits("x"), audits("y"), dead, "a", "b", "c"} {
			c.put(s, aged(name, age, age))
		}
		if i%3 == 0 {
			c.snapshot(s, "a", backend.Version(2*i+1), "snap")
			c.snapshot(s, "c", 2, "snap")
		}
	}
	before := c.image(s)
	cut, err := s.PlanCut(c.ctx, r)
	c.note("plan %+v: %s", r, cutText(cut.Floors))
	c.noError("PlanCut", err)
	c.noError("Compact", c.tryCompact(s, cut.Floors...))
	c.unchanged(s, before.below(cut.Floors...))
	for name, floor := range map[string]backend.Version{audits("x"): 34, audits("y"): 34, "a": 21, "b": 1, "c": 3} {
		c.check(c.head(s, name).Floor == floor, fmt.Sprint("floor ", floor), "%q: head %+v", name, c.head(s, name))
	}
	var bytes int
	for _, r := range c.read(s, backend.Query{Stream: dead}) {
		bytes += r.Size()
	}
	c.check(bytes <= 300 && bytes > 200, "as many dead letters as fit into 300 bytes", "%d bytes", bytes)
	c.plans(s, r)
}

func ret10(c *Case) {
	r := ofAudits(backend.Policy{MaxRecords: 1})
	s := c.openCompacting(func(o *backend.Options) { o.Retention = r })
	c.put(s, unchecked(audits("x"), 3))
	c.put(s, unchecked("a", 3))
	c.snapshot(s, "a", 3, "snap")
	before := c.image(s)
	c.counts(s, "planning", metrics.Snapshot{}, func() {
		c.plans(s, nil, floorAt(audits("x"), 3))
		c.plans(s, backend.Retention{})
		c.plans(s, backend.Retention{backend.Event: {MaxRecords: 1}}, floorAt("a", 3))
		c.plans(s, nil, floorAt(audits("x"), 3))
	})
	c.unchanged(s, before)
}
