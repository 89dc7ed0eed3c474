package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
)

const (
	crowdReads = 50_000 // streams that are read
	crowdLook  = 5_000  // reads between looks at the heap
)

// memory measures what a process that opens a store of very many streams, and reads some of
// them picked at random, has in use on its heap, in MiB beyond what there was before: the
// most while it reads, and, as the other value, after opening. The heap itself grows to
// twice as much before it is collected, unless GOGC says otherwise.
func (l *lab) memory(ctx context.Context, e engine) (got sample, err error) {
	err = l.fresh(e, func(dir string) error {
		if err := with(ctx, e, dir, 1, func(s store) error {
			for from := 0; from < l.crowd; from += loadBatch {
				if err := errors.Join(context.Cause(ctx), s.(crowded).crowd(ctx, from, min(from+loadBatch, l.crowd))); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		before := inUse()
		return with(ctx, e, dir, 0, func(s store) error {
			got.Twin = max(0, inUse()-before)
			got.Value = got.Twin
			for i := range min(crowdReads, 5*l.crowd) {
				if err := s.(crowded).member(ctx, rand.IntN(l.crowd)); err != nil {
					return err
				}
				if (i+1)%crowdLook == 0 {
					got.Value = max(got.Value, inUse()-before)
				}
			}
			return nil
		})
	})
	return got, err
}

// inUse is how much of the heap is in use, in MiB.
func inUse() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}
