package file

import (
	"testing"

	"go.uber.org/goleak"
)

// No test leaves a goroutine behind: what a store has running, Close waits for.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
