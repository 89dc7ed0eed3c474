package conformance

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/papyra-go/papyra/backend"
)

func faultGroup() Group {
	faulter := []Seam{SeamFaulter}
	return Group{"FAULT", "What a backend does when its medium fails.", []Rule{
		{ID: "FAULT-01", Name: "a full disk is ErrNoSpace", Seams: faulter, Requires: sound, Since: "0.4",
			Sentence: "While writes find no space an append is ErrNoSpace and nothing of it is stored, reads go on, and appends work again when there is space, without reopening.",
			Check:    fault01},
		{ID: "FAULT-02", Name: "a short write leaves no half batch", Seams: faulter, Requires: []ID{"FAULT-05"}, Since: "0.4",
			Sentence: "A batch of which the medium took a part is refused and nothing of it is there, also after reopening, unless its outcome was unknown: then all or nothing.",
			Check:    fault02},
		{ID: "FAULT-03", Name: "after a failed sync nothing is acknowledged", Capability: Durable, Seams: faulter, Requires: sound, Since: "0.4",
			Sentence: "An append whose sync fails is ErrPoisoned, and so is every later one, though the medium works again, until Reopen; reads of what was acknowledged go on.",
			Check:    fault03},
		{ID: "FAULT-04", Name: "a read error is an error", Seams: faulter, Requires: sound, Since: "0.4",
			Sentence: "While the medium does not read, a read yields what it yields otherwise or ends with an error, never early without one, and an opening changes nothing.",
			Check:    fault04},
		{ID: "FAULT-05", Name: "one failure anywhere loses nothing", Seams: faulter, Requires: []ID{"FAULT-01"}, Since: "0.4",
			Sentence: "Whichever write or sync of an append fails, what was acknowledged stays, what was definitely refused is absent also after reopening, and appends go on, after Reopen at the latest.",
			Check:    fault05},
		{ID: "FAULT-06", Name: "an open outcome is ErrUnknownOutcome", Capability: Durable, Seams: faulter, Requires: needs([]ID{"FAULT-03", "IDEM-01"}), Since: "0.4",
			Sentence: "Where a failed sync leaves open whether a batch is stored, the error is ErrUnknownOutcome, and the batch sent again with its ID after Reopen is there once.",
			Check:    fault06},
		{ID: "FAULT-07", Name: "a lasting failure is answered at once", Seams: faulter, Requires: []ID{"FAULT-01"}, Since: "0.4",
			Sentence: "While every write fails an append is answered with an error after few attempts.",
			Check:    fault07},
	}}
}

// fail puts a fault in force. It ends with the check at the latest.
func (c *Case) fail(f Fault) (hits func() int, heal func()) {
	hits, heal, err := seam[Faulter](c).Fail(f)
	if errors.Is(err, errors.ErrUnsupported) {
		c.unsupported(fmt.Sprintf("the medium knows no %s that could fail", f.Op))
	}
	if err != nil {
		c.unavailable("the harness makes no fault: %v", err)
	}
	times := "for ever"
	if f.Times > 0 {
		times = fmt.Sprint(f.Times, " times")
	}
	if hits == nil || heal == nil {
		c.unavailable("the harness's Fail returns no functions")
	}
	c.note("the medium fails at %s %d, %s, with %v", f.Op, f.Skip+1, times, f.Err)
	c.cleanups = append(c.cleanups, heal)
	return hits, heal
}

// fit makes a backend fit to write again, if it is poisoned.
func (c *Case) fit(s Subject, err error) {
	if errors.Is(err, backend.ErrPoisoned) {
		c.noError("Reopen after "+err.Error(), s.Reopen(c.ctx))
		c.note("Reopen: no error")
	}
}

