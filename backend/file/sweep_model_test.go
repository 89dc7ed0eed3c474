package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/internal/faultfs"
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

// sweepOptions makes small segments, so that a small store has many files.
func sweepOptions() *Options { return &Options{SegmentBytes: 8 << 10} }

func sweepReadOnly(o *Options) *Options {
	o.ReadOnly = true
	return o
}

// sweepHistory makes a random history on a directory. All that comes back or is seen is
// judged at once; every begin and end of a change is noted in the directory's log, as a
// *moment.
type sweepHistory struct {
	f    *faultfs.FS
	rng  *rand.Rand
	b    *backend.Backend // nil: closed
	caps backend.Capabilities
	wait sync.WaitGroup // for compactions beside appends
	idle bool           // wait for the engine's background now and then

	segment int64 // Options.SegmentBytes; 0: sweepOptions'

	mu  sync.Mutex
	now sweepMoment
	err error // of what ran beside

	count  int // appends begun
	counts map[string]int
}

func newSweepHistory(f *faultfs.FS, seed uint64) *sweepHistory {
	return &sweepHistory{f: f, rng: rand.New(rand.NewPCG(seed, 77)), counts: map[string]int{}}
}

// larger makes segments that lay zeros ahead.
func (h *sweepHistory) larger(yes bool) *sweepHistory {
	if yes {
		h.segment = 200 << 10
	}
	return h
}

func (h *sweepHistory) options() *Options {
	o := sweepOptions()
	if h.segment > 0 {
		o.SegmentBytes = h.segment
	}
	return o
}

// set replaces what is known, and notes it.
func (h *sweepHistory) set(what string, change func(m *sweepMoment)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now.what = what
	change(&h.now)
	m := h.now
	h.f.Note(&m)
}

func (h *sweepHistory) know() *sweepMoment {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.now
	return &m
}

func (h *sweepHistory) open(o *Options) (err error) {
	h.b, err = openMem(h.f, o)
	if err == nil {
		h.caps = h.b.Capabilities()
	}
	return err
}

func (h *sweepHistory) close() error {
	h.wait.Wait()
	if h.b == nil {
		return h.err
	}
	b := h.b
	h.b = nil
	if err := b.Close(); err != nil {
		return err
	}
	if open := h.f.Handles(); len(open) > 0 {
		return fmt.Errorf("files are left open: %v", open)
	}
	return h.err
}

// look reads everything, and judges it. Outcomes that were unknown are known then.
func (h *sweepHistory) look() error {
	h.wait.Wait()
	m := h.know()
	got, err := sweepRead(h.b, sweepAll)
	if err != nil {
		return err
	}
	if _, err := m.judge(got); err != nil {
		return err
	}
	if err := m.checkStreams(h.b, got, true); err != nil {
		return err
	}
	if len(m.pending) > 0 {
		h.set("it was read", func(now *sweepMoment) {
			after := m.seen(got, h.b)
			now.acked, now.pending = append(slices.Clip(m.acked), sweepFresh(after.acked, m.last())...), nil
		})
	}
	return nil
}

// sweepFresh is what stands above a position.
func sweepFresh(list []sweepRecord, above backend.Position) []sweepRecord {
	i := len(list)
	for i > 0 && list[i-1].position > above {
		i--
	}
	return list[i:]
}

// batch makes a random batch, and what its records will be.
func (h *sweepHistory) batch(stream string, head backend.Head, sizes ...int) (backend.Batch, []sweepFact) {
	h.count++
	b := backend.Batch{Stream: stream, Expected: backend.Any, Epoch: head.Epoch}
	if h.rng.IntN(4) == 0 {
		b.Epoch++
	}
	if h.rng.IntN(3) > 0 {
		b.Expected = head.Version
		b.ID = backend.BatchID{1, byte(h.count), byte(h.count >> 8), byte(h.rng.IntN(256))}
	}
	var facts []sweepFact
	for i, size := range sizes {
		payload := make([]byte, size)
		for j := range payload {
			payload[j] = byte(h.rng.Uint32())
		}
		r := backend.Record{Type: "t" + fmt.Sprint(h.count%4), Schema: uint32(i), Time: time.Unix(1.7e9, int64(h.count)*1000+int64(i)), Payload: payload}
		if h.rng.IntN(3) == 0 {
			r.Meta, _ = backend.MakeMeta("n", fmt.Sprint(h.count))
		}
		b.Records = append(b.Records, r)
		r.Stream, r.Kind, r.Epoch, r.Version = stream, backend.KindOf(stream), b.Epoch, head.Version+backend.Version(i)+1
		r.Batch.Place = uint32(i)
		if i == 0 {
			r.Batch.ID = b.ID
		}
		facts = append(facts, sweepRecordOf(&r).sweepFact)
	}
	return b, facts
}

