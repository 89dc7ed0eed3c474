package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// asking is how a command that changes a store has a person agree to it.
type asking struct {
	yes bool      // --yes: agreed beforehand
	in  io.Reader // where the answer comes from
}

// check refuses, before anything is done, a command line that nobody could agree to.
// instead is the flag that only looks.
func (a *app) check(q asking, instead string) error {
	switch {
	case q.yes:
		return nil
	case a.format == formatJSON:
		return usagef("with --format json nothing is asked: add --yes to change the store, or %s to see what would be done", instead)
	case !q.person():
		return usagef("standard input is no terminal, so nobody can be asked: add --yes to change the store, or %s to see what would be done", instead)
	}
	return nil
}

// person reports whether someone sits there to answer.
func (q asking) person() bool {
	f, ok := q.in.(*os.File)
	return !ok || term.IsTerminal(int(f.Fd()))
}

// agreed asks, on standard error, and reports whether the answer is yes. What was printed
// so far is shown first.
func (a *app) agreed(ctx context.Context, q asking, question string) (bool, error) {
	if q.yes {
		return true, nil
	}
	if err := a.out.Flush(); err != nil {
		return false, err
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	line, err := bufio.NewReader(q.in).ReadString('\n')
	if cause := context.Cause(ctx); cause != nil {
		return false, cause
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}
