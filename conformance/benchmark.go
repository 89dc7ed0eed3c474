package conformance

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// BB is what [Benchmark] uses of a *testing.B: see [TB].
type BB[B any] interface {
	Context() context.Context
	Helper()
	Run(name string, f func(B)) bool
	Loop() bool
	SetBytes(int64)
	ReportAllocs()
	ReportMetric(n float64, unit string)
	Fatalf(format string, args ...any)
}

// The store that reads are measured on: streams of records, appended in turns, so that
// each stream lies scattered.
const (
	benchStreams = 100
	benchRounds  = 10 // each appends one batch to each stream
	benchBatch   = 10
	benchSize    = 256
	benchRecords = benchStreams * benchRounds * benchBatch
)

// Benchmark measures a backend in sub-benchmarks whose names benchstat can tell apart:
//
//	func BenchmarkBackend(b *testing.B) { conformance.Benchmark(b, mine.Harness()) }
//
//	go test -run '^$' -bench . -count 10 | benchstat -col /writers -
//
// An operation is an append, a replay of the whole store, a read of one stream, a page,
// an opening, or a scan. Everything that was acknowledged is read back and compared
// afterwards: a backend that loses or mixes records has no figures. What is not seen is
// whether acknowledged means durable; the rules in group CRASH are about that. Stores
// stand where the harness makes them, for directories in TMPDIR: see that it is no tmpfs.
func Benchmark[B BB[B]](b B, h Harness) {
	b.Helper()
	for _, size := range []int{64, 4 << 10} {
		for _, batch := range []int{1, 100} {
			for _, writers := range []int{1, 8} {
				b.Run(fmt.Sprintf("append/size=%dB/batch=%d/writers=%d", size, batch, writers), func(b B) { benchAppend(b, h, size, batch, writers) })
			}
		}
	}
	read := func(name string, perOp int, op func(ctx context.Context, p *player, n int) (records int, err error)) {
		b.Run(name, func(b B) { benchRead(b, h, perOp, op) })
	}
	read("replay", benchRecords, func(ctx context.Context, p *player, _ int) (int, error) {
		return checked(ctx, p.subject, backend.Query{})
	})
	read("stream/records=100", benchRounds*benchBatch, func(ctx context.Context, p *player, n int) (int, error) {
		return checked(ctx, p.subject, backend.Query{Stream: benchStream(n % benchStreams)})
	})
	read("page/limit=100", 100, func(ctx context.Context, p *player, n int) (int, error) {
		from := uint64(n*100%(benchRecords-100)) + 1
		records, err := checked(ctx, p.subject, backend.Query{From: from, Limit: 100})
		return max(records, 100), err // positions may have gaps: near the end there may be fewer
	})
	read("scan", 0, func(ctx context.Context, p *player, _ int) (int, error) {
		report, err := p.subject.Scan(ctx, nil)
		if err == nil && !report.Clean() {
			err = fmt.Errorf("not clean: %v", report.Anomalies)
		}
		return 0, err
	})
	if !h.Info().Volatile {
		read("reopen", 0, func(ctx context.Context, p *player, _ int) (int, error) {
			if text := p.reopen(ctx); text != "opened" {
				return 0, fmt.Errorf("%s", text)
			}
			return 0, nil
		})
	}
}

func benchStream(n int) string { return fmt.Sprintf("stream-%03d", n) }

// benchPayload is what the record at a version of a stream holds: no two are alike.
func benchPayload(dst []byte, stream string, v backend.Version, size int) []byte {
	word := uint64(v) * 0x9e3779b97f4a7c15
	for i := range len(stream) { // no hash of the library's: it would count as the backend's allocation
		word = (word ^ uint64(stream[i])) * 0x100000001b3
	}
	dst = dst[:0]
	for len(dst) < size {
		dst = binary.LittleEndian.AppendUint64(dst, word)
		word = word*6364136223846793005 + 1442695040888963407
	}
	return dst[:size]
}

// checked reads and compares every record with what was appended, and returns how many
// there were.
func checked(ctx context.Context, s Subject, q backend.Query) (n int, err error) {
	var want []byte
	for r, err := range s.Read(ctx, q) {
		if err != nil {
			return n, err
		}
		if want = benchPayload(want, r.Stream, r.Version, len(r.Payload)); !bytes.Equal(r.Payload, want) || len(want) == 0 {
			return n, fmt.Errorf("stream %q version %d: the payload is not what was appended", r.Stream, r.Version)
		}
		n++
	}
	return n, nil
}

