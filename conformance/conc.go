package conformance

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/papyra-go/papyra/backend"
)

func concGroup() Group {
	return Group{"CONC", "Everything at a time.", []Rule{
		{ID: "CONC-01", Name: "all calls run beside one another", Requires: needs(intact, reads, []ID{"APPEND-12", "APPEND-22", "READ-08", "READ-14", "READ-18", "READ-20", "READ-21", "OCC-06"}), Since: "0.4",
			Sentence: "Appends, snapshots, reads, heads, listings and scans run at the same time without an error, and what was acknowledged is there afterwards, once and in order.",
			Check:    conc01},
		{ID: "CONC-02", Name: "what was acknowledged is seen by all", Requires: needs(reads, []ID{"APPEND-12", "APPEND-21", "READ-08", "READ-17", "READ-18", "READ-21"}), Since: "0.4",
			Sentence: "Once an append is acknowledged, every head, read and listing that begins then, on any goroutine, shows it.",
			Check:    conc02},
		{ID: "CONC-03", Name: "readers beside one another read the same", Requires: needs(intact, reads, []ID{"READ-07", "READ-19"}), Since: "0.4",
			Sentence: "Reads of a stream and of the store, forwards and in reverse, that run at the same time each yield all there is, in order.",
			Check:    conc03},
		{ID: "CONC-05", Name: "thousands of streams keep their own", Requires: needs(intact, []ID{"READ-18", "APPEND-18"}), Since: "0.4",
			Sentence: "Of thousands of streams, written side by side, each has its own records and head.",
			Check:    conc05},
	}}
}

// A mixed load goes on until each of what runs beside the writers has run mixedLooks
// times while they wrote; each writer makes so many appends.
const (
	mixedLooks = 6
	mixedLeast = 40
	mixedMost  = 1000
)

func conc01(c *Case) {
	s := c.open()
	const writers = 4
	var functions []func() error
	var running, writing atomic.Int32
	var wrote atomic.Int64
	running.Store(writers)
	var looks []*atomic.Int32 // of each function beside the writers: while one wrote
	stop := c.half()
	enough := func() bool {
		return time.Now().After(stop) || !slices.ContainsFunc(looks, func(n *atomic.Int32) bool { return n.Load() < mixedLooks })
	}
	unseen := func() bool {
		return time.Now().Before(stop) && slices.ContainsFunc(looks, func(n *atomic.Int32) bool { return n.Load() == 0 })
	}
	written := make([]int, writers)
	for w := range writers {
		functions = append(functions, func() error {
			defer running.Add(-1)
			for n := 0; n < mixedLeast || n < mixedMost && !enough() || n < 10*mixedMost && unseen(); n++ {
				if n >= mixedLeast { // whoever is to run beside this has not come to it
					runtime.Gosched()
				}
				if err := c.mixedWrite(s, &writing, fmt.Sprint("w", w), n); err != nil {
					return err
				}
				written[w]++
				wrote.Add(1)
			}
			return nil
		})
	}
	beside := func(f func(n int) error) {
		seen := new(atomic.Int32)
		looks = append(looks, seen)
		functions = append(functions, func() error {
			for n := 0; running.Load() > 0; n++ {
				busy, before := writing.Load() > 0, wrote.Load()
				if err := f(n); err != nil {
					return err
				}
				if busy || wrote.Load() > before {
					seen.Add(1)
				}
			}
			return nil
		})
	}
	beside(func(n int) error {
		_, err := collect(c.ctx, s, backend.Query{Stream: fmt.Sprint("w", n%writers), Reverse: n%2 == 0})
		return err
	})
	beside(func(int) error {
		_, err := collect(c.ctx, s, backend.Query{Kinds: backend.AllKinds, Limit: 100})
		return err
	})
	beside(func(n int) error {
		if _, err := collectStreams(c.ctx, s, backend.StreamQuery{}); err != nil {
			return err
		}
		_, err := s.Head(c.ctx, fmt.Sprint("w", n%writers))
		return err
	})
	beside(func(n int) error {
		report, err := s.Scan(c.ctx, &backend.ScanOptions{Quick: n%4 > 0})
		if err == nil && !report.Clean() {
			err = fmt.Errorf("a scan of a healthy store finds %s", few(anomalies(report)))
		}
		return err
	})
	c.allTogether("beside everything else", functions...)
	for w := range writers {
		stream := fmt.Sprint("w", w)
		got := c.read(s, backend.Query{Stream: stream})
		var want []string
		for range written[w] {
			want = append(want, types(events(stream+".", 2))...)
		}
		c.check(slices.Equal(types(got), want), fmt.Sprint(len(want), " records in order"), "stream %s: %s", stream, few(types(got)))
	}
	for i := range looks {
		if n := looks[i].Load(); n < 1 {
			c.inconclusive("of what runs beside the writers, number %d never ran while one wrote", i)
		}
	}
}

