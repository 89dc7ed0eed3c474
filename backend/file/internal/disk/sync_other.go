//go:build !linux

package disk

// datasync is Sync; on darwin that is F_FULLFSYNC.
func datasync(f *file) error { return f.Sync() }

// forget does nothing: there is no such advice.
func forget(*file) {}
