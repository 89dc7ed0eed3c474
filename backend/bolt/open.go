package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// The names in a store's directory.
const (
	lockName      = "LOCK"
	fileName      = FileName
	tmpName       = "store.db.tmp" // what a crash left of a file that was being made
	quarantineDir = "quarantine"
)

// lockWait is how long bbolt waits for a lock: the next try it makes after 50 ms.
const lockWait = 60 * time.Millisecond

// The tables of kv that are named here.
const (
	tableMeta    = 0
	tableStreams = 'e'
	tablePlaces  = 'p'
	tableNames   = 's'
)

// buckets are where bbolt keeps each table, by the first byte of its keys.
var buckets = map[byte][]byte{tableMeta: []byte("meta"), 'c': []byte("cuts"), tableStreams: []byte("streams"), tablePlaces: []byte("places"), tableNames: []byte("names")}

// openEngine opens what is in a directory: it looks at all pages, and gives the file to
// bbolt if they are sound.
func openEngine(dir string, o Options) (e *engine, err error) {
	e = &engine{dir: dir, opts: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
			e = nil
		}
	}()
	fresh, err := look(dir, o.ReadOnly)
	if err != nil {
		return e, err
	}
	if !o.ReadOnly {
		if err := e.takeLock(); err != nil {
			return e, err
		}
		if fresh, err = look(dir, false); err != nil { // what was seen before the lock may have changed
			return e, err
		}
	}
	if fresh {
		e.wrote = true
		if err := create(dir, o); err != nil {
			return e, err
		}
	}
	return e, e.start(true)
}

// start opens the file. What a rebuild has made is not counted: what is missing from it is
// found, and noted, by the rest of the recovery.
func (e *engine) start(counting bool) (err error) {
	if e.file, err = disk.OpenFile(filepath.Join(e.dir, fileName), os.O_RDONLY); err != nil {
		return err
	}
	if e.unclean {
		disk.Forget(e.file)
	}
	if e.opts.ReadOnly {
		free, err := disk.Share(e.file)
		if err == nil && !free {
			err = fmt.Errorf("%w: a handle that writes has the store open%s", backend.ErrLocked, holderOf(e.dir))
		}
		if err != nil {
			return err
		}
	}
	t, err := readTree(e.file)
	if err != nil {
		return err
	}
	t.counting = counting
	if err := errors.Join(t.searchRoot(), t.check()); err != nil {
		return err
	}
	e.pageSize = t.meta.pageSize
	if len(t.findings) > 0 {
		e.damage, err = salvage(t)
		return err
	}
	return e.openDB()
}

// openDB has bbolt open the file, whose pages were looked at.
func (e *engine) openDB() error {
	return e.guard(func() (err error) {
		e.db, err = bbolt.Open(filepath.Join(e.dir, fileName), 0o600, e.settings())
		return err
	})
}

// settings are how bbolt opens a store. The list of free pages is not written: each commit
// would write it, and a flipped bit in it would hand out pages that are in use. It is made
// when the store is opened, when all pages are read anyway.
func (e *engine) settings() *bbolt.Options {
	return &bbolt.Options{Timeout: lockWait, ReadOnly: e.opts.ReadOnly, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoStatistics: true, OpenFile: e.openDBFile}
}

func (e *engine) openDBFile(name string, flag int, _ os.FileMode) (f *os.File, err error) {
	f, err = disk.OpenFile(name, flag)
	e.dbFile = f
	return f, err
}

// look reports whether the directory is one to create a store in, or an error if it holds
// neither a store nor nothing.
func look(dir string, readOnly bool) (fresh bool, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) && !readOnly {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	foreign, kept := "", false
	for _, entry := range entries {
		switch entry.Name() {
		case fileName:
			return false, nil
		case lockName, tmpName, "lost+found":
		case quarantineDir:
			kept = true
		default:
			foreign = entry.Name()
		}
	}
	switch {
	case foreign != "":
		return false, fmt.Errorf("%w: the directory is not a bolt store: it holds %q, and no %s", backend.ErrFormat, foreign, fileName)
	case kept:
		return false, &backend.CorruptError{File: fileName, Offset: -1, Detail: "it is missing, though there is a " + quarantineDir + ": the store is damaged, not new"}
	case readOnly:
		return false, fmt.Errorf("%w: the directory holds no bolt store, and a read-only open creates none", backend.ErrFormat)
	}
	return true, nil
}

// takeLock makes the directory, if there is none, and takes the lock of who writes. Where
// the operating system has no such lock, bbolt's own has to do.
func (e *engine) takeLock() error {
	dir, err := disk.OpenDir(e.dir, true)
	if err != nil {
		return err
	}
	lock, err := dir.Lock(lockName, disk.Holder())
	if err = errors.Join(err, dir.Close()); err == nil {
		e.lock = lock
		e.unclean = lock.Left() != "" // who closes it well clears it
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// holderOf says who holds a store, as far as its LOCK tells.
func holderOf(dir string) string {
	if holder := disk.HolderOf(filepath.Join(dir, lockName)); holder != "" {
		return " by " + holder
	}
	return ""
}

// create makes an empty store. It gets its name when it is whole and durable: without it,
// what a crash leaves is an empty directory to the next open.
func create(dir string, o Options) error {
	err := makeFile(dir, o.PageBytes, func(db *engine) error { return kv.Create(db) })
	if err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, tmpName), filepath.Join(dir, fileName)); err != nil {
		return err
	}
	return disk.SyncPath(dir)
}

// makeFile makes a whole and durable file of bbolt under tmpName.
func makeFile(dir string, pageBytes int, fill func(*engine) error) error {
	name := filepath.Join(dir, tmpName)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	e := &engine{dir: dir}
	o := e.settings()
	o.PageSize, o.NoFreelistSync = pageBytes, true
	return e.guard(func() (err error) {
		if e.db, err = bbolt.Open(name, 0o600, o); err != nil {
			return err
		}
		err = e.db.Update(func(tx *bbolt.Tx) error {
			for _, name := range buckets {
				if _, err := tx.CreateBucket(name); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			e.file, err = disk.OpenFile(name, os.O_RDONLY)
		}
		if err == nil {
			err = errors.Join(fill(e), e.db.Sync(), e.file.Close())
		}
		return errors.Join(err, e.db.Close())
	})
}
