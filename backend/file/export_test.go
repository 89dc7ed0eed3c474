package file

import (
	"context"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// OpenOn opens a store on a disk in memory, for the tests outside of the package.
func OpenOn(ctx context.Context, f *faultfs.FS, opts *Options) (*backend.Backend, error) {
	return openWith(ctx, *opts, func(bool) (disk.FS, error) { return f, nil })
}

// Slow says the same to the tests outside of the package.
const Slow = slow
