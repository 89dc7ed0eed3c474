package pebble_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
	"github.com/papyra-go/papyra/backend/pebble"
	"github.com/papyra-go/papyra/backend/pebble/pebbletest"
	"github.com/papyra-go/papyra/conformance"
)

// small are options with which a store of a few records has tables of many blocks.
var small = pebble.Options{MemTableBytes: 256 << 10, BlockBytes: 256, CacheBytes: 1 << 20, FreeBytes: 1 << 20}

// In real directories: with processes that are killed, and stores of older versions.
func TestConformance(t *testing.T) {
	opts := []conformance.Option{conformance.Strict(), conformance.Budget(time.Minute), conformance.Without(conformance.SeamFaulter, conformance.SeamStaller, conformance.SeamCrasher)}
	if testing.Short() || os.Getenv("CI") == "true" { // what runs beside what; the others are of kv, whose own test has them
		opts = append(opts, conformance.Only("OPEN-*", "LOCK-*", "CONC-0[12]", "SCAN-0[1-4]", "COMPACT-12", "FORMAT-*", "CRASH-05", "LEAK-0[12]"))
	}
	conformance.Run(t, inDirectories(), opts...)
}

// On a disk in memory, which fails, hangs and loses power.
func TestConformanceOnADiskThatFails(t *testing.T) {
	opts := []conformance.Option{conformance.Strict(), conformance.Budget(time.Minute), conformance.Without(conformance.SeamKiller, conformance.SeamFixturer, conformance.SeamOccupier)}
	if testing.Short() { // what TestConformance can't show, without the longest
		opts = append(opts, conformance.Only("FAULT-*", "CTX-0[37]", "CRASH-03"))
	}
	conformance.Run(t, onDisks{}, opts...)
}

var golden = enginetest.Golden{Stores: map[string]bool{"v1": false, "future": true}, Lay: enginetest.CopyGolden}

func inDirectories() enginetest.Directories {
	return enginetest.Directories{Harness: pebbletest.HarnessWith(small), Golden: golden, Store: func(dir string) conformance.DirectoryStore { return pebbletest.Store(dir, small) }}
}

func TestConformanceChild(t *testing.T) { inDirectories().Child(t) }

// The listings of the golden stores are written once, beside them.
func TestTheListingsOfTheGoldenStores(t *testing.T) { inDirectories().WriteListings(t) }

// onDisks makes stores on disks in memory.
type onDisks struct{}

func (onDisks) Info() conformance.Info { return conformance.Info{Name: "pebble"} }

func (h onDisks) NewStore(_ context.Context, env *conformance.Env) (conformance.Store, error) {
	return onDisk{pebble.NewMemDisk(env.Dir)}, nil
}

// onDisk is a store on a disk in memory.
type onDisk struct{ d *pebble.MemDisk }

func (s onDisk) Open(ctx context.Context, opts backend.Options) (conformance.Subject, error) {
	own := small
	own.Options = opts
	b, err := pebble.OpenOn(ctx, s.d, own)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (s onDisk) Destroy(context.Context) error { return s.d.Left() }

func (s onDisk) Digest(context.Context) ([32]byte, error) { return s.d.Digest(), nil }

func (s onDisk) Bytes(context.Context) (sum int64, err error) {
	for _, name := range s.d.Files() {
		sum += int64(len(s.d.Content(name)))
	}
	return sum, nil
}

func (s onDisk) Flip(_ context.Context, i int64, mask byte) error {
	for _, name := range s.d.Files() {
		if n := int64(len(s.d.Content(name))); i >= n {
			i -= n
			continue
		}
		return s.d.Flip(name, i, mask)
	}
	return fmt.Errorf("%w: no byte %d", backend.ErrInvalid, i)
}

func (s onDisk) Fail(f conformance.Fault) (hits func() int, heal func(), err error) {
	hits, heal = s.d.Fail(&pebble.Fault{When: pebble.Operations[string(f.Op)], Skip: f.Skip, Times: f.Times, Err: f.Err, Short: f.Short, Full: pebble.IsFull(f.Err, f.Times)})
	return hits, heal, nil
}

func (s onDisk) Stall() (<-chan struct{}, func()) { return s.d.Stall() }

func (s onDisk) Changing(f func()) { s.d.Changing(f) }

func (s onDisk) Crash(_ context.Context, percent int, rng *rand.Rand) (conformance.Store, error) {
	return onDisk{s.d.Crash(percent, rng)}, nil
}

func BenchmarkConformance(b *testing.B) { conformance.Benchmark(b, pebbletest.Harness()) }
