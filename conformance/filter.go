package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// filterRules are those of the group READ on what a query selects by, beyond kinds.
func filterRules() []Rule {
	return []Rule{
		{ID: "READ-22", Name: "Prefix selects streams", Requires: needs(reads, []ID{"APPEND-14", "READ-15"}), Since: "0.4",
			Sentence: "A read of the store with a Prefix yields the records of the streams whose names begin with it, byte by byte, in position order.",
			Check:    read22},
		{ID: "READ-23", Name: "Types selects", Requires: needs(reads, []ID{"READ-15", "READ-16"}), Since: "0.4",
			Sentence: "A read with Types yields the records whose type is one of them, to the byte; the empty type is one like any other, and no types select nothing out.",
			Check:    read23},
		{ID: "READ-24", Name: "Since is inclusive, Until is not", Requires: needs(reads, []ID{"APPEND-16", "READ-15", "READ-16"}), Since: "0.4",
			Sentence: "A read yields the records whose time is at or after Since and before Until, to the nanosecond, in the read's order whatever the times are; zero is no bound.",
			Check:    read24},
		{ID: "READ-25", Name: "filters combine, and Limit counts what passes", Requires: []ID{"READ-22", "READ-23", "READ-24"}, Since: "0.4",
			Sentence: "A record is read if it lies within the bounds and passes every filter; Limit n yields the first n of those, forwards and in reverse.",
			Check:    read25},
		{ID: "READ-26", Name: "a filter that makes no sense is ErrInvalid", Requires: stored, Since: "0.4",
			Sentence: "A Prefix beside a Stream, a Prefix no name or a type in Types no record can have, and an Until before Since are ErrInvalid, and the message names the field.",
			Check:    read26},
		{ID: "READ-27", Name: "filtered reads are whole", Requires: []ID{"READ-19", "READ-25"}, Since: "0.4",
			Sentence: "A filtered read yields all that passes, however much is left out before, between and after, of the store, of a stream, and of a stream's snapshots.",
			Check:    read27},
	}
}

// chosen is which of the records q must yield: of all those in its order. It is said
// again here, so that an engine is not judged by its own words.
func chosen(q backend.Query, all []backend.Record) (out []backend.Record) {
	for i := range all {
		r := &all[i]
		typed := len(q.Types) == 0
		for _, name := range q.Types {
			typed = typed || r.Type == name
		}
		at := r.Time.UnixNano()
		if len(r.Stream) < len(q.Prefix) || r.Stream[:len(q.Prefix)] != q.Prefix || !typed ||
			!q.Since.IsZero() && at < q.Since.UnixNano() || !q.Until.IsZero() && at >= q.Until.UnixNano() {
			continue
		}
		out = append(out, *r)
	}
	if q.Reverse {
		slices.Reverse(out)
	}
	if q.Limit > 0 {
		out = out[:min(q.Limit, len(out))]
	}
	return out
}

// choose reads with the filters of q, and wants what they choose from all.
func (c *Case) choose(s Subject, q backend.Query, all []backend.Record) {
	c.same(queryText(q), c.read(s, q), chosen(q, all))
}

func read22(c *Case) {
	s := c.open()
	for _, name := range append([]string{"order-1", "order-10", "order_1", "order%1", "Order-1", "order", "ordér", "orde\u0301r", "$sys/order/audit"}, oddNames...) {
		c.put(s, unchecked(name, 2))
	}
	c.snapshot(s, "order-1", 1, "snap")
	for _, kinds := range []backend.Kinds{0, backend.AllKinds} {
		all := c.read(s, backend.Query{Kinds: kinds})
		for _, prefix := range []string{"", "o", "order", "order-", "order-1", "order_", "order%", "%", "_", "O", "ord", "ordé", "orde", "$sys/", "$sys/order/audit", "a/", "none such"} {
			c.choose(s, backend.Query{Prefix: prefix, Kinds: kinds}, all)
		}
	}
}

func read23(c *Case) {
	s := c.open()
	for _, name := range []string{"paid", "Paid", "paid ", "paid%", "p_id", "pai", "", "paid, in full", "zahlt\u00e9", "zahlte\u0301"} {
		for _, stream := range []string{"a", "b"} {
			r := event("%s", name)
			c.put(s, backend.Batch{Stream: stream, Expected: backend.Any, Records: []backend.Record{r}})
		}
	}
	c.snapshot(s, "a", 1, "paid")
	c.snapshot(s, "a", 2, "state")
	for _, q := range []backend.Query{{}, {Stream: "a"}, {Kinds: backend.AllKinds}, snapshotsOf("a")} {
		all := c.read(s, q)
		for _, types := range [][]string{nil, {}, {"paid"}, {"p_id"}, {"paid%"}, {""}, {"pai", "none such"}, {"none such"}, {"Paid", "", "paid "}, {"paid, in full"}, {"zahlte\u0301"}, {"state", "state"}} {
			q.Types = types
			c.choose(s, q, all)
		}
	}
}

