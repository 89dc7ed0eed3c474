package conformance

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// to has f write to w, or to the file that the flags name. A file that is there from before
// is removed first, so that what is there afterwards is of this run, and whole.
func (p *Program) to(w io.Writer, f func(io.Writer) (int, error)) (code int, err error) {
	if p.out == "" {
		return f(w)
	}
	if err := os.Remove(p.out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return exitFailed, fmt.Errorf("out: %w", err)
	}
	code, refused := exitOK, error(nil)
	err = whole(p.out, func(w io.Writer) error {
		code, refused = f(w)
		return refused
	})
	if err != nil && refused == nil {
		return exitFailed, fmt.Errorf("out: %w", err)
	}
	return code, refused
}

// whole makes a file of what f writes, all of it or no file. It finds out before f is called
// whether there can be one.
func whole(name string, f func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err == nil {
			err = os.Rename(file.Name(), name)
		}
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	return f(file)
}
