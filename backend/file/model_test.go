package file_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/memory"
)

// Two stores are given the same calls: one of files, in the smallest segments, and the
// reference. Whatever is asked of both, they answer alike: records to the byte, heads,
// listings, cuts, and errors by their sentinels. PAPYRA_MODEL_TIME says how long, and
// PAPYRA_MODEL_SEED makes a round again.
func TestAStoreOfFilesAnswersAsTheReferenceDoes(t *testing.T) {
	steps, until := 400, time.Time{}
	if os.Getenv("PAPYRA_LONG") != "" {
		steps, until = 3000, time.Now().Add(5*time.Minute)
	}
	if d, err := time.ParseDuration(os.Getenv("PAPYRA_MODEL_TIME")); err == nil {
		until = time.Now().Add(d)
	}
	seed := uint64(1)
	if !until.IsZero() {
		seed = uint64(time.Now().UnixNano())
	}
	if n, err := strconv.ParseUint(os.Getenv("PAPYRA_MODEL_SEED"), 10, 64); err == nil {
		seed = n
	}
	total := map[string]int{}
	rounds := 0
	for ; rounds < 3 || time.Now().Before(until); rounds++ {
		m := newModel(t, seed)
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { m.t = t; m.run(steps) }) {
			return
		}
		for what, n := range m.counts {
			total[what] += n
		}
		seed++
	}
	t.Logf("attack: beside the reference: %d rounds, %d records given, %d compared", rounds, total["records"], total["compared"])
	t.Log(total)
}

// model is the two stores, and what the calls are made of.
type model struct {
	t      *testing.T
	rng    *rand.Rand
	seed   uint64
	dir    string
	place  *memory.Store
	files  *backend.Backend
	mem    *backend.Backend
	now    time.Time
	names  []string
	types  []string
	sent   []backend.Batch // with an ID, to be sent again
	far    bool            // positions leap
	holds  []func()
	counts map[string]int
	what   string // the step that is made
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 5)), seed: seed, place: memory.New(), now: time.Unix(1.7e9, 0), counts: map[string]int{}}
	m.far = m.rng.IntN(3) == 0
	m.names = []string{"a", "a/b", "ab", "b", "c/1", "c/2", "é", "🦜", "$sys/main/audit", "$sys/main/lifecycle", "$sys/x/deadletter",
		strings.Repeat("n", backend.MaxStreamBytes), strings.Repeat("n", backend.MaxStreamBytes-1) + "m", "n"}
	for i := range m.rng.IntN(60) {
		m.names = append(m.names, fmt.Sprintf("many/%d", i))
	}
	m.types = []string{"", "t", strings.Repeat("y", backend.MaxTypeBytes)}
	for i := range []int{2, 20, 200}[m.rng.IntN(3)] {
		m.types = append(m.types, fmt.Sprintf("type-%d", i))
	}
	return m
}

func (m *model) run(steps int) {
	m.dir = m.t.TempDir()
	m.open()
	defer func() { m.files.Close(); m.mem.Close() }()
	for i := range steps {
		m.now = m.now.Add(time.Second)
		m.step()
		if m.t.Failed() {
			m.t.Fatalf("at step %d, %s; PAPYRA_MODEL_SEED=%d", i, m.what, m.seed)
		}
	}
	m.whole()
	m.scan()
	m.reopen()
	m.whole()
	m.scan()
	if m.t.Failed() {
		m.t.Fatalf("at the end; PAPYRA_MODEL_SEED=%d", m.seed)
	}
}

func (m *model) options() *file.Options {
	o := &file.Options{SegmentBytes: 8 << 10}
	if m.rng.IntN(4) == 0 {
		o.SegmentBytes = 64 << 10
	}
	o.Clock = func() time.Time { return m.now }
	o.Startup.Full = m.rng.IntN(4) == 0
	return o
}

func (m *model) open() {
	ctx := context.Background()
	var err error
	if m.files, err = file.Open(ctx, m.dir, m.options()); err != nil {
		m.t.Fatalf("%s: %v; PAPYRA_MODEL_SEED=%d", m.what, err, m.seed)
	}
	if m.mem, err = m.place.Open(ctx, &m.options().Options); err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) step() {
	steps := []struct {
		weight int
		name   string
		do     func()
	}{
		{40, "append", m.append}, {8, "append all", m.appendAll}, {6, "restore", m.restore}, {8, "snapshot", m.snapshot},
		{4, "send again", m.again}, {3, "compact", m.compact}, {2, "plan and compact", m.plan}, {2, "delete", m.delete}, {1, "pack", m.pack},
		{40, "read", m.read}, {6, "head", m.head}, {4, "streams", m.streams}, {4, "newest snapshot", m.newest},
		{3, "hold", m.hold}, {1, "reopen", m.reopen}, {1, "reopen in place", m.reopenInPlace}, {2, "whole", m.whole}, {1, "scan", m.scan}, {1, "read-only", m.readOnly},
	}
	sum := 0
	for _, s := range steps {
		sum += s.weight
	}
	n := m.rng.IntN(sum)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			m.what = s.name
			m.counts[s.name]++
			s.do()
			return
		}
	}
}

