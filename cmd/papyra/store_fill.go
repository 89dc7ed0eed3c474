package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/papyra-go/papyra/backend"
)

// placeOf parses a store's URL that another flag than --store has given.
func (a *app) placeOf(url, flag string) (place, error) {
	if url == "" {
		return place{}, usagef("no store: say which with %s URL, such as %s file:///var/lib/app", flag, flag)
	}
	b := *a
	b.store = url
	return b.place()
}

// openToFill opens the store to put records in, and makes it if it is not there: made
// says so. The caller closes it.
func (p place) openToFill(ctx context.Context) (b *backend.Backend, made bool, err error) {
	made = p.vacant()
	b, err = backend.OpenWith(ctx, p.url.String(), nil)
	if err != nil {
		return nil, false, &openError{p, err}
	}
	return b, made, nil
}

// vacant reports whether nothing is there yet, as far as that can be seen from outside.
func (p place) vacant() bool {
	if p.dir() == "" {
		return false
	}
	entries, err := os.ReadDir(p.dir())
	return errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0
}
