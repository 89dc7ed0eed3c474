// Package memory is the reference backend: a store that lives in the process and
// ends with it. Read it first to see what a driver has to do; the property tests
// of the other engines compare against it. It claims no durability.
//
// [Open] makes a store of its own. [New] makes a [Store] that can be opened again
// and again, as a directory can: what is in it outlives the backends that were
// closed over it.
//
// Where to read next: package backend's driver.go for the duties, and package
// conformance for how they are tested.
package memory

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/papyra-go/papyra/backend"
)

func init() {
	backend.Register("memory", backend.Scheme{Open: openURL})
}

// Open returns a backend over a new empty store. opts nil means the defaults.
func Open(ctx context.Context, opts *backend.Options) (*backend.Backend, error) {
	return New().Open(ctx, opts)
}

// named holds the stores that URLs with a name share within the process.
var named = struct {
	sync.Mutex
	m map[string]*Store
}{m: map[string]*Store{}}

// openURL opens memory: or memory:// as a new store, and memory://name as one that
// every such URL in the process shares.
func openURL(ctx context.Context, u *url.URL, opts backend.Options) (*backend.Backend, error) {
	if u.Path != "" && u.Path != "/" || u.Opaque != "" {
		return nil, &backend.OpError{Op: backend.OpOpen, Backend: opts.Name, Err: fmt.Errorf("%w: a memory URL is memory:// or memory://name", backend.ErrInvalid)}
	}
	if u.Host == "" {
		return Open(ctx, &opts)
	}
	named.Lock()
	s := named.m[u.Host]
	if s == nil {
		s = New()
		named.m[u.Host] = s
	}
	named.Unlock()
	return s.Open(ctx, &opts)
}

// Store is a place in memory that backends can be opened over, one writing at a
// time.
type Store struct {
	mu      sync.RWMutex
	held    bool             // a backend has it open for writing
	last    backend.Position // the newest ever given, also if its record is gone
	log     []backend.Record // all records, in position order; their bytes are the store's
	streams map[string]*stream
	names   []string // of streams
	sorted  int      // how many of names are in order: all but those added since the last listing
}

// stream is where one stream's records are: indexes into Store.log.
type stream struct {
	head      backend.Head
	numbered  []int // in version order, which is position order
	snapshots []int // ordered by (version, position)
}

// New returns an empty store.
func New() *Store { return &Store{streams: map[string]*stream{}} }

// Open opens the store. A second backend that may write is [backend.ErrLocked]
// until the first is closed.
func (s *Store) Open(ctx context.Context, opts *backend.Options) (*backend.Backend, error) {
	readOnly := opts != nil && opts.ReadOnly
	return backend.New(ctx, func(ctx context.Context) (backend.Driver, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.held && !readOnly {
			return nil, fmt.Errorf("%w: this memory store is open in this process already", backend.ErrLocked)
		}
		s.held = s.held || !readOnly
		return backend.Sequenced(&handle{Store: s, holds: !readOnly}), nil
	}, opts)
}

// handle is a store as one backend holds it.
type handle struct {
	*Store
	holds bool
}

// Close lets the next backend in.
func (h *handle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.holds {
		h.held = false
	}
	return nil
}

// Append copies the records: what the caller passed stays the caller's.
func (s *Store) Append(_ context.Context, records []backend.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range records {
		r := records[i].Clone()
		r.Time = r.Time.UTC().Round(0) // without its location and its monotonic clock, as any medium keeps it
		st := s.streams[r.Stream]
		if st == nil {
			st = new(stream)
			s.streams[r.Stream] = st
			s.names = append(s.names, r.Stream)
		}
		st.head = st.head.After(&r)
		s.last = r.Position
		s.add(st, r)
	}
	return nil
}

// add puts a record of the stream at the end of the log.
func (s *Store) add(st *stream, r backend.Record) {
	at := len(s.log)
	s.log = append(s.log, r)
	if r.Kind == backend.Snapshot {
		i := sort.Search(len(st.snapshots), func(i int) bool { return s.log[st.snapshots[i]].Version > r.Version })
		st.snapshots = slices.Insert(st.snapshots, i, at)
	} else {
		st.numbered = append(st.numbered, at)
	}
}

