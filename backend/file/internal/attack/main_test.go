//go:build linux

package attack_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/papyra-go/papyra/backend/internal/machine"
)

// childEnv is set in a child, whose plan it is in JSON.
const childEnv = "PAPYRA_ATTACK_CHILD"

func TestMain(m *testing.M) {
	if plan := os.Getenv(childEnv); plan != "" {
		runChild(plan)
		return
	}
	machine.InOwnNamespace()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(programDir)
		os.Exit(code)
	}))
}
