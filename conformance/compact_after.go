package conformance

import (
	"fmt"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
)

// What holds once a store was cut, and beside a compaction that runs.

func compact09(c *Case) {
	s := c.openCompacting()
	c.put(s, unchecked("a", 5))
	c.snapshot(s, "a", 4, "snap")
	c.put(s, unchecked(audits("x"), 5))
	floors := []backend.StreamFloor{floorAt(audits("x"), 4), floorAt("a", 4)}
	c.compact(s, floors...)
	after := c.image(s)
	for _, again := range [][]backend.StreamFloor{floors, {floorAt(audits("x"), 3), floorAt("a", 2)}, {floorAt(audits("x"), 1)}, {floorAt("a", 0)}, {floorAt("nobody", 1)}, {deletion("nobody")}, {}} {
		c.compact(s, again...)
		c.unchanged(s, after)
		c.check(c.head(s, "a").Floor == 4, "floor 4", "head of a: %+v", c.head(s, "a"))
		c.check(c.head(s, audits("x")).Floor == 4, "floor 4", "head of the audits: %+v", c.head(s, audits("x")))
		c.check(c.head(s, "nobody") == backend.Head{}, "the zero head", "%+v", c.head(s, "nobody"))
	}
}

func compact10(c *Case) {
	s := c.openCompacting()
	x := audits("x")
	batches := []backend.Batch{identified(1, x, 0, 2), identified(2, x, 2, 2), identified(3, x, 4, 2)}
	results := c.putAll(s, batches)
	for _, step := range []struct {
		floor backend.Version
		gone  int // batches whose place is
	}{{3, 1}, {4, 2}, {5, 2}, {7, 3}} {
		c.compact(s, floorAt(x, step.floor))
		before := c.image(s)
		for i, b := range batches {
			if i < step.gone {
				c.refused(s, b, backend.ErrCompacted)
			} else {
				c.repeated(s, b, results[i])
			}
		}
		c.unchanged(s, before)
	}
}

func compact11(c *Case) {
	s := c.openCompacting()
	for _, f := range c.wholly(s) {
		newest := f.Floor - 1
		epoch := c.head(s, f.Stream).Epoch
		for _, v := range []backend.Version{0, newest - 1, newest + 1} {
			c.conflict(s, inEpoch(epoch, expecting(f.Stream, v, 1)), newest)
		}
		before := c.image(s)
		c.refused(s, inEpoch(epoch-1, expecting(f.Stream, newest, 1)), backend.ErrFenced)
		c.unchanged(s, before)
		c.put(s, inEpoch(epoch, expecting(f.Stream, newest, 1)))
	}
}

func compact12(c *Case) {
	s := c.openCompacting()
	const writers, left = 2, 5
	var busy atomic.Int32
	var acked [writers]backend.Version
	var names [writers]string
	for w := range names {
		names[w] = audits(fmt.Sprint("writer", w))
		c.put(s, unchecked(names[w], 1))
		acked[w] = 1
	}
	c.beside(writers, func(w, _ int) error {
		busy.Add(1)
		res, err := s.Append(c.ctx, unchecked(names[w], 2))
		busy.Add(-1)
		if err == nil {
			acked[w] = res.Version
		}
		return err
	}, func() (bool, error) {
		var cut backend.Cut
		var heads []backend.Head
		for _, name := range names {
			h, err := s.Head(c.ctx, name)
			if err != nil {
				return false, err
			}
			heads = append(heads, h)
			cut.Floors = append(cut.Floors, floorAt(name, max(h.Version, left)-left+1))
		}
		counts := busy.Load() > 0
		if _, err := s.Compact(c.ctx, cut); err != nil {
			return false, err
		}
		for i, name := range names {
			if err := c.dense(s, name, cut.Floors[i].Floor, heads[i].Version); err != nil {
				return false, err
			}
		}
		return counts, nil
	})
	for w, name := range names {
		c.noError("the stream of writer "+fmt.Sprint(w), c.dense(s, name, c.head(s, name).Floor, acked[w]))
		c.check(c.head(s, name).Version == acked[w], fmt.Sprint("version ", acked[w]), "%+v", c.head(s, name))
	}
}

// dense reports what is wrong with a stream that must hold each version from floor to
// at least newest. Any goroutine may call it.
func (c *Case) dense(s Subject, stream string, floor, newest backend.Version) error {
	records, err := collect(c.ctx, s, backend.Query{Stream: stream})
	if err != nil {
		return err
	}
	for i, r := range records {
		if want := floor + backend.Version(i); r.Version != want {
			return fmt.Errorf("%q: version %d where %d should be", stream, r.Version, want)
		}
	}
	if end := floor + backend.Version(len(records)); end <= newest {
		return fmt.Errorf("%q ends before version %d: version %d was acknowledged", stream, end, newest)
	}
	return nil
}

func compact13(c *Case) {
	s := c.openCompacting()
	c.wholly(s)
	c.put(s, unchecked("part", 9))
	c.snapshot(s, "part", 5, "snap")
	c.put(s, unchecked("deleted", 4))
	clean := func(what string) {
		for _, quick := range []bool{true, false} {
			report, err := s.Scan(c.ctx, &backend.ScanOptions{Quick: quick})
			c.noError("Scan", err)
			c.check(report.Clean(), "a clean store", "%s: %v", what, report.Anomalies)
		}
	}
	clean("after a cut")
	c.compact(s, deletion("deleted"), floorAt("part", 4))
	clean("after a deletion")
	c.put(s, unchecked("deleted", 2))
	c.put(s, unchecked("part", 1))
	c.compact(s, floorAt("part", 6))
	clean("after further appends and cuts")
}

func compact14(c *Case) {
	for i, reverse := range []bool{false, true} {
		s, x := c.openCompacting(), audits(fmt.Sprint(i))
		c.put(s, unchecked(x, 1000)) // several pages
		for _, floor := range []backend.Version{400, 1001} {
			h := c.head(s, x)
			want, step := h.Floor, backend.Version(1)
			if reverse {
				want, step = h.Version, ^backend.Version(0)
			}
			n := 0
			for r, err := range s.Read(c.ctx, backend.Query{Stream: x, Reverse: reverse}) {
				if err != nil {
					c.wantError("a read that a cut to "+fmt.Sprint(floor)+" overtakes", err, backend.ErrCompacted)
					break
				}
				c.check(r.Version == want, fmt.Sprint("version ", want, ", or ErrCompacted"), "version %d, after a cut to %d", r.Version, floor)
				if want += step; n == 0 {
					c.compact(s, floorAt(x, floor))
				}
				n++
			}
			c.check(n > 0, "records", "none")
		}
		c.close(s)
	}
}
