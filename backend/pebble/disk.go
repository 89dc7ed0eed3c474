package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/papyra-go/papyra/backend"
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

// held is a store's directory, locked, and the file that names who writes.
type held struct{ dir, name *os.File }

// lock locks the directory itself, so that it can be read on a medium that can't be written. Who
// writes also locks the file LOCK, as with every store in a directory.
func (d disk) lock(dir string, shared bool) (_ io.Closer, err error) {
	h := &held{}
	defer func() {
		if err != nil {
			_ = h.Close()
		}
	}()
	if h.dir, err = os.OpenFile(dir, os.O_RDONLY|noFollow, 0); err != nil {
		return nil, err
	}
	free, err := flock(h.dir, !shared)
	if err == nil && !free {
		err = fmt.Errorf("%w: the store is open in another handle%s", backend.ErrLocked, holderOf(dir))
	}
	if err != nil || shared {
		return h, err
	}
	if h.name, err = openFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE); err != nil {
		return nil, err
	}
	if _, err := flock(h.name, true); err != nil { // nobody waits for it: tools look there for who writes
		return nil, err
	}
	host, _ := os.Hostname()
	text := fmt.Sprintf("process %d on host %q since %s\n", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
	if _, err := h.name.WriteAt([]byte(text), 0); err == nil {
		return h, h.name.Truncate(int64(len(text)))
	} else if !kv.NoSpace(err) { // on a full disk nobody is named
		return nil, err
	}
	return h, nil
}

func (h *held) Close() (err error) {
	if h.name != nil {
		err = errors.Join(h.name.Truncate(0), h.name.Close())
	}
	if h.dir != nil {
		err = errors.Join(err, h.dir.Close())
	}
	return err
}

// holderOf says who holds a store, as far as its LOCK tells.
func holderOf(dir string) string {
	f, err := openFile(filepath.Join(dir, lockName), os.O_RDONLY)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, 256)
	n, _ := f.ReadAt(b, 0)
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	if line == "" {
		return ""
	}
	return fmt.Sprintf(" by %q", line)
}

// openFile opens a regular file that is no link.
func openFile(name string, flag int) (*os.File, error) {
	f, err := os.OpenFile(name, flag|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a regular file", backend.ErrFormat, filepath.Base(name))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
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
