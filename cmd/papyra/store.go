package main

import (
	"context"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// place is where a store is: a URL that was parsed and whose scheme is known.
type place struct{ url *url.URL }

// String is the place for people and reports: the URL without user, password and
// query, which may hold secrets.
func (p place) String() string {
	u := url.URL{Scheme: p.url.Scheme, Host: p.url.Host, Path: p.url.Path, Opaque: p.url.Opaque}
	s := u.String()
	if u.Host == "" && u.Path == "" && u.Opaque == "" {
		s = u.Scheme + "://"
	}
	return printable(s)
}

// place parses --store.
func (a *app) place() (place, error) {
	if a.store == "" {
		return place{}, usagef("no store: say which with --store URL, such as --store file:///var/lib/app, or set PAPYRA_STORE")
	}
	u, err := url.Parse(a.store)
	switch {
	case err != nil:
		return place{}, usagef("the store's URL can't be parsed: want scheme://place, such as file:///var/lib/app")
	case u.Scheme == "":
		return place{}, usagef("the store's URL has no scheme: want scheme://place, such as %s", likely(u.Path))
	case !slices.Contains(backend.Schemes(), u.Scheme):
		return place{}, usagef("no engine for %s:// URLs: this papyra has %s", show(u.Scheme), strings.Join(backend.Schemes(), ", "))
	}
	return place{u}, nil
}

// likely is the URL that someone who gave a bare path probably meant.
func likely(path string) string {
	abs, err := filepath.Abs(path)
	if path == "" || err != nil {
		return "file:///var/lib/app"
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String()
}

// open opens the store to be read, damaged or not, and never creates or changes
// one. The caller closes it.
func (a *app) open(ctx context.Context) (*backend.Backend, place, error) {
	p, err := a.place()
	if err != nil {
		return nil, p, err
	}
	b, err := p.open(ctx)
	return b, p, err
}

func (p place) open(ctx context.Context) (*backend.Backend, error) {
	return p.openWith(ctx, p.bare(), &backend.Options{ReadOnly: true, Startup: ignoring})
}

// ignoring is how every command opens: a damaged store is what they are there for.
var ignoring = backend.Startup{Mode: backend.IgnoreAnomalies}

// openToChange opens a store for writing, damaged or not. Whoever calls it has opened
// the store to be read before: that never creates one.
func (p place) openToChange(ctx context.Context) (*backend.Backend, error) {
	return p.openWith(ctx, p.bare(), &backend.Options{Startup: ignoring})
}

func (p place) openWith(ctx context.Context, url string, opts *backend.Options) (*backend.Backend, error) {
	if err := p.missing(); err != nil {
		return nil, &openError{p, err}
	}
	b, err := backend.OpenWith(ctx, url, opts)
	if err != nil {
		return nil, &openError{p, err}
	}
	return b, nil
}

// bare is the URL without what says how to open and what to check. An operator hands us
// the URL from an application's configuration: its readonly, startup and startup-full are
// meant for the application, and would go before the options here. Values that are no
// values stay, to be refused by Open.
func (p place) bare() string {
	query, err := url.ParseQuery(p.url.RawQuery)
	if err != nil {
		return p.url.String()
	}
	for _, key := range []string{"readonly", "startup-full"} {
		if v := query[key]; len(v) == 1 && (v[0] == "true" || v[0] == "false") {
			query.Del(key)
		}
	}
	if v := query["startup"]; len(v) == 1 {
		if _, err := backend.ParseStartupMode(v[0]); err == nil {
			query.Del("startup")
		}
	}
	u := *p.url
	u.RawQuery = query.Encode()
	return u.String()
}
