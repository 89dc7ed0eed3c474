package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// grace is how long an interrupted command may take to clean up behind itself
// (a temporary file, a connection) before the program ends without waiting.
const grace = time.Second

// app is what the commands share: where they write and what the global flags say.
type app struct {
	stdout     io.Writer     // standard output, for what has to know whether it is a terminal
	out        *bufio.Writer // standard output; run flushes it
	err        io.Writer     // standard error: progress and the one line that says what failed
	store      string        // --store
	format     string        // --format
	color      string        // --color
	colored    bool          // what goes to out has colours
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
		fmt.Fprintln(stderr, "papyra: "+oneLine(errInterrupted))
		return exitInterrupted
	}
}

// execute is run without the watch on ctx.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, out: bufio.NewWriter(stdout), err: stderr}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(stderr)
	c, err := root.ExecuteContextC(ctx)
	if err != nil && !a.started {
		err = &usageError{err}
	}
	if flushErr := a.out.Flush(); flushErr != nil && (err == nil || errors.Is(err, errReported) || errors.Is(err, flushErr)) {
		err = &hinted{"what was printed is not whole", fmt.Errorf("writing to standard output: %w", flushErr)}
	}
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) && !saysHowFar(err) {
		err = errInterrupted
	}
	if word, _ := outcome(err); word == "usage" {
		err = pointing(err, c)
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

// pointing is a wrong use of a command with where the right use is said, unless it has
// a hint of its own.
func pointing(err error, c *cobra.Command) error {
	if own := (*hinted)(nil); errors.As(err, &own) {
		return err
	}
	return &hinted{"see " + c.CommandPath() + " --help", err}
}

// oneLine is an error as one line of printable characters: what, where, and what
// to do about it.
func oneLine(err error) string {
	msg := strings.TrimSpace(plain(err))
	msg = strings.Join(strings.FieldsFunc(msg, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	if hint := advice(err); hint != "" && !strings.HasSuffix(msg, "?") { // it asks: did you mean …?
		msg += "; " + hint
	}
	return printable(msg)
}
