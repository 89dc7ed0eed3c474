package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/papyra-go/papyra/backend"
	machine "github.com/papyra-go/papyra/backend/internal/disk"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// filesystem is what a store lies on.
type filesystem interface {
	vfs.FS
	// lock takes a store's directory for who writes, or, shared, for who reads. It does not
	// wait: if another handle is in the way it is backend.ErrLocked.
	lock(dir string, shared bool) (io.Closer, error)
}

// disk is the file system of the machine. What it makes is the owner's alone.
type disk struct{ vfs.FS }

func own(f vfs.File, name string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, 0o600); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (d disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, c)
	return own(f, name, err)
}

func (d disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, opts...)
	return own(f, name, err)
}

// held is a lock that names who writes, as long as it is held.
type held struct{ machine.Lock }

func (h held) Close() error { return errors.Join(h.Say(""), h.Lock.Close()) }

// lock locks the directory itself, so that it can be read on a medium that can't be written. Who
// writes also locks the file LOCK, as with every store in a directory.
func (d disk) lock(dir string, shared bool) (io.Closer, error) {
	if shared {
		return lockShared(dir)
	}
	folder, err := machine.OpenDir(dir, false)
	if err != nil {
		return nil, err
	}
	l, err := folder.Lock(lockName, "")
	err = errors.Join(err, folder.Close())
	var taken *machine.HeldError
	var odd *machine.OddFileError
	switch {
	case errors.As(err, &taken):
		return nil, fmt.Errorf("%w: the store is %w", backend.ErrLocked, taken)
	case errors.As(err, &odd):
		return nil, fmt.Errorf("%w: not a papyra store: %w", backend.ErrFormat, odd)
	case errors.Is(err, errors.ErrUnsupported): // one process at a time must be seen to otherwise
		return io.NopCloser(nil), nil
	case err != nil:
		return nil, err
	}
	if err := l.Say(machine.Holder()); err != nil && !kv.NoSpace(err) { // on a full disk nobody is named
		return nil, errors.Join(err, l.Close())
	}
	return held{l}, nil
}

// lockShared locks the directory for who reads.
func lockShared(dir string) (io.Closer, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	free, err := machine.Share(f)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		return nil, errors.Join(err, f.Close())
	case !free:
		taken := &machine.HeldError{Holder: machine.HolderOf(filepath.Join(dir, lockName))}
		return nil, errors.Join(fmt.Errorf("%w: the store is %w", backend.ErrLocked, taken), f.Close())
	}
	return f, nil
}

// place is where a store is.
type place struct {
	fs    filesystem
	dir   string
	saves string // where its quarantine is: dir, but for what lies in memory
}

func (p place) in(elem ...string) string {
	return p.fs.PathJoin(append([]string{p.dir}, elem...)...)
}

func (p place) has(name string) (bool, error) {
	_, err := p.fs.Stat(p.in(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// sync makes the names in the directory durable.
func (p place) sync() error { return syncDir(p.fs, p.dir) }

func syncDir(on vfs.FS, dir string) error {
	d, err := on.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// read returns what is in a file of the store's directory.
func (p place) read(name string) ([]byte, error) {
	f, err := p.fs.Open(p.in(name))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

// replace gives a file of the store's directory what is in it from then on, durably.
func (p place) replace(name string, b []byte) error {
	tmp := p.in(name + ".tmp")
	f, err := p.fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(append([]byte{}, b...)) // which Write may change
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, p.fs.Remove(tmp))
	}
	if err := p.fs.Rename(tmp, p.in(name)); err != nil {
		return err
	}
	return p.sync()
}

// drop removes a file of the store's directory durably, if it is there.
func (p place) drop(name string) error {
	there, err := p.has(name)
	if err != nil || !there {
		return err
	}
	if err := p.fs.RemoveAll(p.in(name)); err != nil {
		return err
	}
	return p.sync()
}
