package custombackend

import (
	"testing"

	"github.com/papyra-go/papyra/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Dir("sqlite", Open))
}
