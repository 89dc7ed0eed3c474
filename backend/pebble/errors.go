package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

var sentinels = []error{
	backend.ErrInvalid, backend.ErrUnsupported, backend.ErrLocked, backend.ErrFormat, backend.ErrNoSpace,
	backend.ErrPoisoned, backend.ErrUnknownOutcome, backend.ErrCorrupt, backend.ErrClosed, backend.ErrUnavailable,
}

func known(err error) bool {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// refused reports whether the operating system does not let this process have a file, which
// may be sound.
func refused(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// dbError wraps what pebble or the operating system says.
func dbError(what string, err error) error {
	switch {
	case err == nil || known(err):
		return err
	case pebble.IsCorruptionError(err):
		return corrupt(err)
	case kv.NoSpace(err):
		return fmt.Errorf("%w: %s: %w", backend.ErrNoSpace, what, err)
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w: %s: %w", backend.ErrCorrupt, what, err)
	}
	return fmt.Errorf("%w: %s: %w", backend.ErrUnavailable, what, err)
}

// openError wraps what was said while a store was opened.
func openError(err error) error {
	switch {
	case err == nil || known(err) || pebble.IsCorruptionError(err) || kv.NoSpace(err) || errors.Is(err, syscall.EIO):
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: open the store: %w: look at the owner and the mode; a store that may be read and not written is opened read-only", backend.ErrUnavailable, err)
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: not a papyra store: %w", backend.ErrFormat, err)
	}
	return dbError("open the store", err)
}

// placed finds the place in what pebble says of damage.
var placed = regexp.MustCompile(`(?:file|table|sstable|block file) (?:fileNum:)?(\d+)|(\d{6,}\.sst)`)

var placedBlock = regexp.MustCompile(`block (?:num )?(\d+)/(\d+)`)

// corrupt is what pebble says of damage, with its place.
func corrupt(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	ce := &backend.CorruptError{File: dbName, Offset: -1, Detail: text}
	if m := placed.FindStringSubmatch(ce.Detail); m != nil && m[2] != "" {
		ce.File = path.Join(dbName, m[2])
	} else if m != nil {
		n, _ := strconv.Atoi(m[1])
		ce.File = path.Join(dbName, fmt.Sprintf("%06d.sst", n))
	}
	if m := placedBlock.FindStringSubmatch(ce.Detail); m != nil {
		ce.Offset, _ = strconv.ParseInt(m[1], 10, 64)
		ce.Length, _ = strconv.ParseInt(m[2], 10, 64)
	}
	return ce
}
