package pebble

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/papyra-go/papyra/backend/internal/kv"
)

// medium is the file system that pebble is given. What pebble makes of a failure is to end
// the process, to panic with its locks held, or to try again for ever. So it is not told:
//
//	the log, the manifest, its marker,   the first failure is kept, and from then on nothing
//	anything else but tables             is written any more, and pebble is told that all is
//	                                     well. Who writes asks the medium afterwards.
//	a table that does not fit            pebble is told, and tries again, slower each time:
//	                                     what it holds is in the log, and in memory
//	a table that fails otherwise         both: it is kept, and pebble is told
//
// While a store is being opened, it is not told of tables that are made of logs either, and
// the opening fails: it would not return.
type medium struct {
	vfs.FS
	opening atomic.Bool // pebble.Open runs
	closing chan struct{}
	again   chan struct{}         // who pauses is to try again now
	failure atomic.Pointer[error] // the first; nothing is written after it
	full    atomic.Int64          // tables in a row that did not fit

	names   sync.Mutex
	scrub   bool            // logs are not used again; guarded by names, as what follows
	writing map[string]bool // logs that are being written
	open    map[*writtenFile]bool
	read    string // the first log that was opened for reading

	hideLogs bool // pebble does not see logs: constant
}

func newMedium(under vfs.FS) *medium {
	return &medium{FS: under, closing: make(chan struct{}), again: make(chan struct{}, 1), writing: map[string]bool{}, open: map[*writtenFile]bool{}}
}

// The most and the least that pebble waits for after a table that could not be written.
const (
	leastPause = 2 * time.Millisecond
	mostPause  = 500 * time.Millisecond
)

// failed returns the failure that ended all writing; nil: there was none.
func (m *medium) failed() error {
	if p := m.failure.Load(); p != nil {
		return *p
	}
	return nil
}

func (m *medium) fail(err error) { m.failure.CompareAndSwap(nil, &err) }

func isTable(name string) bool { return strings.HasSuffix(name, ".sst") }

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// judge says what pebble is told of an operation that changes a file.
func (m *medium) judge(name, what string, table bool, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s %s: %w", what, path.Base(name), err)
	if !table || !kv.NoSpace(err) {
		m.fail(err)
	}
	if !table {
		return nil
	}
	m.pause()
	return err
}

// pause slows down who tries again.
func (m *medium) pause() {
	n := min(m.full.Add(1), 16)
	select {
	case <-m.closing:
	case <-m.again:
	case <-time.After(min(leastPause<<n, mostPause)):
	}
}

// retry ends a pause.
func (m *medium) retry() {
	select {
	case m.again <- struct{}{}:
	default:
	}
}

// lost reports whether nothing is written any more; told is what pebble is told then.
func (m *medium) lost(table bool) (told error, lost bool) {
	failure := m.failed()
	if failure == nil {
		return nil, false
	}
	if table {
		m.pause()
		return failure, true
	}
	return nil, true
}

// change does what changes a name.
func (m *medium) change(name, what string, do func() error) error {
	return m.try(name, what, m.told(name, ""), do)
}

// try does what changes a file; table is whether pebble is told if it fails.
func (m *medium) try(name, what string, table bool, do func() error) error {
	if told, lost := m.lost(table); lost {
		return told
	}
	return m.judge(name, what, table, do())
}

// told reports whether pebble is told of a failure to write a file: of one that is a table. While
// it opens a store it waits for those that are made of logs.
func (m *medium) told(name string, c vfs.DiskWriteCategory) bool {
	return isTable(name) && !(m.opening.Load() && c == flushCategory)
}

// flushCategory is what pebble calls tables that are made of what is in memory.
const flushCategory = "pebble-memtable-flush"

func (m *medium) create(name, what string, c vfs.DiskWriteCategory, do func() (vfs.File, error)) (vfs.File, error) {
	table := m.told(name, c)
	told, lost := m.lost(table)
	if !lost {
		f, err := do()
		if err == nil {
			return m.written(f, name, c), nil
		}
		told = m.judge(name, what, table, err)
	}
	if told != nil {
		return nil, told
	}
	return m.written(nowhere{vfs.NewMemFile(nil)}, name, c), nil
}

func (m *medium) written(f vfs.File, name string, c vfs.DiskWriteCategory) vfs.File {
	w := &writtenFile{File: f, m: m, name: name, category: c}
	if w.log = isLog(name); w.log {
		if info, err := f.Stat(); err == nil { // of an old log, whose room is used again
			w.reach.end = info.Size()
		}
	}
	m.names.Lock()
	defer m.names.Unlock()
	if m.open[w] = true; w.log {
		m.writing[path.Base(name)] = true
	}
	return w
}

// closeLeft closes what pebble has left open: a table that it could not write.
func (m *medium) closeLeft() {
	m.names.Lock()
	defer m.names.Unlock()
	for f := range m.open {
		_ = f.File.Close()
	}
	clear(m.open)
}

// Create makes a file. A marker names another file, whose own name must be durable first.
func (m *medium) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(path.Base(name), "marker.") {
		if err := m.change(name, "sync the directory of", func() error { return syncDir(m.FS, path.Dir(name)) }); err != nil {
			return nil, err
		}
	}
	return m.create(name, "create", c, func() (vfs.File, error) { return m.FS.Create(name, c) })
}

