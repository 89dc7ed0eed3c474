package main

import (
	"context"

	"github.com/dgraph-io/badger/v4"
)

// badgerEngine is badger with SyncWrites: one transaction an event or batch.
var badgerEngine = engine{
	name:   "badger",
	module: "github.com/dgraph-io/badger/v4",
	how:    "SyncWrites, one Update an event or batch; key (stream, number)",
	kind:   badgerStore{},
	open:   openBadger,
	names:  keyNames,
}

type badgerStore struct{ *badger.DB }

func openBadger(_ context.Context, dir string, _ int) (store, error) {
	db, err := badger.Open(badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(nil))
	if err != nil {
		return nil, err
	}
	return badgerStore{db}, nil
}

func (s badgerStore) writer() writeFunc {
	var keys []byte // badger keeps keys until the commit has returned
	return func(events []event) error {
		if n := len(events) * keyBytes; len(keys) < n {
			keys = make([]byte, n)
		}
		return s.Update(func(tx *badger.Txn) error {
			for i, e := range events {
				key := keys[i*keyBytes : (i+1)*keyBytes : (i+1)*keyBytes]
				putKey(key, e)
				if err := tx.Set(key, e.payload); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func (s badgerStore) replay(_ context.Context, visit func([]byte)) error {
	return s.read(badger.DefaultIteratorOptions, nil, visit)
}

func (s badgerStore) readStream(_ context.Context, stream int, visit func([]byte)) error {
	var key [keyBytes]byte
	putKey(key[:], event{stream: stream})
	opts := badger.DefaultIteratorOptions
	opts.Prefix = key[:8]
	return s.read(opts, key[:], visit)
}

func (s badgerStore) read(opts badger.IteratorOptions, from []byte, visit func([]byte)) error {
	return s.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(opts)
		defer it.Close()
		for it.Seek(from); it.Valid(); it.Next() {
			if err := it.Item().Value(func(v []byte) error { visit(v); return nil }); err != nil {
				return err
			}
		}
		return nil
	})
}
