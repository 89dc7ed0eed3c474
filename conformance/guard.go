package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// errGoexit is what a goroutine leaves that ended without a panic and without returning.
var errGoexit = errors.New("the backend or the harness ended the goroutine that called it, as runtime.Goexit and t.FailNow do")

// panicked is a panic of the backend or the harness as an error. Where it was stands in the
// dump of the result, not in the text.
type panicked struct {
	value any
	stack string
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// stackOf is where the panic was that err comes from; empty if it does not come from one.
func stackOf(err error) string {
	var p *panicked
	if errors.As(err, &p) {
		return p.stack
	}
	return ""
}

// guarded calls f; a panic in it is its error.
func guarded(f func() error) (err error) {
	err = errGoexit
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, string(debug.Stack())}
		}
	}()
	err = f()
	return err
}

// watched calls f, which is the harness's, in a goroutine of its own, and waits for it no
// longer than the budget, and not beyond the end of the context.
func watched[T any](ctx context.Context, budget time.Duration, f func() (T, error)) (got T, err error) {
	type answer struct {
		got T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		a := answer{err: errGoexit}
		defer func() { done <- a }()
		a.err = guarded(func() (err error) {
			a.got, err = f()
			return err
		})
	}()
	timer := time.NewTimer(budget)
	defer timer.Stop()
	select {
	case a := <-done:
		return a.got, a.err
	case <-timer.C:
		return got, fmt.Errorf("it has not returned within %v", budget)
	case <-ctx.Done():
		return got, context.Cause(ctx)
	}
}
