package file

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"github.com/papyra-go/papyra/backend/file/internal/sorted"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// store is one open store: a backend.LogDriver.
//
// What it holds stands in a view: spans, and behind them the log. Locks are taken in the
// order reshape, writing, manifests, mu.
type store struct {
	dir      disk.FS
	lock     io.Closer // nil if read-only
	opts     Options
	uuid     [16]byte
	codec    codec.Seed
	findings []backend.Anomaly // what opening found wrong
	tail     torn              // what stands above the end and was not cut: read-only, or damaged
	damaged  bool              // something is lost: no appends
	roomless error             // why a recovery could not begin writing again: there was no room
	poison   atomic.Pointer[error]
	counts   counts

	reshape   sync.Mutex               // held while segments and spans are packed
	writing   sync.Mutex               // held while a group is written
	manifests sync.Mutex               // held while a manifest is made, and the view that goes with it
	listed    atomic.Pointer[manifest] // the newest that is durable
	rotten    error                    // why MANIFEST does not count but its copy; nil if it does

	mu    sync.RWMutex // guards what follows, and tables and ends of segments
	view  *view
	proof proof // the end of the durable log

	writer   appender
	preparer preparer
	sealer   sealer
	marker   marker
	unfolds  unfolds
	open     openFiles
	leaves   *sorted.Cache // of the tables of spans and heads
}

// leavesKept is how many blocks of tables are kept in memory: 32 MiB.
const leavesKept = 32 << 20 / sorted.BlockSize

// proof is what a mark says, and where the last group begins.
type proof struct {
	mark
	sg  *segment // nil if it was packed before the store was opened
	off int64
	at  int64 // when it was, in nanoseconds since 1970
}

// counts are the engine's own figures.
type counts struct {
	syncs, laid, marks, markErrors, rotations, cut      atomic.Int64
	packs, packed, packErrors, compactions, closeErrors atomic.Int64
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
	case s.roomless != nil:
		return fmt.Errorf("%w: a recovery found no room to begin writing again: recover again, or reopen, when there is: %w", backend.ErrNoSpace, s.roomless)
	case s.damaged:
		return fmt.Errorf("%w: the store is damaged and takes no appends: see scan and recover", backend.ErrCorrupt)
	}
	return nil
}

// Info describes the engine.
func (s *store) Info() backend.Info {
	return backend.Info{
		Engine:       "file",
		Capabilities: backend.Capabilities{Durable: true, Repair: true, Quarantine: true, Compact: true, CompactBeside: true},
		Stats:        s.stats(),
	}
}

func (s *store) stats() []backend.Stat {
	v := s.pin()
	defer s.unpin(v)
	var spanBytes, spanRecords, headsBytes, logBytes, logRecords int64
	for _, sp := range v.spans {
		spanBytes += sp.size
		spanRecords += int64(sp.records)
	}
	for _, h := range v.heads {
		headsBytes += h.size
	}
	s.mu.RLock()
	for _, sg := range v.segments {
		logBytes += sg.end
		logRecords += sg.table.records
	}
	s.mu.RUnlock()
	return []backend.Stat{
		{Name: "segments", Unit: "{segment}", Help: "Files of the log that are not packed yet, with the one that is prepared.", Value: int64(len(v.segments))},
		{Name: "log_bytes", Unit: "By", Help: "Bytes of the log that is not packed yet, without zeros laid ahead.", Value: logBytes},
		{Name: "spans", Unit: "{span}", Help: "Files of packed records.", Value: int64(len(v.spans))},
		{Name: "span_bytes", Unit: "By", Help: "Bytes of the spans.", Value: spanBytes},
		{Name: "heads", Unit: "{file}", Help: "Files that say where streams stand.", Value: int64(len(v.heads))},
		{Name: "heads_bytes", Unit: "By", Help: "Bytes of these.", Value: headsBytes},
		{Name: "records", Unit: "{record}", Help: "Records in the store, with those below a cut that were not removed yet.", Value: spanRecords + logRecords},
		{Name: "holes", Unit: "{hole}", Help: "Places whose records are lost.", Value: int64(len(v.holes))},
		{Name: "syncs", Unit: "{sync}", Help: "Groups made durable by this handle, one sync each.", Value: s.counts.syncs.Load()},
		{Name: "laid_bytes", Unit: "By", Help: "Zeros laid ahead by this handle.", Value: s.counts.laid.Load()},
		{Name: "rotations", Unit: "{segment}", Help: "Segments that this handle has filled.", Value: s.counts.rotations.Load()},
		{Name: "packs", Unit: "{span}", Help: "Spans that this handle has made.", Value: s.counts.packs.Load()},
		{Name: "packed_bytes", Unit: "By", Help: "Bytes of these.", Value: s.counts.packed.Load()},
		{Name: "pack_errors", Unit: "{error}", Help: "Attempts to pack segments that failed: they stay in the log.", Value: s.counts.packErrors.Load()},
		{Name: "marks", Unit: "{mark}", Help: "Marks written by this handle.", Value: s.counts.marks.Load()},
		{Name: "mark_errors", Unit: "{error}", Help: "Marks that could not be written: the log is not affected.", Value: s.counts.markErrors.Load()},
		{Name: "close_errors", Unit: "{error}", Help: "Files that could not be closed or removed once nobody needed them.", Value: s.counts.closeErrors.Load()},
		{Name: "torn_bytes", Unit: "By", Help: "Bytes of a torn tail that opening or recovering this handle has cut.", Value: s.counts.cut.Load()},
	}
}

// Close waits for what runs in the background, packs the log if that does not take long,
// marks the store as cleanly closed, and lets the next handle in.
func (s *store) Close() error {
	s.sealer.stop(closePatience)
	s.sealAll()
	err := s.quiet(true)
	return errors.Join(err, s.release())
}

// quiet ends what runs in the background, and marks the end of the log.
func (s *store) quiet(clean bool) (err error) {
	s.sealer.stop(0)
	s.preparer.wait.Wait()
	s.marker.stop()
	if s.mayAppend() == nil && s.view != nil {
		err = s.writeMark(clean)
	}
	return err
}

// release closes all files, the lock last.
func (s *store) release() error {
	errs := []error{s.closeFiles()}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return openError("close", errors.Join(append(errs, s.dir.Close())...))
}

// closeFiles closes what is open inside the directory.
func (s *store) closeFiles() error {
	err := s.closeIdle()
	if s.view != nil {
		s.unpin(s.view)
		s.view = nil
	}
	return err
}

// closeIdle closes and lets go of what is not the view's.
func (s *store) closeIdle() (err error) {
	s.unfolds.close()
	if s.marker.file != nil {
		err = s.marker.file.Close()
		s.marker.file = nil
	}
	return err
}

// copies returns copies of a view's segments as a walker needs them: their files as long
// as they are now.
func (v *view) copies() ([]*segment, error) {
	list := make([]*segment, 0, len(v.segments))
	for _, sg := range v.segments {
		list = append(list, &segment{id: sg.id, life: sg.life, name: sg.name, seed: sg.seed, file: sg.file, odd: sg.odd})
	}
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
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.proof
}
