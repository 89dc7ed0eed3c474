// Package pebbletest runs the conformance suite against the pebble backend. It stands
// apart so that importing the backend does not bring the suite along.
package pebbletest

import (
	"context"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/pebble"
	"github.com/papyra-go/papyra/conformance"
)

// Harness makes pebble stores with default options, in directories of their own.
func Harness() conformance.Harness { return HarnessWith(pebble.Options{}) }

// HarnessWith makes pebble stores with other options of the engine; those that every
// backend has are the suite's.
func HarnessWith(o pebble.Options) conformance.Harness {
	return conformance.Dir("pebble", opener(o))
}

// Store is one of the harness's stores, in a directory, for harnesses that add seams.
func Store(dir string, o pebble.Options) conformance.DirectoryStore {
	return conformance.DirStore(dir, opener(o))
}

func opener(o pebble.Options) func(context.Context, string, *backend.Options) (*backend.Backend, error) {
	return func(ctx context.Context, dir string, opts *backend.Options) (*backend.Backend, error) {
		own := o
		own.Options = *opts
		return pebble.Open(ctx, dir, &own)
	}
}
