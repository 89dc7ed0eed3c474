package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

func batchGroup() Group {
	return Group{"BATCH", "What goes together. More about batches: APPEND, OCC and IDEM.", []Rule{
		{ID: "BATCH-01", Name: "a batch of thousands is one", Requires: needs(intact, reads, []ID{"APPEND-08", "OCC-01", "READ-19"}), Since: "0.4",
			Sentence: "A batch of thousands of records is stored whole and in order, its versions and places are dense, and one refused leaves nothing.",
			Check:    batch01},
		{ID: "BATCH-02", Name: "a read of the store shows whole batches", Requires: needs(reads, []ID{"APPEND-12", "APPEND-21"}), Since: "0.4",
			Sentence: "A read of the whole store, forwards or in reverse, beside writers never ends or begins inside a batch.",
			Check:    batch02},
		{ID: "BATCH-03", Name: "a batch stands together", Requires: []ID{"APPEND-11", "APPEND-12"}, Since: "0.4",
			Sentence: "No other record stands between those of one batch, in position order, whatever is appended at the same time.",
			Check:    batch03},
	}}
}

func kindGroup() Group {
	return Group{"KIND", "Events and the system's own streams. More about kinds: APPEND-15, READ-15, RET-01.", []Rule{
		{ID: "KIND-01", Name: "each system stream is one of its own", Requires: needs(intact, []ID{"APPEND-15", "READ-15"}), Since: "0.4",
			Sentence: "Lifecycle, audit and dead-letter streams of each system have versions of their own, beside each other and beside event streams.",
			Check:    kind01},
		{ID: "KIND-02", Name: "a kind alone reads as it was written", Requires: needs(reads, []ID{"KIND-01"}), Since: "0.4",
			Sentence: "A read of the store for any set of kinds, forwards and in reverse, with bounds and limit, yields exactly the records of these kinds.",
			Check:    kind02},
		{ID: "KIND-03", Name: "a cut of one kind leaves the others", Capability: Compacts, Requires: needs(cuts, []ID{"KIND-02"}), Since: "0.4",
			Sentence: "A compaction of one system stream leaves the system's other streams, and events, as they were.",
			Check:    kind03},
	}}
}

func snapGroup() Group {
	return Group{"SNAP", "Snapshots. More about them: READ-16, READ-17, READ-20, APPEND-22, APPEND-23, COMPACT-03.", []Rule{
		{ID: "SNAP-01", Name: "every field of a snapshot is kept", Requires: needs(reads, []ID{"APPEND-22", "READ-17"}), Since: "0.4",
			Sentence: "A snapshot is returned as it was saved: stream, version, type, schema, epoch, meta, payload of any size, and time to the nanosecond.",
			Check:    snap01},
		{ID: "SNAP-02", Name: "a snapshot belongs to who has it", Requires: []ID{"SNAP-01"}, Since: "0.4",
			Sentence: "Changing the buffers of a snapshot that was saved, or of one that was returned, changes nothing that is stored.",
			Check:    snap02},
		{ID: "SNAP-03", Name: "a snapshot keeps the limits", Requires: []ID{"SNAP-01", "APPEND-17"}, Since: "0.4",
			Sentence: "A snapshot of exactly the limit of a record is stored; one byte more is ErrTooLarge, and nothing is stored.",
			Check:    snap03},
		{ID: "SNAP-04", Name: "snapshots are read after reopening", Capability: Reopens, Requires: needs(survives, []ID{"SNAP-01", "READ-17"}), Since: "0.4",
			Sentence: "After opening again the newest snapshot at or below each version is the one that it was.",
			Check:    snap04},
	}}
}

func dataGroup() Group {
	return Group{"DATA", "Bytes as they come. More about data: APPEND-02, APPEND-10, APPEND-13, APPEND-14.", []Rule{
		{ID: "DATA-01", Name: "fields do not run into one another", Requires: reads, Since: "0.4",
			Sentence: "Stream, type, meta and payload are told apart wherever the bytes of one could be the next one's: a stream \"ab\" with type \"c\" is not \"a\" with \"bc\".",
			Check:    data01},
		{ID: "DATA-02", Name: "a meta holds what it may", Requires: reads, Since: "0.4",
			Sentence: "A meta of many pairs, and of long ones, is read back pair for pair.",
			Check:    data02},
		{ID: "DATA-03", Name: "large and small records lie beside one another", Requires: needs(reads, []ID{"READ-19"}), Since: "0.4",
			Sentence: "Records of a few bytes and of hundreds of kilobytes, of payloads that compress well and that do not, are read back byte for byte, by stream and by position, forwards and in reverse.",
			Check:    data03},
	}}
}

