package memory_test

import (
	"context"
	"testing"

	"github.com/papyra-go/papyra/backend/memory"
	"github.com/papyra-go/papyra/backend/memory/memorytest"
	"github.com/papyra-go/papyra/conformance"
)

// The seams of rot and crashes are not missed: the rules that need them are about what
// claims durability.
func TestConformance(t *testing.T) {
	conformance.Run(t, memorytest.Harness(), conformance.Strict())
}

// As programs open it, without the gate at which memorytest's stores hang and fail.
func TestConformanceAsItIs(t *testing.T) {
	conformance.Run(t, conformance.Make("memory", func(context.Context, *conformance.Env) (conformance.OpenFunc, error) {
		return memory.New().Open, nil
	}), conformance.Strict(), conformance.Without(conformance.Seams()...))
}

// A URL without a name, and Open, make stores that nobody can open again.
func TestConformanceWithoutAPlace(t *testing.T) {
	conformance.Run(t, conformance.Volatile("memory", memory.Open), conformance.Strict(), conformance.Without(conformance.Seams()...))
}

func BenchmarkConformance(b *testing.B) { conformance.Benchmark(b, memorytest.Harness()) }