// fillUp appends large batches until one is refused, as on a full disk one is soon.
func (c *Case) fillUp(s Subject, hits func() int) (err error) {
	const batches, size = 256, 64 << 10
	for n := 0; err == nil; n++ {
		if n == batches && hits() == 0 {
			c.unavailable("the harness's Fail makes no write fail: %d batches of %d KiB met no fault", n, size>>10)
		}
		c.check(n < batches, "an error once the disk is full", "%d batches of %d KiB were acknowledged while there is no space", n, size>>10)
		_, err = s.Append(c.ctx, backend.Batch{Stream: "fill", Expected: backend.Any, Records: []backend.Record{{Payload: c.random(size), Time: someTime}}})
	}
	c.note("append large batches until one is refused: %v", err)
	return err
}

func fault01(c *Case) {
	s := c.open()
	c.furnish(s)
	for range 3 {
		hits, heal := c.fail(Fault{Op: OpWrite, Err: syscall.ENOSPC})
		c.wantError("an append on a full disk", c.fillUp(s, hits), backend.ErrNoSpace)
		before := c.image(s)
		large := snapshotRecord("a", 1)
		large.Payload = c.random(64 << 10)
		_, err := s.SaveSnapshot(c.ctx, large)
		c.wantError("SaveSnapshot", err, backend.ErrNoSpace)
		c.wantError("an append on a full disk", c.fillUp(s, hits), backend.ErrNoSpace)
		c.unchanged(s, before)
		heal()
		c.note("there is space again")
		c.put(s, expecting("a", c.head(s, "a").Version, 2))
		c.put(s, backend.Batch{Stream: "fill", Expected: backend.Any, Records: []backend.Record{{Payload: c.random(64 << 10), Time: someTime}}})
	}
	before := c.image(s)
	c.unchanged(c.reopen(s), before)
}

func snapshotRecord(stream string, v backend.Version) backend.Record {
	r := event("snap")
	r.Stream, r.Version = stream, v
	return r
}

// outcome fails the rule unless the store holds what an append's error says: before it,
// after it, or one of both.
func (c *Case) agrees(s Subject, err error, before image, b backend.Batch) {
	now := c.image(s)
	n := len(before.records)
	c.check(len(now.records) >= n, fmt.Sprintf("the %d records from before", n), "%d after %v", len(now.records), err)
	c.same("what was acknowledged before", now.records[:n], before.records)
	more := types(now.records[n:])
	all, none := slices.Equal(more, types(b.Records)), len(more) == 0
	switch {
	case err == nil:
		c.check(all, "the batch that was acknowledged", "%v", few(more))
	case errors.Is(err, backend.ErrUnknownOutcome):
		c.check(all || none, "all of the batch or nothing", "%v", few(more))
	default:
		c.check(none, "nothing of a batch that was refused", "%v after %v", few(more), err)
	}
}

func fault02(c *Case) {
	s := c.open()
	c.furnish(s)
	for round, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.ENOSPC, syscall.EIO} {
		before := c.image(s)
		b := expecting("a", c.head(s, "a").Version, 4)
		for i := range b.Records {
			b.Records[i].Payload = c.random(200)
		}
		hits, heal := c.fail(Fault{Op: OpWrite, Times: 1, Err: cause, Short: true})
		_, err := c.try(s, b)
		c.check(hits() > 0, "a write to the medium", "the medium was not asked, in round %d", round)
		heal()
		if !errors.Is(err, backend.ErrUnknownOutcome) {
			c.agrees(s, err, before, b)
		}
		if round%2 == 0 {
			c.fit(s, err)
		} else {
			s = c.reopen(s)
		}
		c.agrees(s, err, before, b)
		c.put(s, unchecked("a", 1))
	}
}

