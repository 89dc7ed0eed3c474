package file_test

import (
	"testing"

	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/file/filetest"
	"github.com/papyra-go/papyra/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, filetest.Harness(), conformance.Strict())
}

// The smallest segments, so that every rule meets their edges.
func TestConformanceInSmallSegments(t *testing.T) {
	conformance.Run(t, filetest.HarnessWith(file.Options{SegmentBytes: 8 << 10}), conformance.Strict())
}