// same checks that both answered alike.
func (m *model) same(call string, files, mem any, ferr, merr error) bool {
	m.t.Helper()
	if class(ferr) != class(merr) {
		m.t.Errorf("%s: files %v, memory %v", call, ferr, merr)
		return false
	}
	if f, w := fmt.Sprintf("%+v", files), fmt.Sprintf("%+v", mem); f != w {
		m.t.Errorf("%s: files %.2000s, memory %.2000s", call, f, w)
		return false
	}
	return true
}

var sentinels = []error{backend.ErrInvalid, backend.ErrConflict, backend.ErrTooLarge, backend.ErrFenced, backend.ErrCompacted, backend.ErrNotFound,
	backend.ErrUnknownOutcome, backend.ErrCorrupt, backend.ErrPoisoned, backend.ErrNoSpace, backend.ErrClosed, backend.ErrUnsupported, backend.ErrLocked, backend.ErrFormat}

// class is the sentinel of an error; the error itself if it has none.
func class(err error) error {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return s
		}
	}
	return err
}

func (m *model) name() string {
	if m.rng.IntN(3) == 0 {
		return m.names[m.rng.IntN(min(3, len(m.names)))]
	}
	return m.names[m.rng.IntN(len(m.names))]
}

func (m *model) headOf(stream string) backend.Head {
	h, err := m.mem.Head(context.Background(), stream)
	if err != nil {
		m.t.Fatal(err)
	}
	return h
}

