package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	streams      = 10_000
	payloadBytes = 256
)

// sample is what one engine did in one repetition.
type sample struct {
	rate     float64 // events a second
	p50, p99 time.Duration
	allocs   float64 // allocations an event, of the whole process
}

// appender writes one event durably. Each writer has its own streams.
type appender func(ctx context.Context, stream int, payload []byte) error

// drive runs so many writers against an appender for a while.
func drive(ctx context.Context, writers int, d time.Duration, write appender) (sample, error) {
	payload := make([]byte, payloadBytes)
	rand.Read(payload)
	var wg sync.WaitGroup
	took := make([][]time.Duration, writers)
	errs := make([]error, writers)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	end := start.Add(d)
	for w := range writers {
		wg.Go(func() {
			last := time.Now()
			for i := w; last.Before(end) && errs[w] == nil; i += writers {
				errs[w] = write(ctx, i%streams/writers*writers+w, payload)
				now := time.Now()
				took[w] = append(took[w], now.Sub(last))
				last = now
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	for _, err := range errs {
		if err != nil {
			return sample{}, err
		}
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	n := len(all)
	return sample{
		rate: float64(n) / elapsed.Seconds(), p50: all[n/2], p99: all[n*99/100],
		allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
	}, nil
}

// probe is the raw disk: a 4 KiB write and a sync at a time, over blocks that were
// written before.
func probe(name string, d time.Duration) (sample, error) {
	const size = 16 << 20
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return sample{}, err
	}
	defer os.Remove(name)
	defer f.Close()
	block := make([]byte, 4096)
	rand.Read(block)
	for at := int64(0); at < size; at += 4096 {
		if _, err := f.WriteAt(block, at); err != nil {
			return sample{}, err
		}
	}
	if err := f.Sync(); err != nil {
		return sample{}, err
	}
	var took []time.Duration
	start := time.Now()
	last := start
	for at := int64(0); last.Sub(start) < d; at = (at + 4096) % size {
		if _, err := f.WriteAt(block, at); err != nil {
			return sample{}, err
		}
		if err := fdatasync(f); err != nil {
			return sample{}, fmt.Errorf("probe: %w", err)
		}
		now := time.Now()
		took = append(took, now.Sub(last))
		last = now
	}
	slices.Sort(took)
	n := len(took)
	return sample{rate: float64(n) / last.Sub(start).Seconds(), p50: took[n/2], p99: took[n*99/100]}, nil
}
