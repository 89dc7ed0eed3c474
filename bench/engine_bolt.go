package main

import (
	"context"

	"github.com/papyra-go/papyra/backend/bolt"
)

// boltEngine is papyra's bolt backend, used as file is: bbolt itself stands beside it.
var boltEngine = engine{
	name:   "bolt",
	module: fileEngine.module,
	how:    fileEngine.how,
	kind:   boltStore{},
	open:   openBolt,
	names:  fileEngine.names,
}

type boltStore struct{ fileStore }

func openBolt(ctx context.Context, dir string, _ int) (store, error) {
	b, err := bolt.Open(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	return boltStore{fileStore{b}}, nil
}
