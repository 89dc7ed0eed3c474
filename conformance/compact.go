package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// What the rules about compaction rest on: that cuts are made at all, and what looks at
// them.
var (
	compacts = needs(reads, []ID{"CLAIM-02", "APPEND-22", "READ-12", "READ-15", "READ-16", "READ-17", "READ-18"})
	cuts     = []ID{"COMPACT-01", "COMPACT-02"}
)

func compactGroup() Group {
	return Group{"COMPACT", "What a compaction takes, and what it leaves. For backends that claim it.", []Rule{
		{ID: "COMPACT-01", Name: "what lies below the cut is gone", Capability: Compacts, Requires: compacts, Since: "0.3",
			Sentence: "After a compaction a stream begins at its floor: reads without From begin there, asked for explicitly what lies below is ErrCompacted, heads and listings say the floor, and a read of the store has nothing below it.",
			Check:    compact01},
		{ID: "COMPACT-02", Name: "what is left reads as before", Capability: Compacts, Requires: []ID{"COMPACT-01"}, Since: "0.3",
			Sentence: "What lies above the cut, and every stream that is not in it, reads as before, bytes, versions and positions, and the last position and the streams' versions and epochs stay.",
			Check:    compact02},
		{ID: "COMPACT-03", Name: "snapshots below go, and the newest stays", Capability: Compacts, Requires: cuts, Since: "0.3",
			Sentence: "Snapshots of versions from which the records up to the floor are gone go too; one of the version just below the floor, the newest at the latest, stays.",
			Check:    compact03},
		{ID: "COMPACT-04", Name: "versions and positions are never given again", Capability: Compacts, Requires: cuts, Since: "0.3",
			Sentence: "A stream of which every record was cut goes on with the version after its newest, at a position above every one ever given, and is still listed with its head.",
			Check:    compact04},
		{ID: "COMPACT-05", Name: "a deleted stream leaves its version", Capability: Compacts, Requires: []ID{"COMPACT-03", "COMPACT-04"}, Since: "0.3",
			Sentence: "Deleting takes a stream whole, snapshots too and also where it has none; its head keeps version and epoch with the floor above, appends go on after it, deleting again changes nothing, and deleting at another version than the stream's is ErrConflict.",
			Check:    compact05},
		{ID: "COMPACT-06", Name: "a refused cut takes nothing", Capability: Compacts, Requires: cuts, Since: "0.3",
			Sentence: "A cut with a floor above the version after the newest snapshot, above the end of the stream, or out of order is ErrInvalid, and nothing of it is made, nor of one whose context has ended.",
			Check:    compact06},
		{ID: "COMPACT-07", Name: "a hold is not passed", Capability: Compacts, Requires: []ID{"COMPACT-05", "COMPACT-06"}, Since: "0.3",
			Sentence: "A cut that would take anything above a held position is ErrInvalid and takes nothing; up to it, and once it is released, cuts are made.",
			Check:    compact07},
		{ID: "COMPACT-08", Name: "a cut holds after reopening", Capability: Reopens, Requires: needs(survives, []ID{"OPEN-03", "COMPACT-05"}), Since: "0.3",
			Sentence: "After opening again the floors, what is left, the heads of streams that were cut or deleted whole, and the last position are as the compaction left them.",
			Check:    compact08},
		{ID: "COMPACT-09", Name: "a floor never falls", Capability: Compacts, Requires: cuts, Since: "0.3",
			Sentence: "Making the same cut again, one with lower floors, or one of streams that never held anything succeeds and changes nothing.",
			Check:    compact09},
		{ID: "COMPACT-10", Name: "a retry below the floor is ErrCompacted", Capability: Compacts, Requires: needs(cuts, []ID{"IDEM-01", "IDEM-10"}), Since: "0.3",
			Sentence: "A batch with an ID whose place was cut is ErrCompacted and writes nothing; one above the cut is repeated.",
			Check:    compact10},
		{ID: "COMPACT-11", Name: "expectations and epochs hold after a cut", Capability: Compacts, Requires: needs(cuts, []ID{"COMPACT-04", "OCC-01", "OCC-02", "OCC-04", "OCC-08"}), Since: "0.3",
			Sentence: "Expected versions and epochs are judged after a cut as before it, also where nothing is left of the stream: expected 0 is ErrConflict with the version it is at.",
			Check:    compact11},
		{ID: "COMPACT-12", Name: "a compaction beside appends loses nothing", Capability: Compacts, Requires: cuts, Since: "0.3",
			Sentence: "Records that are appended while compactions run are all there, in streams without a gap from their floors on.",
			Check:    compact12},
		{ID: "COMPACT-13", Name: "a compacted store is clean", Capability: Compacts, Requires: []ID{"COMPACT-05"}, Since: "0.3",
			Sentence: "A scan after a compaction finds nothing wrong.",
			Check:    compact13},
		{ID: "COMPACT-14", Name: "a read that a cut overtakes has no gap", Capability: Compacts, Requires: needs(cuts, []ID{"OPEN-14", "READ-14"}), Since: "0.3",
			Sentence: "A read of a stream that a compaction overtakes yields what follows without a gap, or ends with ErrCompacted.",
			Check:    compact14},
		{ID: "COMPACT-15", Name: "a power cut inside a compaction leaves old or new", Capability: Compacts, Seams: []Seam{SeamCrasher}, Requires: []ID{"CRASH-04", "COMPACT-08", "COMPACT-13"}, Since: "0.4",
			Sentence: "Whichever change of a compaction the power is cut before, each stream reads from the floor that it had or from the cut's, and what lies above is whole; once the compaction has returned, from the cut's.",
			Check:    compact15},
		{ID: "COMPACT-16", Name: "a compaction that fails leaves old or new", Capability: Compacts, Seams: []Seam{SeamFaulter}, Requires: []ID{"FAULT-05", "COMPACT-08", "COMPACT-13"}, Since: "0.4",
			Sentence: "Whichever write or sync of a compaction fails, each stream reads from the floor that it had or from the cut's, what lies above is whole, and the compaction can be made again.",
			Check:    compact16},
		{ID: "COMPACT-17", Name: "a compaction does not make damage vanish", Capability: Compacts, Seams: []Seam{SeamCorrupter}, Requires: []ID{"SCAN-05", "COMPACT-13"}, Since: "0.4",
			Sentence: "A compaction of a damaged store fails or succeeds; either way every record that could be read can be read, reads across the damage are ErrCorrupt as before, and a scan reports it.",
			Check:    compact17},
		{ID: "COMPACT-18", Name: "the report says what went", Level: Should, Capability: Compacts, Requires: []ID{"COMPACT-05"}, Since: "0.4",
			Sentence: "The report of a compaction that takes half of a store has fewer records and fewer bytes after than before. Where only the bytes stay the store does not shrink: what was taken makes room for later records, and its size is the largest that it ever had.",
			Check:    compact18},
		{ID: "COMPACT-19", Name: "the report counts what there is", Capability: Compacts, Requires: []ID{"COMPACT-05"}, Since: "0.4",
			Sentence: "Of a store that was never cut the report of a compaction counts before it exactly the records that are there, of every kind; after it, and in later reports, no fewer than are left and no more than before; and bytes no fewer than payloads that can't be made smaller take.",
			Check:    compact19},
	}}
}

