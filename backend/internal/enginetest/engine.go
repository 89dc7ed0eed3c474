// Package enginetest has what the tests share of all engines that keep a store in a directory:
// processes that are killed, disks that lose their power, are full or can't be written, and
// what the conformance suite is given besides a harness. Only tests import it; each engine's own
// hold what is special to it.
//
// The package of an engine has the tests TestLedgerChild, which calls [Engine.Child], and
// TestConformanceChild, which calls [Directories.Child]: they are what other processes run.
//
// Where to read next: ledger.go, kill.go, power_linux.go, disk_linux.go, directories.go.
package enginetest

import (
	"context"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// Engine is an engine under test.
type Engine struct {
	Name string // in what is counted
	// Open opens the store in a directory.
	Open func(ctx context.Context, dir string, o *backend.Options) (*backend.Backend, error)
}

// Record is one record of n bytes to append, to the stream "s".
func Record(n int) backend.Batch {
	return backend.Batch{Stream: "s", Expected: backend.Any, Records: []backend.Record{{Payload: make([]byte, n)}}}
}

// Count reads all records, and returns how many there are.
func Count(t testing.TB, b *backend.Backend) (n int) {
	t.Helper()
	for _, err := range b.Read(context.Background(), backend.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// Clean fails the test unless a scan finds nothing.
func Clean(t testing.TB, b *backend.Backend) {
	t.Helper()
	if report, err := b.Scan(context.Background(), nil); err != nil || !report.Clean() {
		t.Fatalf("%+v, %v", report, err)
	}
}
