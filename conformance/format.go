package conformance

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/papyra-go/papyra/backend"
)

func formatGroup() Group {
	fixturer := []Seam{SeamFixturer}
	return Group{"FORMAT", "Stores that other versions wrote. For backends that claim durability.", []Rule{
		{ID: "FORMAT-01", Name: "what older versions wrote reads as then", Capability: Durable, Seams: fixturer, Requires: sound, Since: "0.4",
			Sentence: "A store of each released format opens, read-only and for writing, and everything in it reads as it did when it was written.",
			Check:    format01},
		{ID: "FORMAT-02", Name: "a newer format is refused", Capability: Durable, Seams: []Seam{SeamFixturer}, Requires: sound, Since: "0.4",
			Sentence: "A store of a newer format is refused with ErrFormat, however it is opened, and not a byte of it is changed.",
			Check:    format02},
		{ID: "FORMAT-03", Name: "an older store goes on", Capability: Durable, Seams: fixturer, Requires: []ID{"FORMAT-01"}, Since: "0.4",
			Sentence: "A store of an older format takes appends; all that was in it reads as before then, also after opening again.",
			Check:    format03},
		{ID: "FORMAT-04", Name: "a power cut while an older store is opened", Capability: Durable, Seams: fixturer, Requires: []ID{"FORMAT-03", "CRASH-04"}, Since: "0.4",
			Sentence: "Whichever change the power is cut before while a store of an older format is opened and written to for the first time, it opens and what was in it reads as before.",
			Check:    format04},
		{ID: "FORMAT-05", Name: "an older store is compacted", Capability: Compacts, Seams: fixturer, Requires: []ID{"FORMAT-03", "CLAIM-02"}, Since: "0.4",
			Sentence: "A store of an older format can be compacted; with a cut that takes nothing everything reads as before then, also after opening again.",
			Check:    format05},
		{ID: "FORMAT-06", Name: "what is no store is refused, and left alone", Capability: Durable, Seams: []Seam{SeamOccupier}, Requires: sound, Since: "0.4",
			Sentence: "A place that holds something else is refused with ErrFormat, however it is opened, and not a byte of it is changed; where it is not even of the kind of place that a store has, such as a file instead of a directory, ErrUnavailable will do.",
			Check:    format06},
	}}
}

// listing is [Listing].
func listing(ctx context.Context, s Subject) (lines []string, err error) {
	for from, more := uint64(1), true; more; {
		more = false
		for r, err := range s.Read(ctx, backend.Query{From: from, Kinds: backend.AllKinds}) {
			var ce *backend.CorruptError
			switch {
			case errors.As(err, &ce) && uint64(ce.Position) >= from: // a hole: go on behind it
				lines = append(lines, fmt.Sprintf("%d lost: stream %q version %d", ce.Position, ce.Stream, ce.Version))
				from, more = uint64(ce.Position)+1, true
			case err != nil:
				return lines, err
			default:
				lines = append(lines, recordLine(&r))
			}
		}
	}
	for info, err := range s.Streams(ctx, backend.StreamQuery{}) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, fmt.Sprintf("stream %q version %d floor %d epoch %d", info.Name, info.Head.Version, info.Head.Floor, info.Head.Epoch))
	}
	return lines, nil
}

func recordLine(r *backend.Record) string {
	sum := sha256.Sum256(append(append([]byte{}, r.Payload...), r.Meta...))
	return fmt.Sprintf("%d stream %q version %d %v type %q schema %d epoch %d time %d batch %v place %d bytes %d+%d %x",
		r.Position, r.Stream, r.Version, r.Kind, r.Type, r.Schema, r.Epoch, r.Time.UnixNano(), r.Batch.ID, r.Batch.Place, len(r.Payload), len(r.Meta), sum[:8])
}

