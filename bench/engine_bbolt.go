package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// bboltEngine is bbolt: Update by one writer; by many, Batch, which gathers for up to
// MaxBatchDelay. Its default of 10 ms is far slower than 1 ms at every number of writers.
var bboltEngine = engine{
	name:   "bbolt",
	module: "go.etcd.io/bbolt",
	how:    "one writer: Update; many: Batch with MaxBatchDelay 1 ms; key (stream, number)",
	kind:   (*bboltStore)(nil),
	open:   openBbolt,
	names:  keyNames,
}

type bboltStore struct {
	*bbolt.DB
	many bool
}

var bboltBucket = []byte("events")

func openBbolt(_ context.Context, dir string, writers int) (store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	opts := *bbolt.DefaultOptions
	opts.FreelistType = bbolt.FreelistMapType
	db, err := bbolt.Open(filepath.Join(dir, "events.db"), 0o600, &opts)
	if err != nil {
		return nil, err
	}
	db.MaxBatchDelay = time.Millisecond
	if err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bboltBucket)
		return err
	}); err != nil {
		db.Close()
		return nil, err
	}
	return &bboltStore{DB: db, many: writers > 1}, nil
}

func (s *bboltStore) writer() writeFunc {
	key := make([]byte, keyBytes) // Put copies the key; the payload must stay until the commit, and does
	var events []event
	put := func(tx *bbolt.Tx) error {
		b := tx.Bucket(bboltBucket)
		for _, e := range events {
			putKey(key, e)
			if err := b.Put(key, e.payload); err != nil {
				return err
			}
		}
		return nil
	}
	commit := s.Update
	if s.many {
		commit = s.Batch
	}
	return func(es []event) error {
		events = es
		return commit(put)
	}
}

func (s *bboltStore) replay(_ context.Context, visit func([]byte)) error {
	return s.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bboltBucket).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			visit(v)
		}
		return nil
	})
}

func (s *bboltStore) readStream(_ context.Context, stream int, visit func([]byte)) error {
	var from [keyBytes]byte
	putKey(from[:], event{stream: stream})
	return s.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bboltBucket).Cursor()
		for k, v := c.Seek(from[:]); k != nil && bytes.Equal(k[:8], from[:8]); k, v = c.Next() {
			visit(v)
		}
		return nil
	})
}