func batch01(c *Case) {
	s := c.open()
	const n = 5000
	c.put(s, unchecked("a", 1))
	b := expecting("a", 1, n)
	res := c.put(s, b)
	c.check(res.Version == n+1, fmt.Sprint("version ", n+1), "%+v", res)
	before := c.image(s)
	bad := expecting("a", n+1, n)
	bad.Records[n-1].Type = strings.Repeat("x", 1<<20)
	c.refused(s, bad, backend.ErrInvalid)
	c.refused(s, expecting("a", n, n), backend.ErrConflict)
	c.unchanged(s, before)
	got := c.read(s, backend.Query{Stream: "a", From: 2})
	c.check(len(got) == n, fmt.Sprint(n, " records"), "%d", len(got))
	for i := range got {
		r := &got[i]
		c.check(r.Type == b.Records[i].Type && r.Version == backend.Version(i+2) && int(r.Batch.Place) == i, fmt.Sprintf("%s, version %d, place %d", b.Records[i].Type, i+2, i),
			"%s, version %d, place %d", r.Type, r.Version, r.Batch.Place)
	}
}

func batch02(c *Case) {
	s := c.open()
	const size = 4
	last := backend.Position(0)
	c.beside(3, func(w, _ int) error {
		_, err := s.Append(c.ctx, backend.Batch{Stream: fmt.Sprint("w", w), Expected: backend.Any, Records: events("e", size)})
		return err
	}, func() (newer bool, err error) {
		for r, err := range s.Read(c.ctx, backend.Query{Reverse: true, Limit: 1}) {
			if err != nil {
				return false, err
			}
			if r.Batch.Place != size-1 {
				return false, fmt.Errorf("the store ends with place %d of a batch of %d", r.Batch.Place, size)
			}
			newer = r.Position > last
			last = max(last, r.Position)
		}
		place := uint32(size - 1)
		for r, err := range s.Read(c.ctx, backend.Query{From: uint64(max(last, 100) - 99)}) {
			if err != nil {
				return false, err
			}
			place = r.Batch.Place
		}
		if place != size-1 {
			return false, fmt.Errorf("a read of the store ends with place %d of a batch of %d", place, size)
		}
		return newer, nil
	})
}

func batch03(c *Case) {
	s := c.open()
	const size = 3
	c.race(func(i int) (one, other func() error) {
		batch := func(stream string) func() error {
			return func() error {
				_, err := s.Append(c.ctx, backend.Batch{Stream: stream, Expected: backend.Any, Records: events("e", size)})
				return err
			}
		}
		return batch("a"), batch("b")
	}, func(_ int, errs []error) {
		for _, err := range errs {
			c.noError("Append", err)
		}
	})
	all := c.read(s, backend.Query{})
	for i := range all {
		first := &all[i-i%size]
		c.check(all[i].Stream == first.Stream && int(all[i].Batch.Place) == i%size, fmt.Sprintf("place %d of a batch of %q", i%size, first.Stream), "record %d: place %d of %q", i, all[i].Batch.Place, all[i].Stream)
	}
}

// systemKinds are the kinds that only system streams hold.
var systemKinds = []backend.Kind{backend.Lifecycle, backend.Audit, backend.DeadLetter}

// orchestra fills the store with streams of all kinds, one record after the other.
func (c *Case) orchestra(s Subject) (streams []string) {
	streams = []string{"x", "audit"}
	for _, system := range []string{"x", "y"} {
		for _, kind := range systemKinds {
			streams = append(streams, backend.SystemStream(system, kind))
		}
	}
	for n := range 4 {
		for _, name := range streams {
			c.put(s, backend.Batch{Stream: name, Expected: backend.Version(n), Records: []backend.Record{event("%s#%d", name, n+1)}})
		}
	}
	return streams
}

func kind01(c *Case) {
	s := c.open()
	for _, name := range c.orchestra(s) {
		got := c.read(s, backend.Query{Stream: name})
		c.check(len(got) == 4, "4 records", "stream %s: %d", name, len(got))
		for i := range got {
			want := fmt.Sprintf("%s#%d", name, i+1)
			c.check(got[i].Type == want && got[i].Version == backend.Version(i+1), fmt.Sprintf("%s at version %d", want, i+1), "stream %s: %s at version %d", name, got[i].Type, got[i].Version)
		}
	}
}

