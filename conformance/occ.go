package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/papyra-go/papyra/backend"
)

func occGroup() Group {
	return Group{"OCC", "Expected versions and epochs: who may write a stream.", []Rule{
		{ID: "OCC-01", Name: "a stale expected version conflicts", Requires: intact,
			Sentence: "A batch that expects an older version is a ConflictError with the stream's actual version, and nothing is written.",
			Check:    occ01},
		{ID: "OCC-02", Name: "expected 0 means the stream is empty", Requires: intact,
			Sentence: "A batch that expects version 0 is refused with ErrConflict by a stream that holds records, which stays unchanged.",
			Check:    occ02},
		{ID: "OCC-03", Name: "of racing writers one wins", Requires: []ID{"OCC-01", "OCC-02"},
			Sentence: "Of batches that expect the same version at the same time exactly one is stored; the others are ErrConflict.",
			Check:    occ03},
		{ID: "OCC-04", Name: "a future expected version conflicts", Requires: intact,
			Sentence: "A batch that expects a version that the stream has not reached is ErrConflict, and nothing is written.",
			Check:    occ04},
		{ID: "OCC-05", Name: "expectations hold after reopening", Capability: Reopens, Requires: needs(survives, []ID{"OCC-01", "OCC-02", "OCC-04"}),
			Sentence: "Expected versions are judged after opening again as before.",
			Check:    occ05},
		{ID: "OCC-06", Name: "Any never conflicts", Requires: stored,
			Sentence: "A batch that expects Any goes after whatever the stream holds, also beside others that do.",
			Check:    occ06},
		{ID: "OCC-07", Name: "a cancelled append is whole or absent", Requires: stored,
			Sentence: "An append whose context ends returns the context's error and wrote nothing, or nil and wrote everything; only ErrUnknownOutcome leaves it open.",
			Check:    occ07},
		{ID: "OCC-08", Name: "an older epoch is fenced", Requires: []ID{"OCC-01"},
			Sentence: "A higher epoch becomes the stream's newest; a batch or snapshot with an older one is ErrFenced, writes nothing, and is fenced before its version is judged.",
			Check:    occ08},
		{ID: "OCC-09", Name: "epochs hold after reopening", Capability: Reopens, Requires: needs(survives, []ID{"OCC-08"}),
			Sentence: "The stream's newest epoch fences after opening again as before.",
			Check:    occ09},
		{ID: "OCC-10", Name: "epochs may be as high as they go", Capability: Reopens, Requires: []ID{"OCC-09"}, Since: "0.4",
			Sentence: "Epochs up to MaxNumber fence the next lower one, are read back and are listed as they are, also after opening again; higher ones are ErrInvalid. Tried on both sides of 2³¹, 2³², 2³²+2, 2⁵³+2 and 2⁶².",
			Check:    occ10},
	}}
}

// conflict appends b, which must be a conflict with the stream at version actual.
func (c *Case) conflict(s Subject, b backend.Batch, actual backend.Version) {
	before := c.image(s)
	err := c.refused(s, b, backend.ErrConflict)
	var conflict *backend.ConflictError
	c.check(errors.As(err, &conflict), "a *ConflictError", "%v", err)
	want := backend.ConflictError{Stream: b.Stream, Expected: b.Expected, Actual: actual}
	c.check(*conflict == want, fmt.Sprintf("%+v", want), "%+v", *conflict)
	c.unchanged(s, before)
}

func occ01(c *Case) {
	s := c.open()
	c.put(s, expecting("a", 0, 2))
	c.put(s, expecting("a", 2, 3))
	for _, v := range []backend.Version{1, 2, 3, 4} {
		c.conflict(s, expecting("a", v, 2), 5)
	}
	c.put(s, expecting("a", 5, 1))
}

func occ02(c *Case) {
	s := c.open()
	c.put(s, expecting("a", 0, 2))
	c.put(s, expecting("b", 0, 1))
	c.conflict(s, expecting("a", 0, 1), 2)
	c.conflict(s, expecting("a", 0, 2), 2)
	c.conflict(s, expecting("b", 0, 3), 1)
}

func occ03(c *Case) {
	s := c.open()
	at := backend.Version(0)
	c.race(func(i int) (one, other func() error) {
		stream, v := fmt.Sprint("fresh", i), backend.Version(0)
		if i%2 == 1 {
			stream, v = "shared", at
		}
		try := func(who int) func() error {
			b := backend.Batch{Stream: stream, Expected: v, Records: events(fmt.Sprint("racer", who, "."), 2)}
			return func() error { _, err := s.Append(c.ctx, b); return err }
		}
		return try(1), try(2)
	}, func(i int, errs []error) {
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				c.wantError("the losing racer", err, backend.ErrConflict)
			}
		}
		c.check(won == 1, "1 winner of 2", "round %d: %d winners", i, won)
		if i%2 == 1 {
			at += 2
			c.check(c.head(s, "shared").Version == at, fmt.Sprint("version ", at), "version %d", c.head(s, "shared").Version)
		}
	})
}

