package file

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

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
		if (errors.Is(err, backend.ErrPoisoned) || errors.Is(err, backend.ErrUnknownOutcome)) && b.Poisoned() == nil {
			return fmt.Errorf("the handle is not poisoned, and Compact says: %v", err)
		}
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
