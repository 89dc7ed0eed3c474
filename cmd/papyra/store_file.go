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
// none. It keeps commands that only look from ever reaching what could create it.
func (p place) missing() error {
	if p.dir() == "" {
		return nil
	}
	info, err := os.Stat(p.dir())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such directory, and commands that only read create none")
	case err != nil:
		return fmt.Errorf("the directory can't be looked at: %w", reason(err))
	case !info.IsDir():
		return fmt.Errorf("%w: this is a file, and a store is a directory", backend.ErrFormat)
	}
	return nil
}
