package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// outputPath is the file that path names, links followed, once it is known that
// writing there can be right: not a directory, and not inside the store.
func outputPath(path, store string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", usagef("--out %s: its directory can't be used: %w", value(path), reason(err))
	}
	target := filepath.Join(dir, filepath.Base(path))
	if end, err := filepath.EvalSymlinks(target); err == nil {
		target = end
	}
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		return "", usagef("--out %s is a directory: give the name of a file", value(path))
	}
	if inside(target, store) {
		return "", usagef("--out %s lies inside the store: give a place outside it", value(path))
	}
	return target, nil
}

// inside reports whether path lies in dir, links followed; never if dir is empty.
func inside(path, dir string) bool {
	if dir == "" {
		return false
	}
	d := followed(dir)
	return strings.HasPrefix(followed(path), strings.TrimSuffix(d, string(filepath.Separator))+string(filepath.Separator))
}

// followed is path, absolute and with links followed as far as it exists.
func followed(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if end, err := filepath.EvalSymlinks(path); err == nil {
		return end
	}
	dir := filepath.Dir(path)
	if dir == path {
		return path
	}
	return filepath.Join(followed(dir), filepath.Base(path))
}

// reason is a file error without the path, which the message has already.
func reason(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// replaceFile puts what write writes in place of the file at path, whole and
// durable, or leaves all as it was: it writes beside it, syncs, and renames. What
// exists and is no regular file (a pipe, /dev/null) is written to as it is.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeThrough(path, write)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("writing beside %s: %w", value(path), reason(err))
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err := write(tmp); err != nil {
		return err
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

func writeThrough(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("writing to %s: %w", value(path), reason(err))
	}
	return errors.Join(write(f), f.Close())
}

// syncDirectory makes a rename durable, where directories can be synced.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil // a directory may be writable and not readable
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("syncing %s: %w", show(dir), reason(err))
	}
	return nil
}
