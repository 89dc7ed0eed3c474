package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory/memorytest"
	"github.com/papyra-go/papyra/conformance"
)

// scratch makes stores for the conformance suite at a place, and removes them.
type scratch struct {
	conformance.Harness
	root string   // the directory that holds them; empty if none does
	made bool     // root was made here
	dirs []string // the stores
}

// scratch returns where the suite may make stores. The place must not hold anything.
func (p place) scratch(ctx context.Context) (*scratch, error) {
	own := p.engineURL()
	info := conformance.Info{Name: p.url.Scheme, Version: thisVersion().Version}
	switch {
	case p.url.Scheme == "memory":
		b, err := backend.Open(ctx, own.String()) // says what is wrong with the URL
		if err != nil {
			return nil, &openError{p, err}
		}
		return &scratch{Harness: memoryStores{memorytest.Harness(), info}}, b.Close()
	case p.directory() != nil:
		return p.scratchDirectory(own, info)
	}
	return nil, usagef("there is no way to make scratch stores of %s:// URLs: write a program with conformance.Main (see docs/conformance.md)", p.url.Scheme)
}

// engineURL is the URL with the engine's own query keys alone: the others are options,
// which are the suite's.
func (p place) engineURL() *url.URL {
	u := *p.url
	query := u.Query()
	for _, key := range []string{"name", "readonly", "startup", "write-timeout"} {
		query.Del(key)
	}
	u.RawQuery = query.Encode()
	return &u
}

// memoryStores makes memory stores that outlive the backends that are closed over them.
type memoryStores struct {
	conformance.Harness
	info conformance.Info
}

func (m memoryStores) Info() conformance.Info { return m.info }

// scratchDirectory is scratch in a directory, which is made if its parent is there.
func (p place) scratchDirectory(own *url.URL, info conformance.Info) (*scratch, error) {
	dir := p.dir()
	if dir == "" {
		return nil, usagef("%s names no directory: want %s:///absolute/path", p, p.url.Scheme)
	}
	s := &scratch{root: dir}
	err := os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		s.made = true
	case !errors.Is(err, fs.ErrExist):
		return nil, &openError{p, fmt.Errorf("%w: the directory can't be made: %w", backend.ErrUnavailable, reason(err))}
	default:
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, &openError{p, fmt.Errorf("%w: the directory can't be read: %w", backend.ErrUnavailable, reason(err))}
		}
		if len(entries) > 0 {
			return nil, usagef("%s holds data (%s): name a directory that does not exist or is empty; the suite makes and removes stores there", p, show(entries[0].Name()))
		}
	}
	s.Harness = directoryStores{s, own, info}
	return s, nil
}

// remove removes what is left of the stores, and the directory if it was made here.
func (s *scratch) remove() error {
	var errs []error
	for _, dir := range s.dirs { // those of rules that hang are there still
		errs = append(errs, os.RemoveAll(dir))
	}
	if s.made {
		errs = append(errs, os.Remove(s.root))
	}
	return errors.Join(errs...)
}

// directoryStores makes stores in a directory.
type directoryStores struct {
	s    *scratch
	url  *url.URL
	info conformance.Info
}

func (f directoryStores) Info() conformance.Info { return f.info }

// NewStore makes the store as [conformance.Dir] does, with what seams that has, in a
// directory at the place. The rule before is done with its own.
func (f directoryStores) NewStore(ctx context.Context, env *conformance.Env) (conformance.Store, error) {
	for _, dir := range f.s.dirs {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	dir := filepath.Join(f.s.root, fmt.Sprintf("scratch-%04d", len(f.s.dirs)+1))
	f.s.dirs = append(f.s.dirs, dir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	here := *env
	here.Dir = dir
	return conformance.Dir(f.info.Name, func(ctx context.Context, dir string, opts *backend.Options) (*backend.Backend, error) {
		u, err := directoryURL(f.url, dir)
		if err != nil {
			return nil, err
		}
		return backend.OpenWith(ctx, u, opts)
	}).NewStore(ctx, &here)
}

// directoryURL is the URL u, of another directory.
func directoryURL(u *url.URL, dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: u.Scheme, Path: filepath.ToSlash(abs), RawQuery: u.RawQuery}).String(), nil
}
