package bolt

import (
	"os"

	"golang.org/x/sys/unix"
)

// forget drops what the operating system keeps of a file in memory: after a sync that failed
// it may not be what is on the disk. It is advice, and may come to nothing.
func forget(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
