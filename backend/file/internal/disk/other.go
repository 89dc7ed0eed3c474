//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package disk

import (
	"errors"
	"os"
)

// Without a lock that ends with its process a store can't be opened for writing;
// reading works.
func flock(*os.File) (bool, error) { return false, errors.ErrUnsupported }

func inodeOf(*os.File) (inode, error) { return inode{}, errors.ErrUnsupported }
