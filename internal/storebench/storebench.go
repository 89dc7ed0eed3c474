package storebench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Work is what is measured.
type Work struct {
	Writers  int           // goroutines that append
	Size     int           // bytes of a payload, at least [LeastSize]
	Batch    int           // records of a batch
	Streams  int           // streams that the appends go to
	Duration time.Duration // of the appends on one store, in all
	Rounds   int           // turns that it is divided into
	Reads    int           // streams that are read, in a turn
}

// LeastSize is the least that a payload may be: it says whose it is.
const LeastSize = 32

// Store is one store that is measured: a scratch store that holds nothing.
type Store struct {
	Name string
	B    *backend.Backend
	Result
	acked []acked // by stream
	next  atomic.Uint64
	mu    sync.Mutex
}

// acked is what of one stream was acknowledged.
type acked struct {
	mu      sync.Mutex
	records uint64
}

// Rates are the values of one measurement, one of each turn.
type Rates []float64

// Median is the middle value; 0 of none.
func (r Rates) Median() float64 {
	if len(r) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(r))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// Span is the lowest and the highest.
func (r Rates) Span() (low, high float64) {
	if len(r) == 0 {
		return 0, 0
	}
	return slices.Min(r), slices.Max(r)
}

// Result is what was found of one store.
type Result struct {
	Appends  Rates         // records acknowledged a second
	Replays  Rates         // records read a second, the whole store from its beginning
	Reads    Rates         // streams read a second, each wholly
	P50, P99 time.Duration // of an append
	Records  uint64        // acknowledged
	Verified uint64        // of these, read back as they were
}

// Progress is told what is going on, now and then.
type Progress func(what string, done, total time.Duration)

// Run measures the stores in turns, and fills in their results. An error of a store ends
// the run.
func Run(ctx context.Context, w Work, stores []*Store, told Progress) error {
	for _, s := range stores {
		s.acked = make([]acked, w.Streams)
	}
	latencies := make([][]time.Duration, len(stores))
	turn := w.Duration / time.Duration(w.Rounds)
	total := turn * time.Duration(w.Rounds*len(stores))
	var done time.Duration
	for round := range w.Rounds {
		for i := range stores {
			i = (i + round) % len(stores) // none is always the first
			s := stores[i]
			told("appends to "+s.Name, done, total)
			took, err := s.append(ctx, w, turn)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			latencies[i] = append(latencies[i], took...)
			done += turn
		}
		for i := range stores {
			s := stores[(i+round)%len(stores)]
			told("reads of "+s.Name, done, total)
			if err := s.read(ctx, w); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
		}
	}
	for i, s := range stores {
		s.P50, s.P99 = percentiles(latencies[i])
		told("checking "+s.Name, done, total)
		if err := s.verify(ctx, w); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// latenciesKept bounds how many latencies a writer keeps in one turn.
const latenciesKept = 1 << 14

// append appends for so long, and returns how long appends took.
func (s *Store) append(ctx context.Context, w Work, turn time.Duration) ([]time.Duration, error) {
	var (
		group sync.WaitGroup
		all   []time.Duration
		first error
		sum   atomic.Uint64
	)
	start := time.Now()
	for n := range w.Writers {
		group.Go(func() {
			took, err := s.writer(ctx, w, n, start.Add(turn), &sum)
			s.mu.Lock()
			defer s.mu.Unlock()
			all = append(all, took...)
			if first == nil {
				first = err
			}
		})
	}
	group.Wait()
	s.Appends = append(s.Appends, float64(sum.Load())/time.Since(start).Seconds())
	s.Records += sum.Load()
	return all, first
}

// writer appends batch after batch until the end.
func (s *Store) writer(ctx context.Context, w Work, n int, end time.Time, sum *atomic.Uint64) (took []time.Duration, err error) {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(time.Now().UnixNano())))
	buf := make([]byte, w.Batch*w.Size)
	for i := 0; i < len(buf); i += 8 {
		var random [8]byte
		binary.LittleEndian.PutUint64(random[:], rng.Uint64())
		copy(buf[i:], random[:])
	}
	records := make([]backend.Record, w.Batch)
	for i := range records {
		records[i] = backend.Record{Type: "measured", Payload: buf[i*w.Size : (i+1)*w.Size]}
	}
	for begin := time.Now(); begin.Before(end); begin = time.Now() {
		k := s.next.Add(1) % uint64(w.Streams)
		name := stream(int(k))
		for i := range records {
			mark(records[i].Payload, k)
		}
		_, err := s.B.Append(ctx, backend.Batch{Stream: name, Expected: backend.Any, Records: records})
		if err != nil {
			return took, err
		}
		a := &s.acked[k]
		a.mu.Lock()
		a.records += uint64(w.Batch)
		a.mu.Unlock()
		sum.Add(uint64(w.Batch))
		if d := time.Since(begin); len(took) < latenciesKept {
			took = append(took, d)
		} else {
			took[rng.IntN(len(took))] = d
		}
	}
	return took, nil
}