// size is mostly small, and now and then larger than a segment.
func (h *sweepHistory) size() int {
	switch h.rng.IntN(14) {
	case 0:
		if h.segment > 0 { // beyond the zeros that a segment begins with
			return 20_000 + h.rng.IntN(40_000)
		}
		return 9000 + h.rng.IntN(4000)
	case 1, 2, 3:
		return 1000 + h.rng.IntN(2500)
	case 4:
		return 0
	}
	return h.rng.IntN(400)
}

var sweepStreams = []string{"a", "b", "counter/7", "d", "$sys/main/audit"}

func (h *sweepHistory) stream() string { return sweepStreams[h.rng.IntN(len(sweepStreams))] }

// append makes one call with the batches: Append, AppendAll or SaveSnapshot.
func (h *sweepHistory) append(what string, pending [][]sweepFact, call func() ([]backend.Result, error)) error {
	h.counts[what]++
	h.set(what, func(m *sweepMoment) { m.pending = append(slices.Clip(m.pending), pending...) })
	before := len(h.know().pending) - len(pending)
	results, err := call()
	if err != nil && !errors.Is(err, backend.ErrUnknownOutcome) {
		h.set(what+" failed", func(m *sweepMoment) { m.pending = m.pending[:before:before] })
	}
	if err != nil {
		return err
	}
	h.set(what+" was acknowledged", func(m *sweepMoment) {
		m.pending = m.pending[:before:before]
		for i, facts := range pending {
			for j, one := range facts {
				m.acked = append(m.acked, sweepRecord{one, results[i].Position - backend.Position(len(facts)-1-j)})
			}
		}
	})
	return nil
}

func (h *sweepHistory) appendBatches(n int) error {
	heads := h.know().heads()
	var batches []backend.Batch
	var pending [][]sweepFact
	for range n {
		stream := h.stream()
		sizes := []int{h.size()}
		for h.rng.IntN(3) == 0 {
			sizes = append(sizes, h.size()/2)
		}
		b, facts := h.batch(stream, heads[stream], sizes...)
		head := heads[stream]
		head.Version += backend.Version(len(sizes))
		head.Epoch = b.Epoch
		heads[stream] = head
		batches, pending = append(batches, b), append(pending, facts)
	}
	return h.append(fmt.Sprintf("append %d", n), pending, func() ([]backend.Result, error) {
		if n == 1 {
			r, err := h.b.Append(context.Background(), batches[0])
			return []backend.Result{r}, err
		}
		results, err := h.b.AppendAll(context.Background(), batches)
		for _, r := range results {
			if err == nil {
				err = r.Err
			}
		}
		return results, err
	})
}

// saveSnapshot saves one of a stream that has events.
func (h *sweepHistory) saveSnapshot() error {
	heads := h.know().heads()
	stream := sweepStreams[h.rng.IntN(len(sweepStreams)-1)]
	head := heads[stream]
	if head.Version == 0 {
		return nil
	}
	h.count++
	back := min(head.Version-1, backend.Version(h.rng.IntN(3)))
	r := backend.Record{Stream: stream, Version: head.Version - back, Epoch: head.Epoch, Type: "state", Time: time.Unix(1.6e9, int64(h.count)),
		Payload: []byte(strings.Repeat("s", h.rng.IntN(300)))}
	want := r
	want.Kind = backend.Snapshot
	return h.append("snapshot", [][]sweepFact{{sweepRecordOf(&want).sweepFact}}, func() ([]backend.Result, error) {
		p, err := h.b.SaveSnapshot(context.Background(), r)
		return []backend.Result{{Position: p}}, err
	})
}

