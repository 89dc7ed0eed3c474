//go:build !linux

package enginetest

import (
	"testing"

	"github.com/papyra-go/papyra/backend/internal/machine"
)

// SurvivesPowerCuts needs ext4 on a loop device.
func (e Engine) SurvivesPowerCuts(t *testing.T, _ int) {
	machine.Lacking(t, "root", "power is cut on Linux only")
}
