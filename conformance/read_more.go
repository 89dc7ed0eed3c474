package conformance

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
)

// gallery restores a stream a with 3 versions and n snapshots spread over them,
// most at version 2, and returns them as they must be read.
func (c *Case) gallery(s Subject, n int) []backend.Record {
	c.put(s, unchecked("a", 3))
	at := make([][2]uint64, n)
	for i := range at {
		v := uint64(2)
		if i%50 == 0 {
			v = uint64(1 + i/50%3)
		}
		at[i] = [2]uint64{uint64(c.last(s)) + uint64(i) + 1, v}
	}
	b := restored("a", at...)
	for i := range b.Records {
		b.Records[i].Kind = backend.Snapshot
	}
	c.put(s, b)
	want := slices.Clone(b.Records)
	for i := range want {
		want[i].Stream = "a"
	}
	slices.SortStableFunc(want, func(x, y backend.Record) int { return cmp.Compare(x.Version, y.Version) })
	return want
}

func read16(c *Case) {
	s := c.open()
	want := c.gallery(s, 700)
	from, to := func(v backend.Version) int {
		return slices.IndexFunc(want, func(r backend.Record) bool { return r.Version >= v })
	}, func(v backend.Version) int {
		if i := slices.IndexFunc(want, func(r backend.Record) bool { return r.Version > v }); i >= 0 {
			return i
		}
		return len(want)
	}
	for _, bounds := range [][2]backend.Version{{0, 0}, {1, 3}, {2, 2}, {1, 1}, {3, 3}, {1, 2}, {2, 0}, {0, 99}} {
		some := want[from(bounds[0]):to(orMax(bounds[1]))]
		q := snapshotsOf("a")
		q.From, q.To = uint64(bounds[0]), uint64(bounds[1])
		c.same("snapshots, "+queryText(q), c.read(s, q), some)
		q.Limit = min(300, len(some))
		c.same("snapshots, "+queryText(q), c.read(s, q), some[:q.Limit])
		q.Reverse = true
		c.same("snapshots, "+queryText(q), c.read(s, q), reversed(some)[:q.Limit])
		q.Limit = 0
		c.same("snapshots, "+queryText(q), c.read(s, q), reversed(some))
	}
}

func orMax(v backend.Version) backend.Version {
	if v == 0 {
		return backend.Any
	}
	return v
}

func read17(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 9))
	c.put(s, unchecked("b", 9))
	c.snapshot(s, "b", 9, "another stream's")
	for _, at := range []struct {
		version backend.Version
		name    string
	}{{4, "first4"}, {8, "first8"}, {6, "first6"}, {8, "second8"}, {4, "second4"}} {
		c.snapshot(s, "a", at.version, at.name)
	}
	c.put(s, unchecked("a", 1))
	for upTo, want := range []string{"second8", "", "", "", "second4", "second4", "first6", "first6", "second8", "second8", "second8", "second8"} {
		r, err := s.Snapshot(c.ctx, "a", backend.Version(upTo))
		if want == "" {
			c.wantError(fmt.Sprint("Snapshot up to ", upTo), err, backend.ErrNotFound)
			continue
		}
		c.noError(fmt.Sprint("Snapshot up to ", upTo), err)
		c.check(r.Type == want && r.Kind == backend.Snapshot && string(r.Payload) == "<"+want+">", want, "up to %d: %s with payload %.20q", upTo, r.Type, r.Payload)
	}
	_, err := s.Snapshot(c.ctx, "nobody", 0)
	c.wantError("Snapshot of an unknown stream", err, backend.ErrNotFound)
}

// crowd creates n streams of one record each, named base/00000 and on by tens.
func (c *Case) crowd(s Subject, n int) (names []string) {
	batches := make([]backend.Batch, n)
	for i := range batches {
		names = append(names, fmt.Sprintf("base/%05d", 10*i))
		batches[i] = backend.Batch{Stream: names[i], Records: []backend.Record{{Type: "t", Time: someTime}}}
	}
	c.putAll(s, batches)
	return names
}

