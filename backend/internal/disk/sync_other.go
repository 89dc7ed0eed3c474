//go:build !linux

package disk

import "os"

// datasync is Sync; on darwin that is F_FULLFSYNC.
func datasync(f *file) error { return f.Sync() }

// Forget does nothing: there is no such advice.
func Forget(*os.File) {}
