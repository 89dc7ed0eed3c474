package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// OpenDir opens the directory at path. With create it makes it first if need be,
// for its owner alone, and makes that durable; its parent must exist.
func OpenDir(path string, create bool) (FS, error) {
	if create {
		err := os.Mkdir(path, 0o700)
		if err == nil {
			err = syncPath(filepath.Dir(filepath.Clean(path)))
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &dir{root}, nil
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// dir is a directory of the operating system. os.Root keeps names inside it, also
// past symbolic links.
type dir struct{ root *os.Root }

func (d *dir) Open(name string, flag int) (File, error) {
	f, err := d.root.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return &file{File: f, fd: f.Fd()}, nil
}

func (d *dir) Rename(from, to string) error { return d.root.Rename(from, to) }

func (d *dir) Remove(name string) error { return d.root.Remove(name) }

func (d *dir) Mkdir(name string) error { return d.root.Mkdir(name, 0o700) }

func (d *dir) ReadDir(name string) ([]Entry, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	infos, err := f.Readdir(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(infos))
	for _, i := range infos {
		entries = append(entries, Entry{Name: i.Name(), Size: i.Size(), Mode: i.Mode()})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

func (d *dir) SyncDir(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *dir) Close() error { return d.root.Close() }

// file is a file of the operating system.
type file struct {
	*os.File
	fd uintptr // kept, because File.Fd costs a little each time
}

func (f *file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *file) Datasync() error { return datasync(f) }

// lock is a lock that is held: by the file, and in this process's registry.
type lock struct {
	f   *os.File
	key inode
}

// Lock takes an flock on the file. The lock goes with the open file, so that two
// holders in one process exclude each other too; the registry is for file systems
// where it does not.
func (d *dir) Lock(name, holder string) (io.Closer, error) {
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l, err := takeLock(f, holder)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

func takeLock(f *os.File, holder string) (*lock, error) {
	key, err := inodeOf(f)
	if err != nil {
		return nil, err
	}
	if !held.take(key) {
		return nil, &HeldError{readHolder(f) + " (this process)"}
	}
	l := &lock{f: f, key: key}
	free, err := flock(f)
	if err == nil && !free {
		err = &HeldError{readHolder(f)}
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(holder+"\n"), 0)
	}
	if err != nil {
		held.give(key)
		return nil, err
	}
	return l, nil
}

func (l *lock) Close() error {
	defer held.give(l.key)
	return l.f.Close()
}

// readHolder returns the first line of the lock's file.
func readHolder(f *os.File) string {
	buf := make([]byte, 512)
	n, _ := f.ReadAt(buf, 0)
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	return strings.ToValidUTF8(line, "?")
}
