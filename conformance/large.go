package conformance

import (
	"fmt"
	"slices"

	"github.com/papyra-go/papyra/backend"
)

// The rules about more records than a page, a buffer or a cache of an engine holds, and
// about numbers that do not fit where small ones do.

// thousands is how many records OPEN-16 puts into one stream, and into as many streams:
// together they are more than 8,192, so that what an engine does a thousand, 1,024 or 4,096
// at a time it has to do again.
const thousands = 4500

func open16(c *Case) {
	s := c.open()
	const round = 500
	for at := 0; at < thousands; at += round {
		c.put(s, expecting("long", backend.Version(at), round))
		batches := make([]backend.Batch, round)
		for i := range batches {
			batches[i] = backend.Batch{Stream: fmt.Sprintf("wide-%04d", at+i), Records: []backend.Record{event("w%d", at+i)}}
		}
		c.putAll(s, batches)
		c.snapshot(s, "long", backend.Version(at+round), fmt.Sprint("snap", at+round))
	}
	for range 2 {
		before := c.image(s)
		s = c.reopen(s)
		c.unchanged(s, before)
		long := before.of("long").numbered()
		c.same("the long stream", c.read(s, backend.Query{Stream: "long"}), long)
		c.same("the long stream in reverse", c.read(s, backend.Query{Stream: "long", Reverse: true}), reversed(long))
		for _, info := range before.streams {
			h := c.head(s, info.Name)
			c.check(h == info.Head, fmt.Sprintf("head %+v", info.Head), "head of %q: %+v", info.Name, h)
		}
		res := c.put(s, expecting("long", backend.Version(len(long)), 2))
		c.check(res.Position > before.last, fmt.Sprint("a position above ", before.last), "%d", res.Position)
		c.put(s, expecting("wide-4499", backend.Version(len(before.of("wide-4499").records)), 1))
	}
}

// high are numbers beside which the next lower one is shorter, or is not the same once it
// has passed through 32 bits or a float64; the last is the highest that a caller may bring.
var high = []uint64{1 << 31, 1 << 32, 1<<32 + 2, 1<<53 + 2, backend.MaxNumber}

func occ10(c *Case) {
	s := c.open()
	at := backend.Version(0)
	for _, top := range high {
		for _, epoch := range []uint64{top - 1, top} {
			c.put(s, inEpoch(epoch, expecting("a", at, 1)))
			at++
			c.fenced(s, inEpoch(epoch-1, expecting("a", at, 1)), epoch)
			h := c.head(s, "a")
			c.check(h.Epoch == epoch, fmt.Sprint("epoch ", epoch), "%+v", h)
		}
		s = c.reopen(s)
		c.fenced(s, inEpoch(top-1, expecting("a", at, 1)), top)
	}
	for _, over := range []uint64{backend.MaxNumber + 1, 1 << 63, ^uint64(0)} {
		c.refused(s, inEpoch(over, expecting("a", at, 1)), backend.ErrInvalid)
	}
	var got, want []uint64
	for _, r := range c.read(s, backend.Query{Stream: "a"}) {
		got = append(got, r.Epoch)
	}
	for _, top := range high {
		want = append(want, top-1, top)
	}
	c.check(slices.Equal(got, want), fmt.Sprint("epochs ", want), "%v", got)
	list := c.streams(s, backend.StreamQuery{})
	c.check(len(list) == 1 && list[0].Head.Epoch == backend.MaxNumber, fmt.Sprint("one stream of epoch ", uint64(backend.MaxNumber)), "%+v", list)
	c.put(s, inEpoch(backend.MaxNumber, expecting("a", at, 1)))
}

func append25(c *Case) {
	s := c.open()
	var want []backend.Record
	const grows = 3 // this stream is appended to, by a writer without an epoch: who is fenced is OCC-10's
	epoch := func(i int) uint64 {
		if i == grows {
			return 0
		}
		return high[i]
	}
	for i, top := range high {
		b := restored(fmt.Sprint("s", i), [2]uint64{top - 1, top - 1}, [2]uint64{top, top})
		for j := range b.Records {
			b.Records[j].Epoch, b.Records[j].Schema = epoch(i), 1<<32-1-uint32(i)
		}
		c.put(s, b)
		for _, r := range b.Records {
			r.Stream = b.Stream
			want = append(want, r)
		}
	}
	for _, over := range [][2]uint64{{backend.MaxNumber + 1, 1}, {1 << 63, 1}} {
		c.refused(s, restored("over", over), backend.ErrInvalid)
	}
	whole := func(when string) {
		last := want[len(want)-1].Position
		c.same(when+": the store", c.read(s, backend.Query{Kinds: backend.AllKinds}), want)
		c.same(when+": the store in reverse", c.read(s, backend.Query{Reverse: true}), reversed(want))
		c.check(c.last(s) == last, fmt.Sprint("last position ", last), "%s: %d", when, c.last(s))
		for i, top := range high {
			name := fmt.Sprint("s", i)
			own := slices.DeleteFunc(slices.Clone(want), func(r backend.Record) bool { return r.Stream != name })
			c.same(when+": a stream", c.read(s, backend.Query{Stream: name}), own)
			c.same(when+": a stream from there", c.read(s, backend.Query{Stream: name, From: top, To: top}), own[1:2])
			c.same(when+": the store from there", c.read(s, backend.Query{From: top, Limit: 1}), own[1:2])
			h, newest := c.head(s, name), own[len(own)-1].Version
			c.check(h == backend.Head{Version: newest, Epoch: epoch(i), Floor: backend.Version(top - 1)}, fmt.Sprintf("version %d, epoch %d, floor %d", newest, epoch(i), top-1), "%s: head of %q: %+v", when, name, h)
		}
	}
	whole("as restored")
	at := backend.Version(high[grows])
	res := c.put(s, expecting(fmt.Sprint("s", grows), at, 1))
	c.check(res.Version == at+1 && res.Position > backend.MaxNumber, fmt.Sprintf("version %d above position %d", at+1, uint64(backend.MaxNumber)), "%+v", res)
	want = append(want, c.read(s, backend.Query{From: uint64(res.Position)})...)
	whole("with one more")
	if again := c.again(s); again != nil {
		s = again
		whole("opened again")
	}
}
