package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// reads is what the finer rules on reading rest on.
var reads = needs(stored, []ID{"READ-01", "READ-02", "READ-04", "READ-05"})

func readGroup() Group {
	return Group{"READ", "What a read yields, in which order, and for how long it is valid.", append([]Rule{
		{ID: "READ-01", Name: "From is inclusive", Requires: stored,
			Sentence: "A read begins with the record at From: a version with a stream, else a position; zero is the first there is.",
			Check:    read01},
		{ID: "READ-02", Name: "Limit is the most to yield", Requires: stored,
			Sentence: "Limit n yields the first n records of the read, and no limit (zero) all.",
			Check:    read02},
		{ID: "READ-03", Name: "a query that makes no sense is ErrInvalid", Requires: stored,
			Sentence: "A negative limit, unknown kinds, a name that can't be a stream's, and snapshots mixed with a stream's records are ErrInvalid.",
			Check:    read03},
		{ID: "READ-04", Name: "reverse is the exact reverse", Requires: []ID{"READ-01", "READ-02", "READ-05"},
			Sentence: "Reading in reverse yields exactly the same records in exactly the reverse order.",
			Check:    read04},
		{ID: "READ-05", Name: "To is inclusive, and may lie beyond the end", Requires: []ID{"READ-01"},
			Sentence: "A read ends with the record at To; zero, or beyond the end, is the last there is; From above To is empty.",
			Check:    read05},
		{ID: "READ-06", Name: "pages join to the whole", Requires: reads,
			Sentence: "Reading page by page, at any page size, forwards and in reverse, yields each record once and in order.",
			Check:    read06},
		{ID: "READ-07", Name: "a record stays valid until the loop goes on", Requires: []ID{"APPEND-22", "READ-14"},
			Sentence: "Payload and meta of a record keep their bytes until the iterator advances, whatever the loop body does with the backend.",
			Check:    read07},
		{ID: "READ-08", Name: "an unknown stream is empty", Requires: stored,
			Sentence: "Reading a stream that does not exist yields nothing and no error, does not create it, and its head is the zero head.",
			Check:    read08},
		{ID: "READ-09", Name: "a read ends where the store stood when it began", Requires: []ID{"READ-06", "READ-14"},
			Sentence: "Records that are appended while a loop runs are not in it.",
			Check:    read09},
		{ID: "READ-10", Name: "breaking out of a loop frees everything", Requires: reads,
			Sentence: "A loop that is broken off holds nothing: appends and Close go on.",
			Check:    read10},
		{ID: "READ-12", Name: "below the floor is ErrCompacted", Requires: needs(reads, []ID{"APPEND-19"}),
			Sentence: "Asked explicitly for a version below the stream's floor a read is ErrCompacted; without From it begins at the floor.",
			Check:    read12},
		{ID: "READ-13", Name: "reading changes nothing", Requires: reads,
			Sentence: "Reads, listings and scans change nothing that can be read.",
			Check:    read13},
		{ID: "READ-14", Name: "the loop body may append", Requires: needs(reads, []ID{"READ-10"}),
			Sentence: "The body of a loop over records or streams may append, read and list on the same backend.",
			Check:    read14},
		{ID: "READ-15", Name: "Kinds selects", Requires: needs(reads, []ID{"APPEND-15", "APPEND-22"}),
			Sentence: "A read of the store yields the records of the kinds asked for, by default all but snapshots, in position order.",
			Check:    read15},
		{ID: "READ-16", Name: "snapshots are read by version, then position", Requires: needs(reads, []ID{"APPEND-19", "APPEND-22"}),
			Sentence: "A stream's snapshots, asked for, come in the order of the versions that they cover, those of one version by position; bounds are versions; reverse is the exact reverse, however many there are.",
			Check:    read16},
		{ID: "READ-17", Name: "Snapshot is the newest at or below a version", Requires: []ID{"APPEND-22", "READ-04"},
			Sentence: "Snapshot returns the stream's snapshot of the highest version at or below the one asked for, of several at one version the last saved; ErrNotFound if there is none.",
			Check:    read17},
		{ID: "READ-18", Name: "streams are listed in bytewise order", Requires: needs(stored, []ID{"APPEND-14"}),
			Sentence: "Streams lists each stream once with its head, in the bytewise order of names, bounded by Prefix, After and Limit; a negative limit is ErrInvalid.",
			Check:    read18},
		{ID: "READ-19", Name: "long reads are whole", Requires: []ID{"READ-06"},
			Sentence: "A read of more records, and of more bytes, than any page yields all of them in order, forwards and in reverse.",
			Check:    read19},
		{ID: "READ-20", Name: "a snapshot stays found beside new ones", Requires: []ID{"READ-17"},
			Sentence: "While newer snapshots are being saved, an acknowledged one is still found, and what is found never gets older.",
			Check:    read20},
		{ID: "READ-21", Name: "listings are whole beside new streams", Requires: []ID{"READ-18"},
			Sentence: "While streams are being created, every stream that was there before is listed, once and in order.",
			Check:    read21},
	}, filterRules()...)}
}

