package main

import (
	"io/fs"
	"os"
	"syscall"
)

func fdatasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// settle writes out what earlier runs left in the page cache, so that no engine's syncs
// pay for another's writes.
func settle() { syscall.Sync() }

// onDisk is what a file takes on the disk: holes do not count, laid-ahead blocks do.
func onDisk(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// inMemory reports whether a directory is on a file system without a disk.
func inMemory(dir string) bool {
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) == nil && st.Type == 0x01021994 // tmpfs
}
