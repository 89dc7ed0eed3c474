package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/papyra-go/papyra/backend"
)

// dir is the directory of a file store; empty for other stores, and where the URL
// names none. The file engine's URLs are file:///absolute/path, file:relative/path
// and file://./relative/path.
func (p place) dir() string {
	if p.url.Scheme != "file" {
		return ""
	}
	path := p.url.Path
	if p.url.Opaque != "" {
		path, _ = url.PathUnescape(p.url.Opaque)
	}
	switch p.url.Host {
	case "", "localhost":
		return filepath.FromSlash(path)
	case ".", "..":
		return filepath.FromSlash(p.url.Host + path)
	}
	return ""
}

// missing reports, as an error, that a file store's directory is not there, or is
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

// held reports, as an error, that a process has a file store open for writing, where the
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

// mayWrite reports, as an error, that this user can't write to a file store.
func (p place) mayWrite() error {
	if p.dir() == "" {
		return nil
	}
	if err := writable(p.dir()); err != nil {
		return &openError{p, fmt.Errorf("%w: this user may not write here: %w", backend.ErrUnavailable, err)}
	}
	return nil
}