// fixtures returns the stores of other versions, newer or not.
func (c *Case) fixtures(newer bool) (out []Fixture) {
	all, err := seam[Fixturer](c).Fixtures(c.ctx, c.env)
	if err != nil {
		c.unavailable("the harness has no stores of other versions: %v", err)
	}
	for _, f := range all {
		if f.Newer == newer {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		c.unavailable("the harness has no store of another format (newer: %v)", newer)
	}
	return out
}

// listed fails the rule unless the store reads as the lines say; there may be more.
func (c *Case) listed(what string, s Subject, want []string, exactly bool) {
	got, err := listing(c.ctx, s)
	c.noError(what, err)
	for i, line := range want {
		if !slices.Contains(got, line) {
			c.failf(line, "%s: line %d of %d is not there; there are %d: %s", what, i+1, len(want), len(got), nearest(got, i))
		}
	}
	c.check(!exactly || len(got) == len(want), fmt.Sprint(len(want), " lines"), "%s: %d", what, len(got))
}

func nearest(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "no more"
}

func format01(c *Case) {
	for _, f := range c.fixtures(false) {
		for _, change := range []func(*backend.Options){readOnly, func(*backend.Options) {}} {
			s := c.openAt(f.Store, change)
			c.listed(f.Name, s, f.Lines, true)
			c.close(s)
		}
	}
}

func format02(c *Case) {
	for _, f := range c.fixtures(true) {
		digest := func() (sum [32]byte) {
			if d, ok := f.Store.(Digester); ok {
				var err error
				sum, err = d.Digest(c.ctx)
				c.noError("Digest", err)
			}
			return sum
		}
		before := digest()
		for _, change := range openings {
			s, err := c.tryOpenAt(c.ctx, f.Store, change)
			c.check(s == nil || err == nil, "no backend beside an error", "a backend and %v", err)
			c.wantError(f.Name, err, backend.ErrFormat)
			c.check(digest() == before, "the same digest", "%s: another one", f.Name)
		}
	}
}

// openings are the ways in which what can't be opened may not be opened either.
var openings = []func(*backend.Options){func(*backend.Options) {}, readOnly, unjudged, func(o *backend.Options) {
	o.Startup = backend.Startup{Mode: backend.RecoverAnomalies, Full: true, Recovery: backend.Quarantine}
}}

func format06(c *Case) {
	places, err := seam[Occupier](c).Occupied(c.ctx, c.env)
	if err != nil || len(places) == 0 {
		c.unavailable("the harness has no place that holds something else: %v", err)
	}
	for _, p := range places {
		before, err := p.Store.Digest(c.ctx)
		c.noError("Digest", err)
		for _, change := range openings {
			s, err := c.tryOpenAt(c.ctx, p.Store, change)
			c.check(s == nil || err == nil, "no backend beside an error", "a backend and %v", err)
			if !p.Unfit || !errors.Is(err, backend.ErrUnavailable) {
				c.wantError("open "+p.Name, err, backend.ErrFormat)
			}
			after, err := p.Store.Digest(c.ctx)
			c.noError("Digest", err)
			c.check(after == before, "the same digest", "%s: another one", p.Name)
		}
	}
}

func format03(c *Case) {
	for _, f := range c.fixtures(false) {
		s := c.openAt(f.Store)
		c.put(s, unchecked("appended later", 3))
		added := func(s Subject) {
			c.listed(f.Name, s, f.Lines, false)
			got := types(c.read(s, backend.Query{Stream: "appended later"}))
			c.check(len(got) == 3, "3 records", "%s: %v", f.Name, got)
		}
		added(s)
		c.close(s)
		s = c.openAt(f.Store)
		added(s)
		c.close(s)
	}
}

func format05(c *Case) {
	for _, f := range c.fixtures(false) {
		for range 2 {
			s := c.openAt(f.Store)
			c.noError("Compact", c.tryCompact(s))
			c.listed(f.Name+", compacted", s, f.Lines, true)
			c.close(s)
		}
		s := c.openAt(f.Store)
		c.listed(f.Name+", compacted and opened again", s, f.Lines, true)
		c.close(s)
	}
}

func format04(c *Case) {
	for _, f := range c.fixtures(false) {
		store, ok := f.Store.(Crasher)
		if !ok {
			c.unavailable("the stores of older formats are no Crashers")
		}
		moments := c.innerCuts(store, func() {
			s := c.openAt(f.Store)
			c.put(s, unchecked("appended later", 1))
			c.close(s)
		})
		if len(moments) == 0 {
			c.inconclusive("opening %s and appending to it changed nothing", f.Name)
		}
		for i := range moments {
			m := &moments[i]
			c.note("%s: %s", f.Name, m)
			s := c.openAt(m.store)
			c.listed(fmt.Sprintf("%s: %s", f.Name, m), s, f.Lines, false)
			c.close(s)
		}
	}
}