// openCompacting opens the store, and ends the check if compaction is not claimed.
func (c *Case) openCompacting(changes ...func(*backend.Options)) Subject {
	s := c.open(changes...)
	if !s.Capabilities().Compact {
		c.unsupported("the engine does not claim compaction")
	}
	return s
}

func audits(system string) string { return backend.SystemStream(system, backend.Audit) }

func floorAt(stream string, v backend.Version) backend.StreamFloor {
	return backend.StreamFloor{Stream: stream, Floor: v}
}

func deletion(stream string) backend.StreamFloor {
	return backend.StreamFloor{Stream: stream, Delete: true}
}

func cutText(floors []backend.StreamFloor) string {
	var parts []string
	for _, f := range floors {
		if f.Delete {
			parts = append(parts, fmt.Sprintf("%.40q deleted", f.Stream))
		} else {
			parts = append(parts, fmt.Sprintf("%.40q from %d", f.Stream, f.Floor))
		}
	}
	return few(parts)
}

// tryCompact compacts and notes what came of it.
func (c *Case) tryCompact(s Subject, floors ...backend.StreamFloor) error {
	_, err := s.Compact(c.ctx, backend.Cut{Floors: floors})
	c.note("compact %s: %s", cutText(floors), errText(err))
	return err
}

// compact compacts, which must work. The floors may come in any order.
func (c *Case) compact(s Subject, floors ...backend.StreamFloor) {
	slices.SortFunc(floors, func(a, b backend.StreamFloor) int { return strings.Compare(a.Stream, b.Stream) })
	c.noError("Compact", c.tryCompact(s, floors...))
}