// library fills streams a, b and c, taking turns, and returns all records.
func (c *Case) library(s Subject, n int) []backend.Record {
	for i := range n {
		c.put(s, unchecked(string(rune('a'+i%3)), 1))
	}
	return c.read(s, backend.Query{})
}

// place is what bounds a record in a query.
func place(q backend.Query, r *backend.Record) uint64 {
	if q.Stream != "" {
		return uint64(r.Version)
	}
	return uint64(r.Position)
}

// both calls f for the store and for stream a, with all their records.
func (c *Case) both(s Subject, f func(q backend.Query, all []backend.Record)) {
	for _, q := range []backend.Query{{}, {Stream: "a"}} {
		f(q, c.read(s, q))
	}
}

func read01(c *Case) {
	s := c.open()
	c.library(s, 9)
	c.both(s, func(q backend.Query, all []backend.Record) {
		for i := range all {
			q.From = place(q, &all[i])
			c.same(queryText(q), c.read(s, q), all[i:])
		}
		q.From = place(q, &all[len(all)-1]) + 1
		c.same(queryText(q), c.read(s, q), nil)
	})
}

func read02(c *Case) {
	s := c.open()
	c.library(s, 9)
	c.both(s, func(q backend.Query, all []backend.Record) {
		for n := 0; n <= len(all)+1; n++ {
			want := all[:min(n, len(all))]
			if n == 0 {
				want = all
			}
			q.Limit = n
			c.same(queryText(q), c.read(s, q), want)
		}
	})
}

func read03(c *Case) {
	s := c.open()
	c.library(s, 3)
	for _, q := range []backend.Query{
		{Limit: -1}, {Stream: "a", Limit: -1}, {Kinds: 1}, {Kinds: 1 << 9}, {Stream: "a", Kinds: backend.AllKinds},
		{Stream: "a\x00"}, {Stream: strings.Repeat("s", backend.MaxStreamBytes+1)}, {Stream: "$sys/x"},
	} {
		got, err := collect(c.ctx, s, q)
		c.wantError(fmt.Sprintf("%.60s kinds %#x", queryText(q), uint32(q.Kinds)), err, backend.ErrInvalid)
		c.check(len(got) == 0, "no records", "%d records beside an error", len(got))
	}
	_, err := s.Head(c.ctx, "")
	c.wantError("Head without a stream", err, backend.ErrInvalid)
	_, err = s.Snapshot(c.ctx, "$sys/x", 0)
	c.wantError("Snapshot of a reserved name", err, backend.ErrInvalid)
}

func reversed(records []backend.Record) []backend.Record {
	out := slices.Clone(records)
	slices.Reverse(out)
	return out
}

func read04(c *Case) {
	s := c.open()
	c.library(s, 10)
	c.both(s, func(q backend.Query, all []backend.Record) {
		q.Reverse = true
		c.same(queryText(q), c.read(s, q), reversed(all))
		for n := 1; n <= len(all); n++ {
			q.Limit = n
			c.same(queryText(q), c.read(s, q), reversed(all)[:n])
		}
		q.Limit = 0
		for i := range all {
			q.From, q.To = place(q, &all[i/2]), place(q, &all[i])
			c.same(queryText(q), c.read(s, q), reversed(all[i/2:i+1]))
		}
	})
}

func read05(c *Case) {
	s := c.open()
	c.library(s, 9)
	c.both(s, func(q backend.Query, all []backend.Record) {
		for i := range all {
			q.From, q.To = 0, place(q, &all[i])
			c.same(queryText(q), c.read(s, q), all[:i+1])
			q.From, q.To = place(q, &all[i/2]), place(q, &all[i])
			c.same(queryText(q), c.read(s, q), all[i/2:i+1])
			q.From, q.To = place(q, &all[i])+1, place(q, &all[i])
			c.same(queryText(q), c.read(s, q), nil)
		}
		end := place(q, &all[len(all)-1])
		for _, to := range []uint64{0, end, end + 1, end + 1000, 1<<64 - 1} {
			q.From, q.To = 0, to
			c.same(queryText(q), c.read(s, q), all)
		}
	})
}

