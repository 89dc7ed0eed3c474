package bolt

import (
	"context"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
)

// Tested is what the tests that engines share attack.
var Tested = enginetest.Engine{Name: "bolt", Open: func(ctx context.Context, dir string, o *backend.Options) (*backend.Backend, error) {
	var own Options
	if o != nil {
		own.Options = *o
	}
	return Open(ctx, dir, &own)
}}
