//go:build unix

package backend_test

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// sleepyLog is a LogDriver that keeps nothing and takes as long for each append as a
// disk of 10,000 syncs a second, in a system call as a sync is: what is measured over it
// is the way from Append to the engine and back.
type sleepyLog struct {
	backend.Store
	groups, records atomic.Int64
}

func (l *sleepyLog) Append(_ context.Context, records []backend.Record) error {
	l.groups.Add(1)
	l.records.Add(int64(len(records)))
	pause := syscall.NsecToTimespec(int64(45 * time.Microsecond)) // and the timer's slack of 50
	_ = syscall.Nanosleep(&pause, nil)                            // a signal, such as the profiler's, ends it early
	return nil
}

func (l *sleepyLog) Head(context.Context, string) (backend.Head, error) { return backend.Head{}, nil }
func (l *sleepyLog) Last(context.Context) (backend.Position, error)     { return 0, nil }
func (l *sleepyLog) Info() backend.Info                                 { return backend.Info{Engine: "sleepy"} }
func (l *sleepyLog) Close() error                                       { return nil }
func (l *sleepyLog) Scan(context.Context, backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(func(backend.Anomaly, error) bool) {}
}

// processor is the processor time that this process has used.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Single-batch appends of 256 bytes, each with its expected version, by so many writers
// at a time, over 10,000 streams.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { benchmarkAppend(b, writers, context.Background()) })
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("cancellable/writers=%d", writers), func(b *testing.B) { benchmarkAppend(b, writers, ctx) })
	}
}

func benchmarkAppend(b *testing.B, writers int, ctx context.Context) {
	log := new(sleepyLog)
	store, err := backend.New(b.Context(), func(context.Context) (backend.Driver, error) { return backend.Sequenced(log), nil }, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	names, versions := make([]string, 10_000), make([]backend.Version, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("account/%d", i)
	}
	write := func(stream int, records []backend.Record) {
		res, err := store.Append(ctx, backend.Batch{Stream: names[stream], Expected: versions[stream], Records: records})
		if err != nil {
			b.Error(err)
		}
		versions[stream] = res.Version
	}
	for i := range names { // so that all streams are known
		if i%16 == 0 {
			var wg sync.WaitGroup
			for j := range 16 {
				wg.Go(func() { write(i+j, []backend.Record{{Payload: make([]byte, 256)}}) })
			}
			wg.Wait()
		}
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	log.groups.Store(0)
	log.records.Store(0)
	before := processor()
	b.ReportAllocs()
	b.ResetTimer()
	for w := range writers {
		wg.Go(func() {
			records := []backend.Record{{Type: "deposited", Payload: make([]byte, 256)}}
			for i := 0; left.Add(-1) >= 0; i++ {
				write((i*writers+w)%(len(names)/writers*writers), records)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((processor()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(log.records.Load())/float64(log.groups.Load()), "records/group")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}