// cut is what the store may lose now.
func (h *sweepHistory) cut() (cut backend.Cut) {
	m := h.know()
	most := map[string]backend.Version{}
	for _, r := range m.acked {
		if system := backend.KindOf(r.stream) != backend.Event; system || r.kind == backend.Snapshot {
			most[r.stream] = max(most[r.stream], r.version+1)
		}
	}
	for _, stream := range slices.Sorted(maps.Keys(most)) {
		floor := most[stream]
		if h.rng.IntN(3) == 0 {
			floor -= min(floor-1, 2)
		}
		if floor > max(1, m.floors[stream]) && h.rng.IntN(4) > 0 {
			cut.Floors = append(cut.Floors, backend.StreamFloor{Stream: stream, Floor: floor})
		}
	}
	return cut
}

// settleCut takes over what a cut that failed has come to: all of it or some.
func (h *sweepHistory) settleCut() error {
	m := h.know()
	if len(m.cutting) == 0 {
		return nil
	}
	floors := map[string]backend.Version{}
	maps.Copy(floors, m.floors)
	for stream := range m.cutting {
		head, err := h.b.Head(context.Background(), stream)
		if err != nil {
			return err
		}
		if floor := head.Floor; floor == m.cutting[stream] {
			floors[stream] = floor
		}
	}
	h.set("what a cut came to", func(m *sweepMoment) { m.floors, m.cutting = floors, nil })
	return nil
}

// compact cuts and compacts, if that is claimed; beside what follows, if that is.
func (h *sweepHistory) compact() error {
	if !h.caps.Compact {
		return nil
	}
	h.wait.Wait()
	if h.b.Poisoned() != nil {
		return nil // what ran beside has failed: what its cut came to shows after Reopen
	}
	h.counts["compact"]++
	if err := h.settleCut(); err != nil {
		return err
	}
	cut := h.cut()
	h.set("compact", func(m *sweepMoment) {
		m.cutting = map[string]backend.Version{}
		for _, f := range cut.Floors {
			m.cutting[f.Stream] = f.Floor
		}
	})
	b := h.b
	run := func() error {
		_, err := b.Compact(context.Background(), cut)
		if err != nil {
			return fmt.Errorf("compact: %w", err)
		}
		h.set("compacted", func(m *sweepMoment) {
			m.floors = maps.Clone(m.floors)
			if m.floors == nil {
				m.floors = map[string]backend.Version{}
			}
			for stream, floor := range m.cutting {
				m.floors[stream] = floor
			}
			m.cutting = nil
		})
		return nil
	}
	if !h.caps.CompactBeside || h.rng.IntN(3) == 0 {
		return run()
	}
	h.wait.Go(func() {
		err := run()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.err = errors.Join(h.err, err)
	})
	return nil
}

// recover runs each mode that is claimed on a store that is sound: nothing may go.
func (h *sweepHistory) recover() error {
	h.wait.Wait()
	modes := []backend.RecoveryMode{backend.Ignore, backend.Repair}
	if h.caps.Quarantine {
		modes = append(modes, backend.Quarantine)
	}
	h.counts["recover"]++
	report, err := h.b.Recover(context.Background(), backend.RecoveryOptions{Mode: modes[h.rng.IntN(len(modes))]})
	if err != nil {
		return err
	}
	if report.After.Damages > 0 {
		return fmt.Errorf("recover: %w: %v", backend.ErrCorrupt, report.After.Anomalies) // an unread byte, where reads fail
	}
	return nil
}

// step does something, at random.
func (h *sweepHistory) step() (string, error) {
	switch n := h.rng.IntN(40); {
	case n < 18:
		return "append", h.appendBatches(1)
	case n < 23:
		return "append all", h.appendBatches(2 + h.rng.IntN(3))
	case n < 28:
		return "snapshot", h.saveSnapshot()
	case n < 32:
		return "compact", h.compact()
	case n < 33:
		return "recover", h.recover()
	case n < 34:
		h.wait.Wait()
		h.counts["reopen"]++
		return "reopen", h.b.Reopen(context.Background())
	case n < 36:
		h.counts["close"]++
		if err := h.close(); err != nil {
			return "close", err
		}
		if h.rng.IntN(2) == 0 {
			if err := h.readAside(); err != nil {
				return "read-only", err
			}
		}
		return "open", h.open(h.options())
	case n < 37 && h.idle:
		h.counts["idle"]++
		before, end := h.f.Calls(), time.Now().Add(150*time.Millisecond)
		for h.f.Calls() == before && time.Now().Before(end) { // what the engine does when it is left alone
			time.Sleep(5 * time.Millisecond)
		}
		return "idle", nil
	}
	h.counts["look"]++
	return "look", h.look()
}

