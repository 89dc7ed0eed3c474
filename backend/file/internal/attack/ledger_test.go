//go:build linux

package attack_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// message is what a child tells its parent, in one write to a pipe that the kernel does
// not tear:
//
//	 0  kind u8
//	 2  stream u16
//	 4  count u16
//	 8  batch u64
//	16  version u64
//	24  seed u64
//	32  at i64           the monotonic clock's nanoseconds when it was said
type message struct {
	kind    byte
	stream  uint16
	count   uint16
	batch   uint64
	version uint64
	seed    uint64
	at      int64
}

// The kinds of messages.
const (
	isReady      = 'r' // the store is open
	beginsBatch  = 'b' // batch of count records will be appended to stream at version, made from seed
	beginsState  = 's' // a snapshot of stream at version will be saved as batch, made from seed
	acknowledged = 'a' // batch was acknowledged: its last record has version, and position seed
	notWritten   = 'n' // batch was definitely not written
	unknown      = 'u' // the outcome of batch is unknown
	beginsFloor  = 'f' // a compaction begins that may raise the floor of stream to version
	hasFloor     = 'd' // … and was acknowledged
	beginsDelete = 'x' // a compaction begins that may delete stream below version
	hasDelete    = 'X' // … and was acknowledged
	noDelete     = 'y' // … and was refused
	beginsWork   = 'v' // a compaction or recovery begins …
	endsWork     = 'V' // … and has ended
)

const messageSize = 40

func (m *message) encode() []byte {
	b := make([]byte, messageSize)
	b[0] = m.kind
	binary.LittleEndian.PutUint16(b[2:], m.stream)
	binary.LittleEndian.PutUint16(b[4:], m.count)
	binary.LittleEndian.PutUint64(b[8:], m.batch)
	binary.LittleEndian.PutUint64(b[16:], m.version)
	binary.LittleEndian.PutUint64(b[24:], m.seed)
	binary.LittleEndian.PutUint64(b[32:], uint64(m.at))
	return b
}

func readMessage(in io.Reader) (m message, err error) {
	var b [messageSize]byte
	if _, err := io.ReadFull(in, b[:]); err != nil {
		return m, err
	}
	return message{
		kind: b[0], stream: binary.LittleEndian.Uint16(b[2:]), count: binary.LittleEndian.Uint16(b[4:]),
		batch: binary.LittleEndian.Uint64(b[8:]), version: binary.LittleEndian.Uint64(b[16:]), seed: binary.LittleEndian.Uint64(b[24:]),
		at: int64(binary.LittleEndian.Uint64(b[32:])),
	}, nil
}

// streams is how many streams there are, and writers how many goroutines share them.
const (
	streams = 24
	writers = 8
)

// nameOf is the name of stream i. The first ones are an actor system's own, which may be
// compacted without a snapshot.
func nameOf(i int) string {
	if i < 2 {
		return backend.SystemStream(fmt.Sprintf("attack-%d", i), backend.Audit)
	}
	return fmt.Sprintf("attack/%d/%s", i, "some actor's name"[:i%17])
}

// recordOf is the i-th record of what is made from a seed: mostly small, sometimes large.
func recordOf(seed uint64, i int) backend.Record {
	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	size := rng.IntN(300)
	if rng.IntN(80) == 0 {
		size = rng.IntN(48 << 10)
	}
	payload := make([]byte, size, size+8)
	for at := 0; at < size; at += 8 {
		binary.LittleEndian.PutUint64(payload[at:at+8], rng.Uint64())
	}
	r := backend.Record{Type: "attacked", Schema: uint32(rng.IntN(5)), Payload: payload[:size]}
	if rng.IntN(4) == 0 {
		r.Meta, _ = backend.MakeMeta("seed", fmt.Sprint(seed), "i", fmt.Sprint(i))
	}
	return r
}

// idOf is the ID of a batch.
func idOf(batch uint64) (id backend.BatchID) {
	copy(id[:], "attacked")
	binary.BigEndian.PutUint64(id[8:], batch)
	return id
}

// batchOf is the batch that a message announces.
func batchOf(m *message) backend.Batch {
	b := backend.Batch{Stream: nameOf(int(m.stream)), Expected: backend.Version(m.version), ID: idOf(m.batch)}
	for i := range int(m.count) {
		b.Records = append(b.Records, recordOf(m.seed, i))
	}
	return b
}

func batchSize(m *message) int {
	b := batchOf(m)
	return b.Size()
}

