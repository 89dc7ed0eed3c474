package file

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// Bounds of [Options.SegmentBytes].
const (
	// DefaultMinSegmentBytes and DefaultMaxSegmentBytes bound a segment where
	// SegmentBytes is zero: it is a sixteenth of the store.
	DefaultMinSegmentBytes = 4 << 20
	DefaultMaxSegmentBytes = 16 << 20

	leastSegmentBytes = 2 * headerSize
	mostSegmentBytes  = 1 << 30
)

// Options are what [Open] takes. Nil and the zero value mean the defaults.
type Options struct {
	backend.Options
	// SegmentBytes is where a segment is full and the next one begins, from 8 KiB to
	// 1 GiB; a group that is larger gets a segment to itself. Zero: a sixteenth of the
	// store, between [DefaultMinSegmentBytes] and [DefaultMaxSegmentBytes].
	SegmentBytes int64

	keepLog bool // nothing is packed but on request: for tests of the log
}

func init() {
	backend.Register("file", backend.Scheme{Keys: []string{"segment-bytes"}, Open: openURL, Directory: directory{}})
}

// Open opens the store in the directory dir, and creates it if there is none: the
// directory itself too, if its parent exists. One handle at a time may write; with
// Options.ReadOnly the store must exist, is not locked and not changed by a byte, and
// shows what was in it when it was opened.
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
	return openWith(ctx, o, func(create bool) (disk.FS, error) { return disk.OpenDir(dir, create) })
}

// invalid is the error for what is wrong with a call of Open.
func invalid(o Options, format string, args ...any) error {
	return &backend.OpError{Op: backend.OpOpen, Backend: o.Name, Err: fmt.Errorf("%w: "+format, append([]any{backend.ErrInvalid}, args...)...)}
}

// openWith opens a store in whatever directory it is given.
func openWith(ctx context.Context, o Options, dir func(create bool) (disk.FS, error)) (*backend.Backend, error) {
	if n := o.SegmentBytes; n != 0 && (n < leastSegmentBytes || n > mostSegmentBytes) {
		return nil, invalid(o, "Options.SegmentBytes is %d: want 0 (grows with the store) or %d to %d", n, leastSegmentBytes, mostSegmentBytes)
	}
	again := false
	return backend.New(ctx, func(ctx context.Context) (backend.Driver, error) {
		s, err := openStore(ctx, o, dir)
		if err != nil && again {
			return readAgain(ctx, o, dir), err
		}
		if err != nil {
			return nil, err
		}
		again = true
		return backend.Sequenced(s), nil
	}, &o.Options)
}

// readAgain opens for reading a store that could not be opened for writing again; nil if
// that fails too.
func readAgain(ctx context.Context, o Options, dir func(create bool) (disk.FS, error)) backend.Driver {
	o.ReadOnly = true
	s, err := openStore(ctx, o, dir)
	if err != nil {
		return nil
	}
	return backend.Sequenced(s)
}

// openURL opens file:///absolute/path, file:relative/path or file://./relative/path.
func openURL(ctx context.Context, u *url.URL, opts backend.Options) (*backend.Backend, error) {
	o := Options{Options: opts}
	dir, err := backend.DirectoryOf(u)
	if v := u.Query().Get("segment-bytes"); err == nil && v != "" {
		if o.SegmentBytes, err = strconv.ParseInt(v, 10, 64); err != nil {
			err = fmt.Errorf("%w: segment-bytes=%s: want a number of bytes", backend.ErrInvalid, v)
		}
	}
	if err != nil {
		return nil, &backend.OpError{Op: backend.OpOpen, Backend: opts.Name, Err: err}
	}
	return Open(ctx, dir, &o)
}
