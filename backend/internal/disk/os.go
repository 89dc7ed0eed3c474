package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// OpenDir opens the directory at path. With create it makes it first if need be,
// for its owner alone, and makes that durable; its parent must exist.
func OpenDir(path string, create bool) (FS, error) {
	if create {
		err := os.Mkdir(path, 0o700)
		if err == nil {
			err = SyncPath(filepath.Dir(filepath.Clean(path)))
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() { // opening a pipe would wait
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	self, err := root.OpenFile(".", os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &dir{root, self}, nil
}

// SyncPath makes what was created, renamed and removed in the directory at path durable.
func SyncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// dir is a directory of the operating system. os.Root keeps names inside it, also
// past symbolic links.
type dir struct {
	root *os.Root
	self *os.File // kept open for SyncDir, so that it can't fail for want of descriptors
}

func (d *dir) Open(name string, flag int) (File, error) {
	f, err := d.open(name, flag)
	if err != nil {
		return nil, err
	}
	return &file{File: f, fd: f.Fd()}, nil
}

// open opens a regular file. It looks before it opens, as opening alone may do
// something to a device, and after, as it may be another by then.
func (d *dir) open(name string, flag int) (*os.File, error) {
	switch info, err := d.root.Lstat(name); {
	case err == nil && flag&os.O_EXCL == 0:
		if err := odd(name, info.Mode()); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0:
		flag |= os.O_EXCL
	}
	f, err := d.root.OpenFile(name, flag|nonblock, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = odd(name, info.Mode())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// OpenFile opens the file at path as [FS.Open] does, for those who need the operating
// system's.
func OpenFile(path string, flag int) (*os.File, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return (&dir{root: root}).open(filepath.Base(path), flag)
}

// openFolder opens the directory itself, or one in it.
func (d *dir) openFolder(name string) (*os.File, error) {
	return d.root.OpenFile(name, os.O_RDONLY|nonblock, 0)
}

func (d *dir) Mode() (fs.FileMode, error) {
	info, err := d.root.Stat(".")
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

func (d *dir) Rename(from, to string) error { return d.root.Rename(from, to) }

func (d *dir) Remove(name string) error { return d.root.Remove(name) }

func (d *dir) Mkdir(name string) error { return d.root.Mkdir(name, 0o700) }

func (d *dir) ReadDir(name string) ([]Entry, error) {
	f, err := d.openFolder(name)
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
	if name == "." {
		return d.self.Sync()
	}
	f, err := d.openFolder(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *dir) Close() error { return errors.Join(d.self.Close(), d.root.Close()) }

// file is a file of the operating system.
type file struct {
	*os.File
	fd   uintptr // kept, because File.Fd costs a little each time
	name string  // what errors call it; empty: as it was opened
}

func (f *file) Renamed(name string) { f.name = name }

// named makes an error say what the file is called now.
func (f *file) named(err error) error {
	if pe, ok := err.(*fs.PathError); ok && f.name != "" {
		return &fs.PathError{Op: pe.Op, Path: f.name, Err: pe.Err}
	}
	return err
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	return n, f.named(err)
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(b, off)
	return n, f.named(err)
}

func (f *file) Truncate(size int64) error { return f.named(f.File.Truncate(size)) }

func (f *file) Sync() error { return f.named(f.File.Sync()) }

func (f *file) Close() error { return f.named(f.File.Close()) }

func (f *file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, f.named(err)
	}
	return info.Size(), nil
}

func (f *file) Forget() { Forget(f.File) }

func (f *file) Datasync() error { return f.named(datasync(f)) }

// lock is a lock that is held: by the directory, by the file in it, and in this
// process's registry.
type lock struct {
	dir, file *os.File // file is nil until it is locked
	key       inode    // the directory's
	left      string
}

// Left is what the file said.
func (l *lock) Left() string { return l.left }

// Say writes to the file.
func (l *lock) Say(line string) error { return write(l.file, line) }

// Lock takes an flock on the directory, and then on the file. The first is the one that
// counts, as a file can be removed and made anew; the second is for those who look at
// the file alone. The locks go with the open files, so that two holders in one process
// exclude each other too; the registry is for file systems where they do not.
func (d *dir) Lock(name, holder string) (Lock, error) {
	f, err := d.openFolder(".")
	if err != nil {
		return nil, err
	}
	key, err := inodeOf(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !held.take(key) {
		holder := d.readHolder(name)
		if holder == "" {
			holder = fmt.Sprintf("process %d", os.Getpid())
		}
		return nil, errors.Join(&HeldError{holder + " (this process)"}, f.Close())
	}
	l := &lock{dir: f, key: key}
	free, err := flock(f, true)
	switch {
	case err != nil:
		err = fmt.Errorf("the directory: %w", err)
	case !free:
		err = &HeldError{d.readHolder(name)}
	default:
		err = l.lockFile(d, name, holder)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// lockTries is how often the file is opened again because its name has become another's
// meanwhile.
const lockTries = 10

// lockFile locks the file too, and writes to it who holds it.
func (l *lock) lockFile(d *dir, name, holder string) error {
	for range lockTries {
		f, err := d.open(name, os.O_RDWR|os.O_CREATE)
		if errors.Is(err, fs.ErrExist) { // it was not there, and is
			continue
		}
		if err != nil {
			return err
		}
		free, err := flock(f, true)
		if err != nil || !free {
			if err == nil {
				err = &HeldError{readHolder(f)}
			}
			return errors.Join(err, f.Close())
		}
		same, err := d.refers(name, f)
		if err == nil && same {
			l.left = readHolder(f)
			err = write(f, holder)
		}
		if err == nil && same {
			l.file = f
			return nil
		}
		if err = errors.Join(err, unlock(f)); err != nil {
			return err
		}
	}
	return &HeldError{fmt.Sprintf("somebody who keeps replacing the file %s", name)}
}

// Holder is what a lock says of this process.
func Holder() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("process %d on host %q since %s", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
}

// HolderOf is what a lock's file says; nothing if it can't be read.
func HolderOf(path string) string {
	f, err := OpenFile(path, os.O_RDONLY)
	if err != nil {
		return ""
	}
	defer f.Close()
	return readHolder(f)
}

// Share takes a lock that many may share on an open file, without waiting; free is false if
// somebody has the file for itself. It ends when the file is closed.
func Share(f *os.File) (free bool, err error) { return flock(f, false) }

// refers reports whether a name still stands for an open file. It is an error if other
// names do, too.
func (d *dir) refers(name string, f *os.File) (bool, error) {
	is, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(is, named) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if n := links(named); n != 1 {
		return false, &OddFileError{name, fmt.Sprintf("a file with %d names (hard links)", n)}
	}
	return true, nil
}

// write makes the lock's file hold one line, or nothing.
func write(f *os.File, line string) error {
	if err := f.Truncate(0); err != nil || line == "" {
		return err
	}
	_, err := f.WriteAt([]byte(line+"\n"), 0)
	return err
}

// unlock gives a lock back, and closes the file. Closing alone would leave the lock to a
// child process that is being started: between fork and exec it has the file open, too.
func unlock(f *os.File) error { return errors.Join(funlock(f), f.Close()) }

func (l *lock) Close() error {
	defer held.give(l.key)
	var err error
	if l.file != nil {
		err = unlock(l.file)
	}
	return errors.Join(err, unlock(l.dir))
}

// readHolder returns the first line of the lock's file; nothing if it can't be read.
func (d *dir) readHolder(name string) string {
	f, err := d.open(name, os.O_RDONLY)
	if err != nil {
		return ""
	}
	defer f.Close()
	return readHolder(f)
}

// readHolder returns the first line of the lock's file.
func readHolder(f *os.File) string {
	buf := make([]byte, 512)
	n, _ := f.ReadAt(buf, 0)
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	return strings.ToValidUTF8(line, "?")
}
