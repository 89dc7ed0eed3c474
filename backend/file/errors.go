package file

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// noSpace reports whether err says that the disk, the quota or the largest file is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// refused reports whether the operating system does not let this process have a file, which
// may be sound.
func refused(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// openError wraps what the operating system said while a store was opened.
func openError(what string, err error) error {
	if err == nil || sentinel(err) {
		return err
	}
	var held *disk.HeldError
	var odd *disk.OddFileError
	switch {
	case errors.As(err, &held):
		return fmt.Errorf("%w: the store is %v", backend.ErrLocked, held)
	case errors.As(err, &odd):
		return fmt.Errorf("%w: %s: %w", backend.ErrFormat, what, err)
	case noSpace(err):
		return fmt.Errorf("%w: %s: %w", backend.ErrNoSpace, what, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %s: %w: look at the owner and the mode; a store that may be read and not written is opened read-only", backend.ErrUnavailable, what, err)
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("%w: %s: %w", backend.ErrUnsupported, what, err)
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w: %s: %w", backend.ErrCorrupt, what, err)
	}
	return fmt.Errorf("%w: %s: %w", backend.ErrUnavailable, what, err)
}

var sentinels = []error{
	backend.ErrInvalid, backend.ErrUnsupported, backend.ErrLocked, backend.ErrFormat, backend.ErrNoSpace,
	backend.ErrPoisoned, backend.ErrUnknownOutcome, backend.ErrCorrupt, backend.ErrClosed, backend.ErrUnavailable,
}

// sentinel reports whether err wraps one already.
func sentinel(err error) bool {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// lockError wraps an error of the medium met while locking: no byte of the store is at
// stake in LOCK.
func lockError(err error) error {
	if errors.Is(err, syscall.EIO) {
		return fmt.Errorf("%w: lock the store: %w", backend.ErrUnavailable, err)
	}
	return err
}

// oddFile reports whether err says that something else stands where a file should.
func oddFile(err error) bool {
	var odd *disk.OddFileError
	return errors.As(err, &odd)
}

// unreadable is an error of the medium, at its place: an unread byte may be anything.
func unreadable(name string, off int64, err error) error {
	return &backend.CorruptError{File: name, Offset: off, Detail: fmt.Sprintf("can't be read: %v", err)}
}
