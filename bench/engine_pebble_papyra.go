package main

import (
	"context"

	"github.com/papyra-go/papyra/backend/pebble"
)

// papyraPebbleEngine is papyra's pebble backend, used as file is: pebble itself stands
// beside it.
var papyraPebbleEngine = engine{
	name:   "papyra-pebble",
	module: fileEngine.module,
	how:    fileEngine.how,
	kind:   papyraPebbleStore{},
	open:   openPapyraPebble,
	names:  fileEngine.names,
}

type papyraPebbleStore struct{ fileStore }

func openPapyraPebble(ctx context.Context, dir string, _ int) (store, error) {
	b, err := pebble.Open(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	return papyraPebbleStore{fileStore{b}}, nil
}
