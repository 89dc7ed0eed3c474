package conformance

import (
	"context"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// sentinel is an error that a program compares with.
type sentinel struct {
	name string // in Go
	err  error
}

// sentinels are all that package backend names, and what a context ends with.
var sentinels = []sentinel{
	{"backend.ErrInvalid", backend.ErrInvalid},
	{"backend.ErrTooLarge", backend.ErrTooLarge},
	{"backend.ErrUnsupported", backend.ErrUnsupported},
	{"backend.ErrClosed", backend.ErrClosed},
	{"backend.ErrLocked", backend.ErrLocked},
	{"backend.ErrUnavailable", backend.ErrUnavailable},
	{"backend.ErrFormat", backend.ErrFormat},
	{"backend.ErrConflict", backend.ErrConflict},
	{"backend.ErrFenced", backend.ErrFenced},
	{"backend.ErrOwned", backend.ErrOwned},
	{"backend.ErrNoSpace", backend.ErrNoSpace},
	{"backend.ErrPoisoned", backend.ErrPoisoned},
	{"backend.ErrUnknownOutcome", backend.ErrUnknownOutcome},
	{"backend.ErrNotFound", backend.ErrNotFound},
	{"backend.ErrCompacted", backend.ErrCompacted},
	{"backend.ErrCorrupt", backend.ErrCorrupt},
	{"context.Canceled", context.Canceled},
	{"context.DeadlineExceeded", context.DeadlineExceeded},
}

// goName is an error by its name in Go and its text: backend.ErrConflict ("version conflict").
func goName(err error) string {
	for _, s := range sentinels {
		if s.err == err {
			return fmt.Sprintf("%s (%q)", s.name, err)
		}
	}
	return fmt.Sprintf("%q", err)
}