// ledger is what is known of a store from outside of it.
type ledger struct {
	until   atomic.Int64 // not zero: see takeUntil
	streams [streams]known
	pending map[uint64]message // begun; the outcome is not known
	acked   int                // records acknowledged, over all
	kept    int                // records stored whose acknowledgement did not come through
	lost    int                // records acknowledged that are not there: must stay zero
	small   bool               // what this process appends is to be small
	late    int                // batches acknowledged while the power was being cut
	highest uint64             // position seen
}

// known is what is known of one stream.
type known struct {
	records  []entry // versions from 1
	begun    uint64  // the highest floor that a compaction was asked for
	floor    uint64  // the highest that was acknowledged, or seen
	taken    uint64  // the highest of a compaction that was acknowledged: nothing below it is left
	snapshot uint64  // the newest acknowledged
	states   map[uint64][]uint64
	deleting uint64          // the highest floor that a deletion was asked for
	before   [2]uint64       // begun and deleting before the newest deletion was asked for
	gone     map[uint64]bool // seeds of snapshots that an acknowledged deletion took
}

type entry struct {
	seed     uint64
	batch    uint64
	place    uint16
	position uint64 // 0: not known yet
}

// takeUntil is take, for a disk whose power was cut at a time (0: it was not). What was
// acknowledged after that is not known to be there: no real power cut is followed by an
// acknowledgement, but while FS_IOC_SHUTDOWN aborts ext4's journal, an fsync that waits
// for a commit may find it gone, and return without an error.
func (l *ledger) takeUntil(m message, cut int64) error {
	if m.kind == acknowledged && cut != 0 && m.at >= cut {
		l.late++
		return nil
	}
	return l.take(m)
}

// take writes a message down. What can't be is an error.
func (l *ledger) take(m message) error {
	if l.pending == nil {
		l.pending = map[uint64]message{}
	}
	s := &l.streams[m.stream]
	switch m.kind {
	case beginsBatch, beginsState:
		l.pending[m.batch] = m
	case acknowledged:
		p, ok := l.pending[m.batch]
		if !ok {
			return fmt.Errorf("batch %x was acknowledged and not begun", m.batch)
		}
		delete(l.pending, m.batch)
		if m.seed <= l.highest {
			return fmt.Errorf("batch %x was given position %d, though %d was there before", m.batch, m.seed, l.highest)
		}
		return l.acknowledge(p, m)
	case notWritten:
		delete(l.pending, m.batch)
	case beginsFloor:
		s.begun = max(s.begun, m.version)
	case hasFloor:
		s.floor, s.taken = max(s.floor, m.version), max(s.taken, m.version)
	case beginsDelete:
		s.before = [2]uint64{s.begun, s.deleting}
		s.begun, s.deleting = max(s.begun, m.version), max(s.deleting, m.version)
	case noDelete:
		s.begun, s.deleting = s.before[0], s.before[1]
	case hasDelete:
		s.delete(m.version)
	}
	return nil
}

func (l *ledger) acknowledge(p, m message) error {
	s := &l.streams[p.stream]
	l.acked += max(1, int(p.count))
	if p.kind == beginsState {
		s.state(p)
		s.snapshot = max(s.snapshot, p.version)
		return nil
	}
	if uint64(len(s.records)) != p.version || m.version != p.version+uint64(p.count) {
		return fmt.Errorf("stream %d: a batch of %d at version %d was acknowledged as version %d, after %d records", p.stream, p.count, p.version, m.version, len(s.records))
	}
	for i := range p.count {
		s.records = append(s.records, entry{p.seed, p.batch, i, m.seed - uint64(p.count) + 1 + uint64(i)})
	}
	return nil
}

// delete takes down that all below a floor was deleted.
func (s *known) delete(floor uint64) {
	s.floor, s.taken = max(s.floor, floor), max(s.taken, floor)
	if s.snapshot < floor {
		s.snapshot = 0
	}
	if s.gone == nil {
		s.gone = map[uint64]bool{}
	}
	for version, seeds := range s.states {
		if version < floor {
			for _, seed := range seeds {
				s.gone[seed] = true
			}
			delete(s.states, version)
		}
	}
}

func (s *known) state(p message) {
	if s.states == nil {
		s.states = map[uint64][]uint64{}
	}
	s.states[p.version] = append(s.states[p.version], p.seed)
}

// check compares the store with the ledger: what was acknowledged is there, byte by byte;
// what else is there was in flight, and is whole. It then takes that in.
func (l *ledger) check(t *testing.T, b *backend.Backend) {
	t.Helper()
	highest := l.readAll(t, b)
	for i := range l.streams {
		l.readStream(t, b, i)
	}
	l.pending = map[uint64]message{}
	if last, err := b.Last(t.Context()); err != nil || uint64(last) < highest || uint64(last) < l.highest {
		t.Errorf("the last position is %d, %v; %d was there", last, err, max(highest, l.highest))
	} else {
		l.highest = uint64(last)
	}
	report, err := b.Scan(t.Context(), nil)
	if err != nil || !report.Clean() {
		t.Errorf("scan: %v: %v", err, report.Anomalies)
	}
}