func read06(c *Case) {
	s := c.open()
	c.library(s, 12)
	c.both(s, func(q backend.Query, all []backend.Record) {
		for size := 1; size <= len(all)+1; size++ {
			q.Limit = size
			q.Reverse = false
			c.same(fmt.Sprintf("%s, page by page", queryText(q)), c.pages(s, q), all)
			q.Reverse = true
			c.same(fmt.Sprintf("%s, page by page", queryText(q)), c.pages(s, q), reversed(all))
		}
	})
}

// pages reads page after page of q.Limit records until one is not full.
func (c *Case) pages(s Subject, q backend.Query) (all []backend.Record) {
	for range 1000 {
		page, err := collect(c.ctx, s, q)
		c.noError(queryText(q), err)
		all = append(all, page...)
		if len(page) < q.Limit {
			return all
		}
		last := place(q, &page[len(page)-1])
		if q.Reverse {
			if q.To = last - 1; q.To == 0 {
				return all
			}
		} else {
			q.From = last + 1
		}
	}
	c.failf("an end of the pages", "%d records in 1000 pages", len(all))
	return nil
}

func read07(c *Case) {
	s := c.open()
	meta, _ := backend.MakeMeta("key", "value")
	b := unchecked("a", 6)
	for i := range b.Records {
		b.Records[i].Meta = meta
	}
	c.put(s, b)
	c.snapshot(s, "a", 2, "snap")
	want := c.read(s, backend.Query{Stream: "a"})
	c.both(s, func(q backend.Query, _ []backend.Record) {
		i := 0
		for r, err := range s.Read(c.ctx, q) {
			c.noError(queryText(q), err)
			c.put(s, unchecked("other", 1))
			c.read(s, backend.Query{Reverse: true})
			_, err := s.Snapshot(c.ctx, "a", 0)
			c.noError("Snapshot", err)
			if d := difference(&r, &want[i]); d != "" {
				c.failf("the record as it was when yielded", "record %d, after an append, a read and a snapshot in the loop body: %s", i, d)
			}
			if i++; i == len(want) {
				break
			}
		}
	})
}

func read08(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 1))
	before := c.image(s)
	for _, q := range []backend.Query{{Stream: "b"}, {Stream: "b", From: 3}, {Stream: "b", To: 9, Reverse: true}, snapshotsOf("b"), {Stream: "$sys/x/audit"}} {
		c.same(queryText(q), c.read(s, q), nil)
	}
	c.check(c.head(s, "b") == backend.Head{}, "the zero head", "%+v", c.head(s, "b"))
	c.unchanged(s, before)
	c.put(s, expecting("b", 0, 1))
}

func read09(c *Case) {
	s := c.open()
	c.library(s, 9)
	c.put(s, unchecked("a", 300)) // more than a page
	c.both(s, func(q backend.Query, all []backend.Record) {
		for _, reverse := range []bool{false, true} {
			q.Reverse = reverse
			want := c.read(s, q)
			n, added := 0, 0
			for r, err := range s.Read(c.ctx, q) {
				c.noError(queryText(q), err)
				if n < len(want) {
					c.check(r.Position == want[n].Position, fmt.Sprint("position ", want[n].Position), "record %d: position %d", n, r.Position)
				}
				if n++; added < 20 && (n < 10 || n > len(want)-10) {
					added++
					c.put(s, unchecked("a", 1))
				}
				c.check(n <= len(want), fmt.Sprint(len(want), " records: those there when the loop began"), "a further one: %s at position %d", r.Type, r.Position)
			}
			c.check(n == len(want), fmt.Sprint(len(want), " records"), "%d", n)
		}
	})
}

func read10(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 3))
	c.put(s, unchecked("b", 300))
	for i := range 200 {
		q := backend.Query{Stream: []string{"a", "b", ""}[i%3], Reverse: i%2 == 0}
		for _, err := range s.Read(c.ctx, q) {
			c.noError(queryText(q), err)
			break
		}
		for _, err := range s.Streams(c.ctx, backend.StreamQuery{}) {
			c.noError("Streams", err)
			break
		}
	}
	c.note("200 loops over records and streams, broken off at the first")
	c.inTime("an append and Close after broken loops", func() error {
		if _, err := s.Append(c.ctx, unchecked("a", 1)); err != nil {
			return err
		}
		return s.Close()
	})
}

