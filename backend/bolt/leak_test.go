package bolt

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/papyra-go/papyra/backend/internal/machine"
)

// No test leaves a goroutine behind, but for the one that answers the kernel.
func TestMain(m *testing.M) {
	machine.InOwnNamespace()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/papyra-go/papyra/backend/internal/faultsys.listen.func1"))
}
