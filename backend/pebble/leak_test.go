package pebble

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/papyra-go/papyra/backend/internal/machine"
)

// No test leaves a goroutine behind.
func TestMain(m *testing.M) {
	machine.InOwnNamespace()
	goleak.VerifyTestMain(m)
}
