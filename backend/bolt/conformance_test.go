package bolt_test

import (
	"testing"

	"github.com/papyra-go/papyra/backend/bolt"
	"github.com/papyra-go/papyra/backend/bolt/bolttest"
	"github.com/papyra-go/papyra/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, bolttest.Harness(), conformance.Strict())
}

// The smallest pages, so that every rule meets splits, branches and values that go on over
// many pages.
func TestConformanceInSmallPages(t *testing.T) {
	conformance.Run(t, bolttest.HarnessWith(bolt.Options{PageBytes: 1 << 10}), conformance.Strict())
}
