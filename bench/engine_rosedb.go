package main

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/rosedblabs/wal"
)

// rosedbEngine is rosedb's wal. Its batches are not synced by its Sync option: we sync.
var rosedbEngine = engine{
	name:   "rosedb-wal",
	module: "github.com/rosedblabs/wal",
	how:    "one synced Write an event, or PendingWrites, WriteAll, Sync; one mutex; a log: no reads by stream",
	kind:   (*rosedbStore)(nil),
	open:   openRosedb,
	names:  keyNames,
}

type rosedbStore struct {
	*wal.WAL
	mu     sync.Mutex
	frames frames
}

func openRosedb(_ context.Context, dir string, _ int) (store, error) {
	opts := wal.DefaultOptions
	opts.DirPath, opts.Sync = dir, true
	w, err := wal.Open(opts)
	if err != nil {
		return nil, err
	}
	return &rosedbStore{WAL: w}, nil
}

func (s *rosedbStore) writer() writeFunc {
	return func(events []event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		all := s.frames.of(events)
		if len(all) == 1 {
			_, err := s.Write(all[0])
			return err
		}
		for _, data := range all {
			s.PendingWrites(data)
		}
		if _, err := s.WriteAll(); err != nil {
			return err
		}
		return s.Sync()
	}
}

func (s *rosedbStore) replay(_ context.Context, visit func([]byte)) error {
	r := s.NewReader()
	for {
		data, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		visit(data[keyBytes:])
	}
}