// readAll reads the whole store by position.
func (l *ledger) readAll(t *testing.T, b *backend.Backend) (highest uint64) {
	t.Helper()
	byName := map[string]int{}
	for i := range l.streams {
		byName[nameOf(i)] = i
	}
	fresh := map[uint64][]entry{} // what was in flight, by batch
	for r, err := range b.Read(t.Context(), backend.Query{Kinds: backend.AllKinds}) {
		if err != nil {
			t.Errorf("reading the store after position %d: %v", highest, err)
			return highest
		}
		if uint64(r.Position) <= highest {
			t.Errorf("position %d follows %d", r.Position, highest)
		}
		highest = uint64(r.Position)
		i, ok := byName[r.Stream]
		if !ok {
			t.Errorf("position %d: stream %q was never written", r.Position, r.Stream)
			continue
		}
		s := &l.streams[i]
		if r.Kind == backend.Snapshot {
			l.knownState(t, s, i, &r)
			continue
		}
		if uint64(r.Version) < s.taken {
			t.Errorf("%q version %d, position %d: an acknowledged cut at version %d has taken it", r.Stream, r.Version, r.Position, s.taken)
		}
		if n := uint64(r.Version); n <= uint64(len(s.records)) && n > 0 {
			e := &s.records[n-1]
			if e.position == 0 {
				e.position = uint64(r.Position)
			}
			l.compare(t, e, &r)
			continue
		}
		p, ok := l.inFlight(i, &r)
		if !ok {
			t.Errorf("%q version %d, position %d: was never appended", r.Stream, r.Version, r.Position)
			continue
		}
		e := entry{p.seed, p.batch, uint16(uint64(r.Version) - p.version - 1), uint64(r.Position)}
		l.compare(t, &e, &r)
		fresh[p.batch] = append(fresh[p.batch], e)
	}
	l.adopt(t, fresh)
	return highest
}

// adopt takes in batches that were in flight and are there: each must be whole, and follow
// what was before.
func (l *ledger) adopt(t *testing.T, fresh map[uint64][]entry) {
	t.Helper()
	order := slices.SortedFunc(maps.Keys(fresh), func(a, b uint64) int { return cmp.Compare(l.pending[a].version, l.pending[b].version) })
	for _, batch := range order {
		p, entries := l.pending[batch], fresh[batch]
		s := &l.streams[p.stream]
		if len(entries) != int(p.count) || p.version != uint64(len(s.records)) {
			t.Errorf("%q: of a batch of %d records at version %d that was in flight, %d are there, after %d others", nameOf(int(p.stream)), p.count, p.version, len(entries), len(s.records))
		}
		s.records = append(s.records, entries...)
		l.kept += len(entries)
	}
}

// inFlight returns the batch whose outcome is not known that a record is of.
func (l *ledger) inFlight(stream int, r *backend.Record) (message, bool) {
	for _, p := range l.pending {
		i := int(r.Version) - int(p.version) - 1
		if p.kind != beginsBatch || int(p.stream) != stream || i < 0 || i >= int(p.count) || i == 0 && r.Batch.ID != idOf(p.batch) {
			continue
		}
		if want := recordOf(p.seed, i); bytes.Equal(want.Payload, r.Payload) && bytes.Equal(want.Meta, r.Meta) && want.Schema == r.Schema {
			return p, true
		}
	}
	return message{}, false
}

func (l *ledger) knownState(t *testing.T, s *known, i int, r *backend.Record) {
	t.Helper()
	for _, seed := range s.states[uint64(r.Version)] {
		if want := recordOf(seed, 0); bytes.Equal(r.Payload, want.Payload) {
			return
		}
	}
	for _, p := range l.pending {
		if want := recordOf(p.seed, 0); p.kind == beginsState && int(p.stream) == i && p.version == uint64(r.Version) && bytes.Equal(r.Payload, want.Payload) {
			s.state(p)
			l.kept++
			return
		}
	}
	for seed := range s.gone {
		if want := recordOf(seed, 0); bytes.Equal(r.Payload, want.Payload) {
			t.Errorf("%q: a snapshot at version %d, position %d, is back: it was deleted", r.Stream, r.Version, r.Position)
			return
		}
	}
	t.Errorf("%q: a snapshot at version %d that was never saved", r.Stream, r.Version)
}

