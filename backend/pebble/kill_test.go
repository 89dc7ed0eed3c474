package pebble_test

import (
	"testing"

	"github.com/papyra-go/papyra/backend/internal/machine"
	"github.com/papyra-go/papyra/backend/pebble"
)

func TestKillAcknowledgedSurvives(t *testing.T) {
	pebble.Tested.SurvivesKills(t, machine.Rounds(10, 40, 1000))
}

func TestAPowerCutLosesNothingAcknowledged(t *testing.T) {
	pebble.Tested.SurvivesPowerCuts(t, machine.Rounds(6, 12, 600))
}

func TestAnotherProcessIsNamed(t *testing.T) { pebble.Tested.NamesAnotherProcess(t) }

func TestLedgerChild(t *testing.T) { pebble.Tested.Child(t) }
