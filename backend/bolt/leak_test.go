package bolt

import (
	"testing"

	"go.uber.org/goleak"
)

// No test leaves a goroutine behind, but for the one that answers the kernel.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/papyra-go/papyra/backend/internal/faultsys.listen.func1"))
}
