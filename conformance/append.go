package conformance

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/papyra-go/papyra/backend"
)

func appendGroup() Group {
	return Group{"APPEND", "What an acknowledged append has stored, and what a refused one has not.", []Rule{
		{ID: "APPEND-01", Name: "an acknowledged record is read back once", Requires: empty,
			Sentence: "Each acknowledged record is read back exactly once, from its stream and from the store, and nothing else is.",
			Check:    append01},
		{ID: "APPEND-02", Name: "payloads are kept byte for byte", Requires: appends,
			Sentence: "A payload is read back byte for byte, whatever its size up to the limit; an empty one as an empty slice.",
			Check:    append02},
		{ID: "APPEND-03", Name: "the caller's buffers are not kept", Requires: stored,
			Sentence: "Nothing refers to a batch's records, payloads or metas after the call: changing them does not change history.",
			Check:    append03},
		{ID: "APPEND-04", Name: "versions are dense from 1 in each stream", Requires: appends,
			Sentence: "The records of each stream have the versions 1, 2, 3, … without a gap, however the appends to other streams lie between.",
			Check:    append04},
		{ID: "APPEND-05", Name: "results carry the stored numbers", Requires: appends,
			Sentence: "A result's version and position, Head and Last are those of the records that are read back.",
			Check:    append05},
		{ID: "APPEND-06", Name: "a batch keeps its order and says so", Requires: []ID{"APPEND-02", "APPEND-10"},
			Sentence: "A batch's records are stored in its order, each with its own type, payload and meta; each says its place in the batch, and the first alone carries the batch's ID.",
			Check:    append06},
		{ID: "APPEND-07", Name: "an empty batch is a no-op", Requires: stored,
			Sentence: "Appending no records returns no error and a zero result, stores nothing and counts nothing.",
			Check:    append07},
		{ID: "APPEND-08", Name: "what is invalid is ErrInvalid", Requires: stored,
			Sentence: "A batch that breaks a rule on names, kinds, types, metas, times or IDs is refused with ErrInvalid.",
			Check:    append08},
		{ID: "APPEND-09", Name: "a refused append leaves nothing", Requires: stored,
			Sentence: "A refused append stores no record of its batch and takes no version.",
			Check:    append09},
		{ID: "APPEND-10", Name: "every field is kept", Requires: appends,
			Sentence: "Stream, kind, type, schema, epoch and meta are read back as they were appended, and the time as the same instant to the nanosecond.",
			Check:    append10},
		{ID: "APPEND-11", Name: "positions rise in commit order", Requires: appends,
			Sentence: "Positions are at least 1 and rise strictly from record to record, and from each acknowledged append to every later one, whatever their streams.",
			Check:    append11},
		{ID: "APPEND-12", Name: "a tailer misses nothing", Requires: needs(stored, []ID{"READ-01"}),
			Sentence: "Who has seen position p never finds a new record at or below p: reading on from the last position seen, beside writers, yields every record once.",
			Check:    append12},
		{ID: "APPEND-13", Name: "payloads are binary safe", Capability: Reopens, Requires: survives,
			Sentence: "A payload may hold anything, also the store's own framing: NUL, line ends, invalid UTF-8, and whole pieces of the store's files.",
			Check:    append13},
		{ID: "APPEND-14", Name: "stream names are opaque", Requires: stored,
			Sentence: "Streams are told apart by the bytes of their names alone: case, accents, separators, dots, wildcards and length mean nothing.",
			Check:    append14},
		{ID: "APPEND-15", Name: "system streams hold their own kind", Requires: stored,
			Sentence: "A record without a kind gets its stream's: lifecycle, audit or deadletter in that system stream, event elsewhere.",
			Check:    append15},
		{ID: "APPEND-16", Name: "records without a time get the clock's", Requires: stored,
			Sentence: "A record with a zero time is stamped by the backend's clock, in UTC; one that brings a time keeps it.",
			Check:    append16},
		{ID: "APPEND-17", Name: "limits hold on both sides", Requires: needs(intact, []ID{"APPEND-08", "OPEN-14"}),
			Sentence: "A record and a batch of exactly the limit are stored; one byte more is ErrTooLarge, and nothing is stored.",
			Check:    append17},
		{ID: "APPEND-18", Name: "AppendAll judges each batch alone", Requires: []ID{"OCC-01", "OCC-02", "OCC-04"},
			Sentence: "AppendAll's results stand in order, as if the batches had been appended one after the other: a refused batch does not touch the others.",
			Check:    append18},
		{ID: "APPEND-19", Name: "restored records keep their numbers", Requires: stored,
			Sentence: "A restore batch keeps positions (with gaps), versions, times, epochs, batch references and snapshots, and later appends go on above it.",
			Check:    append19},
		{ID: "APPEND-20", Name: "a restored record that does not fit is refused", Requires: []ID{"APPEND-09", "APPEND-19"},
			Sentence: "A restore batch with a position that is not above the last, or a version that does not follow, is ErrConflict as a whole, and stores nothing.",
			Check:    append20},
		{ID: "APPEND-21", Name: "readers see a batch wholly or not at all", Requires: []ID{"OCC-06", "READ-04"},
			Sentence: "Reading a stream beside its writer never shows part of a batch.",
			Check:    append21},
		{ID: "APPEND-22", Name: "a snapshot takes a position and no version", Requires: stored,
			Sentence: "A snapshot takes a position of its own but no version, and does not show among the stream's numbered records or in a plain read of the store.",
			Check:    append22},
		{ID: "APPEND-23", Name: "a snapshot of an unreached version is refused", Requires: []ID{"APPEND-09", "APPEND-22"},
			Sentence: "A snapshot that covers a version above the stream's newest is ErrConflict, one that covers version 0 ErrInvalid; neither stores anything.",
			Check:    append23},
		{ID: "APPEND-24", Name: "times are read back in UTC", Requires: stored,
			Sentence: "A record's time is read back in UTC, whatever location it was given in.",
			Check:    append24},
		{ID: "APPEND-25", Name: "numbers may be as high as they go", Requires: needs(reads, []ID{"APPEND-19", "OPEN-14"}), Since: "0.4",
			Sentence: "Restored positions, versions and epochs up to MaxNumber, and schemas up to 2³²−1, are found and read back as they are, also after opening again, and appends go on above them; higher ones are ErrInvalid. Tried on both sides of 2³¹, 2³², 2³²+2, 2⁵³+2 and 2⁶².",
			Check:    append25},
	}}
}

