package selftest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
	"github.com/papyra-go/papyra/conformance"
)

// The world has every seam.
var _ interface {
	conformance.Digester
	conformance.Corrupter
	conformance.Faulter
	conformance.Staller
	conformance.Crasher
	conformance.Killer
	conformance.Fixturer
	conformance.Occupier
} = (*world)(nil)

func newWorld(v *variant) *world {
	return &world{v: v, gone: make(chan struct{}), store: memory.New(), disk: newMedium(&v.flaws), records: map[numbers]backend.Record{}, results: map[backend.BatchID]known{}, cut: map[string]backend.Head{}, holds: map[string]backend.Position{}, kept: map[string][]backend.Record{}}
}

func (w *world) Digest(context.Context) ([32]byte, error) { return w.disk.digest(), nil }

func (w *world) Bytes(context.Context) (sum int64, err error) {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	for at, f := range w.disk.frames {
		sum = at + f.size()
	}
	return sum, nil
}

func (w *world) Flip(_ context.Context, i int64, mask byte) error {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	w.disk.ill = true
	for at, f := range w.disk.frames {
		if i >= at+f.size() {
			continue
		}
		if f.rot == nil {
			f.rot = map[int64]byte{}
		}
		if f.rot[i-at] ^= mask; f.rot[i-at] == 0 {
			delete(f.rot, i-at)
		}
		return nil
	}
	return errors.New("no such byte")
}

func (w *world) Fail(f conformance.Fault) (hits func() int, heal func(), err error) {
	m := w.disk
	m.mu.Lock()
	defer m.mu.Unlock()
	ft := &fault{Fault: f}
	m.faults = append(m.faults, ft)
	return func() int { m.mu.Lock(); defer m.mu.Unlock(); return ft.hits }, func() { m.mu.Lock(); defer m.mu.Unlock(); ft.healed = true }, nil
}

func (w *world) Stall() (<-chan struct{}, func()) {
	m := w.disk
	m.mu.Lock()
	defer m.mu.Unlock()
	free := make(chan struct{})
	m.reached, m.free, m.stallOnce = make(chan struct{}), free, new(sync.Once)
	return m.reached, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.free = nil
		close(free)
	}
}

func (w *world) Changing(f func()) {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	w.disk.changing = f
}

func (w *world) Crash(_ context.Context, percent int, rng *rand.Rand) (conformance.Store, error) {
	after := newWorld(w.v)
	after.disk = w.disk.crash(percent, rng)
	w.gapsMu.Lock()
	after.gaps = append(after.gaps, w.gaps...)
	w.gapsMu.Unlock()
	return after, after.rebuild()
}

// rebuild makes the memory store from what the medium has.
func (w *world) rebuild() error {
	w.store = memory.New()
	for _, g := range w.disk.groups {
		if g.pending || g.glued {
			continue
		}
		if err := w.show(g); err != nil {
			return err
		}
	}
	return nil
}

// show makes a group readable.
func (w *world) show(g *group) error {
	if g.cut != nil {
		_, err := w.store.Compact(context.Background(), *g.cut)
		return err
	}
	records := make([]backend.Record, len(g.frames))
	for i, f := range g.frames {
		records[i] = f.record
	}
	return w.store.Append(context.Background(), records)
}

// Spawn is a process that is a goroutine; killed, it can't change the store any more.
func (w *world) Spawn(ctx context.Context) (*conformance.Process, error) {
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	life := new(life)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer outWrite.Close()
		conformance.Child(ctx, func(ctx context.Context) (conformance.Subject, error) {
			w.mu.Lock()
			if w.v.flaws.childUnlocked {
				w.held = false
			}
			w.mu.Unlock()
			return w.openIn(ctx, life, backend.Options{})
		}, inRead, outWrite)
	}()
	return &conformance.Process{Stdin: inWrite, Stdout: outRead, Kill: func() error {
		outWrite.Close() // before it can say what being killed is like
		life.end(func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.holder == life && !w.v.flaws.killLocks {
				w.held = false
			}
			if n := len(w.disk.groups); n > 1 && w.holder == life && w.v.flaws.killLoses {
				w.disk.groups = w.disk.groups[:n-1]
				w.rebuild()
			}
		})
		cancel()
		inRead.Close()
		<-done
		return nil
	}}, nil
}

// life is a process: what it has opened does nothing once it has ended.
type life struct {
	mu    sync.RWMutex
	ended atomic.Bool
}

func (l *life) end(then func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended.Store(true)
	then()
}