// mixedWrite is the n-th write of a stream: a batch, and now and then a snapshot.
func (c *Case) mixedWrite(s Subject, writing *atomic.Int32, stream string, n int) error {
	writing.Add(1)
	defer writing.Add(-1)
	if _, err := s.Append(c.ctx, expecting(stream, backend.Version(2*n), 2)); err != nil {
		return err
	}
	if n%10 < 9 {
		return nil
	}
	r := event("snap%d", n)
	r.Stream, r.Version = stream, backend.Version(n)
	_, err := s.SaveSnapshot(c.ctx, r)
	return err
}

func conc02(c *Case) {
	s := c.open()
	var acked atomic.Uint64 // the newest version that was acknowledged
	c.beside(2, func(w, n int) error {
		if w == 1 {
			_, err := s.Append(c.ctx, unchecked("other", 1))
			return err
		}
		res, err := s.Append(c.ctx, unchecked("a", 1))
		if err == nil {
			acked.Store(uint64(res.Version))
		}
		return err
	}, func() (bool, error) {
		before := acked.Load()
		h, err := s.Head(c.ctx, "a")
		if err != nil || uint64(h.Version) < before {
			return false, orError(err, "a head at version %d after version %d was acknowledged", h.Version, before)
		}
		before = acked.Load()
		newest := uint64(0)
		for r, err := range s.Read(c.ctx, backend.Query{Stream: "a", Reverse: true, Limit: 1}) {
			if err != nil {
				return false, err
			}
			newest = uint64(r.Version)
		}
		if newest < before {
			return false, fmt.Errorf("a read ends at version %d after version %d was acknowledged", newest, before)
		}
		before = acked.Load()
		list, err := collectStreams(c.ctx, s, backend.StreamQuery{Prefix: "a"})
		if before > 0 && (err != nil || len(list) != 1 || uint64(list[0].Head.Version) < before) {
			return false, orError(err, "a listing shows %+v after version %d was acknowledged", list, before)
		}
		return acked.Load() > before, nil
	})
}

func conc03(c *Case) {
	s := c.open()
	for i := range 6 {
		c.put(s, unchecked(fmt.Sprint("s", i%3), 400))
	}
	all := c.read(s, backend.Query{})
	stream := c.read(s, backend.Query{Stream: "s1"})
	reading := func(q backend.Query, want []backend.Record) func() error {
		return func() error {
			got, err := collect(c.ctx, s, q)
			if q.Reverse {
				slices.Reverse(got)
			}
			if d := listDifference(got, want); err == nil && d != "" {
				err = fmt.Errorf("%s beside another read: %s", queryText(q), d)
			}
			return err
		}
	}
	reads := []func() error{
		reading(backend.Query{Stream: "s1"}, stream), reading(backend.Query{}, all),
		reading(backend.Query{Stream: "s1", Reverse: true}, stream), reading(backend.Query{Reverse: true}, all),
	}
	c.race(func(i int) (one, other func() error) {
		return reads[i%len(reads)], reads[i/len(reads)%len(reads)]
	}, func(_ int, errs []error) {
		for _, err := range errs {
			c.noError("reading beside another read", err)
		}
	})
}

func orError(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return fmt.Errorf(format, args...)
}

func conc05(c *Case) {
	s := c.open()
	const streams, round = 3000, 500
	name := func(i int) string { return fmt.Sprintf("stream-%d", i) }
	for _, n := range []int{1, 2} {
		for from := 0; from < streams; from += round {
			var batches []backend.Batch
			for i := from; i < from+round; i++ {
				batches = append(batches, backend.Batch{Stream: name(i), Expected: backend.Version(n - 1), Records: []backend.Record{{Type: fmt.Sprint(i, ".", n), Time: someTime}}})
			}
			c.putAll(s, batches)
		}
	}
	list := c.streams(s, backend.StreamQuery{})
	c.check(len(list) == streams, fmt.Sprint(streams, " streams"), "%d", len(list))
	for _, info := range list {
		c.check(info.Head.Version == 2, "version 2", "%q in the listing: %+v", info.Name, info.Head)
	}
	for _, i := range c.env.Rand.Perm(streams)[:200] {
		got := types(c.read(s, backend.Query{Stream: name(i)}))
		want := []string{fmt.Sprint(i, ".", 1), fmt.Sprint(i, ".", 2)}
		c.check(slices.Equal(got, want), fmt.Sprint(want), "stream %d: %v", i, got)
		c.check(c.head(s, name(i)).Version == 2, "version 2", "stream %d: %+v", i, c.head(s, name(i)))
	}
}
