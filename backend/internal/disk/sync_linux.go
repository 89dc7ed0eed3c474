package disk

import (
	"errors"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// datasync is fdatasync: it leaves out the times, and so the journal, where the
// size does not change. An interrupted one is begun again; any other error is final.
func datasync(f *file) error {
	defer runtime.KeepAlive(f)
	for {
		err := syscall.Fdatasync(int(f.fd))
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}

// Forget asks the kernel to drop a file's clean pages, as [File] says. Those that a failed sync could not
// write are among them: ext4 takes them for clean, shows them, and does not convert the
// extents below them when they are written again (measured on Linux 6.18).
func Forget(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // advice: nothing depends on it but a disk that fails
}
