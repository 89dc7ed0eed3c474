package memory_test

import (
	"testing"

	"github.com/papyra-go/papyra/backend/memory"
	"github.com/papyra-go/papyra/backend/memory/memorytest"
	"github.com/papyra-go/papyra/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, memorytest.Harness(), conformance.Strict())
}

// A URL without a name, and Open, make stores that nobody can open again.
func TestConformanceWithoutAPlace(t *testing.T) {
	conformance.Run(t, conformance.Volatile("memory", memory.Open), conformance.Strict())
}
