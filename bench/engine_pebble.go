package main

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// pebbleEngine is pebble used directly: one synced Set an event under stream and
// number, its own group commit at work, and no version checked.
var pebbleEngine = engine{
	name:   "pebble",
	module: "github.com/cockroachdb/pebble/v2",
	how:    "one synced Set an event, or one synced Batch; key (stream, number)",
	kind:   pebbleStore{},
	open:   openPebble,
	names:  keyNames,
}

type pebbleStore struct{ *pebble.DB }

func openPebble(_ context.Context, dir string, _ int) (store, error) {
	db, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, MemTableSize: 64 << 20, Logger: quiet{}})
	if err != nil {
		return nil, err
	}
	return pebbleStore{db}, nil
}

func (s pebbleStore) writer() writeFunc {
	key := make([]byte, keyBytes)
	return func(events []event) error {
		if len(events) == 1 {
			putKey(key, events[0])
			return s.Set(key, events[0].payload, pebble.Sync)
		}
		batch := s.NewBatch()
		defer batch.Close()
		for _, e := range events {
			putKey(key, e)
			if err := batch.Set(key, e.payload, nil); err != nil {
				return err
			}
		}
		return batch.Commit(pebble.Sync)
	}
}

func (s pebbleStore) replay(_ context.Context, visit func([]byte)) error {
	return s.read(nil, visit)
}

func (s pebbleStore) readStream(_ context.Context, stream int, visit func([]byte)) error {
	bounds := make([]byte, 2*keyBytes)
	putKey(bounds, event{stream: stream})
	putKey(bounds[keyBytes:], event{stream: stream + 1})
	return s.read(&pebble.IterOptions{LowerBound: bounds[:keyBytes], UpperBound: bounds[keyBytes:]}, visit)
}

func (s pebbleStore) read(opts *pebble.IterOptions, visit func([]byte)) error {
	it, err := s.NewIter(opts)
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		visit(it.Value())
	}
	return it.Close()
}

// quiet keeps an engine's log out of the report.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
