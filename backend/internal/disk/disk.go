// Package disk is the seam between an engine and the operating system: the dozen calls
// that an engine makes, all of them inside one directory. Package faultfs implements it in
// memory, with faults and crashes. Engines whose libraries open files by themselves take from
// here the lock of the directory, and [OpenFile].
package disk

import (
	"io"
	"io/fs"
)

// FS is one store's directory. Names are relative to it, at most one directory
// deep, and never leave it. Files are created for their owner alone. It is safe for
// use by any number of goroutines.
type FS interface {
	// Open opens a file as os.OpenFile does, with flags of package os. What is there
	// and no regular file is an *OddFileError: it does not wait for a pipe's other end,
	// and follows no link.
	Open(name string, flag int) (File, error)
	// Rename replaces to, if there is one. It is durable after SyncDir.
	Rename(from, to string) error
	Remove(name string) error
	Mkdir(name string) error
	// ReadDir lists a directory, sorted by name; "." is the store's.
	ReadDir(name string) ([]Entry, error)
	// SyncDir makes what was created, renamed and removed in a directory durable.
	SyncDir(name string) error
	// Lock takes the lock of the directory, and of the named file in it, which it
	// writes holder to. If somebody has either: a *HeldError. The directory's can't be
	// taken away by removing a file. If the name is not that of a regular file with one
	// link: an *OddFileError, and nothing is changed.
	Lock(name, holder string) (Lock, error)
	// Mode is the directory's own mode.
	Mode() (fs.FileMode, error)
	Close() error
}

// Lock is a lock that is held, until Close.
type Lock interface {
	io.Closer
	// Left is what the file said when the lock was taken: who held it last, unless that one
	// made it say something else.
	Left() string
	// Say makes the file say something else than who holds the lock.
	Say(line string) error
}

// Entry is a file as ReadDir lists it.
type Entry struct {
	Name string
	Size int64
	Mode fs.FileMode
}

// File is an open file. ReadAt and WriteAt may be called at the same time.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Renamed says what errors call the file from now on. No other call runs beside it.
	Renamed(name string)
	Truncate(size int64) error
	// Forget drops what the operating system keeps in memory of the file and takes for
	// written. After a failed sync that may be what the disk does not have, and a later
	// sync would not write it either.
	Forget()
	Size() (int64, error)
	// Sync makes data and metadata durable; Datasync the data, and as much metadata
	// as reading it needs.
	Sync() error
	Datasync() error
}

// HeldError says that a lock is taken.
type HeldError struct {
	Holder string // what the holder wrote; empty if it can't be told
}

func (e *HeldError) Error() string {
	if e.Holder == "" {
		return "held by somebody who did not leave a name"
	}
	return "held by " + e.Holder
}

// OddFileError says that a name is not that of a file as the store makes them.
type OddFileError struct {
	Name string
	What string // it is
}

func (e *OddFileError) Error() string {
	return e.Name + " is " + e.What + ", not a regular file of its own"
}

// odd returns an error unless mode is that of a regular file.
func odd(name string, mode fs.FileMode) error {
	what := "a special file"
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeSymlink != 0:
		what = "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		what = "a pipe"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	}
	return &OddFileError{name, what}
}
