// Package filetest runs the conformance suite against the file backend. It stands
// apart so that importing the backend does not bring the suite along.
package filetest

import (
	"context"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/conformance"
)

// Harness makes file stores with default options, in directories of their own.
func Harness() conformance.Harness { return HarnessWith(file.Options{}) }

// HarnessWith makes file stores with other options of the engine; those that every
// backend has are the suite's.
func HarnessWith(o file.Options) conformance.Harness {
	return conformance.Dir("file", opener(o))
}

// Store is one of the harness's stores, in a directory, for harnesses that add seams.
func Store(dir string, o file.Options) conformance.DirectoryStore {
	return conformance.DirStore(dir, opener(o))
}

func opener(o file.Options) func(context.Context, string, *backend.Options) (*backend.Backend, error) {
	return func(ctx context.Context, dir string, opts *backend.Options) (*backend.Backend, error) {
		own := o
		own.Options = *opts
		return file.Open(ctx, dir, &own)
	}
}
