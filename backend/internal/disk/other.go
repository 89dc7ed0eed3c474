//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package disk

import (
	"errors"
	"os"
)

// Without a lock that ends with its process a store can't be opened for writing;
// reading works.
func flock(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }

func funlock(*os.File) error { return errors.ErrUnsupported }

const nonblock = 0

func links(os.FileInfo) uint64 { return 1 }

func inodeOf(*os.File) (inode, error) { return inode{}, errors.ErrUnsupported }