// Read yields what q asks for. The records' bytes are never changed, so that the
// lock is held only to take a page's worth of them.
func (s *Store) Read(_ context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		for _, r := range s.take(q) {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// take returns copies of the records that q asks for, sharing their bytes.
func (s *Store) take(q backend.Query) []backend.Record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	size, at := len(s.log), func(i int) int { return i }
	place := func(r *backend.Record) uint64 { return uint64(r.Position) }
	if q.Stream != "" {
		st := s.streams[q.Stream]
		if st == nil {
			return nil
		}
		list := st.numbered
		if q.Kinds.Has(backend.Snapshot) {
			list = st.snapshots
		}
		size, at = len(list), func(i int) int { return list[i] }
		place = func(r *backend.Record) uint64 { return uint64(r.Version) }
	}
	first := sort.Search(size, func(i int) bool { return place(&s.log[at(i)]) >= q.From })
	end := sort.Search(size, func(i int) bool { return place(&s.log[at(i)]) > q.To })
	var out []backend.Record
	for n := range max(0, end-first) {
		i := first + n
		if q.Reverse {
			i = end - 1 - n
		}
		if r := &s.log[at(i)]; q.Kinds.Has(r.Kind) {
			if out = append(out, *r); len(out) == q.Limit {
				break
			}
		}
	}
	return out
}

// Head returns where the stream stands.
func (s *Store) Head(_ context.Context, name string) (backend.Head, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if st := s.streams[name]; st != nil {
		return st.head, nil
	}
	return backend.Head{}, nil
}

// Last returns the newest position.
func (s *Store) Last(context.Context) (backend.Position, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.last, nil
}

// Streams lists the streams by name.
func (s *Store) Streams(_ context.Context, q backend.StreamQuery) iter.Seq2[backend.StreamInfo, error] {
	return func(yield func(backend.StreamInfo, error) bool) {
		for _, info := range s.list(q) {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (s *Store) list(q backend.StreamQuery) (out []backend.StreamInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sorted < len(s.names) {
		slices.Sort(s.names)
		s.sorted = len(s.names)
	}
	from, _ := slices.BinarySearch(s.names, max(q.Prefix, q.After))
	for _, name := range s.names[from:] {
		if name <= q.After && q.After != "" {
			continue
		}
		if !strings.HasPrefix(name, q.Prefix) || q.Limit > 0 && len(out) == q.Limit {
			break
		}
		out = append(out, backend.StreamInfo{Name: name, Head: s.streams[name].head})
	}
	return out
}

// Scan checks what can be checked without checksums: that positions rise and
// that no stream has a gap.
func (s *Store) Scan(ctx context.Context, plan backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(yield func(backend.Anomaly, error) bool) {
		if plan.Depth == backend.Quick {
			return
		}
		s.mu.RLock()
		log := s.log
		s.mu.RUnlock()
		heads := map[string]backend.Head{}
		for i := range log {
			r := &log[i]
			h := heads[r.Stream]
			heads[r.Stream] = h.After(r)
			gap := r.Kind != backend.Snapshot && !h.Unreadable() && r.Version != h.Version+1
			if gap || i > 0 && r.Position <= log[i-1].Position {
				a := backend.Anomaly{Code: backend.MissingRecord, Severity: backend.Damage, Offset: -1, Stream: r.Stream, Version: r.Version, Position: r.Position,
					Detail: fmt.Sprintf("follows version %d of its stream", h.Version)}
				if !yield(a, nil) {
					return
				}
			}
			if i%4096 != 0 && i != len(log)-1 {
				continue
			}
			if plan.Progress != nil {
				plan.Progress(int64(i+1), int64(len(log)))
			}
			if ctx.Err() != nil {
				yield(backend.Anomaly{}, context.Cause(ctx))
				return
			}
		}
	}
}

// Recover is not claimed: there is nothing that it could repair from.
func (s *Store) Recover(context.Context, backend.RecoveryPlan) (backend.RecoveryStats, error) {
	return backend.RecoveryStats{}, fmt.Errorf("%w: engine memory does not recover", backend.ErrUnsupported)
}

// Compact raises the floors and puts what stays into a new log; a scan may still be
// going through the old one. The streams' heads stay, whatever goes.
func (s *Store) Compact(_ context.Context, cut backend.Cut) (stats backend.CompactionStats, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	floors := map[string]backend.StreamFloor{}
	for _, f := range cut.Floors {
		h := &s.streams[f.Stream].head
		h.Floor = max(h.Floor, f.Floor)
		floors[f.Stream] = f
	}
	for _, st := range s.streams {
		st.numbered, st.snapshots = nil, nil
	}
	before := s.log
	s.log = nil
	for i := range before {
		r := &before[i]
		stats.RecordsBefore++
		stats.BytesBefore += int64(r.Size())
		if f, cut := floors[r.Stream]; cut && f.Takes(r) {
			continue
		}
		stats.RecordsAfter++
		stats.BytesAfter += int64(r.Size())
		s.add(s.streams[r.Stream], *r)
	}
	return stats, nil
}

// Info describes the engine.
func (s *Store) Info() backend.Info {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return backend.Info{Engine: "memory", Capabilities: backend.Capabilities{Compact: true, CompactBeside: true}, Stats: []backend.Stat{
		{Name: "records", Unit: "{record}", Help: "Records in the store.", Value: int64(len(s.log))},
		{Name: "streams", Unit: "{stream}", Help: "Streams in the store.", Value: int64(len(s.names))},
	}}
}