// benchAppend measures appends by writers that each have a stream of their own.
func benchAppend[B BB[B]](b B, h Harness, size, batch, writers int) {
	ctx := b.Context()
	err := play(ctx, h, func(p *player) {
		b.SetBytes(int64(size * batch))
		b.ReportAllocs()
		turns := make(chan struct{})
		all := make([]writer, writers)
		var wg sync.WaitGroup
		for i := range all {
			w := &all[i]
			*w = writer{subject: p.subject, batch: make([]backend.Record, batch), size: size, stream: benchStream(i)}
			wg.Go(func() {
				for range turns {
					w.append(ctx)
				}
			})
		}
		start := time.Now()
		for b.Loop() {
			turns <- struct{}{}
		}
		close(turns)
		wg.Wait()
		reportWrites(b, all, time.Since(start))
	})
	if err != nil {
		b.Fatalf("%v", err)
	}
}

// writer appends batches to its stream.
type writer struct {
	subject Subject
	stream  string
	batch   []backend.Record
	size    int
	at      backend.Version
	took    []time.Duration
	err     error // the first
}

func (w *writer) append(ctx context.Context) {
	if w.err != nil {
		return
	}
	for i := range w.batch {
		r := &w.batch[i]
		r.Payload = benchPayload(r.Payload, w.stream, w.at+backend.Version(i+1), w.size)
	}
	start := time.Now()
	res, err := w.subject.Append(ctx, backend.Batch{Stream: w.stream, Expected: w.at, Records: w.batch})
	w.took = append(w.took, time.Since(start))
	w.at, w.err = res.Version, err
}

// reportWrites reports the figures, once what was acknowledged is found to be there.
func reportWrites[B BB[B]](b B, all []writer, took time.Duration) {
	var latencies []time.Duration
	records := 0
	for i := range all {
		w := &all[i]
		if w.err != nil {
			b.Fatalf("append: %v", w.err)
		}
		n, err := checked(b.Context(), w.subject, backend.Query{Stream: w.stream})
		if err != nil || n != len(w.took)*len(w.batch) {
			b.Fatalf("%d records of stream %q were acknowledged, and %d are there: %v", len(w.took)*len(w.batch), w.stream, n, err)
		}
		latencies, records = append(latencies, w.took...), records+n
	}
	if total, err := checked(b.Context(), all[0].subject, backend.Query{}); err != nil || total != records {
		b.Fatalf("%d records were acknowledged, and the store has %d: %v", records, total, err)
	}
	slices.Sort(latencies)
	b.ReportMetric(float64(records)/took.Seconds(), "records/s")
	if n := len(latencies); n > 0 {
		b.ReportMetric(float64(latencies[n*99/100]), "p99-ns")
	}
}

// benchRead measures an operation on a store that was filled.
func benchRead[B BB[B]](b B, h Harness, perOp int, op func(context.Context, *player, int) (int, error)) {
	ctx := b.Context()
	err := play(ctx, h, func(p *player) {
		if err := fill(ctx, p.subject); err != nil {
			b.Fatalf("filling the store: %v", err)
		}
		if perOp > 0 {
			b.SetBytes(int64(perOp * benchSize))
		}
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			if records, err := op(ctx, p, n); err != nil || records != perOp {
				b.Fatalf("%d records, want %d: %v", records, perOp, err)
			}
			n++
		}
		if total, err := checked(ctx, p.subject, backend.Query{}); err != nil || total != benchRecords {
			b.Fatalf("%d records were appended, and the store has %d: %v", benchRecords, total, err)
		}
	})
	if err != nil {
		b.Fatalf("%v", err)
	}
}

// fill makes the store that reads are measured on.
func fill(ctx context.Context, s Subject) error {
	for round := range benchRounds {
		batches := make([]backend.Batch, benchStreams)
		for i := range batches {
			b := &batches[i]
			*b = backend.Batch{Stream: benchStream(i), Expected: backend.Version(round * benchBatch), Records: make([]backend.Record, benchBatch)}
			for j := range b.Records {
				b.Records[j].Payload = benchPayload(nil, b.Stream, b.Expected+backend.Version(j+1), benchSize)
			}
		}
		results, err := s.AppendAll(ctx, batches)
		if err != nil {
			return err
		}
		for i := range results {
			if results[i].Err != nil {
				return results[i].Err
			}
		}
	}
	return nil
}
