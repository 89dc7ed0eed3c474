package main

import (
	"context"
	"sync"

	"github.com/tidwall/wal"
)

// tidwallEngine is tidwall/wal, which writes for one caller at a time.
var tidwallEngine = engine{
	name:   "tidwall-wal",
	module: "github.com/tidwall/wal",
	how:    "one Write an event, or one WriteBatch; one mutex; a log: no reads by stream",
	kind:   (*tidwallStore)(nil),
	open:   openTidwall,
	names:  keyNames,
}

type tidwallStore struct {
	*wal.Log
	mu     sync.Mutex
	last   uint64
	frames frames
	batch  wal.Batch
}

func openTidwall(_ context.Context, dir string, _ int) (store, error) {
	opts := *wal.DefaultOptions
	opts.NoCopy = true
	log, err := wal.Open(dir, &opts)
	if err != nil {
		return nil, err
	}
	s := &tidwallStore{Log: log}
	if s.last, err = log.LastIndex(); err != nil {
		log.Close()
		return nil, err
	}
	return s, nil
}

func (s *tidwallStore) writer() writeFunc {
	return func(events []event) (err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		all := s.frames.of(events)
		if len(all) == 1 {
			err = s.Write(s.last+1, all[0])
		} else {
			s.batch.Clear()
			for i, data := range all {
				s.batch.Write(s.last+1+uint64(i), data)
			}
			err = s.WriteBatch(&s.batch)
		}
		if err == nil {
			s.last += uint64(len(events))
		}
		return err
	}
}

func (s *tidwallStore) replay(_ context.Context, visit func([]byte)) error {
	for i := uint64(1); i <= s.last; i++ {
		data, err := s.Read(i)
		if err != nil {
			return err
		}
		visit(data[keyBytes:])
	}
	return nil
}