func kind02(c *Case) {
	s := c.open()
	c.orchestra(s)
	c.snapshot(s, "x", 2, "snap")
	all := c.read(s, backend.Query{Kinds: backend.AllKinds})
	for set := backend.KindSet(1); set <= backend.AllKinds; set++ {
		if set&^backend.AllKinds != 0 {
			continue
		}
		var want []backend.Record
		for _, r := range all {
			if set.Has(r.Kind) {
				want = append(want, r)
			}
		}
		what := fmt.Sprintf("kinds %#x", uint32(set))
		c.same(what, c.read(s, backend.Query{Kinds: set}), want)
		c.same(what+", in reverse", c.read(s, backend.Query{Kinds: set, Reverse: true}), reversed(want))
		if n := len(want); n > 2 {
			from, to := uint64(want[1].Position), uint64(want[n-1].Position)-1
			c.same(what+", with bounds", c.read(s, backend.Query{Kinds: set, From: from, To: to}), want[1:n-1])
			c.same(what+", with a limit", c.read(s, backend.Query{Kinds: set, Limit: 2}), want[:2])
		}
	}
}

func kind03(c *Case) {
	s := c.openCompacting()
	c.orchestra(s)
	for _, kind := range systemKinds {
		before := c.image(s)
		floor := floorAt(backend.SystemStream("x", kind), 4)
		c.compact(s, floor)
		c.unchanged(s, before.below(floor))
	}
}

func snap01(c *Case) {
	s := c.open()
	meta, err := backend.MakeMeta("trace", "t1", "empty", "", "bin\x00\xff", "v")
	c.noError("MakeMeta", err)
	c.put(s, inEpoch(4, expecting("ä/ b", 0, 5)))
	for i, size := range []int{0, 1, 100, 5000, 70_000, 1<<20 + 1} {
		want := backend.Record{Stream: "ä/ b", Version: backend.Version(1 + i%5), Epoch: 4, Type: fmt.Sprint("zustand/", i), Schema: uint32(1<<32 - 1 - i), Time: someTime, Payload: c.random(size)}
		if i%2 == 1 {
			want.Meta = meta
		}
		p, err := s.SaveSnapshot(c.ctx, want)
		c.noError("SaveSnapshot", err)
		want.Kind, want.Position = backend.Snapshot, p
		got, err := s.Snapshot(c.ctx, "ä/ b", want.Version)
		c.noError("Snapshot", err)
		got.Batch = want.Batch
		if d := difference(&got, &want); d != "" {
			c.failf("the snapshot as it was saved", "snapshot %d of %d bytes: %s", i, size, d)
		}
	}
}

func snap02(c *Case) {
	s := c.open()
	meta, err := backend.MakeMeta("k", "value")
	c.noError("MakeMeta", err)
	c.put(s, expecting("a", 0, 2))
	r := snapshotRecord("a", 2)
	r.Meta = slices.Clone(meta)
	_, err = s.SaveSnapshot(c.ctx, r)
	c.noError("SaveSnapshot", err)
	get := func() backend.Record {
		got, err := s.Snapshot(c.ctx, "a", 0)
		c.noError("Snapshot", err)
		return got
	}
	want := get().Clone()
	spoil := func(r backend.Record) {
		for i := range r.Payload {
			r.Payload[i] = '!'
		}
		r.Meta[1] = '!'
	}
	for _, change := range []struct {
		what string
		of   backend.Record
	}{{"after the buffers that were saved were changed", r}, {"after the buffers that were returned were changed", get()}} {
		spoil(change.of)
		got := get()
		if d := difference(&got, &want); d != "" {
			c.failf("the snapshot as it was saved", "%s: %s", change.what, d)
		}
	}
	held := get()
	c.noError("reading beside it", c.busy(s))
	if d := difference(&held, &want); d != "" {
		c.failf("the record that was returned, for as long as the caller has it", "%s", d)
	}
}

