//go:build linux || darwin || freebsd

package main

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// diskSpace is the space that this user may still fill, and the disk's size.
func diskSpace(dir string) (free, total uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize)
	return uint64(s.Bavail) * block, uint64(s.Blocks) * block, nil
}

// owner is who owns a file, as the end of a sentence.
func owner(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	if me := os.Geteuid(); int(s.Uid) != me {
		return fmt.Sprintf(", owned by uid %d (you are uid %d)", s.Uid, me)
	}
	return fmt.Sprintf(", owned by you (uid %d)", s.Uid)
}

// inode is a file's number on its disk; 0 if it can't be told.
func inode(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}

// writable asks whether this user may write to a directory; the disk may be read-only.
func writable(dir string) error {
	const mayWrite = 2 // W_OK
	return syscall.Access(dir, mayWrite)
}