func append01(c *Case) {
	s := c.open()
	var want []string
	for i := range 5 {
		b := backend.Batch{Stream: "a", Expected: backend.Any, Records: events(fmt.Sprint("r", i, "."), 1+i%2)}
		c.put(s, b)
		want = append(want, types(b.Records)...)
		for _, q := range []backend.Query{{Stream: "a"}, {}} {
			got := types(c.read(s, q))
			c.check(len(got) == len(want), fmt.Sprintf("%d records: %v", len(want), want), "%d records: %v", len(got), got)
			for _, name := range want {
				c.check(slices.Contains(got, name), "record "+name, "%v", got)
			}
		}
	}
}

func append02(c *Case) {
	s := c.open()
	sizes := []int{0, 1, 2, 7, 8, 9, 127, 128, 129, 255, 256, 4095, 4096, 4097, 32 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 256<<10 + 1, 1<<20 + 1}
	payloads := make([][]byte, len(sizes))
	for i, n := range sizes {
		payloads[i] = c.random(n)
		c.put(s, backend.Batch{Stream: "a", Expected: backend.Any, Records: []backend.Record{{Payload: payloads[i], Time: someTime}}})
	}
	got := c.read(s, backend.Query{Stream: "a"})
	c.check(len(got) == len(sizes), fmt.Sprint(len(sizes), " records"), "%d", len(got))
	for i := range got {
		c.check(bytes.Equal(got[i].Payload, payloads[i]), "the payload that was appended", "payload of %d bytes: %s", sizes[i], bytesDifference(got[i].Payload, payloads[i]))
	}
	c.check(got[0].Payload != nil, "an empty slice for an empty payload", "nil")
}

// random returns n random bytes.
func (c *Case) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.env.Rand.Uint32())
	}
	return b
}

func append03(c *Case) {
	s := c.open()
	meta, _ := backend.MakeMeta("k", "value")
	batch := unchecked("a", 3)
	for i := range batch.Records {
		batch.Records[i].Meta = slices.Clone(meta)
	}
	c.put(s, batch)
	want := c.read(s, backend.Query{Stream: "a"})
	c.note("change the batch's payloads, metas and records")
	for i := range batch.Records {
		r := &batch.Records[i]
		for j := range r.Payload {
			r.Payload[j] = '!'
		}
		r.Meta[1] = '!'
		r.Type = "changed"
	}
	c.same("after the caller changed its buffers", c.read(s, backend.Query{Stream: "a"}), want)
}

