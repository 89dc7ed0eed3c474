package bolt

import (
	"context"
	"fmt"
	"net/url"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// FormatVersion is the format that this package writes, and the newest it reads.
const FormatVersion = kv.FormatVersion

// FileName is the name of bbolt's file in a store's directory.
const FileName = "store.db"

// Bounds of [Options.PageBytes].
const (
	leastPageBytes = 1 << 10
	mostPageBytes  = 64 << 10
)

// Options are what [Open] takes. Nil and the zero value mean the defaults.
type Options struct {
	backend.Options
	// PageBytes is the size of the pages of a store that is created: a power of two from
	// 1 KiB to 64 KiB. A store keeps the size that it was created with. Zero: that of the
	// operating system, mostly 4 KiB.
	PageBytes int
}

func init() {
	backend.Register("bolt", backend.Scheme{Open: openURL, Directory: directory{}})
}

// Open opens the store in the directory dir, and creates it if there is none: the directory
// itself too, if its parent exists. One handle at a time may write, and none may read
// meanwhile; with Options.ReadOnly any number may read. A read-only open changes nothing,
// and needs no LOCK.
//
// Errors: [backend.ErrLocked]; [backend.ErrFormat] if the directory holds something
// else, or a newer format; [backend.ErrCorrupt] if the store is damaged, see
// [backend.Options.Startup]; [backend.ErrNoSpace]; [backend.ErrInvalid] if the options
// are wrong; [backend.ErrUnavailable] if the operating system does not let this process
// have the directory.
func Open(ctx context.Context, dir string, opts *Options) (*backend.Backend, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if dir == "" {
		return nil, invalid(o, "the directory's name is empty")
	}
	if n := o.PageBytes; n != 0 && (n < leastPageBytes || n > mostPageBytes || n&(n-1) != 0) {
		return nil, invalid(o, "Options.PageBytes is %d: want 0 (the operating system's) or a power of two from %d to %d", n, leastPageBytes, mostPageBytes)
	}
	again := false
	return backend.New(ctx, func(ctx context.Context) (backend.Driver, error) {
		l, err := openStore(dir, o)
		if err != nil && again {
			return readAgain(dir, o), err
		}
		if err != nil {
			return nil, err
		}
		again = true
		return backend.Sequenced(l), nil
	}, &o.Options)
}

// readAgain opens for reading a store that could not be opened for writing again; nil if
// that fails too.
func readAgain(dir string, o Options) backend.Driver {
	o.ReadOnly = true
	l, err := openStore(dir, o)
	if err != nil {
		return nil
	}
	return backend.Sequenced(l)
}

func openStore(dir string, o Options) (*kv.Log, error) {
	e, err := openEngine(dir, o)
	if err != nil {
		return nil, openError(dir, err)
	}
	return kv.Open(e, kv.Options{Dir: dir})
}

// invalid is the error for what is wrong with a call of Open.
func invalid(o Options, format string, args ...any) error {
	return &backend.OpError{Op: backend.OpOpen, Backend: o.Name, Err: fmt.Errorf("%w: "+format, append([]any{backend.ErrInvalid}, args...)...)}
}

// openURL opens bolt:///absolute/path, bolt:relative/path or bolt://./relative/path.
func openURL(ctx context.Context, u *url.URL, opts backend.Options) (*backend.Backend, error) {
	o := Options{Options: opts}
	dir, err := backend.DirectoryOf(u)
	if err != nil {
		return nil, &backend.OpError{Op: backend.OpOpen, Backend: opts.Name, Err: err}
	}
	return Open(ctx, dir, &o)
}
