package conformance

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/papyra-go/papyra/backend"
)

func recoverGroup() Group {
	corrupter := []Seam{SeamCorrupter}
	return Group{"RECOVER", "What recovery does about damage: nothing is guessed, nothing is lost beside it.", []Rule{
		{ID: "RECOVER-01", Name: "Ignore and dry runs change nothing", Capability: Repairs, Seams: []Seam{SeamCorrupter, SeamDigester}, Requires: []ID{"SCAN-03", "SCAN-05", "CLAIM-02"}, Since: "0.4",
			Sentence: "Recovery of a damaged store with Ignore, and every dry run, changes no stored byte.",
			Check:    recover01},
		{ID: "RECOVER-02", Name: "after a quarantine a scan is clean", Capability: Quarantines, Seams: corrupter, Requires: []ID{"SCAN-05", "CLAIM-02"}, Since: "0.4",
			Sentence: "Quarantine of a damaged store succeeds; a scan is clean then, in the report and by itself, and the store opens with the default startup check.",
			Check:    recover02},
		{ID: "RECOVER-03", Name: "a quarantine keeps every healthy record", Capability: Quarantines, Seams: corrupter, Requires: []ID{"RECOVER-02"}, Since: "0.4",
			Sentence: "Every record that could be read beside the damage, from either side of it and stream by stream, can be read after a quarantine, identical.",
			Check:    recover03},
		{ID: "RECOVER-04", Name: "a quarantine invents nothing, and hides no gap", Capability: Quarantines, Seams: corrupter, Requires: []ID{"RECOVER-03"}, Since: "0.4",
			Sentence: "What can be read after a quarantine was stored before, with the same numbers; a read of a stream across what was lost is ErrCorrupt, not a gap.",
			Check:    recover04},
		{ID: "RECOVER-05", Name: "damaged bytes are saved", Capability: Quarantines, Seams: corrupter, Requires: []ID{"RECOVER-04"}, Since: "0.4",
			Sentence: "A quarantine that gives records up says where it has saved the bytes.",
			Check:    recover05},
		{ID: "RECOVER-06", Name: "a dry run reports what is done then", Capability: Quarantines, Seams: corrupter, Requires: []ID{"RECOVER-01", "RECOVER-02"}, Since: "0.4",
			Sentence: "A dry run reports the actions, in order, that the quarantine then takes.",
			Check:    recover06},
		{ID: "RECOVER-07", Name: "recovering twice is recovering once", Capability: Quarantines, Seams: corrupter, Requires: []ID{"RECOVER-04"}, Since: "0.4",
			Sentence: "A second quarantine has nothing to do, and changes nothing that can be read.",
			Check:    recover07},
		{ID: "RECOVER-08", Name: "a power cut inside a recovery costs nothing more", Capability: Quarantines, Seams: []Seam{SeamCorrupter, SeamCrasher}, Requires: []ID{"RECOVER-07", "CRASH-04"}, Since: "0.4",
			Sentence: "Whichever change of a quarantine the power is cut before, quarantine again comes to a clean store with the same records.",
			Check:    recover08},
		{ID: "RECOVER-09", Name: "appends go on after a quarantine", Capability: Quarantines, Seams: corrupter, Requires: []ID{"RECOVER-04"}, Since: "0.4",
			Sentence: "After a quarantine healthy streams go on with the version that follows, at positions above every one ever given, and so they do after opening again.",
			Check:    recover09},
		{ID: "RECOVER-12", Name: "a quarantine on a full disk loses nothing", Capability: Quarantines, Seams: []Seam{SeamCorrupter, SeamFaulter}, Requires: []ID{"RECOVER-04", "FAULT-01"}, Since: "0.4",
			Sentence: "A quarantine that finds no space is an error and costs no record that could be read; when there is space it succeeds.",
			Check:    recover12},
		{ID: "RECOVER-13", Name: "a repair leaves what it can't mend, and says so", Capability: Repairs, Seams: corrupter, Requires: []ID{"SCAN-05", "CLAIM-02"}, Since: "0.4",
			Sentence: "Repair of damage in the middle loses no record that could be read; if it does not say that the store is clean then, a scan finds what it says was left, and if it does, everything is there.",
			Check:    recover13},
	}}
}

// survivors are the records that can be read around damage: of the store and of each
// stream, from both sides.
func (c *Case) survivors(s Subject, streams []backend.StreamInfo) map[backend.Position]backend.Record {
	found := map[backend.Position]backend.Record{}
	add := func(q backend.Query) {
		records, _ := collect(c.ctx, s, q)
		for _, r := range records {
			found[r.Position] = r
		}
	}
	for _, reverse := range []bool{false, true} {
		add(backend.Query{Kinds: backend.AllKinds, Reverse: reverse})
		for _, info := range streams {
			add(backend.Query{Stream: info.Name, Reverse: reverse})
			add(backend.Query{Stream: info.Name, Reverse: reverse, Kinds: backend.KindSet(backend.Snapshot)})
		}
	}
	return found
}

