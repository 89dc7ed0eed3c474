package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/papyra-go/papyra/backend"
)

// directory is what the engine tells of stores in directories; nil if it keeps none there.
func (p place) directory() backend.Directory {
	s, _ := backend.SchemeOf(p.url.Scheme)
	return s.Directory
}

// dir is the directory of the store; empty for stores elsewhere, and where the URL names
// none.
func (p place) dir() string {
	if p.directory() == nil {
		return ""
	}
	dir, err := backend.DirectoryOf(p.url)
	if err != nil {
		return ""
	}
	return dir
}

// missing reports, as an error, that a store's directory is not there, or is
// none. It keeps commands from ever reaching what could create it.
func (p place) missing() error {
	if p.dir() == "" {
		return nil
	}
	info, err := os.Stat(p.dir())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such directory, and this command creates none")
	case err != nil:
		return fmt.Errorf("the directory can't be looked at: %w", reason(err))
	case !info.IsDir() && !info.Mode().IsRegular():
		return fmt.Errorf("%w: this is neither a directory, as a store is, nor a file", backend.ErrFormat)
	case !info.IsDir():
		return fmt.Errorf("%w: this is a file, and a store is a directory", backend.ErrFormat)
	}
	return nil
}

// held reports, as an error, that a process has a store in a directory open for writing, where the
// system tells. It disturbs nobody; only opening for writing makes sure.
func (p place) held() error {
	if p.dir() == "" {
		return nil
	}
	path := filepath.Join(p.dir(), lockFile)
	pid, known := lockHolder(path)
	if !known || pid == 0 {
		return nil
	}
	note, _ := firstLine(path)
	return &openError{p, fmt.Errorf("%w: held by %s", backend.ErrLocked, printable(note))}
}

// mayWrite reports, as an error, that this user can't write to a store's directory.
func (p place) mayWrite() error {
	if p.dir() == "" {
		return nil
	}
	if err := writable(p.dir()); err != nil {
		return &openError{p, fmt.Errorf("%w: this user may not write here: %w", backend.ErrUnavailable, err)}
	}
	return nil
}
