package conformance

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
)

// sound is what the rules about faults rest on: a store that is right while all is well.
var sound = needs(survives, reads, []ID{"OPEN-03", "OPEN-09", "OPEN-10", "OPEN-11", "APPEND-09", "OCC-01", "READ-17", "READ-18", "SCAN-01"})

func crashGroup() Group {
	crasher, killer := []Seam{SeamCrasher}, []Seam{SeamKiller}
	return Group{"CRASH", "What is there after a power cut and after SIGKILL. For backends that claim durability.", []Rule{
		{ID: "CRASH-01", Name: "what was acknowledged survives a power cut", Capability: Durable, Seams: crasher, Requires: []ID{"CRASH-03", "CRASH-06"}, Since: "0.4",
			Sentence: "Whichever change to the medium the power is cut before, every batch and snapshot that was acknowledged until then is there, identical and in its place, whatever became of changes that were not synced.",
			Check:    crash01},
		{ID: "CRASH-02", Name: "what was not acknowledged is whole or absent", Capability: Durable, Seams: crasher, Requires: []ID{"CRASH-01"}, Since: "0.4",
			Sentence: "A batch whose append the power cut has interrupted is there wholly, with the numbers that it would have had, or not at all.",
			Check:    crash02},
		{ID: "CRASH-03", Name: "a store opens after a power cut", Capability: Durable, Seams: crasher, Requires: sound, Since: "0.4",
			Sentence: "Whichever change to the medium the power is cut before, also while the store is made, it opens with the default startup check, and a scan is clean.",
			Check:    crash03},
		{ID: "CRASH-04", Name: "a store goes on after a power cut", Capability: Durable, Seams: crasher, Requires: []ID{"CRASH-02"}, Since: "0.4",
			Sentence: "Appends after a power cut get the versions that follow and positions above all that are there, and they and what was there before are there after reopening.",
			Check:    crash04},
		{ID: "CRASH-05", Name: "what was acknowledged survives SIGKILL", Capability: Durable, Seams: killer, Requires: []ID{"LOCK-03"}, Since: "0.4",
			Sentence: "After SIGKILL of a process that appends, again and again, all that it saw acknowledged is there, in whole batches without a gap.",
			Check:    crash05},
		{ID: "CRASH-06", Name: "a new store's names are durable", Capability: Durable, Seams: crasher, Requires: []ID{"CRASH-03"}, Since: "0.4",
			Sentence: "The first record that a new store acknowledges is there after a power cut that keeps nothing but what was synced.",
			Check:    crash06},
		{ID: "CRASH-08", Name: "a power cut while opening after one loses nothing", Capability: Durable, Seams: crasher, Requires: []ID{"CRASH-04"}, Since: "0.4",
			Sentence: "A power cut while a store is opened after a power cut leaves what the first has left: opening again comes to the same.",
			Check:    crash08},
	}}
}

// moment is a store as a power cut has left it.
type moment struct {
	n       int // which change the power was cut before
	percent int // of the unsynced changes that were kept
	acked   int // steps that had been acknowledged
	store   Store
}

func (m *moment) String() string {
	return fmt.Sprintf("power cut before change %d, %d%% of what was not synced kept, %d steps acknowledged", m.n, m.percent, m.acked)
}

// kept are the shares of what was not synced that power cuts keep: nothing, all, and
// enough in between to tear nearly every batch of several records at least once.
var kept = []int{0, 50, 60, 75, 100}

// cuts runs work over the store, and cuts the power before each change that it makes
// to the medium, and after the last, keeping each of the shares.
// There must be so many changes at least: one for each step.
func (c *Case) cuts(store Crasher, least int, acked *atomic.Int32, work func()) (moments []moment) {
	var mu sync.Mutex
	var failed error
	n := 0
	cut := func() {
		mu.Lock()
		defer mu.Unlock()
		n++
		for _, percent := range kept {
			m := moment{n: n, percent: percent, acked: int(acked.Load())}
			var err error
			if m.store, err = store.Crash(c.ctx, percent, c.env.Rand); err != nil {
				failed = err
				return
			}
			moments = append(moments, m)
		}
	}
	store.Changing(cut)
	work()
	store.Changing(nil)
	cut()
	if failed != nil {
		c.unavailable("the harness cuts no power: %v", failed)
	}
	if n-1 < least {
		c.inconclusive("only %d changes of the medium were seen: want %d, one for each step, at least", n-1, least)
	}
	return moments
}

