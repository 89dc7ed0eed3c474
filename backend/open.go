package backend

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Scheme is how a driver package takes part in [Open]: it registers itself from an
// init function under the first word of its URLs.
type Scheme struct {
	// Keys are the query keys that Open understands beyond those that every backend
	// has (name, readonly, startup, startup-full, write-timeout).
	Keys []string
	// Open opens the store that u names. opts holds what the common query keys said;
	// u holds only keys that are in Keys.
	Open func(ctx context.Context, u *url.URL, opts Options) (*Backend, error)
	// Directory is of engines that keep each store in a directory, which [DirectoryOf] its
	// URL names; nil: this one does not.
	Directory Directory
}

var schemes = struct {
	sync.Mutex
	m map[string]Scheme
}{m: map[string]Scheme{}}

// Register makes Open know a scheme. It panics if the name is taken: that is two
// packages in one program, seen at its first start.
func Register(name string, s Scheme) {
	schemes.Lock()
	defer schemes.Unlock()
	if _, taken := schemes.m[name]; taken || s.Open == nil {
		panic(fmt.Sprintf("backend: scheme %q is registered twice, or without Open", name))
	}
	schemes.m[name] = s
}

// Schemes returns the registered schemes, sorted.
func Schemes() []string {
	schemes.Lock()
	defer schemes.Unlock()
	var names []string
	for name := range schemes.m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var commonKeys = []string{"name", "readonly", "startup", "startup-full", "write-timeout"}

// Open opens the store that a URL names, such as "file:///var/lib/app", with any
// engine whose package the program imports:
//
//	import _ "github.com/papyra-go/papyra/backend/file"
//
// Every engine takes the query keys name (see [Options.Name]), readonly (true or
// false), startup (fail-on-anomaly, ignore, scan-only or recover), startup-full (true
// or false: see [Startup.Full]) and write-timeout (such as 30s); its package says which
// others. An unknown scheme or key is [ErrInvalid].
func Open(ctx context.Context, rawURL string) (*Backend, error) {
	return OpenWith(ctx, rawURL, nil)
}

// OpenWith is [Open] with options that a URL can't say. What the URL says goes
// before opts, but it can't make a read-only handle a writing one.
func OpenWith(ctx context.Context, rawURL string, opts *Options) (*Backend, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	fail := func(err error) (*Backend, error) {
		return nil, &OpError{Op: OpOpen, Backend: o.Name, Err: err}
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return fail(fmt.Errorf("%w: the store's URL can't be parsed (want scheme://place, such as file:///var/lib/app)", ErrInvalid))
	}
	if u.Scheme == "" {
		return fail(fmt.Errorf("%w: the store's URL has no scheme: want scheme://place, such as file:///var/lib/app", ErrInvalid))
	}
	schemes.Lock()
	s, known := schemes.m[u.Scheme]
	schemes.Unlock()
	if !known {
		return fail(fmt.Errorf("%w: no engine for %s:// URLs in this program (it has: %s); %s", ErrInvalid, u.Scheme, strings.Join(Schemes(), ", "), hint(u.Scheme)))
	}
	if err := common(u, &o, s.Keys); err != nil {
		return fail(err)
	}
	return s.Open(ctx, u, o)
}

// hint says what to import for the schemes of papyra's own engines.
func hint(scheme string) string {
	switch scheme {
	case "memory", "file", "bolt", "pebble":
		return fmt.Sprintf("import _ %q", "github.com/papyra-go/papyra/backend/"+scheme)
	}
	return "import the package that registers it"
}

// common takes the common keys out of u's query and refuses unknown ones.
func common(u *url.URL, o *Options, own []string) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("%w: the store URL's query can't be parsed (want key=value&key=value)", ErrInvalid)
	}
	for key, values := range query {
		if !slices.Contains(commonKeys, key) && !slices.Contains(own, key) {
			keys := slices.Concat(commonKeys, own)
			slices.Sort(keys)
			return fmt.Errorf("%w: %s:// URLs have no query key %q (they have: %s)", ErrInvalid, u.Scheme, key, strings.Join(keys, ", "))
		}
		if len(values) > 1 {
			return fmt.Errorf("%w: the query key %q stands twice", ErrInvalid, key)
		}
		if err := commonKey(o, key, values[0]); err != nil {
			return err
		}
	}
	for _, key := range commonKeys {
		query.Del(key)
	}
	u.RawQuery = query.Encode()
	return nil
}

func commonKey(o *Options, key, value string) (err error) {
	switch key {
	case "name":
		o.Name = value
	case "readonly":
		var only bool
		only, err = trueOrFalse(key, value)
		o.ReadOnly = o.ReadOnly || only
	case "startup":
		o.Startup.Mode, err = ParseStartupMode(value)
	case "startup-full":
		o.Startup.Full, err = trueOrFalse(key, value)
	case "write-timeout":
		o.WriteTimeout, err = time.ParseDuration(value)
		if err != nil || o.WriteTimeout <= 0 {
			err = fmt.Errorf("%w: write-timeout=%s: want a duration above zero, such as 30s", ErrInvalid, value)
		}
	}
	return err
}

func trueOrFalse(key, value string) (bool, error) {
	if value != "true" && value != "false" {
		return false, fmt.Errorf("%w: %s=%s: want true or false", ErrInvalid, key, value)
	}
	return value == "true", nil
}
