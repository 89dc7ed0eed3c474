package main

import (
	"context"
	"errors"
	"sync"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// etcdEngine is etcd's write-ahead log. It can be appended to only after all of it was
// read, so reading is a part of its opening; its replay reads all of it again.
var etcdEngine = engine{
	name:   "etcd-wal",
	module: "go.etcd.io/etcd/server/v3",
	how:    "one Save an event or batch, one mutex; a log: no reads by stream; opening reads everything",
	kind:   (*etcdStore)(nil),
	open:   openEtcd,
	names:  keyNames,
}

type etcdStore struct {
	*wal.WAL
	dir     string
	mu      sync.Mutex
	last    uint64
	frames  frames
	entries []*raftpb.Entry
	indexes []uint64
}

var (
	etcdTerm  = uint64(1)
	etcdStart = walpb.Snapshot{Index: new(uint64), Term: new(uint64)}
)

func openEtcd(_ context.Context, dir string, _ int) (store, error) {
	s := &etcdStore{dir: dir}
	var err error
	if !wal.Exist(dir) {
		s.WAL, err = wal.Create(zap.NewNop(), dir, nil)
		return s, err
	}
	if s.WAL, err = wal.Open(zap.NewNop(), dir, &etcdStart); err != nil {
		return nil, err
	}
	_, _, entries, err := s.ReadAll()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.last = uint64(len(entries))
	return s, nil
}

func (s *etcdStore) writer() writeFunc {
	return func(events []event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if missing := len(events) - len(s.entries); missing > 0 {
			for range missing {
				s.entries = append(s.entries, &raftpb.Entry{Term: &etcdTerm})
			}
			s.indexes = make([]uint64, len(events))
		}
		for i, data := range s.frames.of(events) {
			s.indexes[i] = s.last + 1 + uint64(i)
			s.entries[i].Index, s.entries[i].Data = &s.indexes[i], data
		}
		if err := s.Save(nil, s.entries[:len(events)]); err != nil {
			return err
		}
		s.last += uint64(len(events))
		return nil
	}
}

func (s *etcdStore) replay(_ context.Context, visit func([]byte)) error {
	r, err := wal.OpenForRead(zap.NewNop(), s.dir, &etcdStart)
	if err != nil {
		return err
	}
	defer r.Close()
	_, _, entries, err := r.ReadAll()
	for _, e := range entries {
		visit(e.Data[keyBytes:])
	}
	return err
}
