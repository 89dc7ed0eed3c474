package file

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/papyra-go/papyra/backend"
)

// The sweeps put random workloads on a directory that crashes, fails or rots, and compare
// what is there afterwards with what was acknowledged. They know the engine by its
// Backend alone: what it claims it can do, they make it do.

// sweepSeed makes hashes that are equal within one run.
var sweepSeed = maphash.MakeSeed()

// sweepFact is all that a record says, but for its position.
type sweepFact struct {
	stream, typ   string
	version       backend.Version
	kind          backend.Kind
	schema        uint32
	at            int64
	epoch         uint64
	batch         backend.BatchRef
	payload, meta uint64 // hashes
}

// sweepRecord is a record at its position.
type sweepRecord struct {
	sweepFact
	position backend.Position
}

func (s sweepRecord) String() string {
	return fmt.Sprintf("%d %s@%d %v", s.position, s.stream, s.version, s.kind)
}

func sweepRecordOf(r *backend.Record) sweepRecord {
	return sweepRecord{sweepFact{r.Stream, r.Type, r.Version, r.Kind, r.Schema, r.Time.UnixNano(), r.Epoch, r.Batch,
		maphash.Bytes(sweepSeed, r.Payload), maphash.Bytes(sweepSeed, r.Meta)}, r.Position}
}

// sweepRead reads as far as it goes.
func sweepRead(b *backend.Backend, q backend.Query) (out []sweepRecord, err error) {
	for r, err := range b.Read(context.Background(), q) {
		if err != nil {
			return out, err
		}
		out = append(out, sweepRecordOf(&r))
	}
	return out, nil
}

var sweepAll = backend.Query{Kinds: backend.AllKinds}

// sweepMoment is what is known of a store at some time. It is not changed: a later one
// replaces it.
type sweepMoment struct {
	what    string                     // was done last
	acked   []sweepRecord              // in position order, with what a cut has taken
	pending [][]sweepFact              // batches under way, or whose outcome is unknown, in order
	floors  map[string]backend.Version // acknowledged cuts
	cutting map[string]backend.Version // a cut under way
}

func (m *sweepMoment) String() string {
	return fmt.Sprintf("%s (%d acknowledged, %d under way)", m.what, len(m.acked), len(m.pending))
}

// last is the newest acknowledged position.
func (m *sweepMoment) last() backend.Position {
	if len(m.acked) == 0 {
		return 0
	}
	return m.acked[len(m.acked)-1].position
}

// heads are the streams' newest versions and epochs, as acknowledged.
func (m *sweepMoment) heads() map[string]backend.Head {
	out := map[string]backend.Head{}
	for i := range m.acked {
		r := &m.acked[i]
		h := out[r.stream]
		if r.kind != backend.Snapshot {
			h.Version = r.version
		}
		h.Epoch = max(h.Epoch, r.epoch)
		out[r.stream] = h
	}
	return out
}

// judge compares what is read with what must be there, and returns how many of the batches
// under way are there: whole ones, the first so many.
func (m *sweepMoment) judge(got []sweepRecord) (landed int, err error) {
	for i := 1; i < len(got); i++ {
		if got[i].position <= got[i-1].position {
			return 0, fmt.Errorf("%v follows %v", got[i], got[i-1])
		}
	}
	newest := map[string]sweepRecord{}
	for _, r := range m.acked {
		if r.kind == backend.Snapshot && r.version >= newest[r.stream].version {
			newest[r.stream] = r
		}
	}
	rest := got
	for _, want := range m.acked {
		if len(rest) > 0 && rest[0] == want {
			if want.kind != backend.Snapshot && want.version < m.floors[want.stream] {
				return 0, fmt.Errorf("%v is there still, the floor is %d", want, m.floors[want.stream])
			}
			rest = rest[1:]
			continue
		}
		floor := max(m.floors[want.stream], m.cutting[want.stream])
		if want.version >= floor || want.kind == backend.Snapshot && want == newest[want.stream] {
			next := "nothing"
			if len(rest) > 0 {
				next = rest[0].String()
			}
			return 0, fmt.Errorf("lost: %v was acknowledged; there is %s (%d records read, %d acknowledged)", want, next, len(got), len(m.acked))
		}
	}
	for _, batch := range m.pending {
		if len(rest) == 0 {
			return landed, nil
		}
		for i, want := range batch {
			if i >= len(rest) || rest[i].sweepFact != want || rest[i].position <= m.last() {
				return landed, fmt.Errorf("of a batch of %d that was under way there is a part: %v", len(batch), rest)
			}
		}
		rest = rest[len(batch):]
		landed++
	}
	if len(rest) > 0 {
		return landed, fmt.Errorf("never acknowledged, nor under way: %v", rest)
	}
	return landed, nil
}

