//go:build unix

package pebble

import (
	"errors"
	"os"
	"syscall"
)

// noFollow keeps opening a name from following a link, and from waiting for a pipe.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// flock takes a lock without waiting; free is false if another handle, here or in another
// process, is in the way.
func flock(f *os.File, exclusive bool) (free bool, err error) {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, os.NewSyscallError("flock", err)
		}
	}
}
