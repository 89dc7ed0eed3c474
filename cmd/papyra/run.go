package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// grace is how long an interrupted command may take to clean up behind itself
// (a temporary file, a connection) before the program ends without waiting.
const grace = time.Second

// app is what the commands share: where they write and what the global flags say.
type app struct {
	out        *bufio.Writer // standard output; run flushes it
	err        io.Writer     // standard error: progress and the one line that says what failed
	store      string        // --store
	format     string        // --format
	noProgress bool          // --no-progress
	started    bool          // flags and arguments were right, and the command began
}

// run carries out one command line and returns its exit code. It returns soon
// after ctx is cancelled, also if the command hangs in a dead disk.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	done := make(chan int, 1)
	go func() { done <- execute(ctx, args, stdout, stderr) }()
	select {
	case code := <-done:
		return code
	case <-ctx.Done():
	}
	select {
	case code := <-done:
		return code
	case <-time.After(grace):
		return exitInterrupted
	}
}

// execute is run without the watch on ctx.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{out: bufio.NewWriter(stdout), err: stderr}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = &usageError{err}
	}
	if flushErr := a.out.Flush(); flushErr != nil && (err == nil || errors.Is(err, errReported)) {
		err = fmt.Errorf("writing to standard output: %w", flushErr)
	}
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) && !saysHowFar(err) {
		err = errInterrupted
	}
	if !errors.Is(err, errReported) && err != nil {
		fmt.Fprintln(stderr, "papyra: "+oneLine(err))
	}
	return exitCode(err)
}

// saysHowFar reports whether err is an interruption that says how far the command came.
func saysHowFar(err error) bool {
	return errors.Is(err, errInterrupted) && errors.As(err, new(*during))
}

// oneLine is an error as one line of printable characters: what, where, and what
// to do about it.
func oneLine(err error) string {
	msg := strings.TrimSpace(plain(err))
	msg = strings.Join(strings.FieldsFunc(msg, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	if hint := advice(err); hint != "" {
		msg += "; " + hint
	}
	return printable(msg)
}