// keeps fails the rule unless all of before is among now, identical.
func (c *Case) keeps(what string, now, before map[backend.Position]backend.Record) {
	for p, want := range before {
		got, ok := now[p]
		c.check(ok, fmt.Sprintf("the record at position %d, stream %q version %d, which could be read", p, want.Stream, want.Version), "%s: it can't be read", what)
		if d := difference(&got, &want); d != "" {
			c.failf("the record as it was", "%s: position %d: %s", what, p, d)
		}
	}
}

// quarantined is a store that was damaged and put in order.
func (c *Case) quarantined() (r *rotten, s Subject, before map[backend.Position]backend.Record, report *backend.RecoveryReport) {
	r = c.rotting()
	r.hurt()
	s = c.open(unjudged)
	before = c.survivors(s, r.want.streams)
	return r, s, before, c.quarantine(s)
}

func (c *Case) quarantine(s Subject) *backend.RecoveryReport {
	report, err := s.Recover(c.ctx, backend.RecoveryOptions{Mode: backend.Quarantine})
	c.note("quarantine: %s", errText(err))
	c.noError("Recover with Quarantine", err)
	return report
}

func recover01(c *Case) {
	r := c.rotting()
	r.hurt()
	s := c.open(readOnly, unjudged)
	before := c.digest()
	options := []backend.RecoveryOptions{{}, {Mode: backend.Repair, DryRun: true}}
	if s.Capabilities().Quarantine {
		options = append(options, backend.RecoveryOptions{Mode: backend.Quarantine, DryRun: true})
	}
	for _, o := range options {
		report, err := s.Recover(c.ctx, o)
		c.noError(fmt.Sprintf("Recover with %v, dry %v", o.Mode, o.DryRun), err)
		c.check(!report.Before.Clean(), "a report of the damage", "Recover with %v says that the store is clean", o.Mode)
		c.check(c.digest() == before, "the same digest", "another one after Recover with %v, dry %v", o.Mode, o.DryRun)
	}
}

func recover02(c *Case) {
	_, s, _, report := c.quarantined()
	c.check(!report.Before.Clean() && len(report.Actions) > 0, "damage before, and actions", "clean before: %v, %d actions", report.Before.Clean(), len(report.Actions))
	c.check(report.After != nil && report.After.Clean(), "a clean store in the report", "%+v", report.After)
	now := c.scan(s, false)
	c.check(now.Clean(), "a clean store", "%s", few(anomalies(now)))
	s = c.reopen(s)
	now = c.scan(s, false)
	c.check(now.Clean(), "a clean store after opening again", "%s", few(anomalies(now)))
}

func recover03(c *Case) {
	r, s, before, _ := c.quarantined()
	c.keeps("after a quarantine", c.survivors(s, r.want.streams), before)
	s = c.reopen(s)
	c.keeps("after a quarantine and opening again", c.survivors(s, r.want.streams), before)
}

// byPosition is an image's records by position.
func (im image) byPosition() map[backend.Position]backend.Record {
	out := map[backend.Position]backend.Record{}
	for _, r := range im.records {
		out[r.Position] = r
	}
	return out
}

func recover04(c *Case) {
	r, s, _, _ := c.quarantined()
	c.keeps("what can be read after a quarantine, among what was stored", r.want.byPosition(), c.survivors(s, r.want.streams))
	for _, info := range r.want.streams {
		got, err := collect(c.ctx, s, backend.Query{Stream: info.Name})
		if err != nil {
			c.wantError("a stream after a quarantine", err, backend.ErrCorrupt)
		}
		for i := range got {
			want := max(info.Head.Floor, 1) + backend.Version(i)
			c.check(got[i].Version == want, fmt.Sprintf("version %d, or ErrCorrupt", want), "stream %q goes on with version %d", info.Name, got[i].Version)
		}
		h, headErr := s.Head(c.ctx, info.Name)
		if err == nil && headErr == nil {
			n := len(got)
			c.check(n == 0 || h.Version == got[n-1].Version, "a head that the records reach, or ErrCorrupt", "stream %q: head %+v, %d records", info.Name, h, n)
		}
	}
}

func recover05(c *Case) {
	r, s, _, report := c.quarantined()
	for range 20 { // an engine may mend what hits no record
		if len(c.survivors(s, r.want.streams)) < len(r.want.records) {
			saved := slices.ContainsFunc(report.Actions, func(a backend.RecoveryAction) bool { return a.Saved != "" })
			c.check(saved, "an action that says where bytes were saved", "%+v", report.Actions)
			return
		}
		c.close(s)
		r.measure()
		r.hurt()
		s = c.open(unjudged)
		report = c.quarantine(s)
	}
	c.inconclusive("the damage could be mended: no record was given up")
}

// plan is what an action does, without what is only known when it is done.
func plan(actions []backend.RecoveryAction) (out []string) {
	for _, a := range actions {
		out = append(out, fmt.Sprintf("%s %s offset %d length %d", a.Action, a.File, a.Offset, a.Length))
	}
	return out
}

