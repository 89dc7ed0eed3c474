package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	bberrors "go.etcd.io/bbolt/errors"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

var sentinels = []error{
	backend.ErrInvalid, backend.ErrUnsupported, backend.ErrLocked, backend.ErrFormat, backend.ErrNoSpace,
	backend.ErrPoisoned, backend.ErrUnknownOutcome, backend.ErrCorrupt, backend.ErrClosed, backend.ErrUnavailable,
}

// openError wraps what the operating system or bbolt said while a store was opened.
func openError(dir string, err error) error {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return err
		}
	}
	var held *disk.HeldError
	var odd *disk.OddFileError
	switch {
	case errors.As(err, &held):
		return fmt.Errorf("%w: the store is %v", backend.ErrLocked, held)
	case errors.As(err, &odd):
		return fmt.Errorf("%w: not a papyra store: %w", backend.ErrFormat, err)
	case noSpace(err):
		return fmt.Errorf("%w: open the store: %w", backend.ErrNoSpace, err)
	case errors.Is(err, bberrors.ErrTimeout):
		return fmt.Errorf("%w: the store is open in another handle%s", backend.ErrLocked, holderOf(dir))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: open the store: %w: look at the owner and the mode; a store that may be read and not written is opened read-only", backend.ErrUnavailable, err)
	case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: not a papyra store: %w", backend.ErrFormat, err)
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w: open the store: %w", backend.ErrCorrupt, err)
	}
	return fmt.Errorf("%w: open the store: %w", backend.ErrUnavailable, err)
}

// noSpace reports whether err says that the disk, the quota or the largest file is full.
// bbolt keeps only the words of what the operating system says when a file can't grow.
func noSpace(err error) bool {
	if kv.NoSpace(err) {
		return true
	}
	for _, e := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if strings.HasSuffix(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}

// syncFailed reports whether a commit that failed with err failed to sync: bbolt says so
// without a path, or in words.
func syncFailed(err error) bool {
	var path *fs.PathError
	return !errors.As(err, &path) && !strings.HasPrefix(err.Error(), "file resize error")
}
