// Package memorytest runs the conformance suite against the memory backend. It
// stands apart so that importing the backend does not bring the suite along.
package memorytest

import (
	"context"

	"github.com/papyra-go/papyra/backend/memory"
	"github.com/papyra-go/papyra/conformance"
)

// Harness makes memory stores that outlive the backends that are closed over them.
func Harness() conformance.Harness {
	return conformance.Make("memory", func(context.Context, *conformance.Env) (conformance.OpenFunc, error) {
		return memory.New().Open, nil
	})
}