func recover06(c *Case) {
	r := c.rotting()
	r.hurt()
	s := c.open(unjudged)
	dry, err := s.Recover(c.ctx, backend.RecoveryOptions{Mode: backend.Quarantine, DryRun: true})
	c.noError("a dry run", err)
	done := c.quarantine(s)
	c.check(slices.Equal(plan(dry.Actions), plan(done.Actions)), "the actions of the dry run: "+few(plan(dry.Actions)), "%s", few(plan(done.Actions)))
}

func recover07(c *Case) {
	r, s, _, _ := c.quarantined()
	first := c.survivors(s, r.want.streams)
	for range 2 {
		report := c.quarantine(s)
		c.check(report.Before.Clean() && len(report.Actions) == 0, "a clean store and nothing to do", "the next quarantine: %s", few(plan(report.Actions)))
		now := c.survivors(s, r.want.streams)
		c.keeps("after the next quarantine", now, first)
		c.check(len(now) == len(first), fmt.Sprint(len(first), " records"), "%d", len(now))
		s = c.reopen(s)
	}
}

func recover08(c *Case) {
	r := c.rotting()
	r.hurt()
	s := c.open(unjudged)
	before := c.survivors(s, r.want.streams)
	store := seam[Crasher](c)
	moments := c.innerCuts(store, func() { c.quarantine(s) })
	c.close(s)
	for i := range moments {
		m := &moments[i]
		c.note("%s", m)
		s := c.openAt(m.store, unjudged)
		c.quarantine(s)
		report := c.scan(s, false)
		c.check(report.Clean(), "a clean store", "%s: %s", m, few(anomalies(report)))
		now := c.survivors(s, r.want.streams)
		c.keeps(m.String(), now, before)
		c.keeps(m.String()+": what can be read, among what was stored", r.want.byPosition(), now)
		c.close(s)
	}
}

func recover09(c *Case) {
	r, s, _, _ := c.quarantined()
	last, tried := r.want.last, 0
	for _, info := range r.want.streams {
		h, err := s.Head(c.ctx, info.Name)
		got, readErr := collect(c.ctx, s, backend.Query{Stream: info.Name})
		if err != nil || readErr != nil || h != info.Head || len(got) == 0 {
			continue
		}
		tried++
		for n := range backend.Version(2) {
			b := unchecked(info.Name, 1)
			b.Epoch = h.Epoch
			res := c.put(s, b)
			c.check(res.Version == h.Version+n+1 && res.Position > last, fmt.Sprintf("version %d above position %d", h.Version+n+1, last), "stream %q: %+v", info.Name, res)
			last = res.Position
			s = c.reopen(s)
		}
	}
	if tried == 0 {
		c.inconclusive("no stream was left healthy")
	}
	report := c.scan(s, false)
	c.check(report.Clean(), "a clean store", "%s", few(anomalies(report)))
}

func recover12(c *Case) {
	r := c.rotting()
	r.hurt()
	s := c.open(unjudged)
	before := c.survivors(s, r.want.streams)
	for n := 0; ; n++ {
		c.check(n < mostOperations, "a quarantine that comes to an end", "%d operations of the medium and no end", n)
		hits, heal := c.fail(Fault{Op: OpWrite, Skip: n, Err: syscall.ENOSPC})
		_, err := s.Recover(c.ctx, backend.RecoveryOptions{Mode: backend.Quarantine})
		c.note("quarantine with space for %d writes: %s", n, errText(err))
		met := hits() > 0
		heal()
		if met && err == nil && n == 0 {
			c.failf("an error", "no error though nothing could be written")
		}
		if err != nil && !met {
			c.noError("a quarantine that met no fault", err)
		}
		c.fit(s, err)
		s = c.reopen(s, unjudged)
		c.keeps(fmt.Sprintf("after a quarantine with space for %d writes", n), c.survivors(s, r.want.streams), before)
		if err == nil {
			break
		}
		if !errors.Is(err, backend.ErrNoSpace) && !errors.Is(err, backend.ErrPoisoned) {
			c.wantError("a quarantine on a full disk", err, backend.ErrNoSpace)
		}
	}
	report := c.scan(s, false)
	c.check(report.Clean(), "a clean store", "%s", few(anomalies(report)))
}

func recover13(c *Case) {
	r := c.rotting()
	r.hurt()
	s := c.open(unjudged)
	before := c.survivors(s, r.want.streams)
	report, err := s.Recover(c.ctx, backend.RecoveryOptions{Mode: backend.Repair})
	c.noError("Recover with Repair", err)
	c.check(!report.Before.Clean() && report.After != nil, "damage before, and a report after", "%+v", report)
	now := c.survivors(s, r.want.streams)
	c.keeps("after a repair", now, before)
	found := anomalies(c.scan(s, false))
	c.check(slices.Equal(found, anomalies(report.After)), "what the repair says it has left: "+few(anomalies(report.After)), "a scan finds %s", few(found))
	if report.After.Clean() {
		c.check(len(now) == len(r.want.records), fmt.Sprint(len(r.want.records), " records, as the store is clean"), "%d", len(now))
	}
}