func append04(c *Case) {
	s := c.open()
	names := []string{"a", "b", "c"}
	next := map[string]backend.Version{}
	for i := range 12 {
		name := names[i%3]
		n := 1 + i%4
		c.put(s, unchecked(name, n))
		next[name] += backend.Version(n)
	}
	for _, name := range names {
		got := c.read(s, backend.Query{Stream: name})
		c.check(len(got) == int(next[name]), fmt.Sprint(next[name], " records"), "%d", len(got))
		for i := range got {
			c.check(got[i].Version == backend.Version(i+1), fmt.Sprint("version ", i+1), "stream %s: record %d has version %d", name, i, got[i].Version)
		}
	}
}

func append05(c *Case) {
	s := c.open()
	for i := range 6 {
		name := string(rune('a' + i%2))
		res := c.put(s, unchecked(name, 1+i))
		got := c.read(s, backend.Query{Stream: name})
		r := got[len(got)-1]
		c.check(res.Version == r.Version && res.Position == r.Position, fmt.Sprintf("version %d, position %d, as stored", r.Version, r.Position), "result %+v", res)
		h := c.head(s, name)
		c.check(h.Version == r.Version && h.Floor == got[0].Version, fmt.Sprintf("a head at version %d, floor %d", r.Version, got[0].Version), "head %+v", h)
		c.check(c.last(s) == r.Position, fmt.Sprint("last position ", r.Position), "%d", c.last(s))
	}
}

func append06(c *Case) {
	s := c.open()
	id := backend.BatchID{7, 7, 7}
	b := expecting("a", 0, 9)
	b.ID = id
	for i := range b.Records { // none like another
		r := &b.Records[i]
		r.Payload = c.random(3 * i)
		r.Meta, _ = backend.MakeMeta("place", strings.Repeat("x", i))
	}
	c.put(s, b)
	second := unchecked("a", 3)
	c.put(s, second)
	got := c.read(s, backend.Query{Stream: "a"})
	want := slices.Concat(b.Records, second.Records)
	c.check(slices.Equal(types(got), types(want)), fmt.Sprint(types(want)), "%v", types(got))
	for i := range got {
		c.check(bytes.Equal(got[i].Payload, want[i].Payload), "the payload that was appended", "record %d: %s", i, bytesDifference(got[i].Payload, want[i].Payload))
		c.check(bytes.Equal(got[i].Meta, want[i].Meta), "the meta that was appended", "record %d: %s", i, bytesDifference(got[i].Meta, want[i].Meta))
		ref := backend.BatchRef{Place: uint32(i % 9)}
		if i == 0 {
			ref.ID = id
		}
		c.check(got[i].Batch == ref, fmt.Sprintf("%v at place %d", ref.ID, ref.Place), "record %d: %v at place %d", i, got[i].Batch.ID, got[i].Batch.Place)
	}
}

func append07(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 2))
	before, counted := c.image(s), s.Metrics().Snapshot()
	for _, b := range []backend.Batch{{Stream: "a", Expected: backend.Any}, {Stream: "a", Expected: 2}, {Stream: "new"}} {
		res := c.put(s, b)
		c.check(res == backend.Result{}, "the zero result", "%+v", res)
		all := c.putAll(s, []backend.Batch{b, b})
		c.check(all[0] == backend.Result{} && all[1] == backend.Result{}, "zero results", "AppendAll: %+v", all)
	}
	c.putAll(s, nil)
	c.unchanged(s, before)
	c.check(s.Metrics().Snapshot() == counted, fmt.Sprintf("%+v", counted), "counters %+v", s.Metrics().Snapshot())
}

