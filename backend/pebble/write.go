package pebble

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// Write makes one batch of pebble, which is in its log, and synced, when it returns nil.
// What stands in the way of it is looked for before:
//
//	too little room on the medium         ErrNoSpace, nothing stored
//	tables can't be written for want      the same; they are tried again meanwhile
//	too much is in memory already         waited for, then ErrUnavailable, nothing stored
//	the log can't be written or synced    ErrPoisoned and ErrUnknownOutcome
func (e *engine) Write(f func(kv.Batch) error) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	if err := e.refusal(); err != nil {
		return err
	}
	b := e.db.NewBatch()
	defer b.Close()
	if err := f(batch{b, e.db}); err != nil {
		return err
	}
	if err := e.room(b.Len()); err != nil {
		return err
	}
	e.dirty = true
	err := guard(func() error { return e.db.Apply(b, pebble.Sync) })
	if err == nil {
		err = e.m.failed()
	} else {
		e.m.fail(err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w: %w", backend.ErrPoisoned, backend.ErrUnknownOutcome, err)
	}
	return nil
}

// refusal is why nothing can be written at all; nil: it can.
func (e *engine) refusal() error {
	if d := e.damage.Load(); d != nil {
		return d.refusal()
	}
	if e.opts.ReadOnly {
		return fmt.Errorf("%w: the store is open read-only", backend.ErrUnsupported)
	}
	return e.poison()
}

// Waiting for what is done in the background.
const (
	healWait  = time.Second      // for tables to be written once there is room again
	stallWait = 10 * time.Second // for what is in memory to become less
	lookEach  = 1 << 20          // bytes written between two looks at it
	poll      = 2 * time.Millisecond
)

// room looks whether n bytes more can be written, now and to tables later.
func (e *engine) room(n int) error {
	if err := e.free(n); err != nil {
		return err
	}
	if e.full() != nil {
		e.m.retry()
		until(healWait, func() bool { return e.full() == nil || e.m.failed() != nil })
		if err := e.full(); err != nil {
			return err
		}
	}
	if e.since += n; e.since < lookEach {
		return nil
	}
	if !until(stallWait, func() bool {
		m := e.db.Metrics()
		return m.MemTable.Size <= mostMemTables*uint64(e.opts.MemTableBytes) && m.Levels[0].Sublevels <= mostSublevels || e.m.failed() != nil || e.full() != nil
	}) {
		err := fmt.Errorf("%w: tables were not written or compacted within %v", backend.ErrUnavailable, stallWait)
		for _, why := range []*error{e.lagging.Load(), e.ailing.Load()} {
			if why != nil {
				err = *why
			}
		}
		return fmt.Errorf("too much is in memory, or in the newest tables: %w", err)
	}
	if err := e.full(); err != nil {
		return err
	}
	e.since = 0
	return e.poison()
}

// free looks whether n bytes more leave as much room on the medium as is to stay.
func (e *engine) free(n int) error {
	free := e.opts.FreeBytes
	if free < 0 {
		return nil
	}
	usage, err := e.at.fs.GetDiskUsage(e.at.dir)
	if err == nil && usage.AvailBytes < uint64(free)+2*uint64(n) {
		return fmt.Errorf("%w: %d bytes are left, and %d are to stay free (Options.FreeBytes)", backend.ErrNoSpace, usage.AvailBytes, free)
	}
	return nil // or it can't be told
}

// full is why tables can't be written, if it is for want of room; nil: it is not.
func (e *engine) full() error {
	if err := e.ailing.Load(); err != nil && errors.Is(*err, backend.ErrNoSpace) {
		return *err
	}
	return nil
}

// until waits for something; it reports whether it came.
func until(most time.Duration, f func() bool) bool {
	for began := time.Now(); !f(); time.Sleep(poll) {
		if time.Since(began) > most {
			return false
		}
	}
	return true
}

// worked is told how work in the background ended: of the kind whose last failure is kept there.
func (e *engine) worked(kind *atomic.Pointer[error], err error) {
	if err == nil {
		kind.Store(nil)
		return
	}
	e.background.Add(1)
	err = dbError("work in the background", err)
	kind.Store(&err)
}

// batch is what a Write writes. Its errors are those of a batch that is too large for
// pebble, which no append is.
type batch struct {
	b  *pebble.Batch
	db *pebble.DB
}