// history is a workload of steps, of which each is one append or snapshot, and the
// store's image after each.
type history struct {
	acked  atomic.Int32
	images []image // one more than steps
}

// live runs the workload on a fresh store, and cuts the power again and again.
func (c *Case) live(h *history) []moment {
	store := seam[Crasher](c)
	var s Subject
	moments := c.cuts(store, 10, &h.acked, func() {
		s = c.openAt(store.(Store))
		h.images = append(h.images, c.image(s))
		for _, step := range c.steps10(s) {
			step()
			h.acked.Add(1)
			h.images = append(h.images, c.image(s))
		}
	})
	c.close(s)
	return moments
}

// steps10 are appends of several sizes to several streams, and snapshots.
func (c *Case) steps10(s Subject) (steps []func()) {
	put := func(b backend.Batch) { steps = append(steps, func() { c.put(s, b) }) }
	large := expecting("b", 2, 3)
	for i := range large.Records {
		large.Records[i].Payload = c.random(3000)
	}
	put(expecting("a", 0, 5))
	put(expecting("b", 0, 2))
	put(expecting("a", 5, 6))
	steps = append(steps, func() { c.snapshot(s, "a", 3, "snap3") })
	put(large)
	put(unchecked(audits("sys"), 2))
	put(expecting("a", 11, 1))
	steps = append(steps, func() { c.snapshot(s, "b", 5, "snap5") })
	put(expecting("c", 0, 6))
	put(expecting("a", 12, 4))
	return steps
}

// after opens what a power cut has left, looks at it and closes it.
func (c *Case) after(m *moment, look func(s Subject, now image)) {
	c.note("%s", m)
	s := c.openAt(m.store)
	look(s, c.image(s))
	c.close(s)
}

func crash03(c *Case) {
	var h history
	moments := c.live(&h)
	left := map[int]int{} // records, by the change that the power was cut before
	bites := false
	for i := range moments {
		m := &moments[i]
		c.after(m, func(s Subject, now image) {
			report, err := s.Scan(c.ctx, nil)
			c.noError("Scan", err)
			c.check(report.Clean(), "a clean store", "%v", few(report.Anomalies))
			n, seen := left[m.n]
			bites = bites || seen && n != len(now.records)
			left[m.n] = len(now.records)
		})
	}
	if !bites {
		c.inconclusive("no power cut of %d lost anything that was not synced: either nothing ever is unsynced, or the harness's Crash cuts nothing", len(moments))
	}
}

func crash06(c *Case) {
	store := seam[Crasher](c)
	s := c.open()
	c.put(s, expecting("a", 0, 2))
	want := c.image(s)
	left, err := store.Crash(c.ctx, 0, c.env.Rand)
	if err != nil {
		c.unavailable("the harness cuts no power: %v", err)
	}
	c.after(&moment{n: 1, acked: 1, store: left}, func(_ Subject, now image) {
		c.same("the new store", now.records, want.records)
	})
}

func crash01(c *Case) {
	var h history
	moments := c.live(&h)
	for i := range moments {
		m := &moments[i]
		c.after(m, func(_ Subject, now image) {
			acked := h.images[m.acked].records
			c.check(len(now.records) >= len(acked), fmt.Sprintf("the %d records that were acknowledged", len(acked)), "%s: %d records", m, len(now.records))
			c.same(m.String(), now.records[:len(acked)], acked)
		})
	}
}

func crash02(c *Case) {
	var h history
	moments := c.live(&h)
	for i := range moments {
		m := &moments[i]
		c.after(m, func(_ Subject, now image) { c.oneOf(m.String(), now, h.possible(m)) })
	}
}

// possible are the images that a power cut may leave.
func (h *history) possible(m *moment) []image {
	return h.images[m.acked:min(m.acked+2, len(h.images))]
}

// oneOf fails the rule unless a store reads as one of the images.
func (c *Case) oneOf(what string, now image, images []image) {
	var differ []string
	for i := range images {
		d := listDifference(now.records, images[i].records)
		if d == "" && fmt.Sprint(now.streams) != fmt.Sprint(images[i].streams) {
			d = "streams " + few(now.streams) + ", want " + few(images[i].streams)
		}
		if d == "" {
			return
		}
		differ = append(differ, d)
	}
	c.failf("the store as it was before or after the step that was cut off", "%s: %s", what, strings.Join(differ, "; or "))
}