func read18(c *Case) {
	s := c.open()
	names := c.crowd(s, 1100) // more than two pages
	for _, name := range oddNames {
		c.put(s, unchecked(name, 2))
		names = append(names, name)
	}
	c.put(s, unchecked("$sys/x/audit", 1))
	names = append(names, "$sys/x/audit")
	slices.Sort(names)
	for _, q := range []backend.StreamQuery{
		{}, {Limit: 1}, {Limit: 700}, {Limit: 5000}, {Prefix: "a"}, {Prefix: "a", Limit: 2}, {Prefix: "a/", After: "a/b"}, {Prefix: "base/"},
		{After: "a"}, {After: "base/00500", Limit: 600}, {Prefix: "base/1", After: "base/05"}, {After: "\U0010ffff"}, {Prefix: "none such"}, {Prefix: "\xff"},
	} {
		var want []string
		for _, name := range names {
			if len(name) >= len(q.Prefix) && name[:len(q.Prefix)] == q.Prefix && (name > q.After || q.After == "") && (q.Limit == 0 || len(want) < q.Limit) {
				want = append(want, name)
			}
		}
		got := c.streams(s, q)
		for i := range min(len(got), len(want)) {
			c.check(got[i].Name == want[i], fmt.Sprintf("%.40q", want[i]), "%+v: stream %d is %.40q", q, i, got[i].Name)
		}
		c.check(len(got) == len(want), fmt.Sprint(len(want), " streams"), "%+v: %d", q, len(got))
		for _, info := range got[:min(len(got), 100)] {
			c.check(info.Head == c.head(s, info.Name), fmt.Sprintf("%+v", c.head(s, info.Name)), "%.40q with head %+v", info.Name, info.Head)
		}
	}
	_, err := collectStreams(c.ctx, s, backend.StreamQuery{Limit: -1})
	c.wantError("Streams with limit -1", err, backend.ErrInvalid)
}

func read19(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 1000))
	big := unchecked("a", 12)
	for i := range big.Records {
		big.Records[i].Payload = c.random(30<<10 + i)
	}
	c.put(s, big)
	huge := unchecked("a", 2)
	huge.Records[0].Payload = c.random(600 << 10)
	c.put(s, huge)
	c.put(s, unchecked("b", 300))
	want := slices.Concat(events("a.", 1000), big.Records, huge.Records)
	all := c.read(s, backend.Query{Stream: "a"})
	c.check(len(all) == len(want), fmt.Sprint(len(want), " records"), "%d", len(all))
	for i := range all {
		ok := all[i].Type == want[i].Type && string(all[i].Payload) == string(want[i].Payload) && all[i].Version == backend.Version(i+1)
		c.check(ok, fmt.Sprintf("%s, version %d, as appended", want[i].Type, i+1), "record %d: %s, version %d, %d bytes", i, all[i].Type, all[i].Version, len(all[i].Payload))
	}
	store := c.read(s, backend.Query{})
	c.check(len(store) == len(want)+300, fmt.Sprint(len(want)+300, " records"), "the store: %d", len(store))
	c.same("the store's beginning", store[:len(all)], all)
	c.same("the stream in reverse", c.read(s, backend.Query{Stream: "a", Reverse: true}), reversed(all))
	c.same("the store in reverse", c.read(s, backend.Query{Reverse: true}), reversed(store))
	q := backend.Query{Stream: "a", From: 200, To: 1013, Limit: 700}
	c.same(queryText(q), c.read(s, q), all[199:899])
}

func read20(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 1))
	newest := c.snapshot(s, "a", 1, "first")
	var saving atomic.Bool
	c.beside(1, func(_, n int) error {
		r := event("snap")
		r.Stream, r.Version = "a", 1
		saving.Store(true)
		_, err := s.SaveSnapshot(c.ctx, r)
		saving.Store(false)
		return err
	}, func() (bool, error) {
		busy := saving.Load()
		r, err := s.Snapshot(c.ctx, "a", 0)
		switch {
		case errors.Is(err, backend.ErrNotFound):
			return false, fmt.Errorf("ErrNotFound, although the snapshot at position %d was acknowledged", newest)
		case err != nil:
			return false, err
		case r.Position < newest:
			return false, fmt.Errorf("the snapshot at position %d, after that at %d was found", r.Position, newest)
		}
		newer := r.Position > newest
		newest = r.Position
		return busy && newer, nil
	})
}

func read21(c *Case) {
	s := c.open()
	before := c.crowd(s, 600)
	var creating atomic.Bool
	c.beside(1, func(_, n int) error {
		name := fmt.Sprintf("base/%05d+", n*7%6000)
		creating.Store(true)
		_, err := s.Append(c.ctx, unchecked(name, 1))
		creating.Store(false)
		return err
	}, func() (bool, error) {
		busy := creating.Load()
		list, err := collectStreams(c.ctx, s, backend.StreamQuery{})
		if err != nil {
			return false, err
		}
		few, err := collectStreams(c.ctx, s, backend.StreamQuery{Limit: 50})
		if err != nil {
			return false, err
		}
		if fault := listingFault(list, before); fault != "" {
			return false, errors.New(fault)
		}
		if len(few) != 50 {
			return false, fmt.Errorf("limit 50 lists %d of %d", len(few), len(list))
		}
		return busy, nil
	})
}

// listingFault says what is wrong with a listing that must hold names; empty if
// nothing is.
func listingFault(list []backend.StreamInfo, names []string) string {
	at := 0
	for i := range list {
		if i > 0 && list[i-1].Name >= list[i].Name {
			return fmt.Sprintf("%q is listed after %q", list[i].Name, list[i-1].Name)
		}
		if at < len(names) && list[i].Name == names[at] {
			at++
		}
	}
	if at < len(names) {
		return fmt.Sprintf("%q is not listed, in %d streams", names[at], len(list))
	}
	return ""
}