func snap03(c *Case) {
	const limit = 1000
	s := c.open(func(o *backend.Options) { o.Limits.RecordBytes = limit })
	c.put(s, expecting("stream", 0, 1))
	of := func(size int) backend.Record {
		r := snapshotRecord("stream", 1)
		r.Payload = make([]byte, size-len(r.Stream)-len(r.Type))
		return r
	}
	_, err := s.SaveSnapshot(c.ctx, of(limit))
	c.noError("a snapshot of the limit", err)
	before := c.image(s)
	_, err = s.SaveSnapshot(c.ctx, of(limit+1))
	c.wantError("a snapshot of one byte more", err, backend.ErrTooLarge)
	c.unchanged(s, before)
}

func snap04(c *Case) {
	s := c.open()
	c.put(s, expecting("a", 0, 9))
	for _, v := range []backend.Version{2, 7, 4, 4} {
		c.snapshot(s, "a", v, fmt.Sprintf("snap%d", v))
	}
	var want []backend.Record
	each := func(do func(v backend.Version, r backend.Record)) {
		for v := backend.Version(2); v <= 10; v++ {
			r, err := s.Snapshot(c.ctx, "a", v)
			c.noError(fmt.Sprint("Snapshot at ", v), err)
			do(v, r)
		}
	}
	each(func(_ backend.Version, r backend.Record) { want = append(want, r) })
	s = c.reopen(s)
	each(func(v backend.Version, r backend.Record) {
		if d := difference(&r, &want[v-2]); d != "" {
			c.failf("the snapshot that it was", "at version %d: %s", v, d)
		}
	})
	_, err := s.Snapshot(c.ctx, "a", 1)
	c.wantError("Snapshot at 1", err, backend.ErrNotFound)
}

func data01(c *Case) {
	s := c.open()
	const text = "abcdef"
	var want []backend.Record
	for i := 1; i < len(text); i++ {
		for j := i; j <= len(text); j++ {
			b := backend.Batch{Stream: "s" + text[:i], Expected: backend.Any, Records: []backend.Record{{Type: text[i:j], Payload: []byte(text[j:]), Time: someTime}}}
			res := c.put(s, b)
			r := b.Records[0]
			r.Stream, r.Kind, r.Version, r.Position = b.Stream, backend.Event, res.Version, res.Position
			want = append(want, r)
		}
	}
	for i := range want {
		got := c.read(s, backend.Query{Stream: want[i].Stream, From: uint64(want[i].Version), To: uint64(want[i].Version)})
		c.same(fmt.Sprintf("stream %q, type %q, payload %q", want[i].Stream, want[i].Type, want[i].Payload), got, want[i:i+1])
	}
}

func data02(c *Case) {
	s := c.open()
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("key-%d", i), strings.Repeat("v", i))
	}
	for i, pairs := range [][]string{many, {"k", strings.Repeat("x", 8<<10)}, {"newline\n", "\x00\xff"}, {"a", "", "b", "", "c", "1"}} {
		meta, err := backend.MakeMeta(pairs...)
		c.noError("MakeMeta", err)
		r := event("m%d", i)
		r.Meta = meta
		c.put(s, backend.Batch{Stream: "a", Expected: backend.Any, Records: []backend.Record{r}})
		got := c.read(s, backend.Query{Stream: "a", From: uint64(i + 1)})
		c.check(len(got) == 1 && bytes.Equal(got[0].Meta, meta), fmt.Sprintf("the meta of %d pairs", len(pairs)/2), "record %d: %s", i, bytesDifference(got[0].Meta, meta))
	}
}

func data03(c *Case) {
	s := c.open()
	var want []backend.Record
	for i := range 60 {
		size := []int{3, 40, 300, 5000, 90_000, 400_000}[c.env.Rand.IntN(6)]
		payload := c.random(size)
		if i%2 == 0 {
			payload = bytes.Repeat([]byte{byte(i + 1)}, size)
		}
		b := backend.Batch{Stream: fmt.Sprint("s", i%4), Expected: backend.Any, Records: []backend.Record{{Type: fmt.Sprint("t", i), Payload: payload, Time: someTime}}}
		res := c.put(s, b)
		r := b.Records[0]
		r.Stream, r.Kind, r.Version, r.Position = b.Stream, backend.Event, res.Version, res.Position
		want = append(want, r)
	}
	c.same("the store", c.read(s, backend.Query{}), want)
	for i := range 4 {
		var of []backend.Record
		for j := i; j < len(want); j += 4 {
			of = append(of, want[j])
		}
		c.same(fmt.Sprint("stream ", i, " in reverse"), c.read(s, backend.Query{Stream: fmt.Sprint("s", i), Reverse: true}), reversed(of))
	}
}
