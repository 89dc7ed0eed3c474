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
	return conformance.Dir("file", func(ctx context.Context, dir string, opts *backend.Options) (*backend.Backend, error) {
		own := o
		own.Options = *opts
		return file.Open(ctx, dir, &own)
	})
}