func stream(n int) string { return fmt.Sprintf("stream-%08d", n) }

// mark makes a payload say of which stream it is, and what the rest of it must be:
//
//	stream u64 │ sum u64 │ the rest
func mark(p []byte, stream uint64) {
	binary.LittleEndian.PutUint64(p, stream)
	binary.LittleEndian.PutUint64(p[8:], sumOf(p, stream))
}

// sumOf is a sum over the rest of a payload and its stream. (FNV-1a: the engines have
// checksums of their own, this one only tells one payload from another.)
func sumOf(p []byte, stream uint64) uint64 {
	h := uint64(14695981039346656037) ^ stream
	for _, c := range p[16:] {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// replayMost bounds a turn's replay, and readMost its reads of streams.
const (
	replayMost = 3 * time.Second
	readMost   = 2 * time.Second
)

// read measures a replay and reads of single streams.
func (s *Store) read(ctx context.Context, w Work) error {
	n, start := 0, time.Now()
	for _, err := range s.B.Read(ctx, backend.Query{}) {
		if err != nil {
			return err
		}
		if n++; n%4096 == 0 && time.Since(start) > replayMost {
			break
		}
	}
	if n > 0 {
		s.Replays = append(s.Replays, float64(n)/time.Since(start).Seconds())
	}
	streams, rng := 0, rand.New(rand.NewPCG(1, 2))
	start = time.Now()
	for ; streams < w.Reads && time.Since(start) < readMost; streams++ {
		for _, err := range s.B.Read(ctx, backend.Query{Stream: stream(rng.IntN(w.Streams))}) {
			if err != nil {
				return err
			}
		}
	}
	s.Reads = append(s.Reads, float64(streams)/time.Since(start).Seconds())
	return nil
}

// ErrLost: a record whose append was acknowledged is not there, or not as it was.
var ErrLost = errors.New("not read back as it was written")

// verify reads the whole store and counts, for each stream, what is as it was written.
func (s *Store) verify(ctx context.Context, w Work) error {
	seen := make([]uint64, w.Streams)
	for r, err := range s.B.Read(ctx, backend.Query{}) {
		if err != nil {
			return err
		}
		if len(r.Payload) != w.Size {
			return fmt.Errorf("%w: version %d of %s has %d bytes", ErrLost, r.Version, r.Stream, len(r.Payload))
		}
		k := binary.LittleEndian.Uint64(r.Payload)
		if k >= uint64(w.Streams) || r.Stream != stream(int(k)) || binary.LittleEndian.Uint64(r.Payload[8:]) != sumOf(r.Payload, k) {
			return fmt.Errorf("%w: version %d of %s is another's", ErrLost, r.Version, r.Stream)
		}
		if seen[k]++; uint64(r.Version) != seen[k] {
			return fmt.Errorf("%w: version %d of %s follows %d", ErrLost, r.Version, r.Stream, seen[k]-1)
		}
		s.Verified++
	}
	for k := range seen {
		if seen[k] < s.acked[k].records {
			return fmt.Errorf("%w: %d of %d records of %s are there", ErrLost, seen[k], s.acked[k].records, stream(k))
		}
	}
	return nil
}

func percentiles(took []time.Duration) (p50, p99 time.Duration) {
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return took[len(took)/2], took[min(len(took)*99/100, len(took)-1)]
}