func crash04(c *Case) {
	var h history
	moments := c.live(&h)
	for i := range moments {
		m := &moments[i]
		c.note("%s", m)
		s := c.openAt(m.store)
		before := c.image(s)
		at := c.head(s, "a").Version
		for n := range backend.Version(2) {
			res := c.put(s, expecting("a", at+n, 1))
			c.check(res.Version == at+n+1 && res.Position > before.last, fmt.Sprintf("version %d above position %d", at+n+1, before.last), "%s: %+v", m, res)
			before.last = res.Position
		}
		want := c.image(s)
		c.check(len(want.records) == len(before.records)+2, "two records more", "%s: %d records, were %d", m, len(want.records), len(before.records))
		c.same(m.String(), want.records[:len(before.records)], before.records)
		c.close(s)
		s = c.openAt(m.store)
		c.unchanged(s, want)
		c.close(s)
	}
}

func crash08(c *Case) {
	var h history
	moments := c.live(&h)
	for i := range moments {
		m := &moments[i]
		store, ok := m.store.(Crasher)
		if !ok {
			c.unavailable("what the harness leaves after a power cut is no Crasher")
		}
		if m.percent == 0 || m.percent == 100 { // nothing is torn
			continue
		}
		c.note("%s", m)
		inner := c.innerCuts(store, func() {
			s := c.openAt(m.store)
			c.close(s)
		})
		for j := range inner {
			c.after(&inner[j], func(_ Subject, now image) {
				c.oneOf(fmt.Sprintf("%s; and again, %s", m, &inner[j]), now, h.possible(m))
			})
		}
	}
}

// mostInner is how many of the cuts inside of an opening are looked at.
const mostInner = 5

// innerCuts is cuts where there may be nothing to change. Of more than mostInner
// changes, any are as likely to be among those that are kept.
func (c *Case) innerCuts(store Crasher, work func()) (moments []moment) {
	var mu sync.Mutex
	n := 0
	store.Changing(func() {
		mu.Lock()
		defer mu.Unlock()
		n++
		at := n - 1
		if n > mostInner {
			at = c.env.Rand.IntN(n)
		}
		if at >= mostInner {
			return
		}
		m := moment{n: n, percent: kept[n%len(kept)]}
		var err error
		if m.store, err = store.Crash(c.ctx, m.percent, c.env.Rand); err != nil {
			return
		}
		if at < len(moments) {
			moments[at] = m
		} else {
			moments = append(moments, m)
		}
	})
	work()
	store.Changing(nil)
	return moments
}

// kills is how often a child is killed.
const kills = 10

func crash05(c *Case) {
	acked := backend.Version(0)
	for round := range kills {
		ch := c.spawned()
		if _, err := fmt.Fprintln(ch.p.Stdin, sayAppend); err != nil {
			c.unavailable("the other process does not listen: %v", err)
		}
		before := acked
		hear := func(line string) bool {
			if _, err := fmt.Sscanf(line, saidAcked+" %d", &acked); err != nil && line != "" {
				c.check(!strings.HasPrefix(line, saidError), "appends", "the other process says %q", line)
				return false // a line that the kill has cut
			}
			return line != ""
		}
		for n := 1 + c.env.Rand.IntN(20); n > 0 && hear(ch.says()); n-- {
		}
		done := make(chan struct{})
		go func() { defer close(done); ch.kill() }()
		for hear(ch.says()) {
		}
		<-done
		c.note("killed after %d records were acknowledged, %d of them in this life", acked, acked-before)
		c.check(acked > before, "acknowledged appends", "none in round %d", round)
		s := c.open()
		got := c.read(s, backend.Query{Stream: childStream})
		c.check(len(got) >= int(acked), fmt.Sprint(acked, " acknowledged records"), "%d", len(got))
		c.check(len(got)%childBatch == 0, fmt.Sprintf("whole batches of %d", childBatch), "%d records", len(got))
		for i := range got {
			v := backend.Version(i + 1)
			c.check(got[i].Version == v && got[i].Type == childType(v), fmt.Sprintf("record %s at version %d", childType(v), v), "%s at version %d", got[i].Type, got[i].Version)
		}
		acked = backend.Version(len(got))
		c.close(s)
	}
}
