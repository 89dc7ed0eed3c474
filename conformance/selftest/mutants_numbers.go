package selftest

import (
	"sync"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
)

// numberMutants keep numbers in less than they need.
func numberMutants() []mutant {
	return []mutant{
		broken("OCC-10", "epochs are kept in 32 bits", eachBatch(func(_ *world, b *backend.Batch) {
			if b.Epoch <= backend.MaxNumber && !b.Restore {
				b.Epoch &= 1<<32 - 1
			}
		})),
		broken("OCC-10", "epochs above MaxNumber are cut to it", eachBatch(func(_ *world, b *backend.Batch) { b.Epoch = min(b.Epoch, backend.MaxNumber) })),
		broken("APPEND-25", "versions go through a float64", eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool {
			r.Version = backend.Version(float64(r.Version))
			return true
		})),
		broken("APPEND-25", "schemas are kept as int32", eachRecord(func(_ *world, _ backend.Query, r *backend.Record) bool {
			if r.Epoch > 1<<30 && r.Schema > 1<<31-1 { // elsewhere SNAP-01 sees it
				r.Schema = 1<<31 - 1
			}
			return true
		})),
	}
}

// wholeMutants are not the same all through a run.
func wholeMutants() []mutant {
	return []mutant{
		{"RUN-01", "claims change from one store to the next", variant{driver: changing()}},
	}
}

// changing claims every other store of a run that appends run beside compactions.
func changing() func(*world, backend.Driver) backend.Driver {
	var stores sync.Map
	var n atomic.Int64
	return func(w *world, d backend.Driver) backend.Driver {
		at, _ := stores.LoadOrStore(w, n.Add(1))
		return capable{d, func(c *backend.Capabilities) { c.CompactBeside = at.(int64)%2 == 0 }}
	}
}