// seen is the moment after got was read: whoever reads may act on it, so it must stay.
func (m *sweepMoment) seen(got []sweepRecord, b *backend.Backend) *sweepMoment {
	floors := map[string]backend.Version{}
	maps.Copy(floors, m.floors)
	for stream := range m.cutting {
		if h, err := b.Head(context.Background(), stream); err == nil {
			floors[stream] = max(floors[stream], h.Floor)
		}
	}
	return &sweepMoment{what: "it was read", acked: sweepKeepHeads(got, m.acked), floors: floors}
}

// heads checks what the store says of its streams against its records.
func (m *sweepMoment) checkStreams(b *backend.Backend, got []sweepRecord, deep bool) error {
	want := map[string][]sweepRecord{}
	heads := (&sweepMoment{acked: got}).heads()
	for stream, h := range m.heads() { // of a stream that was cut to nothing there is no record left
		if at := heads[stream]; at.Version < h.Version || at.Epoch < h.Epoch {
			heads[stream] = backend.Head{Version: max(h.Version, at.Version), Epoch: max(h.Epoch, at.Epoch)}
		}
	}
	for _, r := range got {
		if r.kind != backend.Snapshot {
			want[r.stream] = append(want[r.stream], r)
		}
	}
	listed := 0
	for s, err := range b.Streams(context.Background(), backend.StreamQuery{}) {
		if err != nil {
			return fmt.Errorf("streams: %w", err)
		}
		listed++
		h, ok := heads[s.Name]
		floor := max(1, m.floors[s.Name])
		if s.Head.Floor != floor && s.Head.Floor != m.cutting[s.Name] {
			return fmt.Errorf("stream %s has the floor %d: want %d or %d", s.Name, s.Head.Floor, floor, m.cutting[s.Name])
		}
		if !ok || s.Head.Version != h.Version || s.Head.Epoch != h.Epoch {
			return fmt.Errorf("stream %s is listed with %+v: its records say %+v", s.Name, s.Head, h)
		}
		if !deep {
			continue
		}
		records := want[s.Name]
		for len(records) > 0 && records[0].version < s.Head.Floor { // cut, and not yet gone
			records = records[1:]
		}
		for _, reverse := range []bool{false, true} {
			again, err := sweepRead(b, backend.Query{Stream: s.Name, Reverse: reverse})
			if reverse {
				slices.Reverse(again)
			}
			if err != nil || !slices.Equal(again, records) {
				return fmt.Errorf("stream %s alone: %d records, want %d: %w", s.Name, len(again), len(records), err)
			}
		}
		for i, r := range records {
			if r.version != s.Head.Floor+backend.Version(i) {
				return fmt.Errorf("stream %s: version %d in the place of %d", s.Name, r.version, s.Head.Floor+backend.Version(i))
			}
		}
		if s.Head.Floor+backend.Version(len(records)) != s.Head.Version+1 {
			return fmt.Errorf("stream %s: %d records from %d up to %d", s.Name, len(records), s.Head.Floor, s.Head.Version)
		}
	}
	if listed != len(heads) {
		return fmt.Errorf("%d streams are listed, there are %d", listed, len(heads))
	}
	return nil
}