// below returns what is left of the image once floors were cut.
func (im image) below(floors ...backend.StreamFloor) image {
	out := image{last: im.last, streams: slices.Clone(im.streams)}
	at := map[string]backend.StreamFloor{}
	for _, f := range floors {
		i := slices.IndexFunc(out.streams, func(info backend.StreamInfo) bool { return info.Name == f.Stream })
		if h := &out.streams[i].Head; f.Delete {
			h.Floor = h.Version + 1
		} else {
			h.Floor = f.Floor
		}
		f.Floor = out.streams[i].Head.Floor
		at[f.Stream] = f
	}
	for _, r := range im.records {
		f := at[r.Stream]
		if f.Delete || r.Kind != backend.Snapshot && r.Version < f.Floor || r.Kind == backend.Snapshot && r.Version+1 < f.Floor {
			continue
		}
		out.records = append(out.records, r)
	}
	return out
}

func versions(records []backend.Record) (out []backend.Version) {
	for _, r := range records {
		out = append(out, r.Version)
	}
	return out
}

func compact01(c *Case) {
	s := c.openCompacting()
	x := audits("x")
	c.put(s, expecting("a", 0, 5))
	c.put(s, unchecked(x, 9))
	c.put(s, unchecked("b", 2))
	c.snapshot(s, "a", 4, "snap")
	before := c.image(s)
	for _, f := range []backend.StreamFloor{floorAt("a", 3), floorAt(x, 8), floorAt("a", 5)} {
		var left []backend.Version
		for v := f.Floor; v <= c.head(s, f.Stream).Version; v++ {
			left = append(left, v)
		}
		begins := func(q backend.Query) {
			got := versions(c.read(s, q))
			c.check(slices.Equal(got, left), fmt.Sprint("versions ", left), "%s: versions %s", queryText(q), few(got))
		}
		c.compact(s, f)
		c.check(c.head(s, f.Stream).Floor == f.Floor, fmt.Sprint("floor ", f.Floor), "%+v", c.head(s, f.Stream))
		begins(backend.Query{Stream: f.Stream})
		begins(backend.Query{Stream: f.Stream, From: uint64(f.Floor)})
		slices.Reverse(left)
		begins(backend.Query{Stream: f.Stream, Reverse: true})
		for v := backend.Version(1); v < f.Floor; v++ {
			for _, q := range []backend.Query{{Stream: f.Stream, From: uint64(v)}, {Stream: f.Stream, From: uint64(v), Reverse: true}, {Stream: f.Stream, From: uint64(v), To: uint64(v)}} {
				got, err := collect(c.ctx, s, q)
				c.wantError(queryText(q), err, backend.ErrCompacted)
				c.check(len(got) == 0, "no records", "%s: %d", queryText(q), len(got))
			}
		}
	}
	want := []string{"a.5", x + ".8", x + ".9", "b.1", "b.2"}
	got := types(c.read(s, backend.Query{}))
	c.check(slices.Equal(got, want), fmt.Sprint(want), "the store holds %s", few(got))
	list := before.below(floorAt("a", 5), floorAt(x, 8)).streams
	for _, info := range c.streams(s, backend.StreamQuery{}) {
		c.check(slices.Contains(list, info), fmt.Sprintf("streams %+v", list), "listed %+v", info)
	}
}