// inTime runs f, which must end at once.
func (c *Case) inTime(what string, f func() error) {
	err := make(chan error, 1)
	go func() { err <- guarded(f) }()
	select {
	case e := <-err:
		c.noError(what, e)
	case <-time.After(patience(c)):
		c.end(Fail, fmt.Sprintf("an end within %v", patience(c)), what+": still running", goroutines())
		c.failf("", "")
	}
}

func read12(c *Case) {
	s := c.open()
	c.put(s, restored("a", [2]uint64{10, 5}, [2]uint64{11, 6}, [2]uint64{12, 7}))
	all := c.read(s, backend.Query{Stream: "a"})
	c.check(len(all) == 3 && all[0].Version == 5, "the records from version 5", "%d records", len(all))
	c.check(c.head(s, "a").Floor == 5, "floor 5", "%+v", c.head(s, "a"))
	for from := uint64(1); from < 5; from++ {
		for _, q := range []backend.Query{{Stream: "a", From: from}, {Stream: "a", From: from, Reverse: true}, {Stream: "a", From: from, To: 6, Limit: 1}} {
			got, err := collect(c.ctx, s, q)
			c.wantError(queryText(q), err, backend.ErrCompacted)
			c.check(len(got) == 0, "no records", "%s: %d", queryText(q), len(got))
		}
	}
	c.same("from the floor", c.read(s, backend.Query{Stream: "a", From: 5}), all)
	c.same("in reverse", c.read(s, backend.Query{Stream: "a", Reverse: true}), reversed(all))
}

func read13(c *Case) {
	s := c.open()
	before := c.furnish(s)
	for range 3 {
		c.image(s)
		c.head(s, "nobody")
		_, err := s.Snapshot(c.ctx, "a", 0)
		c.noError("Snapshot", err)
		_, err = s.Scan(c.ctx, nil)
		c.noError("Scan", err)
	}
	c.unchanged(s, before)
}

func read14(c *Case) {
	s := c.open()
	c.library(s, 9)
	c.both(s, func(q backend.Query, all []backend.Record) {
		n := 0
		for _, err := range s.Read(c.ctx, q) {
			c.noError(queryText(q), err)
			c.inTime("an append, a read and a listing in the loop body", func() error { return c.busy(s) })
			if n++; n == len(all) {
				break
			}
		}
	})
	for _, err := range s.Streams(c.ctx, backend.StreamQuery{Prefix: "a"}) {
		c.noError("Streams", err)
		c.inTime("an append, a read and a listing in a loop over streams", func() error { return c.busy(s) })
	}
}

// busy makes a call of each kind. Any goroutine may call it.
func (c *Case) busy(s Subject) error {
	if _, err := s.Append(c.ctx, unchecked("other", 1)); err != nil {
		return err
	}
	if _, err := collect(c.ctx, s, backend.Query{Stream: "a"}); err != nil {
		return err
	}
	_, err := collectStreams(c.ctx, s, backend.StreamQuery{})
	return err
}

func read15(c *Case) {
	s := c.open()
	c.furnish(s)
	c.put(s, unchecked("$sys/x/deadletter", 1))
	c.put(s, unchecked("$sys/x/lifecycle", 2))
	c.put(s, unchecked("b", 1))
	all := c.read(s, backend.Query{Kinds: backend.AllKinds})
	for _, kinds := range []backend.Kinds{
		backend.KindSet(backend.Event), backend.KindSet(backend.Snapshot), backend.KindSet(backend.Audit, backend.DeadLetter),
		backend.KindSet(backend.Lifecycle), backend.Numbered, backend.KindSet(backend.Event, backend.Snapshot), 0,
	} {
		set := kinds
		if kinds == 0 {
			set = backend.Numbered
		}
		want := slices.DeleteFunc(slices.Clone(all), func(r backend.Record) bool { return !set.Has(r.Kind) })
		q := backend.Query{Kinds: kinds}
		c.same(fmt.Sprintf("kinds %#x", uint32(kinds)), c.read(s, q), want)
		q.Limit = 1
		c.same(fmt.Sprintf("kinds %#x limit 1", uint32(kinds)), c.read(s, q), want[:1])
	}
	c.same("a stream of events asked for audits", c.read(s, backend.Query{Stream: "a", Kinds: backend.KindSet(backend.Audit)}), nil)
}
