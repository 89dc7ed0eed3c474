// Package disk is the seam between the file engine and the operating system: the
// dozen calls that the engine makes, all of them inside one directory. Package
// faultfs implements it in memory, with faults and crashes.
package disk

import (
	"io"
	"io/fs"
)

// FS is one store's directory. Names are relative to it, at most one directory
// deep, and never leave it. Files are created for their owner alone. It is safe for
// use by any number of goroutines.
type FS interface {
	// Open opens a file as os.OpenFile does, with flags of package os.
	Open(name string, flag int) (File, error)
	// Rename replaces to, if there is one. It is durable after SyncDir.
	Rename(from, to string) error
	Remove(name string) error
	Mkdir(name string) error
	// ReadDir lists a directory, sorted by name; "." is the store's.
	ReadDir(name string) ([]Entry, error)
	// SyncDir makes what was created, renamed and removed in a directory durable.
	SyncDir(name string) error
	// Lock takes the lock that the named file stands for and writes holder to it.
	// If somebody has it: a *HeldError.
	Lock(name, holder string) (io.Closer, error)
	Close() error
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
	Truncate(size int64) error
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