func compact02(c *Case) {
	s := c.openCompacting()
	names := []string{"a", "b", "c", audits("x"), backend.SystemStream("x", backend.DeadLetter), audits("y")}
	at := map[string]int{}
	for i := range 120 { // more than a page, streams taking turns
		name := names[c.env.Rand.IntN(len(names))]
		b := inEpoch(uint64(1+i/40), unchecked(name, 1+c.env.Rand.IntN(9)))
		b.Records[0].Payload = c.random(c.env.Rand.IntN(4000))
		at[name] = int(c.put(s, b).Version)
	}
	for _, name := range names[:3] { // of the versions before the newest none goes
		at[name]--
		c.snapshotIn(s, 3, name, backend.Version(at[name]), "snap of "+name)
		c.put(s, inEpoch(3, unchecked(name, 3)))
	}
	identifying := identified(7, "left", 0, 3)
	identifying.Records[1].Meta, _ = backend.MakeMeta("key", "value")
	c.put(s, identifying)
	before := c.image(s)
	var floors []backend.StreamFloor
	for _, name := range names[1:] {
		floors = append(floors, floorAt(name, backend.Version(2+c.env.Rand.IntN(at[name]-1))))
	}
	c.compact(s, floors...)
	want := before.below(floors...)
	c.unchanged(s, want)
	for _, info := range want.streams {
		c.check(c.head(s, info.Name) == info.Head, fmt.Sprintf("%+v", info.Head), "%q: head %+v", info.Name, c.head(s, info.Name))
		of := slices.DeleteFunc(slices.Clone(want.records), func(r backend.Record) bool { return r.Stream != info.Name || r.Kind == backend.Snapshot })
		c.same("stream "+info.Name, c.read(s, backend.Query{Stream: info.Name}), of)
	}
}

func compact03(c *Case) {
	s := c.openCompacting()
	c.put(s, unchecked("a", 12))
	c.put(s, unchecked("b", 3))
	for _, v := range []backend.Version{3, 5, 8, 8, 10, 1, 7} { // the last two saved late
		c.snapshot(s, "a", v, fmt.Sprint("snap", v))
	}
	c.snapshot(s, "b", 2, "another stream's")
	for _, step := range []struct {
		floor backend.Version
		left  []string
	}{{2, []string{"snap1", "snap3", "snap5", "snap7", "snap8", "snap8", "snap10"}}, {7, []string{"snap7", "snap8", "snap8", "snap10"}}, {9, []string{"snap8", "snap8", "snap10"}}, {11, []string{"snap10"}}} {
		before := c.image(s)
		c.compact(s, floorAt("a", step.floor))
		got := types(c.read(s, snapshotsOf("a")))
		c.check(slices.Equal(got, step.left), fmt.Sprintf("with floor %d snapshots %v", step.floor, step.left), "%v", got)
		c.unchanged(s, before.below(floorAt("a", step.floor)))
		r, err := s.Snapshot(c.ctx, "a", 0)
		c.noError("Snapshot", err)
		c.check(r.Type == "snap10" && string(r.Payload) == "<snap10>", "snap10, the newest", "%s %q", r.Type, r.Payload)
	}
	_, err := s.Snapshot(c.ctx, "a", 9)
	c.wantError("Snapshot up to 9, below the floor", err, backend.ErrNotFound)
	c.check(len(c.read(s, snapshotsOf("b"))) == 1, "the snapshot of b", "%d", len(c.read(s, snapshotsOf("b"))))
}

// wholly gives a store three streams and cuts two of them whole.
func (c *Case) wholly(s Subject) []backend.StreamFloor {
	c.put(s, inEpoch(2, unchecked(audits("x"), 4)))
	c.put(s, unchecked("left", 2))
	c.put(s, inEpoch(3, expecting("a", 0, 3)))
	c.snapshot(s, "left", 1, "snap")
	c.snapshotIn(s, 3, "a", 3, "snap")
	floors := []backend.StreamFloor{floorAt(audits("x"), 5), floorAt("a", 4)}
	c.compact(s, floors...)
	return floors
}