func occ04(c *Case) {
	s := c.open()
	c.put(s, expecting("a", 0, 2))
	for _, v := range []backend.Version{3, 4, 1 << 40} {
		c.conflict(s, expecting("a", v, 1), 2)
	}
	c.conflict(s, expecting("new", 1, 1), 0)
}

func occ05(c *Case) {
	s := c.open()
	c.put(s, expecting("a", 0, 3))
	s = c.reopen(s)
	for _, v := range []backend.Version{0, 2, 4} {
		c.conflict(s, expecting("a", v, 1), 3)
	}
	c.put(s, expecting("a", 3, 1))
	c.put(s, expecting("b", 0, 1))
	c.conflict(c.reopen(s), expecting("a", 3, 1), 4)
}

func occ06(c *Case) {
	s := c.open()
	for i := range 4 {
		c.put(s, unchecked("a", 1+i))
	}
	rounds := 0
	c.race(func(i int) (one, other func() error) {
		rounds++
		add := func() error { _, err := s.Append(c.ctx, unchecked("a", 1)); return err }
		return add, add
	}, func(_ int, errs []error) {
		c.noError("append with Any", errors.Join(errs...))
	})
	want := backend.Version(10 + 2*rounds)
	c.check(c.head(s, "a").Version == want, fmt.Sprint("version ", want), "version %d", c.head(s, "a").Version)
}

func occ07(c *Case) {
	s := c.open()
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	_, err := s.Append(ctx, expecting("a", 0, 3))
	c.wantError("append with a context that is cancelled", err, context.Canceled)
	c.check(c.head(s, "a") == backend.Head{}, "nothing written", "head %+v", c.head(s, "a"))
	at := backend.Version(0)
	c.race(func(i int) (one, other func() error) {
		ctx, cancel := context.WithCancel(c.ctx)
		pause := c.env.Rand.IntN(64)
		b := expecting("a", at, 3)
		return func() error { _, err := s.Append(ctx, b); return err }, func() error {
			for range pause {
				runtime.Gosched()
			}
			cancel()
			return nil
		}
	}, func(i int, errs []error) {
		now := c.head(s, "a").Version
		switch err := errs[0]; {
		case err == nil:
			c.check(now == at+3, fmt.Sprint("version ", at+3, " after nil"), "version %d", now)
		case errors.Is(err, backend.ErrUnknownOutcome):
			c.check(now == at || now == at+3, "all of the batch or nothing", "version %d after %d", now, at)
		default:
			c.wantError("a cancelled append", err, context.Canceled)
			c.check(now == at, fmt.Sprint("version ", at, ": nothing written"), "version %d", now)
		}
		at = now
	})
}

// inEpoch is b by a writer of an epoch.
func inEpoch(epoch uint64, b backend.Batch) backend.Batch {
	b.Epoch = epoch
	return b
}

// fenced appends b and saves a snapshot in its epoch: both must be fenced off by
// the newest epoch, and change nothing.
func (c *Case) fenced(s Subject, b backend.Batch, newest uint64) {
	before := c.image(s)
	err := c.refused(s, b, backend.ErrFenced)
	var fenced *backend.FencedError
	c.check(errors.As(err, &fenced), "a *FencedError", "%v", err)
	want := backend.FencedError{Stream: b.Stream, Epoch: b.Epoch, Newest: newest}
	c.check(*fenced == want, fmt.Sprintf("%+v", want), "%+v", *fenced)
	r := event("snap")
	r.Stream, r.Version, r.Epoch = b.Stream, 1, b.Epoch
	_, err = s.SaveSnapshot(c.ctx, r)
	c.wantError("SaveSnapshot", err, backend.ErrFenced)
	c.unchanged(s, before)
}

func occ08(c *Case) {
	s := c.open()
	c.put(s, inEpoch(3, expecting("a", 0, 2)))
	c.put(s, expecting("b", 0, 1)) // epochs are the stream's own
	c.fenced(s, inEpoch(2, expecting("a", 2, 1)), 3)
	c.fenced(s, expecting("a", 2, 1), 3)
	c.fenced(s, inEpoch(2, expecting("a", 1, 1)), 3)
	c.fenced(s, inEpoch(2, unchecked("a", 1)), 3)
	c.put(s, inEpoch(3, expecting("a", 2, 1)))
	c.refused(s, inEpoch(9, expecting("a", 1, 1)), backend.ErrConflict)
	c.put(s, inEpoch(4, expecting("a", 3, 1))) // the refused one did not raise it
	c.check(c.head(s, "a").Epoch == 4, "epoch 4", "%+v", c.head(s, "a"))
	c.fenced(s, inEpoch(3, expecting("a", 4, 1)), 4)
}

func occ09(c *Case) {
	s := c.open()
	c.put(s, inEpoch(3, expecting("a", 0, 2)))
	c.put(s, unchecked("b", 1))
	s = c.reopen(s)
	c.fenced(s, inEpoch(2, expecting("a", 2, 1)), 3)
	c.put(s, inEpoch(3, expecting("a", 2, 1)))
}