func (m *model) last() backend.Position {
	p, err := m.mem.Last(context.Background())
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

// record is a random one, with the extremes of each field.
func (m *model) record() backend.Record {
	r := backend.Record{Type: m.types[m.rng.IntN(len(m.types))]}
	size := 0
	switch m.rng.IntN(20) {
	case 0:
		size = 9000 + m.rng.IntN(9000)
	case 1, 2:
		size = m.rng.IntN(3000)
	case 3:
		size = 0
	case 4:
		if m.rng.IntN(30) == 0 {
			size = 300_000
		}
	default:
		size = m.rng.IntN(200)
	}
	r.Payload = make([]byte, size)
	for i := range r.Payload {
		r.Payload[i] = byte(m.rng.Uint32())
	}
	switch m.rng.IntN(8) {
	case 0:
		r.Schema = math.MaxUint32
	case 1:
		r.Schema = math.MaxUint16 + uint32(m.rng.IntN(2))
	case 2, 3:
		r.Schema = m.rng.Uint32N(300)
	}
	switch m.rng.IntN(8) {
	case 0:
		r.Time = time.Unix(0, math.MinInt64)
	case 1:
		r.Time = time.Unix(0, math.MaxInt64)
	case 2:
		r.Time = time.Unix(0, int64(m.rng.Uint64()))
	case 3, 4:
		r.Time = m.now.Add(time.Duration(m.rng.IntN(1000)-500) * time.Second)
	}
	switch m.rng.IntN(12) {
	case 0, 1, 2:
		r.Meta, _ = backend.MakeMeta("k", strconv.Itoa(m.rng.IntN(100)))
	case 3:
		if m.rng.IntN(20) == 0 {
			r.Meta, _ = backend.MakeMeta("k", strings.Repeat("v", backend.MaxMetaBytes-5))
		}
	}
	return r
}

func (m *model) batch() backend.Batch {
	b := backend.Batch{Stream: m.name(), Expected: backend.Any}
	h := m.headOf(b.Stream)
	b.Epoch = h.Epoch
	switch m.rng.IntN(30) {
	case 0:
		b.Epoch = min(backend.MaxNumber, h.Epoch+1+m.rng.Uint64N(3))
	case 1:
		b.Epoch = m.rng.Uint64N(h.Epoch + 1)
	case 2:
		if m.rng.IntN(8) == 0 {
			b.Epoch = backend.MaxNumber
		}
	}
	switch m.rng.IntN(4) {
	case 0:
		b.Expected = h.Version
	case 1:
		b.Expected = h.Version
		for i := range b.ID {
			b.ID[i] = byte(m.rng.Uint32())
		}
	case 2:
		if m.rng.IntN(6) == 0 {
			b.Expected = backend.Version(m.rng.Uint64N(uint64(h.Version) + 2))
		}
	}
	n := 1 + m.rng.IntN(4)
	if m.rng.IntN(40) == 0 {
		n = 300
	}
	for range n {
		r := m.record()
		if n > 100 && len(r.Payload) > 100 {
			r.Payload = r.Payload[:100]
		}
		b.Records = append(b.Records, r)
	}
	if !b.ID.IsZero() {
		m.sent = append(m.sent, b)
	}
	return b
}

// give has both append.
func (m *model) give(b backend.Batch) {
	m.t.Helper()
	ctx := context.Background()
	f, ferr := m.files.Append(ctx, b)
	w, merr := m.mem.Append(ctx, b)
	f.Err, w.Err = class(f.Err), class(w.Err)
	m.same(fmt.Sprintf("append of %d to %.20q", len(b.Records), b.Stream), f, w, ferr, merr)
	m.counts["records"] += len(b.Records)
}

func (m *model) append() { m.give(m.batch()) }

func (m *model) again() {
	if len(m.sent) > 0 {
		m.give(m.sent[m.rng.IntN(len(m.sent))])
	}
}

func (m *model) appendAll() {
	ctx := context.Background()
	var all []backend.Batch
	for range 1 + m.rng.IntN(12) {
		all = append(all, m.batch())
	}
	f, ferr := m.files.AppendAll(ctx, all)
	w, merr := m.mem.AppendAll(ctx, all)
	for i := range f {
		f[i].Err = class(f[i].Err)
	}
	for i := range w {
		w[i].Err = class(w[i].Err)
	}
	m.same("append all", f, w, ferr, merr)
}

// restore brings records with numbers of their own: with gaps between positions, streams
// that begin anywhere, snapshots among them.
func (m *model) restore() {
	b := backend.Batch{Stream: m.name(), Restore: true}
	h, p := m.headOf(b.Stream), m.last()
	if m.rng.IntN(3) == 0 {
		b.Stream = fmt.Sprintf("restored/%d", m.rng.IntN(1000))
		m.names = append(m.names, b.Stream)
		h = m.headOf(b.Stream)
	}
	v := h.Version
	if h.Unreadable() {
		switch m.rng.IntN(4) {
		case 0:
			v += backend.Version(m.rng.Uint64N(1000))
		case 1:
			if m.rng.IntN(3) == 0 {
				v = max(v, backend.MaxNumber-backend.Version(m.rng.IntN(20)))
			}
		}
	}
	epoch := h.Epoch
	for range 1 + m.rng.IntN(20) {
		p++
		switch m.rng.IntN(6) {
		case 0:
			p += backend.Position(m.rng.IntN(20))
		case 1:
			if m.far && m.rng.IntN(4) == 0 {
				p += backend.Position(m.rng.Uint64N(1 << m.rng.IntN(61)))
			}
		}
		r := m.record()
		if r.Time.IsZero() {
			r.Time = m.now
		}
		r.Position, r.Kind = p, backend.KindOf(b.Stream)
		if r.Kind == backend.Event && v > 0 && m.rng.IntN(4) == 0 {
			r.Kind, r.Version = backend.Snapshot, v-min(v-1, backend.Version(m.rng.IntN(4)))
		} else {
			v++
			if m.rng.IntN(200) == 0 {
				v++
			}
			r.Version = v
		}
		if m.rng.IntN(10) == 0 {
			epoch += m.rng.Uint64N(3)
		}
		r.Epoch = epoch
		r.Batch.Place = m.rng.Uint32N(3)
		if m.rng.IntN(20) == 0 {
			r.Batch.Place = math.MaxUint32
		}
		if m.rng.IntN(3) == 0 {
			r.Batch.ID = backend.BatchID{1, byte(m.rng.Uint32()), 15: 7}
		}
		b.Records = append(b.Records, r)
	}
	m.give(b)
}

func (m *model) snapshot() {
	ctx := context.Background()
	r := m.record()
	r.Stream = m.name()
	h := m.headOf(r.Stream)
	r.Version, r.Epoch = h.Version, h.Epoch
	switch m.rng.IntN(5) {
	case 0:
		r.Version -= min(r.Version, backend.Version(m.rng.IntN(30)))
	case 1:
		r.Version += backend.Version(m.rng.IntN(2))
	}
	f, ferr := m.files.SaveSnapshot(ctx, r)
	w, merr := m.mem.SaveSnapshot(ctx, r)
	m.same(fmt.Sprintf("snapshot of %.20q at %d", r.Stream, r.Version), f, w, ferr, merr)
}

func (m *model) hold() {
	if len(m.holds) > 2 || m.rng.IntN(2) == 0 && len(m.holds) > 0 {
		for _, release := range m.holds {
			release()
		}
		m.holds = nil
		return
	}
	p := backend.Position(m.rng.Uint64N(uint64(m.last()) + 1))
	for _, b := range []*backend.Backend{m.files, m.mem} {
		release, err := b.Hold(fmt.Sprint(len(m.holds)), p)
		if err != nil {
			m.t.Fatal(err)
		}
		m.holds = append(m.holds, release)
	}
}

func (m *model) reopen() {
	if err := errors.Join(m.files.Close(), m.mem.Close()); err != nil {
		m.t.Error(err)
	}
	m.holds = nil
	m.open()
}

func (m *model) reopenInPlace() {
	if err := m.files.Reopen(context.Background()); err != nil {
		m.t.Error(err)
	}
}

// readOnly compares what another handle sees.
func (m *model) readOnly() {
	o := m.options()
	o.ReadOnly = true
	b, err := file.Open(context.Background(), m.dir, o)
	if err != nil {
		m.t.Error(err)
		return
	}
	defer b.Close()
	m.compare(b, backend.Query{Kinds: backend.AllKinds})
	m.compare(b, backend.Query{Kinds: backend.AllKinds, Reverse: true})
}