func compact04(c *Case) {
	s := c.openCompacting()
	floors := c.wholly(s)
	last := c.last(s)
	for i, want := range []backend.Head{{Version: 4, Epoch: 2, Floor: 5}, {Version: 3, Epoch: 3, Floor: 4}} {
		name := floors[i].Stream
		c.check(c.head(s, name) == want, fmt.Sprintf("%+v", want), "%q: head %+v", name, c.head(s, name))
		list := c.streams(s, backend.StreamQuery{Prefix: name})
		c.check(len(list) == 1 && list[0] == backend.StreamInfo{Name: name, Head: want}, fmt.Sprintf("%q listed with head %+v", name, want), "%+v", list)
		c.same("the stream", c.read(s, backend.Query{Stream: name}), nil)
	}
	for i, f := range floors {
		res := c.put(s, inEpoch(3, unchecked(f.Stream, 2)))
		c.check(res.Version == f.Floor+1 && res.Position > last+1, fmt.Sprintf("version %d above position %d", f.Floor+1, last+1), "%+v", res)
		last = res.Position
		got := c.read(s, backend.Query{Stream: f.Stream})
		c.check(len(got) == 2 && got[0].Version == f.Floor, fmt.Sprint("2 records from version ", f.Floor), "stream %d: %d records, head %+v", i, len(got), c.head(s, f.Stream))
	}
}

func compact05(c *Case) {
	s := c.openCompacting()
	c.put(s, inEpoch(4, expecting("a", 0, 5)))
	c.put(s, unchecked("b", 2))
	c.put(s, unchecked(audits("x"), 3))
	c.put(s, unchecked("snapped", 3))
	c.snapshot(s, "snapped", 2, "older")
	c.snapshot(s, "snapped", 3, "newest")
	before := c.image(s)
	for _, v := range []backend.Version{1, 5, 7} {
		err := c.tryCompact(s, backend.StreamFloor{Stream: "a", Floor: v, Delete: true})
		c.wantError(fmt.Sprintf("deleting at floor %d a stream at version 5", v), err, backend.ErrConflict)
		c.unchanged(s, before)
	}
	floors := []backend.StreamFloor{deletion(audits("x")), {Stream: "a", Floor: 6, Delete: true}, deletion("snapped")}
	want := before.below(floors...)
	for range 2 {
		c.compact(s, append(slices.Clone(floors), deletion("nobody"))...)
		c.unchanged(s, want)
		for _, info := range want.streams {
			c.check(c.head(s, info.Name) == info.Head, fmt.Sprintf("%+v", info.Head), "%q: head %+v", info.Name, c.head(s, info.Name))
		}
		c.same("the snapshots", c.read(s, snapshotsOf("snapped")), nil)
		_, err := s.Snapshot(c.ctx, "snapped", 0)
		c.wantError("Snapshot of a deleted stream", err, backend.ErrNotFound)
	}
	for _, f := range floors {
		v := c.head(s, f.Stream).Version
		res := c.put(s, inEpoch(4, expecting(f.Stream, v, 2)))
		c.check(res.Version == v+2 && res.Position > before.last, fmt.Sprintf("version %d above position %d", v+2, before.last), "%+v", res)
		c.check(c.head(s, f.Stream).Floor == v+1, fmt.Sprint("floor ", v+1), "%+v", c.head(s, f.Stream))
	}
	c.compact(s, deletion("a"))
	c.check(c.head(s, "a") == backend.Head{Version: 7, Epoch: 4, Floor: 8}, "version 7, floor 8", "deleted again: %+v", c.head(s, "a"))
}

