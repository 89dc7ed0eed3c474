package kv

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/papyra-go/papyra/backend"
)

// NoSpace reports whether err says that the disk, the quota or the largest file is full.
func NoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

func saveError(err error) error {
	if NoSpace(err) {
		return fmt.Errorf("%w: %w", backend.ErrNoSpace, err)
	}
	return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
}