func append10(c *Case) {
	s := c.open()
	meta, err := backend.MakeMeta("trace", "00-abc", "empty", "", "bin\x00\xff", "v\n\xfe")
	c.noError("MakeMeta", err)
	want := []backend.Record{
		{Type: "plain", Time: someTime},
		{Type: "größe/日本", Schema: 1<<32 - 1, Time: time.Unix(0, 1).UTC(), Meta: meta, Payload: []byte("p")},
		{Type: "", Time: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), Schema: 1},
		{Type: "old", Time: time.Date(1700, 1, 2, 3, 4, 5, 999_999_999, time.UTC)},
		{Type: "late", Time: time.Date(2250, 1, 2, 3, 4, 5, 1, time.UTC)},
	}
	for i := range want { // one by one: the order in a batch has a rule of its own
		c.put(s, backend.Batch{Stream: "päth/ a", Expected: backend.Any, Epoch: 3, Records: want[i : i+1]})
	}
	got := c.read(s, backend.Query{Stream: "päth/ a"})
	for i := range got { // numbers, payloads and batch references have rules of their own
		g, w := got[i], want[i]
		w.Stream, w.Kind, w.Epoch = "päth/ a", backend.Event, 3
		w.Position, w.Version, w.Batch, w.Payload = g.Position, g.Version, g.Batch, g.Payload
		if d := difference(&g, &w); d != "" {
			c.failf("every field as appended", "record %d: %s", i, d)
		}
	}
}

func append11(c *Case) {
	s := c.open()
	var last backend.Position
	for i := range 12 {
		res := c.put(s, unchecked(fmt.Sprint("s", i%3), 1+i%3))
		c.check(res.Position > last, fmt.Sprint("a position above ", last), "%d", res.Position)
		last = res.Position
		if i%4 == 3 {
			p := c.snapshot(s, "s0", 1, fmt.Sprint("snap", i))
			c.check(p > last, fmt.Sprint("a position above ", last), "snapshot at %d", p)
			last = p
		}
	}
	last = 0
	for _, r := range c.read(s, backend.Query{Kinds: backend.AllKinds}) {
		c.check(r.Position > last, fmt.Sprint("a position above ", last), "%s at %d", r.Type, r.Position)
		last = r.Position
	}
}

func append12(c *Case) {
	s := c.open()
	var seen []backend.Record
	var writing atomic.Int32
	tail := func() (bool, error) {
		from := uint64(1)
		if n := len(seen); n > 0 {
			from = uint64(seen[n-1].Position) + 1
		}
		busy := writing.Load() > 0
		fresh, err := collect(c.ctx, s, backend.Query{From: from})
		seen = append(seen, fresh...)
		return busy && len(fresh) > 0, err
	}
	c.beside(3, func(w, n int) error {
		writing.Add(1)
		defer writing.Add(-1)
		_, err := s.Append(c.ctx, unchecked(fmt.Sprint("w", w), 1+n%3))
		return err
	}, tail)
	if _, err := tail(); err != nil {
		c.noError("the last look", err)
	}
	all := c.read(s, backend.Query{})
	c.check(len(seen) == len(all), fmt.Sprint(len(all), " records, each once"), "%d records tailed: %s", len(seen), listDifference(seen, all))
	c.same("what the tailer saw", seen, all)
}

func append13(c *Case) {
	s := c.open()
	every := make([]byte, 512)
	for i := range every {
		every[i] = byte(i)
	}
	payloads := [][]byte{every, {0}, {'\n'}, []byte("a\r\n\"b\\\x1a"), {0xff, 0xfe, 0xc3, 0x28}, bytes.Repeat([]byte{0}, 9000), bytes.Repeat([]byte{0xff}, 300)}
	put := func(payloads [][]byte) {
		for _, p := range payloads {
			c.put(s, backend.Batch{Stream: "a", Expected: backend.Any, Records: []backend.Record{{Type: "raw", Payload: p, Time: someTime}}})
		}
	}
	put(payloads)
	own := c.ownBytes()
	put(own) // pieces of the store's files, headers and all
	payloads = append(payloads, own...)
	c.put(s, unchecked("b", 1))
	for _, when := range []string{"before", "after"} {
		got := c.read(s, backend.Query{Stream: "a"})
		c.check(len(got) == len(payloads), fmt.Sprint(len(payloads), " records"), "%s reopening: %d", when, len(got))
		for i := range got {
			c.check(bytes.Equal(got[i].Payload, payloads[i]), "the payload that was appended", "%s reopening, record %d: %s", when, i, bytesDifference(got[i].Payload, payloads[i]))
		}
		if when == "before" {
			s = c.reopen(s)
		}
	}
}

// ownBytes returns the beginnings of the files that the store keeps in its
// directory; none if it keeps none there.
func (c *Case) ownBytes() (pieces [][]byte) {
	_ = filepath.WalkDir(c.env.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || len(pieces) == 16 {
			return nil
		}
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			pieces = append(pieces, b[:min(len(b), 16<<10)])
		}
		return nil
	})
	return pieces
}
