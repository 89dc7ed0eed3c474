package conformance

import (
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

func idemGroup() Group {
	return Group{"IDEM", "Sending a batch again: an ID with an expected version writes once.", []Rule{
		{ID: "IDEM-01", Name: "sent again, a batch is written once", Requires: intact,
			Sentence: "A batch with an ID and an expected version, sent again, returns the first result, marked Repeated, and writes nothing.",
			Check:    idem01},
		{ID: "IDEM-02", Name: "an ID reused for another number of records conflicts", Requires: []ID{"IDEM-01"},
			Sentence: "A batch with the ID and place of a stored one but another number of records is ErrConflict, and writes nothing.",
			Check:    idem02},
		{ID: "IDEM-03", Name: "retries are known after reopening", Capability: Reopens, Requires: needs(survives, []ID{"IDEM-01"}),
			Sentence: "A batch sent again after opening again returns the first result and writes nothing.",
			Check:    idem03},
		{ID: "IDEM-04", Name: "sent twice at a time, a batch is written once", Requires: []ID{"IDEM-01"},
			Sentence: "Of one batch sent several times at the same time one is written, and all return the same numbers.",
			Check:    idem04},
		{ID: "IDEM-06", Name: "an ID names a batch at its place", Requires: []ID{"IDEM-01", "OCC-01"},
			Sentence: "The ID is looked up in its stream at its expected version: in another stream, or at the stream's end, it is a new batch; another ID at that place is ErrConflict.",
			Check:    idem06},
		{ID: "IDEM-07", Name: "an ID needs an expected version", Requires: intact,
			Sentence: "A batch with an ID that expects Any is ErrInvalid, and nothing is written.",
			Check:    idem07},
		{ID: "IDEM-08", Name: "the ID is judged before version and epoch", Requires: []ID{"IDEM-01", "OCC-08"},
			Sentence: "A batch sent again returns the first result also when the stream has gone on since, and when a newer epoch has taken it over.",
			Check:    idem08},
		{ID: "IDEM-09", Name: "a retry in the same group is written once", Requires: []ID{"IDEM-01"},
			Sentence: "A batch that stands twice in one AppendAll is written once; the second is Repeated with the first's numbers.",
			Check:    idem09},
		{ID: "IDEM-10", Name: "a retry below the floor is ErrCompacted", Requires: []ID{"IDEM-01", "READ-12"},
			Sentence: "A batch sent again whose place has been cut away is ErrCompacted, and nothing is written.",
			Check:    idem10},
	}}
}

// identified is a batch of n records with an ID.
func identified(id byte, stream string, v backend.Version, n int) backend.Batch {
	b := expecting(stream, v, n)
	b.ID = backend.BatchID{id, 15: id}
	return b
}

// repeated appends b, which must be known already with the first result.
func (c *Case) repeated(s Subject, b backend.Batch, first backend.Result) {
	before := c.image(s)
	res := c.put(s, b)
	first.Repeated = true
	c.check(res == first, fmt.Sprintf("the first result, repeated: %+v", first), "%+v", res)
	c.unchanged(s, before)
}

func idem01(c *Case) {
	s := c.open()
	for i := range 3 {
		b := identified(byte(i+1), "a", backend.Version(2*i), 2)
		first := c.put(s, b)
		c.check(!first.Repeated, "a first result that is not Repeated", "%+v", first)
		for range 2 {
			c.repeated(s, b, first)
		}
	}
}

func idem02(c *Case) {
	s := c.open()
	c.put(s, identified(1, "a", 0, 3))
	c.put(s, identified(2, "a", 3, 1))
	before := c.image(s)
	for _, n := range []int{1, 2, 4, 5} {
		c.refused(s, identified(1, "a", 0, n), backend.ErrConflict)
		c.unchanged(s, before)
	}
}

func idem03(c *Case) {
	s := c.open()
	b1, b2 := identified(1, "a", 0, 2), identified(2, "a", 2, 1)
	first1, first2 := c.put(s, b1), c.put(s, b2)
	s = c.reopen(s)
	c.repeated(s, b1, first1)
	c.repeated(s, b2, first2)
	c.refused(s, identified(3, "a", 0, 2), backend.ErrConflict)
}

func idem04(c *Case) {
	s := c.open()
	at := backend.Version(0)
	var results [2]backend.Result
	c.race(func(i int) (one, other func() error) {
		b := expecting("a", at, 2)
		b.ID = backend.BatchID{1, byte(i), byte(i >> 8), byte(i >> 16)}
		try := func(who int) func() error {
			return func() (err error) { results[who], err = s.Append(c.ctx, b); return err }
		}
		return try(0), try(1)
	}, func(i int, errs []error) {
		c.noError("one of two equal batches", errs[0])
		c.noError("one of two equal batches", errs[1])
		a, b := results[0], results[1]
		c.check(a.Version == b.Version && a.Position == b.Position && a.Repeated != b.Repeated, "the same numbers, one of them Repeated", "round %d: %+v and %+v", i, a, b)
		at += 2
		c.check(c.head(s, "a").Version == at, fmt.Sprint("version ", at), "version %d", c.head(s, "a").Version)
	})
}

func idem06(c *Case) {
	s := c.open()
	first := c.put(s, identified(1, "a", 0, 2))
	for _, b := range []backend.Batch{identified(1, "b", 0, 2), identified(1, "a", 2, 2)} {
		res := c.put(s, b)
		c.check(!res.Repeated && res.Position > first.Position, "a new batch", "%+v", res)
	}
	c.repeated(s, identified(1, "a", 0, 2), first)
	before := c.image(s)
	c.refused(s, identified(2, "a", 0, 2), backend.ErrConflict)
	c.refused(s, identified(1, "a", 1, 2), backend.ErrConflict)
	c.unchanged(s, before)
}

func idem07(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 1))
	before := c.image(s)
	b := identified(1, "a", backend.Any, 1)
	c.refused(s, b, backend.ErrInvalid)
	results, _ := s.AppendAll(c.ctx, []backend.Batch{b})
	c.wantError("AppendAll", results[0].Err, backend.ErrInvalid)
	c.unchanged(s, before)
}

func idem08(c *Case) {
	s := c.open()
	b := identified(1, "a", 0, 2)
	first := c.put(s, b)
	c.put(s, expecting("a", 2, 3))
	c.repeated(s, b, first)
	c.snapshot(s, "a", 5, "snap")
	c.put(s, inEpoch(7, expecting("a", 5, 1)))
	c.repeated(s, b, first)
}

func idem09(c *Case) {
	s := c.open()
	b, next := identified(1, "a", 0, 2), identified(2, "a", 2, 1)
	res := c.putAll(s, []backend.Batch{b, b, next, b, next})
	for i, want := range []struct {
		like     int
		repeated bool
	}{{0, false}, {0, true}, {2, false}, {0, true}, {2, true}} {
		r, first := res[i], res[want.like]
		c.check(r.Version == first.Version && r.Position == first.Position && r.Repeated == want.repeated,
			fmt.Sprintf("version %d, position %d, repeated %v", first.Version, first.Position, want.repeated), "batch %d: %+v", i, r)
	}
	c.check(len(c.read(s, backend.Query{})) == 3, "3 records", "%d", len(c.read(s, backend.Query{})))
}

func idem10(c *Case) {
	s := c.open()
	c.put(s, restored("a", [2]uint64{10, 5}, [2]uint64{11, 6}))
	before := c.image(s)
	c.refused(s, identified(1, "a", 2, 1), backend.ErrCompacted)
	c.refused(s, identified(1, "a", 0, 9), backend.ErrCompacted)
	c.unchanged(s, before)
}
