//go:build !linux

package main

import (
	"io/fs"
	"os"
)

func fdatasync(f *os.File) error { return f.Sync() }

func settle() {}

func onDisk(info fs.FileInfo) int64 { return info.Size() }

func inMemory(string) bool { return false }
