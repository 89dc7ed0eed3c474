package main

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
)

// raftWALEngine is hashicorp/raft-wal, which takes the logs of one caller at a time.
var raftWALEngine = engine{
	name:   "raft-wal",
	module: "github.com/hashicorp/raft-wal",
	how:    "one StoreLogs an event or batch, one mutex; a log: no reads by stream",
	kind:   (*raftWALStore)(nil),
	open:   openRaftWAL,
	names:  keyNames,
}

type raftWALStore struct {
	*wal.WAL
	meta   *metadb.BoltMetaDB
	mu     sync.Mutex
	last   uint64
	frames frames
	logs   []raft.Log
	refs   []*raft.Log
}

func openRaftWAL(_ context.Context, dir string, _ int) (store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	meta := &metadb.BoltMetaDB{}
	w, err := wal.Open(dir, wal.WithMetaStore(meta), wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		meta.Close()
		return nil, err
	}
	s := &raftWALStore{WAL: w, meta: meta}
	if s.last, err = w.LastIndex(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes the meta store too, which v0.4.0 leaves open, and locked.
func (s *raftWALStore) Close() error { return errors.Join(s.WAL.Close(), s.meta.Close()) }

func (s *raftWALStore) writer() writeFunc {
	return func(events []event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for len(s.logs) < len(events) {
			s.logs = append(s.logs, make([]raft.Log, len(events))...)
		}
		s.refs = s.refs[:0]
		for i, data := range s.frames.of(events) {
			s.logs[i] = raft.Log{Index: s.last + 1 + uint64(i), Term: 1, Data: data}
			s.refs = append(s.refs, &s.logs[i])
		}
		if err := s.StoreLogs(s.refs); err != nil {
			return err
		}
		s.last += uint64(len(events))
		return nil
	}
}

func (s *raftWALStore) replay(_ context.Context, visit func([]byte)) error {
	first, err := s.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	var log raft.Log
	for i := first; i <= s.last; i++ {
		if err := s.GetLog(i, &log); err != nil {
			return err
		}
		visit(log.Data[keyBytes:])
	}
	return nil
}
