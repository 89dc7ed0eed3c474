package bolt_test

import (
	"testing"

	"github.com/papyra-go/papyra/backend/bolt"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

func TestKillAcknowledgedSurvives(t *testing.T) {
	bolt.Tested.SurvivesKills(t, machine.Rounds(10, 40, 1000))
}

func TestAPowerCutLosesNothingAcknowledged(t *testing.T) {
	bolt.Tested.SurvivesPowerCuts(t, machine.Rounds(6, 12, 600))
}

func TestAnotherProcessIsNamed(t *testing.T) { bolt.Tested.NamesAnotherProcess(t) }

func TestLedgerChild(t *testing.T) { bolt.Tested.Child(t) }
