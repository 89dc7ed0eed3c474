package conformance

import (
	"context"
	"io"
)

// MainWith is [Main] without the processes around it.
func MainWith(ctx context.Context, h Harness, args []string, stdout, stderr io.Writer, opts []Option) int {
	return mainWith(ctx, h, args, stdout, stderr, opts, func(ctx context.Context, p *Program, h Harness, w io.Writer, opts []Option) (int, error) {
		return p.judge(ctx, h, w, opts)
	})
}
