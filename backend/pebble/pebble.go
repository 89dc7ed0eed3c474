package pebble

import (
	"context"
	"fmt"
	"net/url"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// FormatVersion is the format that this package writes, and the newest it reads.
const FormatVersion = kv.FormatVersion

// The defaults of [Options], and their bounds.
const (
	DefaultCacheBytes    = 32 << 20
	DefaultMemTableBytes = 32 << 20
	DefaultBlockBytes    = 4 << 10
	DefaultFreeBytes     = 16 << 20

	leastMemTableBytes = 256 << 10
	mostMemTableBytes  = 1 << 30
	leastBlockBytes    = 256
	mostBlockBytes     = 64 << 10
)

// Options are what [Open] takes. Nil and the zero value mean the defaults.
type Options struct {
	backend.Options
	// CacheBytes is how much of the tables' blocks is kept in memory, in bytes: 0 means
	// [DefaultCacheBytes].
	CacheBytes int64
	// MemTableBytes is how much is gathered in memory before it is written as a table, in
	// bytes, from 256 KiB to 1 GiB; up to four of them are in memory, and as much in logs,
	// which an opening after a crash reads. 0 means [DefaultMemTableBytes].
	MemTableBytes int
	// Compress has blocks of tables compressed. One wrong byte then costs all that is in
	// its block; without, the one record, mostly.
	Compress bool
	// BlockBytes is about how large a block of a table is, in bytes, from 256 to 64 KiB:
	// what is read at a time. 0 means [DefaultBlockBytes].
	BlockBytes int
	// FreeBytes is the room that appends leave on the medium, in bytes, as pebble can't do
	// without: where less is left, they are [backend.ErrNoSpace], and nothing is written.
	// 0 means [DefaultFreeBytes]; negative: they may use all of it, and an append that
	// the log then has no room for poisons the handle.
	FreeBytes int64
}

// filled returns the options with their defaults.
func (o Options) filled() (Options, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = DefaultMemTableBytes
	}
	if o.BlockBytes == 0 {
		o.BlockBytes = DefaultBlockBytes
	}
	if o.FreeBytes == 0 {
		o.FreeBytes = DefaultFreeBytes
	}
	switch {
	case o.CacheBytes < 0:
		return o, invalid(o, "Options.CacheBytes is %d: want 0 (the default, %d) or more", o.CacheBytes, DefaultCacheBytes)
	case o.MemTableBytes < leastMemTableBytes || o.MemTableBytes > mostMemTableBytes:
		return o, invalid(o, "Options.MemTableBytes is %d: want 0 (the default, %d) or %d to %d", o.MemTableBytes, DefaultMemTableBytes, leastMemTableBytes, mostMemTableBytes)
	case o.BlockBytes < leastBlockBytes || o.BlockBytes > mostBlockBytes:
		return o, invalid(o, "Options.BlockBytes is %d: want 0 (the default, %d) or %d to %d", o.BlockBytes, DefaultBlockBytes, leastBlockBytes, mostBlockBytes)
	}
	return o, nil
}

func init() {
	backend.Register("pebble", backend.Scheme{Open: openURL, Directory: directory{}})
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
	return open(ctx, placeOf(dir), o)
}

// open opens the store in a place.
func open(ctx context.Context, at place, o Options) (*backend.Backend, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	again := false
	return backend.New(ctx, func(ctx context.Context) (backend.Driver, error) {
		l, err := openStore(at, o)
		if err != nil && again {
			return readAgain(at, o), err
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
func readAgain(at place, o Options) backend.Driver {
	o.ReadOnly = true
	l, err := openStore(at, o)
	if err != nil {
		return nil
	}
	return backend.Sequenced(l)
}

func openStore(at place, o Options) (*kv.Log, error) {
	e, err := openEngine(at, o)
	if err != nil {
		return nil, openError(err)
	}
	return kv.Open(e, kv.Options{Dir: at.saves})
}

// invalid is the error for what is wrong with a call of Open.
func invalid(o Options, format string, args ...any) error {
	return &backend.OpError{Op: backend.OpOpen, Backend: o.Name, Err: fmt.Errorf("%w: "+format, append([]any{backend.ErrInvalid}, args...)...)}
}

// openURL opens pebble:///absolute/path, pebble:relative/path or pebble://./relative/path.
func openURL(ctx context.Context, u *url.URL, opts backend.Options) (*backend.Backend, error) {
	o := Options{Options: opts}
	dir, err := backend.DirectoryOf(u)
	if err != nil {
		return nil, &backend.OpError{Op: backend.OpOpen, Backend: opts.Name, Err: err}
	}
	return Open(ctx, dir, &o)
}