func fault03(c *Case) {
	s := c.open()
	before := c.furnish(s)
	hits, heal := c.fail(Fault{Op: OpSync, Times: 1, Err: syscall.EIO})
	_, err := c.try(s, expecting("a", 5, 2))
	if hits() == 0 {
		c.failf("a sync before the append is acknowledged, as durability is claimed", "no sync; or the harness's Fail knows none")
	}
	c.wantError("an append whose sync fails", err, backend.ErrPoisoned)
	heal()
	for range 3 {
		c.refused(s, unchecked("b", 1), backend.ErrPoisoned)
	}
	got, err := collect(c.ctx, s, backend.Query{Kinds: backend.AllKinds})
	c.noError("a read after a failed sync", err)
	c.same("what was acknowledged", got[:min(len(got), len(before.records))], before.records)
	c.noError("Reopen", s.Reopen(c.ctx))
	c.put(s, unchecked("b", 1))
	now := c.image(s)
	c.unchanged(c.reopen(s), now)
}

func fault04(c *Case) {
	s := c.open()
	want := c.furnish(s)
	s = c.reopen(s)
	hits, heal := c.fail(Fault{Op: OpRead, Err: syscall.EIO})
	for _, q := range []backend.Query{{Kinds: backend.AllKinds}, {Kinds: backend.AllKinds, Reverse: true}} {
		got, err := collect(c.ctx, s, q)
		if q.Reverse {
			slices.Reverse(got)
		}
		c.note("%s while nothing can be read: %d records, %s", queryText(q), len(got), errText(err))
		if err == nil {
			c.same("a read without an error", got, want.records)
		}
	}
	c.close(s)
	if s, err := c.tryOpen(c.ctx); err == nil {
		c.close(s)
	}
	if hits() == 0 {
		c.inconclusive("the medium was not asked: all was read from memory")
	}
	heal()
	c.unchanged(c.open(), want)
}

// mostOperations bounds a sweep: no append asks this much of its medium.
const mostOperations = 400

func fault05(c *Case) {
	s := c.open()
	c.furnish(s)
	for _, op := range []Operation{OpWrite, OpSync} {
		if op == OpSync && !s.Capabilities().Durable {
			continue
		}
		for n := 0; ; n++ {
			c.check(n < mostOperations, "an append that comes to an end", "%d operations of the medium and no end", n)
			before := c.image(s)
			b := expecting("a", c.head(s, "a").Version, 2)
			hits, heal := c.fail(Fault{Op: op, Skip: n, Times: 1, Err: []error{syscall.EIO, syscall.ENOSPC}[n%2]})
			_, err := c.try(s, b)
			met := hits() > 0
			heal()
			c.fit(s, err)
			if err == nil || n%2 == 0 {
				s = c.reopen(s)
			}
			c.agrees(s, err, before, b)
			if !met {
				break
			}
		}
	}
}

func fault06(c *Case) {
	s := c.open()
	c.furnish(s)
	for round := range 3 {
		at := c.head(s, "a").Version
		b := identified(byte(100+round), "a", at, 2)
		hits, heal := c.fail(Fault{Op: OpSync, Times: 1, Err: syscall.EIO})
		_, err := c.try(s, b)
		c.check(hits() > 0, "a sync", "none")
		heal()
		c.noError("Reopen", s.Reopen(c.ctx))
		now := c.head(s, "a").Version
		if !errors.Is(err, backend.ErrUnknownOutcome) {
			c.check(now == at, "ErrUnknownOutcome, or nothing stored", "version %d after %v", now, err)
		}
		c.put(s, b)
		c.check(c.head(s, "a").Version == at+2, fmt.Sprint("version ", at+2, ": the batch once"), "version %d", c.head(s, "a").Version)
	}
}

// fewAttempts is how often an append may try what fails.
const fewAttempts = 100

func fault07(c *Case) {
	s := c.open()
	c.furnish(s)
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		hits, heal := c.fail(Fault{Op: OpWrite, Err: cause})
		start := time.Now()
		err := c.fillUp(s, hits)
		c.check(hits() <= fewAttempts, fmt.Sprintf("at most %d attempts", fewAttempts), "%d in %v before %v", hits(), time.Since(start).Round(time.Millisecond), err)
		heal()
		c.fit(s, err)
	}
}
