// Package bolttest runs the conformance suite against the bolt backend. It stands
// apart so that importing the backend does not bring the suite along.
package bolttest

import (
	"context"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/bolt"
	"github.com/papyra-go/papyra/conformance"
)

// Harness makes bolt stores with default options, in directories of their own.
func Harness() conformance.Harness { return HarnessWith(bolt.Options{}) }

// HarnessWith makes bolt stores with other options of the engine; those that every
// backend has are the suite's.
func HarnessWith(o bolt.Options) conformance.Harness {
	return conformance.Dir("bolt", opener(o))
}

// Store is one of the harness's stores, in a directory, for harnesses that add seams.
func Store(dir string, o bolt.Options) conformance.DirectoryStore {
	return conformance.DirStore(dir, opener(o))
}

func opener(o bolt.Options) func(context.Context, string, *backend.Options) (*backend.Backend, error) {
	return func(ctx context.Context, dir string, opts *backend.Options) (*backend.Backend, error) {
		own := o
		own.Options = *opts
		return bolt.Open(ctx, dir, &own)
	}
}
