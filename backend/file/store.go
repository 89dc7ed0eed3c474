package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"github.com/papyra-go/papyra/backend/file/internal/disk"
)

// store is one open store: a backend.LogDriver.
type store struct {
	dir      disk.FS
	lock     io.Closer // nil if read-only
	opts     Options
	uuid     [16]byte
	codec    codec.Seed
	index    *index
	findings []backend.Anomaly // what the walk at opening found wrong with the log
	tail     torn              // what stands above the end and was not cut: read-only, or damaged
	damaged  bool              // something is lost: no appends
	poison   atomic.Pointer[error]
	counts   counts

	writer   appender
	preparer preparer
	marker   marker

	// proof is the end of the durable log. Guarded by index.mu.
	proof proof
}

// proof is what a mark says, and where the last group begins.
type proof struct {
	mark
	off     int64
	ordinal uint32
	at      int64 // when it was, in nanoseconds since 1970
}

// counts are the engine's own figures.
type counts struct {
	syncs, laid, marks, markErrors, rotations, cut atomic.Int64
}

// setPoison makes all further appends fail with why. The first reason stays.
func (s *store) setPoison(why error) {
	err := fmt.Errorf("%w: %w", backend.ErrPoisoned, why)
	s.poison.CompareAndSwap(nil, &err)
}

// mayAppend returns why not.
func (s *store) mayAppend() error {
	switch p := s.poison.Load(); {
	case s.opts.ReadOnly:
		return fmt.Errorf("%w: the store was opened read-only", backend.ErrUnsupported)
	case p != nil:
		return *p
	case s.damaged:
		return fmt.Errorf("%w: the store is damaged and takes no appends: see scan and recover", backend.ErrCorrupt)
	}
	return nil
}

// Info describes the engine.
func (s *store) Info() backend.Info {
	return backend.Info{
		Engine:       "file",
		Capabilities: backend.Capabilities{Durable: true, Repair: true},
		Stats:        s.stats(),
	}
}

func (s *store) stats() []backend.Stat {
	s.index.mu.RLock()
	segments, streams, records := len(s.index.segments), len(s.index.streams), s.index.records
	bytes := int64(0)
	for _, sg := range s.index.segments {
		bytes += sg.end
	}
	s.index.mu.RUnlock()
	return []backend.Stat{
		{Name: "segments", Unit: "{segment}", Help: "Files of the log, with the one that is prepared.", Value: int64(segments)},
		{Name: "log_bytes", Unit: "By", Help: "Bytes of the log, without zeros laid ahead.", Value: bytes},
		{Name: "streams", Unit: "{stream}", Help: "Streams in the store.", Value: int64(streams)},
		{Name: "records", Unit: "{record}", Help: "Records in the store.", Value: records},
		{Name: "syncs", Unit: "{sync}", Help: "Groups made durable by this handle, one sync each.", Value: s.counts.syncs.Load()},
		{Name: "laid_bytes", Unit: "By", Help: "Zeros laid ahead by this handle.", Value: s.counts.laid.Load()},
		{Name: "rotations", Unit: "{segment}", Help: "Segments that this handle has filled.", Value: s.counts.rotations.Load()},
		{Name: "marks", Unit: "{mark}", Help: "Marks written by this handle.", Value: s.counts.marks.Load()},
		{Name: "mark_errors", Unit: "{error}", Help: "Marks that could not be written: the log is not affected.", Value: s.counts.markErrors.Load()},
		{Name: "torn_bytes", Unit: "By", Help: "Bytes of a torn tail that opening or recovering this handle has cut.", Value: s.counts.cut.Load()},
	}
}

// Compact is not claimed.
func (s *store) Compact(context.Context, backend.Cut) (backend.CompactionStats, error) {
	return backend.CompactionStats{}, fmt.Errorf("%w: engine file does not compact yet", backend.ErrUnsupported)
}

// Close waits for what runs in the background, marks the store as cleanly closed, and
// lets the next handle in.
func (s *store) Close() error {
	s.preparer.wait.Wait()
	s.marker.stop()
	var err error
	if s.mayAppend() == nil {
		err = s.writeMark(true)
	}
	return errors.Join(err, s.release())
}

// release closes all files, the lock last.
func (s *store) release() error {
	errs := []error{s.closeSegments()}
	if s.marker.file != nil {
		errs = append(errs, s.marker.file.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return openError("close", errors.Join(append(errs, s.dir.Close())...))
}

func (s *store) closeSegments() error {
	if s.index == nil {
		return nil
	}
	var errs []error
	for _, sg := range s.index.segments {
		if sg.file != nil {
			errs = append(errs, sg.file.Close())
		}
	}
	s.index.segments = nil
	return errors.Join(errs...)
}

// segments returns a copy of the segments as a walker needs them: their files as long
// as they are now.
func (s *store) segments() ([]*segment, error) {
	s.index.mu.RLock()
	list := make([]*segment, 0, len(s.index.segments))
	for _, sg := range s.index.segments {
		list = append(list, &segment{id: sg.id, life: sg.life, name: sg.name, seed: sg.seed, file: sg.file, odd: sg.odd})
	}
	s.index.mu.RUnlock()
	for _, sg := range list {
		if sg.file == nil {
			continue
		}
		size, err := sg.file.Size()
		if err != nil {
			return nil, unreadable(sg.name, 0, err)
		}
		sg.laid = size
	}
	return list, nil
}

// end returns a copy of the proof.
func (s *store) end() proof {
	s.index.mu.RLock()
	defer s.index.mu.RUnlock()
	return s.proof
}