func read24(c *Case) {
	s := c.open()
	at := func(ns int) time.Time { return someTime.Add(time.Duration(ns)) }
	for i, ns := range []int{0, 5, 3, 4, 4, -1_000_000_000, 1_000_000_000, 2, 3} { // not in order
		r := event("t%d", i)
		r.Time = at(ns)
		c.put(s, backend.Batch{Stream: string(rune('a' + i%2)), Expected: backend.Any, Records: []backend.Record{r}})
	}
	c.snapshot(s, "a", 1, "snap")
	zone := time.FixedZone("east", 7200)
	for _, q := range []backend.Query{{}, {Stream: "a"}, {Kinds: backend.AllKinds}, snapshotsOf("a")} {
		all := c.read(s, q)
		for _, bounds := range [][2]time.Time{
			{at(3), {}}, {{}, at(4)}, {at(3), at(4)}, {at(3), at(5)}, {at(4), at(4)}, {at(-1_000_000_000), at(0)}, {at(0), at(1_000_000_000)},
			{at(5).In(zone), at(1_000_000_001).In(zone)}, {at(2_000_000_000), {}}, {{}, at(-1_000_000_000)}, {{}, {}},
			{time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)},
		} {
			q.Since, q.Until = bounds[0], bounds[1]
			c.choose(s, q, all)
		}
	}
}

// ledger puts n records of streams in/0 to in/2 and out/0, of the types made, paid and
// none, a second apart.
func (c *Case) ledger(s Subject, n int) {
	batches := make([]backend.Batch, n)
	for i := range batches {
		r := event("%s", []string{"made", "paid", ""}[i/2%3])
		r.Time = someTime.Add(time.Duration(i) * time.Second)
		batches[i] = backend.Batch{Stream: []string{"in/0", "in/1", "in/2", "out/0"}[i%4], Expected: backend.Any, Records: []backend.Record{r}}
	}
	c.putAll(s, batches)
}

func read25(c *Case) {
	s := c.open()
	c.ledger(s, 60)
	all := c.read(s, backend.Query{})
	early, late := someTime.Add(10*time.Second+1), someTime.Add(49*time.Second+1)
	for _, q := range []backend.Query{
		{Prefix: "in/"}, {Prefix: "in/", Types: []string{"paid"}}, {Types: []string{"paid", ""}, Since: early}, {Prefix: "in/1", Until: late},
		{Prefix: "in/", Types: []string{"made"}, Since: early, Until: late}, {Prefix: "out/", Types: []string{"none such"}, Since: early},
		{Prefix: "out/", Kinds: backend.KindSet(backend.Audit)},
	} {
		within := all
		if q.Kinds != 0 {
			within = nil
		}
		for _, bounds := range [][2]int{{0, len(all)}, {7, 52}} {
			some := within[min(bounds[0], len(within)):min(bounds[1], len(within))]
			q.From, q.To = uint64(all[bounds[0]].Position), uint64(all[bounds[1]-1].Position)
			for _, q.Limit = range []int{0, 1, 2, 5, 1000} {
				for _, q.Reverse = range []bool{false, true} {
					c.choose(s, q, some)
				}
			}
		}
	}
}

func read26(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 3))
	long := strings.Repeat("s", backend.MaxStreamBytes+1)
	for _, bad := range []struct {
		field string
		q     backend.Query
	}{
		{"Prefix", backend.Query{Stream: "a", Prefix: "a"}},
		{"Prefix", backend.Query{Prefix: "a\x00"}},
		{"Prefix", backend.Query{Prefix: "a\xff"}},
		{"Prefix", backend.Query{Prefix: long}},
		{"Types", backend.Query{Types: []string{"a.1", "\x00"}}},
		{"Types", backend.Query{Stream: "a", Types: []string{"\xff"}}},
		{"Types", backend.Query{Types: []string{long[:backend.MaxTypeBytes+1]}}},
		{"Until", backend.Query{Since: someTime, Until: someTime.Add(-1)}},
	} {
		what := fmt.Sprintf("a wrong %s: %s", bad.field, queryText(bad.q))
		got, err := collect(c.ctx, s, bad.q)
		c.wantError(what, err, backend.ErrInvalid)
		c.check(len(got) == 0, "no records", "%s: %d records beside an error", what, len(got))
		c.check(strings.Contains(err.Error(), bad.field), "an error that names "+bad.field, "%s: %v", what, err)
	}
}

func read27(c *Case) {
	s := c.open()
	snapshots := c.gallery(s, 700)
	c.put(s, unchecked("before", 900))
	c.put(s, unchecked("long", 1300)) // its types are long.1 to long.1300
	c.put(s, unchecked("after", 900))
	store, stream := c.read(s, backend.Query{}), c.read(s, backend.Query{Stream: "long"})
	for _, types := range [][]string{{"long.1"}, {"long.1300"}, {"long.1", "long.256", "long.257", "long.258", "long.700", "long.1300"}, {"before.1", "after.900"}, {"none such"}} {
		for _, reverse := range []bool{false, true} {
			for limit := range 4 {
				c.choose(s, backend.Query{Types: types, Reverse: reverse, Limit: limit}, store)
				c.choose(s, backend.Query{Types: types, Reverse: reverse, Limit: limit, Stream: "long"}, stream)
			}
		}
	}
	c.choose(s, backend.Query{Prefix: "long"}, store)
	q := snapshotsOf("a")
	for _, at := range []int{0, 1, 255, 256, 257, 600, 699} {
		q.Types = append(q.Types, snapshots[at].Type)
		for _, q.Reverse = range []bool{false, true} {
			for _, q.Limit = range []int{0, 1, 3} {
				c.choose(s, q, snapshots)
			}
		}
	}
}