// compare compares a record with what it was made from.
func (l *ledger) compare(t *testing.T, e *entry, r *backend.Record) {
	t.Helper()
	want := recordOf(e.seed, int(e.place))
	switch {
	case !bytes.Equal(r.Payload, want.Payload) || !bytes.Equal(r.Meta, want.Meta) || r.Type != want.Type || r.Schema != want.Schema:
		t.Errorf("%q version %d: not what was appended", r.Stream, r.Version)
	case uint64(r.Position) != e.position:
		t.Errorf("%q version %d: position %d, was %d", r.Stream, r.Version, r.Position, e.position)
	case r.Batch.Place != uint32(e.place) || e.place == 0 && r.Batch.ID != idOf(e.batch):
		t.Errorf("%q version %d: place %d of batch %v, want %d of %x", r.Stream, r.Version, r.Batch.Place, r.Batch.ID, e.place, e.batch)
	}
}

// readStream reads one stream by version.
func (l *ledger) readStream(t *testing.T, b *backend.Backend, i int) {
	t.Helper()
	s, name := &l.streams[i], nameOf(i)
	h, err := b.Head(t.Context(), name)
	if err != nil {
		t.Errorf("head of %q: %v", name, err)
		return
	}
	if uint64(h.Version) != uint64(len(s.records)) {
		l.lost += max(0, len(s.records)-int(h.Version))
		t.Errorf("%q is at version %d, acknowledged or seen were %d: LOST %d", name, h.Version, len(s.records), max(0, len(s.records)-int(h.Version)))
		return
	}
	if len(s.records) == 0 {
		return
	}
	if floor := uint64(h.Floor); floor < max(1, s.floor) || floor > max(1, s.begun) {
		t.Errorf("%q begins at version %d: acknowledged compactions cut it at %d, begun ones at %d", name, floor, s.floor, s.begun)
	}
	s.floor = max(s.floor, uint64(h.Floor))
	at := max(1, uint64(h.Floor))
	for r, err := range b.Read(t.Context(), backend.Query{Stream: name}) {
		if err != nil {
			t.Errorf("%q after version %d: %v", name, at-1, err)
			break
		}
		if uint64(r.Version) != at || at > uint64(len(s.records)) || s.records[at-1].position != uint64(r.Position) {
			t.Errorf("%q: version %d at position %d, want version %d", name, r.Version, r.Position, at)
		}
		at++
	}
	if at != uint64(h.Version)+1 {
		l.lost += int(uint64(h.Version) + 1 - at)
		t.Errorf("%q ends at version %d, its head is %d: LOST %d", name, at-1, h.Version, uint64(h.Version)+1-at)
	}
	if s.snapshot > 0 {
		r, err := b.Snapshot(t.Context(), name, 0)
		if s.snapshot < s.deleting && errors.Is(err, backend.ErrNotFound) { // the outcome of a deletion is not known
			s.snapshot = 0
		} else if err != nil || uint64(r.Version) < s.snapshot && s.snapshot >= s.deleting {
			t.Errorf("%q: the newest snapshot is at %d, %v; one at %d was acknowledged", name, r.Version, err, s.snapshot)
		}
	}
}

// append appends one more batch to a stream, as the parent, and takes it in.
func (l *ledger) append(t *testing.T, b *backend.Backend, stream int) {
	t.Helper()
	if err := l.tryAppend(b, stream, 2); err != nil {
		t.Errorf("an append after it all: %v", err)
	}
}

// tryAppend appends a batch of count records and takes in what comes of it.
func (l *ledger) tryAppend(b *backend.Backend, stream, count int) error {
	m := message{kind: beginsBatch, stream: uint16(stream), count: uint16(count), batch: rand.Uint64(), version: uint64(len(l.streams[stream].records)), seed: rand.Uint64()}
	for l.small && batchSize(&m) > 1000 {
		m.seed = rand.Uint64()
	}
	if err := l.take(m); err != nil {
		return err
	}
	res, err := b.Append(context.Background(), batchOf(&m))
	answer := verdict(&m, res, err)
	if answer.at = machine.Clock(); answer.kind == unknown {
		return err
	}
	return errors.Join(err, l.takeUntil(answer, l.until.Load()))
}

// verdict is the message about an append's end.
func verdict(m *message, res backend.Result, err error) message {
	answer := message{stream: m.stream, batch: m.batch}
	switch {
	case err == nil:
		answer.kind, answer.version, answer.seed = acknowledged, uint64(res.Version), uint64(res.Position)
	case errors.Is(err, backend.ErrUnknownOutcome):
		answer.kind = unknown
	default:
		answer.kind = notWritten
	}
	return answer
}
