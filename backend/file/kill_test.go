package file_test

import (
	"context"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// tested is what the tests that engines share attack. There are many more ways to kill it in
// internal/attack.
var tested = enginetest.Engine{Name: "file", Open: func(ctx context.Context, dir string, o *backend.Options) (*backend.Backend, error) {
	var own file.Options
	if o != nil {
		own.Options = *o
	}
	return file.Open(ctx, dir, &own)
}}

func TestKillAcknowledgedSurvives(t *testing.T) {
	tested.SurvivesKills(t, machine.Rounds(10, 100, 1000))
}

func TestLedgerChild(t *testing.T) { tested.Child(t) }