func compact06(c *Case) {
	s := c.openCompacting()
	c.put(s, unchecked("a", 5))
	c.put(s, unchecked("b", 5))
	c.put(s, unchecked(audits("x"), 5))
	c.snapshot(s, "a", 3, "snap")
	fine := floorAt(audits("x"), 4)
	before := c.image(s)
	for what, floors := range map[string][]backend.StreamFloor{
		"above the newest snapshot":     {fine, floorAt("a", 5)},
		"events without a snapshot":     {fine, floorAt("b", 2)},
		"above the end of a stream":     {floorAt(audits("x"), 7)},
		"of a stream that is not there": {fine, floorAt("c", 2)},
		"the same stream twice":         {fine, floorAt("a", 2), floorAt("a", 3)},
		"not in order":                  {fine, floorAt("b", 1), floorAt("a", 2)},
		"of a name that can't be":       {floorAt("", 1), fine},
	} {
		c.wantError("a cut "+what, c.tryCompact(s, floors...), backend.ErrInvalid)
		c.unchanged(s, before)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	_, err := s.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{fine}})
	c.wantError("a compaction with a context that is cancelled", err, context.Canceled)
	c.unchanged(s, before)
	c.compact(s, fine, floorAt("a", 3))
	c.unchanged(s, before.below(fine, floorAt("a", 3)))
}

// hold holds a position, which must work.
func (c *Case) hold(s Subject, name string, p backend.Position) (release func()) {
	release, err := s.Hold(name, p)
	c.note("hold %q at %d: %s", name, p, errText(err))
	c.noError("Hold", err)
	return release
}

func compact07(c *Case) {
	s := c.openCompacting()
	c.put(s, unchecked(audits("x"), 3))
	third := c.last(s)
	c.put(s, unchecked(audits("x"), 3))
	c.put(s, unchecked("a", 2))
	late := c.snapshot(s, "a", 1, "saved late")
	c.snapshot(s, "a", 2, "newest")
	seen := c.put(s, unchecked("b", 1)).Position
	c.snapshot(s, "b", 1, "unseen")
	before := c.image(s)
	held := func(what string, floors ...backend.StreamFloor) {
		c.wantError("a cut of "+what+" that is held", c.tryCompact(s, floors...), backend.ErrInvalid)
		c.unchanged(s, before)
	}
	near := c.hold(s, "near", third)
	release := c.hold(s, "far", before.last)
	held("one record more", floorAt(audits("x"), 5))
	held("a stream", deletion(audits("x")))
	held("another stream", deletion("a"))
	c.compact(s, floorAt(audits("x"), 4))
	before = before.below(floorAt(audits("x"), 4))
	c.unchanged(s, before)
	near()
	snapshot := c.hold(s, "snapshot", late-1)
	held("a snapshot", floorAt("a", 3))
	snapshot()
	snapshot = c.hold(s, "snapshot", seen)
	held("a stream's snapshot", deletion("b"))
	snapshot()
	release()
	c.compact(s, floorAt(audits("x"), 7), floorAt("a", 3))
	c.unchanged(s, before.below(floorAt(audits("x"), 7), floorAt("a", 3)))
}

func compact08(c *Case) {
	s := c.openCompacting()
	c.wholly(s)
	c.put(s, unchecked("part", 9))
	c.snapshot(s, "part", 5, "snap")
	c.put(s, inEpoch(8, unchecked("deleted", 4))) // the newest of all
	c.compact(s, deletion("deleted"), floorAt("part", 6))
	after := c.image(s)
	s = c.reopen(s)
	c.unchanged(s, after)
	heads := c.heads(s, after)
	c.check(fmt.Sprint(heads) == fmt.Sprint(after.streams), fmt.Sprintf("heads %+v", after.streams), "%+v", heads)
	for _, stream := range []string{"part", "deleted", "a"} {
		_, err := collect(c.ctx, s, backend.Query{Stream: stream, From: 2})
		c.wantError("a read from version 2 of "+stream, err, backend.ErrCompacted)
	}
	last := after.last
	for _, info := range after.streams {
		res := c.put(s, inEpoch(info.Head.Epoch, expecting(info.Name, info.Head.Version, 1)))
		c.check(res.Version == info.Head.Version+1 && res.Position > last, fmt.Sprintf("version %d above position %d", info.Head.Version+1, last), "%+v", res)
		last = res.Position
	}
	after = c.image(s)
	c.unchanged(c.reopen(s), after)
}