// during runs f unless the process has ended.
func (l *life) during(f func() error) error {
	if l == nil {
		return f()
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.ended.Load() {
		return fmt.Errorf("%w: the process was killed", backend.ErrUnavailable)
	}
	return f()
}

func (w *world) Fixtures(ctx context.Context, _ *conformance.Env) (out []conformance.Fixture, err error) {
	for format, name := range map[int]string{1: "old", thisFormat + 1: "future"} {
		f := newWorld(w.v)
		plain := newWorld(new(variant)) // as the version that wrote it would have
		s, err := plain.Open(ctx, backend.Options{})
		if err != nil {
			return nil, err
		}
		for n := range 4 {
			for _, stream := range []string{"a", "b"} {
				if _, err := s.Append(ctx, backend.Batch{Stream: stream, Expected: backend.Version(2 * n), Epoch: 2, Records: []backend.Record{{Type: "one", Schema: 7, Payload: []byte("1")}, {Type: "two"}}}); err != nil {
					return nil, err
				}
			}
		}
		lines, err := conformance.Listing(ctx, s)
		if err = errors.Join(err, s.Close()); err != nil {
			return nil, err
		}
		plain.disk.flaws = f.disk.flaws
		f.disk, f.store = plain.disk, plain.store
		f.disk.format = format
		out = append(out, conformance.Fixture{Name: name, Store: f, Newer: format > thisFormat, Lines: lines})
	}
	return out, nil
}

// Occupied is a place with something that is none of the engine's formats.
func (w *world) Occupied(context.Context, *conformance.Env) ([]conformance.Occupied, error) {
	f := newWorld(w.v)
	f.disk.foreign = true
	return []conformance.Occupied{{Name: "something else", Store: f}}, nil
}

// openStore is the world's engine: the memory store over the medium.
type openStore struct {
	*memory.Store
	w        *world
	life     *life
	readOnly bool
}

// prepare is what opening does to the medium.
func (s *openStore) prepare() error {
	m := s.w.disk
	m.scans = 0
	if m.foreign && !m.flaws.foreignTaken {
		if m.flaws.foreignTouched {
			m.note()
		}
		return fmt.Errorf("%w: what is here is no store", backend.ErrFormat)
	}
	if m.format > thisFormat && !m.flaws.newerOpened {
		if m.flaws.newerTouched {
			m.note()
		}
		return fmt.Errorf("%w: format %d", backend.ErrFormat, m.format)
	}
	if _, err := m.do(conformance.OpRead); err != nil {
		return m.failure(err)
	}
	if m.torn > 0 && m.flaws.tornRefused {
		return fmt.Errorf("%w: log: a frame is not whole", backend.ErrCorrupt)
	}
	if s.readOnly {
		if m.flaws.readOnlyWrites && m.named {
			m.note()
		}
		m.named = m.named || m.flaws.readOnlyMakes
		return nil
	}
	if s.w.disk.torn > 0 && m.flaws.tornGlued { // what stands behind a fragment is lost with it
		if err := s.w.rebuild(); err != nil {
			return err
		}
		s.Store = s.w.store
	} else if m.torn > 0 {
		cut := func() {
			m.do(conformance.OpWrite)
			m.do(conformance.OpSync)
		}
		if m.flaws.tornRewritten {
			m.hide(1, cut)
		} else {
			cut()
		}
		m.mu.Lock()
		m.torn = 0
		m.mu.Unlock()
	}
	for _, g := range m.groups {
		if g.pending {
			if _, err := m.do(conformance.OpSync); err != nil {
				return m.failure(err)
			}
			m.mu.Lock()
			g.pending, g.synced = false, true
			if m.flaws.pendingNameless {
				for _, f := range g.frames {
					f.record.Batch.ID = backend.BatchID{}
				}
			}
			m.mu.Unlock()
			if err := s.w.show(g); err != nil {
				return err
			}
		}
	}
	if m.named {
		return nil
	}
	if _, err := m.do(conformance.OpWrite); err != nil {
		return m.failure(err)
	}
	if _, err := m.do(conformance.OpSync); err != nil {
		return m.failure(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.named = !m.flaws.unnamed
	return nil
}

// The reference claims all but to be shared.
func (s *openStore) Info() backend.Info {
	info := s.Store.Info()
	c := &info.Capabilities
	c.Durable, c.Repair, c.Quarantine = true, true, true
	return info
}

func (s *openStore) Append(_ context.Context, records []backend.Record) error {
	return s.life.during(func() error {
		m := s.w.disk
		if m.format < thisFormat {
			upgrade := func() {
				m.do(conformance.OpWrite)
				m.do(conformance.OpSync)
			}
			if m.flaws.upgradeInPlace {
				m.hide(2, upgrade)
			} else {
				upgrade()
			}
			m.mu.Lock()
			m.format = thisFormat
			m.mu.Unlock()
		}
		g := &group{}
		for i := range records {
			g.frames = append(g.frames, &frame{record: records[i].Clone()})
		}
		return m.put(g, func(g *group) error {
			if g.frames == nil {
				return nil
			}
			return s.w.show(g)
		})
	})
}

func (s *openStore) Compact(_ context.Context, cut backend.Cut) (stats backend.CompactionStats, err error) {
	m := s.w.disk
	if damaged, _ := m.damage(); m.flaws.cutDrops {
		for _, f := range damaged {
			f.gone = true
		}
	}
	if len(cut.Floors) == 0 {
		return s.Store.Compact(context.Background(), cut)
	}
	g := &group{cut: &cut}
	put := func() {
		err = m.put(g, func(*group) (err error) {
			stats, err = s.Store.Compact(context.Background(), cut)
			return err
		})
	}
	if m.flaws.cutInPlace {
		m.hide(1, put)
	} else {
		put()
	}
	if err != nil && m.flaws.cutHalf {
		more := backend.Cut{Floors: append([]backend.StreamFloor{}, cut.Floors...)}
		for i := range more.Floors {
			more.Floors[i].Floor++
		}
		s.Store.Compact(context.Background(), more)
	}
	return stats, err
}

func (s *openStore) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	m := s.w.disk
	return func(yield func(backend.Record, error) bool) {
		if _, err := m.do(conformance.OpRead); err != nil {
			if !m.flaws.readEnds {
				yield(backend.Record{}, m.failure(err))
			}
			return
		}
		rotten := m.rotten()
		for r, err := range s.Store.Read(ctx, q) {
			if rotten {
				if f, at := m.bad(r.Position); f != nil {
					switch {
					case f.gone, m.flaws.readSkips && !f.hole:
						continue
					case m.flaws.readBlind && !f.hole:
						r.Payload = append([]byte("?"), r.Payload...)
					case m.flaws.quarantineFills && f.hole:
						r.Type, r.Payload = "lost", nil
					default:
						yield(r, &backend.CorruptError{File: "log", Offset: at, Length: f.size(), Stream: r.Stream, Version: r.Version, Position: r.Position})
						return
					}
				}
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func (s *openStore) Head(ctx context.Context, stream string) (backend.Head, error) {
	h, err := s.Store.Head(ctx, stream)
	if s.w.disk.flaws.headShort && s.w.disk.rotten() {
		for r := range s.Store.Read(ctx, backend.Query{Stream: stream, From: uint64(h.Version), To: uint64(h.Version), Kinds: backend.Numbered}) {
			if f, _ := s.w.disk.bad(r.Position); f != nil && !f.hole {
				h.Version--
			}
		}
	}
	return h, err
}

func (s *openStore) Scan(ctx context.Context, plan backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	m := s.w.disk
	return func(yield func(backend.Anomaly, error) bool) {
		if m.flaws.scanNeedsWriter && s.readOnly && plan.Depth == backend.Full {
			yield(backend.Anomaly{}, fmt.Errorf("%w: a scan takes the lock", backend.ErrUnsupported))
			return
		}
		if plan.Depth == backend.Full {
			if m.scans++; m.flaws.scanWrites {
				m.note()
			}
		}
		for _, a := range s.w.findings() {
			if !yield(a, nil) {
				return
			}
			if m.flaws.scanFirst && a.Severity == backend.Damage {
				return
			}
		}
		s.Store.Scan(ctx, plan)(yield)
	}
}

// findings is what is wrong with the medium.
func (w *world) findings() (out []backend.Anomaly) {
	m := w.disk
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.torn > 0 {
		out = append(out, backend.Anomaly{Code: backend.TornTail, Severity: backend.Notice, File: "log", Offset: -1, Detail: fmt.Sprint(m.torn, " frames")})
	}
	if m.flaws.scanBlind || m.flaws.scanOnce && m.scans > 1 {
		return out
	}
	for at, f := range m.frames {
		if f.gone || !f.damaged() && !f.hole {
			continue
		}
		a := backend.Anomaly{Code: backend.BadChecksum, Severity: backend.Damage, File: "log", Offset: at, Length: f.size(), Stream: f.record.Stream, Version: f.record.Version, Position: f.record.Position, Detail: "crc"}
		if f.hole {
			a.Code, a.Severity = backend.MarkedHole, backend.Notice
		}
		if m.flaws.scanNowhere {
			a = backend.Anomaly{Code: a.Code, Severity: a.Severity, Offset: -1, Detail: a.Detail}
		}
		out = append(out, a)
	}
	return out
}

func (s *openStore) Recover(_ context.Context, plan backend.RecoveryPlan) (backend.RecoveryStats, error) {
	return s.w.disk.recover(plan)
}

func (s *openStore) Close() error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.holder == s.life && (s.life == nil || !s.life.ended.Load()) {
		s.w.held = false
	}
	s.w.last, _ = s.Last(context.Background())
	return nil
}