// readAside opens a closed store read-only, and looks.
func (h *sweepHistory) readAside() error {
	h.counts["read-only"]++
	if err := h.open(sweepReadOnly(sweepOptions())); err != nil {
		return err
	}
	if err := h.look(); err != nil {
		return err
	}
	return h.close()
}

// run does so many steps, and closes.
func (h *sweepHistory) run(steps int) error {
	if err := h.open(h.options()); err != nil {
		return err
	}
	for i := range steps {
		what, err := h.step()
		if err == nil {
			h.mu.Lock()
			err = h.err
			h.mu.Unlock()
		}
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", i, what, err)
		}
	}
	if err := h.look(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return h.close()
}

// checkCrash opens what a crash has left and judges it; then it appends, crashes again,
// and finds all of it. Everything is noted in f's log. n makes the cases differ.
func checkCrash(f *faultfs.FS, m *sweepMoment, n uint64) (err error) {
	b, err := openMem(f, sweepOptions())
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() {
		if b != nil {
			_ = b.Close()
		}
	}()
	got, err := sweepRead(b, sweepAll)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	landed, err := m.judge(got)
	if err != nil {
		return err
	}
	if err := m.checkStreams(b, got, n%3 == 0); err != nil {
		return err
	}
	now := m.seen(got, b)
	f.Note(now)
	report, err := b.Scan(context.Background(), nil)
	if err != nil || !report.Clean() {
		return fmt.Errorf("scan: %w %v", err, report.Anomalies)
	}
	h := &sweepHistory{f: f, b: b, caps: b.Capabilities(), rng: rand.New(rand.NewPCG(n, 5)), now: *now, counts: map[string]int{}}
	if n%4 == 1 {
		if err := h.compact(); err != nil {
			return err
		}
	}
	if err := h.appendBatches(1); err != nil {
		return fmt.Errorf("append (%d batches under way had landed): %w", landed, err)
	}
	if n%5 == 2 {
		if err := h.recover(); err != nil {
			return err
		}
	}
	h.wait.Wait()
	if h.err != nil {
		return h.err
	}
	after, clean := f, n%2 == 0
	if clean {
		open := b
		b = nil
		if err := open.Close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
		if left := f.Handles(); len(left) > 0 {
			return fmt.Errorf("files are left open: %v", left)
		}
	}
	after = f.Crash(faultfs.Some(rand.New(rand.NewPCG(n, 6))))
	o := sweepOptions()
	if n%4 < 2 {
		o = sweepReadOnly(o)
	}
	again, err := openMem(after, o)
	if err != nil {
		return fmt.Errorf("open again, read-only %v: %w", o.ReadOnly, err)
	}
	defer again.Close()
	known := h.know()
	got, err = sweepRead(again, sweepAll)
	if err == nil {
		_, err = known.judge(got)
	}
	if err == nil {
		err = known.checkStreams(again, got, n%3 == 1)
	}
	if err == nil && n%7 == 0 {
		var report *backend.ScanReport
		if report, err = again.Scan(context.Background(), nil); err == nil && !report.Clean() {
			err = fmt.Errorf("scan: %v", report.Anomalies)
		}
	}
	if err != nil {
		return fmt.Errorf("again, read-only %v, after a clean close %v: %w", o.ReadOnly, clean, err)
	}
	return nil
}

// sweepKeepHeads adds to what was read the newest record of each stream, and of the store, if a
// cut has taken it: versions and positions go on from it, and are never given twice.
func sweepKeepHeads(got, acked []sweepRecord) []sweepRecord {
	have := map[string]backend.Version{}
	for _, r := range got {
		if r.kind != backend.Snapshot {
			have[r.stream] = r.version
		}
	}
	all := got
	for i := len(acked) - 1; i >= 0; i-- {
		r := acked[i]
		newest := i == len(acked)-1 && (len(got) == 0 || got[len(got)-1].position < r.position)
		if r.kind != backend.Snapshot && r.version > have[r.stream] {
			have[r.stream], newest = r.version, true
		}
		if newest {
			all = append(slices.Clip(all), r)
		}
	}
	if len(all) > len(got) {
		slices.SortFunc(all, func(a, b sweepRecord) int { return cmp.Compare(a.position, b.position) })
	}
	return all
}
