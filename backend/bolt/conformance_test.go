package bolt_test

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend/bolt"
	"github.com/papyra-go/papyra/backend/bolt/bolttest"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
	"github.com/papyra-go/papyra/backend/internal/machine"
	"github.com/papyra-go/papyra/conformance"
)

// In real directories: with processes that are killed, and stores of older versions.
func TestConformance(t *testing.T) {
	opts := []conformance.Option{conformance.Strict(), conformance.Budget(time.Minute), conformance.Without(conformance.SeamFaulter, conformance.SeamStaller, conformance.SeamCrasher)}
	if testing.Short() || os.Getenv("CI") == "true" { // what runs beside what; the others are of kv, whose own test has them
		opts = append(opts, conformance.Only("OPEN-*", "LOCK-*", "CONC-0[123]", "SCAN-0[1-4]", "COMPACT-12", "FORMAT-*", "CRASH-05", "LEAK-0[12]"))
	}
	conformance.Run(t, inDirectories(), opts...)
}

// The smallest pages, so that every rule meets splits, branches and values that go on over
// many pages.
func TestConformanceInSmallPages(t *testing.T) {
	if !machine.Long() {
		t.Skip("the same code as TestConformance runs, more often: PAPYRA_LONG=1 runs it")
	}
	conformance.Run(t, bolttest.HarnessWith(bolt.Options{PageBytes: 1 << 10}), conformance.Strict(), conformance.Budget(time.Minute),
		conformance.Without(conformance.SeamFaulter, conformance.SeamStaller, conformance.SeamCrasher, conformance.SeamKiller, conformance.SeamFixturer))
}

// golden are the golden store, and one of a newer format that is made of it.
var golden = enginetest.Golden{Stores: map[string]bool{"v1": false, "future": true}, Lay: func(dir, name string) error {
	if err := unpack(dir); err != nil || name == "v1" {
		return err
	}
	return bolt.MakeNewer(filepath.Join(dir, "store.db"))
}}

func inDirectories() enginetest.Directories {
	return enginetest.Directories{Harness: bolttest.Harness(), Golden: golden, Store: func(dir string) conformance.DirectoryStore { return bolttest.Store(dir, bolt.Options{}) }}
}

func TestConformanceChild(t *testing.T) { inDirectories().Child(t) }

// The listings of the golden stores are written once, beside them.
func TestTheListingsOfTheGoldenStores(t *testing.T) { inDirectories().WriteListings(t) }

// unpack puts the golden store into a directory.
func unpack(dir string) error {
	f, err := os.Open("testdata/v1.db.gz")
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(z)
	return errors.Join(err, os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "store.db"), b, 0o600), os.WriteFile(filepath.Join(dir, "LOCK"), nil, 0o600))
}

func BenchmarkConformance(b *testing.B) { conformance.Benchmark(b, bolttest.Harness()) }
