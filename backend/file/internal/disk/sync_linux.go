package disk

import (
	"errors"
	"os"
	"runtime"
	"syscall"
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