func (m *medium) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return m.create(name, "open", c, func() (vfs.File, error) { return m.FS.OpenReadWrite(name, c, opts...) })
}

// ReuseForWrite uses the room of an old log again, unless what was in it must go.
func (m *medium) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return m.create(to, "create", c, func() (vfs.File, error) {
		m.names.Lock()
		defer m.names.Unlock()
		if !m.scrub {
			return m.FS.ReuseForWrite(from, to, c)
		}
		if err := m.FS.Remove(from); err != nil {
			return nil, err
		}
		return m.FS.Create(to, c)
	})
}

func (m *medium) Link(from, to string) error {
	return m.change(to, "link", func() error { return m.FS.Link(from, to) })
}

func (m *medium) Rename(from, to string) error {
	return m.change(to, "rename", func() error { return m.FS.Rename(from, to) })
}

func (m *medium) MkdirAll(dir string, _ os.FileMode) error {
	return m.change(dir, "make", func() error { return m.FS.MkdirAll(dir, 0o700) })
}

// Remove that fails costs room, and no more.
func (m *medium) Remove(name string) error {
	if m.failed() != nil {
		return nil
	}
	return m.FS.Remove(name)
}

func (m *medium) RemoveAll(name string) error {
	if m.failed() != nil {
		return nil
	}
	return m.FS.RemoveAll(name)
}

func (m *medium) OpenDir(name string) (vfs.File, error) {
	f, err := m.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return m.written(f, name, ""), nil
}

func (m *medium) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if isLog(name) {
		m.names.Lock()
		if m.read == "" {
			m.read = path.Base(name)
		}
		m.names.Unlock()
	}
	return m.FS.Open(name, opts...)
}

// firstRead returns the first log that was opened for reading: pebble begins with the oldest
// that it needs.
func (m *medium) firstRead() string {
	m.names.Lock()
	defer m.names.Unlock()
	return m.read
}

// Lock does nothing: who may use the store is settled before pebble is asked.
func (m *medium) Lock(string) (io.Closer, error) { return unlocked{}, nil }

type unlocked struct{}

func (unlocked) Close() error { return nil }

// List keeps from pebble what it noted of its settings, which it would believe, and logs that
// it is not to read.
func (m *medium) List(dir string) ([]string, error) {
	list, err := m.FS.List(dir)
	kept := list[:0]
	for _, name := range list {
		if !strings.HasPrefix(name, "OPTIONS-") && !(m.hideLogs && isLog(name)) {
			kept = append(kept, name)
		}
	}
	return kept, err
}

// Unwrap returns what is below.
func (m *medium) Unwrap() vfs.FS { return m.FS }

// writtenFile is a file that pebble writes.
type writtenFile struct {
	vfs.File
	m        *medium
	name     string
	category vfs.DiskWriteCategory
	log      bool
	reach    reach // of a log
}

func (f *writtenFile) table() bool { return f.m.told(f.name, f.category) }

func (f *writtenFile) Write(b []byte) (int, error) {
	if told, lost := f.m.lost(f.table()); lost {
		return len(b), told
	}
	n, err := f.File.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if told := f.m.judge(f.name, "write", f.table(), err); told != nil {
		return n, told
	}
	f.reach.wrote(len(b))
	return len(b), nil
}

func (f *writtenFile) WriteAt(b []byte, off int64) (int, error) {
	err := f.m.try(f.name, "write", f.table(), func() error {
		_, err := f.File.WriteAt(b, off)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// Preallocate that fails costs time, and no more.
func (f *writtenFile) Preallocate(off, n int64) error {
	if f.m.failed() == nil {
		_ = f.File.Preallocate(off, n)
	}
	return nil
}

func (f *writtenFile) Sync() error { return f.sync(f.File.Sync) }

func (f *writtenFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *writtenFile) sync(do func() error) error {
	if f.log {
		f.layAhead()
	}
	err := f.m.try(f.name, "sync", f.table(), do)
	if err == nil && isTable(f.name) {
		f.m.full.Store(0)
	}
	return err
}

// SyncTo only asks the operating system to begin.
func (f *writtenFile) SyncTo(n int64) (all bool, err error) {
	if told, lost := f.m.lost(f.table()); lost {
		return false, told
	}
	all, err = f.File.SyncTo(n)
	return all, f.m.judge(f.name, "sync", f.table(), err)
}

func (f *writtenFile) Close() error {
	f.m.names.Lock()
	delete(f.m.open, f)
	if f.log {
		delete(f.m.writing, path.Base(f.name))
	}
	f.m.names.Unlock()
	err := f.File.Close()
	if told, lost := f.m.lost(f.table()); lost {
		return told
	}
	return f.m.judge(f.name, "close", f.table(), err)
}

// nowhere is a file that is not there.
type nowhere struct{ vfs.File }

func (nowhere) Write(b []byte) (int, error)            { return len(b), nil }
func (nowhere) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (nowhere) Sync() error                            { return nil }
func (nowhere) SyncData() error                        { return nil }
func (nowhere) SyncTo(int64) (bool, error)             { return true, nil }
func (nowhere) Preallocate(int64, int64) error         { return nil }