func (b batch) Set(key, value []byte) error { return dbError("write", b.b.Set(key, value, nil)) }

func (b batch) Delete(key []byte) error { return dbError("write", b.b.Delete(key, nil)) }

// DeleteRange deletes the keys that are there one by one: what a damaged table has deleted
// can then be told from its blocks.
func (b batch) DeleteRange(low, high []byte) error {
	it, err := b.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return dbError("write", err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = b.b.Delete(it.Key(), nil)
	}
	return dbError("write", errors.Join(err, it.Error(), it.Close()))
}

// goneWait bounds how long a compaction waits for files to be gone that nobody reads.
const goneWait = 10 * time.Second

// Compact has pebble compact everything, so that what was deleted is in no table any more,
// and empties the logs that were kept for their room.
func (e *engine) Compact(ctx context.Context) error {
	if err := e.refusal(); err != nil {
		return err
	}
	e.writing.Lock()
	err := e.room(0)
	e.writing.Unlock()
	if err != nil {
		return err
	}
	e.m.setScrub(true)
	defer e.m.setScrub(false)
	newest, err := e.newestLog()
	if err == nil {
		err = e.flush(ctx, healWait)
	}
	if err == nil {
		err = e.compactAll(ctx)
	}
	switch failed := e.m.failed(); {
	case failed != nil:
		return e.poison()
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return dbError("compact", err)
	}
	until(goneWait, func() bool {
		m := e.db.Metrics()
		return m.Table.ObsoleteCount == 0 && m.Table.ZombieCount == 0
	})
	return dbError("empty old logs", e.m.emptyLogs(e.at, newest))
}

// flush writes what is in memory to tables. For one that does not fit it waits for so long.
func (e *engine) flush(ctx context.Context, patience time.Duration) error {
	var done <-chan struct{}
	if err := guard(func() (err error) { done, err = e.db.AsyncFlush(); return err }); err != nil {
		return err
	}
	ended := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	began := time.Now()
	until(stallWait, func() bool {
		return ended() || e.m.failed() != nil || ctx.Err() != nil || e.full() != nil && time.Since(began) > patience
	})
	switch {
	case e.m.failed() != nil:
		return e.poison()
	case ended():
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case e.full() != nil:
		return e.full()
	}
	return fmt.Errorf("%w: a table was not written within %v", backend.ErrUnavailable, stallWait)
}

// mostFailures is how often compactions may fail in a row.
const mostFailures = 20

// compactAll compacts everything, until the medium fails, or compactions that pebble makes by
// itself do, again and again: it tries those first, for ever.
func (e *engine) compactAll(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- guard(func() error { return e.db.Compact(ctx, []byte{0}, []byte{0xff}, true) })
	}()
	var why error
	for before := e.background.Load(); ; {
		select {
		case err := <-done:
			if why != nil && err != nil {
				return why
			}
			return err
		case <-time.After(poll):
		}
		if lagging := e.lagging.Load(); lagging == nil {
			before = e.background.Load()
		} else if e.background.Load()-before > mostFailures {
			why = *lagging
		}
		if why != nil || e.m.failed() != nil {
			cancel()
		}
	}
}

// newestLog returns the name of the newest log: that which is written.
func (e *engine) newestLog() (newest string, err error) {
	names, err := e.at.fs.List(e.at.in(dbName))
	for _, name := range names {
		if isLog(name) && (len(name) > len(newest) || len(name) == len(newest) && name > newest) {
			newest = name
		}
	}
	return newest, err
}

func (m *medium) setScrub(on bool) {
	m.names.Lock()
	defer m.names.Unlock()
	m.scrub = on
}

// emptyLogs empties the logs up to the newest one, none of which is needed any more.
func (m *medium) emptyLogs(at place, newest string) error {
	m.names.Lock()
	defer m.names.Unlock()
	names, err := m.FS.List(at.in(dbName))
	if err != nil {
		return err
	}
	for _, name := range names {
		if !isLog(name) || m.writing[name] || len(name) > len(newest) || len(name) == len(newest) && name > newest {
			continue
		}
		f, err := m.FS.Create(at.in(dbName, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return syncDir(m.FS, at.in(dbName))
}
