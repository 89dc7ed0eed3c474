package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/papyra-go/papyra/internal/lines"
	"github.com/papyra-go/papyra/internal/transfer"
)

// input is a file that is read, or standard input.
type input struct {
	name  string // as the command line has it
	path  string // empty: standard input
	size  int64  // 0: not known
	twice bool   // it can be read again

	begun  *transfer.Export // what can't is an export of which the head line was read
	closer io.Closer
}

// base is the file's name without its directory.
func (in *input) base() string {
	if in.path == "" {
		return "-"
	}
	return filepath.Base(in.path)
}

// inputs looks at files before anything is done with them.
func inputs(names []string) ([]*input, error) {
	var all []*input
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			return nil, usagef("%s is named twice", value(name))
		}
		seen[name] = true
		if name == "-" {
			all = append(all, &input{name: "standard input"})
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, usagef("%s can't be read: %w", value(name), reason(err))
		}
		if info.IsDir() {
			return nil, usagef("%s is a directory: name the files in it", value(name))
		}
		in := &input{name: value(name), path: name}
		if info.Mode().IsRegular() {
			in.size, in.twice = info.Size(), true
		}
		all = append(all, in)
	}
	return all, nil
}

// toldApart reports, as an error, two files of one name in different directories: the
// names alone are kept, and by them an import that is run again finds where it ended.
func toldApart(files []*input) error {
	seen := map[string]*input{}
	for _, in := range files {
		if other := seen[in.base()]; other != nil {
			return usagef("%s and %s have the same name, by which an import that was interrupted goes on: rename one, or import one after the other with --beside", other.name, in.name)
		}
		seen[in.base()] = in
	}
	return nil
}

// open opens the input; told is called with how many of its bytes were read.
func (in *input) open(told func(int64)) (*lines.Reader, io.Closer, error) {
	f, zipped := os.Stdin, strings.HasSuffix(in.path, ".zst")
	if in.path != "" {
		var err error
		if f, err = os.Open(in.path); err != nil {
			return nil, nil, usagef("%s can't be read: %w", in.name, reason(err))
		}
	}
	r, err := lines.NewReader(&counted{in: f, told: told}, zipped)
	if err != nil {
		if in.path != "" {
			err = errors.Join(err, f.Close())
		}
		return nil, nil, &during{"reading " + in.name, reason(err)}
	}
	return r, closer{r, f, in.path != ""}, nil
}

// closer closes a reader and, if it is ours, the file below it.
type closer struct {
	r    *lines.Reader
	f    *os.File
	ours bool
}

// Close implements io.Closer.
func (c closer) Close() error {
	c.r.Close()
	if !c.ours {
		return nil
	}
	return c.f.Close()
}

// counted is a reader that tells how much was read.
type counted struct {
	in   io.Reader
	n    int64
	told func(int64)
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n += int64(n)
	c.told(c.n)
	return n, err
}
