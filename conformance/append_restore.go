package conformance

import (
	"fmt"
	"slices"

	"github.com/papyra-go/papyra/backend"
)

// numbered returns a record as a restore batch carries it.
func numbered(p backend.Position, v backend.Version, kind backend.Kind) backend.Record {
	r := event("p%d", p)
	r.Position, r.Version, r.Kind = p, v, kind
	return r
}

// restored is a restore batch of events with the given numbers.
func restored(stream string, at ...[2]uint64) backend.Batch {
	b := backend.Batch{Stream: stream, Restore: true}
	for _, n := range at {
		b.Records = append(b.Records, numbered(backend.Position(n[0]), backend.Version(n[1]), backend.Event))
	}
	return b
}

func append19(c *Case) {
	s := c.open()
	first := restored("a", [2]uint64{10, 1}, [2]uint64{11, 2}, [2]uint64{40, 3})
	first.Records[0].Batch = backend.BatchRef{ID: backend.BatchID{4, 2}}
	first.Records[1].Batch.Place = 1
	first.Records[2].Epoch = 5
	second := restored("b", [2]uint64{41, 1})
	third := restored("a", [2]uint64{1000, 2}, [2]uint64{1001, 4})
	third.Records[0].Kind = backend.Snapshot
	var want []backend.Record
	for _, b := range []backend.Batch{first, second, third} {
		res := c.put(s, b)
		last := b.Records[len(b.Records)-1]
		c.check(res.Version == last.Version && res.Position == last.Position, fmt.Sprintf("version %d, position %d", last.Version, last.Position), "%+v", res)
		for _, r := range b.Records {
			r.Stream = b.Stream
			want = append(want, r)
		}
	}
	c.same("the store", c.read(s, backend.Query{Kinds: backend.AllKinds}), want)
	h := c.head(s, "a")
	c.check(h == backend.Head{Version: 4, Epoch: 5, Floor: 1}, "version 4, epoch 5, floor 1", "%+v", h)
	b := expecting("a", 4, 1)
	b.Epoch = 5
	res := c.put(s, b)
	c.check(res.Version == 5 && res.Position > 1001, "version 5 above position 1001", "%+v", res)
}

func append20(c *Case) {
	s := c.open()
	c.put(s, restored("a", [2]uint64{10, 1}, [2]uint64{12, 2}))
	c.put(s, restored("b", [2]uint64{20, 1}))
	before := c.image(s)
	snapshot := restored("a", [2]uint64{30, 3}, [2]uint64{31, 9})
	snapshot.Records[1].Kind = backend.Snapshot
	for name, b := range map[string]backend.Batch{
		"at the last position":          restored("a", [2]uint64{20, 3}),
		"in a gap of positions":         restored("a", [2]uint64{11, 3}),
		"positions fall in the batch":   restored("a", [2]uint64{31, 3}, [2]uint64{30, 4}),
		"one position twice":            restored("a", [2]uint64{31, 3}, [2]uint64{31, 4}),
		"a version is skipped":          restored("a", [2]uint64{30, 4}),
		"a version is there already":    restored("a", [2]uint64{30, 2}),
		"a version is skipped later on": restored("a", [2]uint64{30, 3}, [2]uint64{31, 5}),
		"a snapshot of the future":      snapshot,
		"a new stream, then a gap":      restored("new", [2]uint64{30, 1}, [2]uint64{31, 3}),
	} {
		c.note("%s", name)
		c.refused(s, b, backend.ErrConflict)
		c.unchanged(s, before)
	}
	c.put(s, restored("a", [2]uint64{21, 3}))
}

func append21(c *Case) {
	s := c.open()
	const size = 5
	newest := backend.Version(0)
	c.beside(2, func(w, n int) error {
		_, err := s.Append(c.ctx, backend.Batch{Stream: "a", Expected: backend.Any, Records: events("e", size)})
		return err
	}, func() (newer bool, err error) {
		for r, err := range s.Read(c.ctx, backend.Query{Stream: "a", Reverse: true, Limit: 1}) {
			if err != nil {
				return false, err
			}
			if r.Batch.Place != size-1 || r.Version%size != 0 {
				return false, fmt.Errorf("the stream ends with version %d, place %d of a batch of %d", r.Version, r.Batch.Place, size)
			}
			newer = r.Version > newest
			newest = r.Version
		}
		return newer, nil
	})
}

func append22(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 3))
	want := c.read(s, backend.Query{Stream: "a"})
	last := c.last(s)
	for v := backend.Version(1); v <= 3; v++ {
		p := c.snapshot(s, "a", v, "snap")
		c.check(p > last, fmt.Sprint("a position above ", last), "%d", p)
		last = p
	}
	c.check(c.last(s) == last, fmt.Sprint("last position ", last), "%d", c.last(s))
	c.same("the stream beside its snapshots", c.read(s, backend.Query{Stream: "a"}), want)
	c.same("a plain read of the store", c.read(s, backend.Query{}), want)
	h := c.head(s, "a")
	c.check(h.Version == 3, "version 3", "%+v", h)
	res := c.put(s, expecting("a", 3, 1))
	c.check(res.Version == 4 && res.Position > last, fmt.Sprint("version 4 above position ", last), "%+v", res)
	all := types(c.read(s, backend.Query{Kinds: backend.AllKinds}))
	names := []string{"a.1", "a.2", "a.3", "snap", "snap", "snap", "a.1"}
	c.check(slices.Equal(all, names), fmt.Sprint(names), "every kind: %v", all)
}

func append23(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 2))
	before := c.image(s)
	for _, at := range []struct {
		stream  string
		version backend.Version
		want    error
	}{{"a", 3, backend.ErrConflict}, {"new", 1, backend.ErrConflict}, {"a", 0, backend.ErrInvalid}, {"$sys/x/audit", 1, backend.ErrInvalid}, {"", 1, backend.ErrInvalid}} {
		r := event("snap")
		r.Stream, r.Version = at.stream, at.version
		_, err := s.SaveSnapshot(c.ctx, r)
		c.wantError(fmt.Sprintf("snapshot of %q at version %d", at.stream, at.version), err, at.want)
	}
	c.unchanged(s, before)
}
