package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// load is what writers do: each appends batches of so many events to its own streams,
// one after the other, and waits for each.
type load struct {
	writers, batch int
	// busy is how many goroutines compute beside the writers.
	busy int
}

// drive lets the writers run until the time is up, and longer until they may stop; nil:
// they may. What each append took counts from its call to its return.
func (l load) drive(s appender, h heads, d time.Duration, mayStop func() bool) (sample, error) {
	took := make([]histogram, l.writers)
	errs := make([]error, l.writers)
	var stop atomic.Bool
	var busy sync.WaitGroup
	for range l.busy {
		busy.Go(func() {
			for x := uint64(1); !stop.Load(); {
				for range 1000 {
					x = x*6364136223846793005 + 1
				}
			}
		})
	}
	var writers sync.WaitGroup
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	end := start.Add(d)
	for w := range l.writers {
		writers.Go(func() {
			write := s.writer()
			events := make([]event, 0, l.batch)
			for last, stream := start, w; last.Before(end) || mayStop != nil && !mayStop(); stream += l.writers {
				if stream >= len(h) {
					stream = w
				}
				events = h.next(events[:0], stream, l.batch)
				called := time.Now()
				if errs[w] = write(events); errs[w] != nil {
					return
				}
				last = time.Now()
				took[w].add(last.Sub(called))
			}
		})
	}
	writers.Wait()
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	stop.Store(true)
	busy.Wait()
	var all histogram
	for w := range took {
		if errs[w] != nil {
			return sample{}, errs[w]
		}
		all.merge(&took[w])
	}
	events := float64(all.n * uint64(l.batch))
	return sample{
		Value: events / elapsed.Seconds(), P50: all.percentile(50), P99: all.percentile(99), P999: all.percentile(99.9),
		Allocs: float64(after.Mallocs-before.Mallocs) / events,
	}, nil
}
