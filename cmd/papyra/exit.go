package main

import (
	"errors"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// The exit codes, the same for every command. They are part of the interface:
// docs/cli.md promises them.
const (
	exitOK          = 0
	exitFailed      = 1   // the operation failed
	exitAnomalies   = 2   // anomalies were found, or are left
	exitUnreachable = 3   // the store is locked, missing or can't be reached
	exitUsage       = 64  // wrong flags, arguments or URL
	exitInterrupted = 130 // SIGINT or SIGTERM
)

var (
	// errInterrupted: a signal asked the program to end.
	errInterrupted = errors.New("interrupted")
	// errReported goes with an error whose whole story is on standard output.
	errReported = errors.New("reported")
)

// usageError is a command line that can't be carried out as it stands.
type usageError struct{ err error }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

func (e *usageError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *usageError) Unwrap() error { return e.err }

// openError is a store that could not be opened.
type openError struct {
	place place
	err   error
}

func (e *openError) Error() string {
	return fmt.Sprintf("can't open %s: %s", e.place, plain(e.err))
}

// Unwrap returns the cause.
func (e *openError) Unwrap() error { return e.err }

// during is an error with what was going on when it came.
type during struct {
	what string
	err  error
}

func (e *during) Error() string { return e.what + ": " + plain(e.err) }

// Unwrap returns the cause.
func (e *during) Unwrap() error { return e.err }

// hinted is an error with what to do about it, where that depends on more than what
// sort of error it is.
type hinted struct {
	hint string
	err  error
}

func (e *hinted) Error() string { return plain(e.err) }

// Unwrap returns the cause.
func (e *hinted) Unwrap() error { return e.err }

// hint adds what to do about err, if it wraps a sentinel. Nil stays nil.
func hint(err, sentinel error, what string) error {
	if errors.Is(err, sentinel) {
		return &hinted{what, err}
	}
	return err
}

// coded is an error with an exit code that its cause does not tell.
type coded struct {
	code int
	err  error
}

func (e *coded) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *coded) Unwrap() error { return e.err }

// plain is err's message without the "backend …: open:" of an OpError, which says
// again what the command line said.
func plain(err error) string {
	if oe, ok := err.(*backend.OpError); ok {
		return plain(oe.Err)
	}
	return err.Error()
}

// outcomes says, in the order in which they are tried, what an error that wraps
// a sentinel is called in JSON and which code it exits with.
var outcomes = []struct {
	is   error
	word string
	code int
}{
	{errInterrupted, "interrupted", exitInterrupted},
	{backend.ErrUnavailable, "unreachable", exitUnreachable},
	{backend.ErrInvalid, "usage", exitUsage},
	{backend.ErrLocked, "locked", exitUnreachable},
	{backend.ErrCorrupt, "corrupt", exitAnomalies},
	{backend.ErrFormat, "format", exitFailed},
	{backend.ErrUnsupported, "unsupported", exitFailed},
	{backend.ErrNoSpace, "no-space", exitFailed},
	{backend.ErrCompacted, "compacted", exitFailed},
	{backend.ErrNotFound, "not-found", exitFailed},
}

// outcome is the word and the exit code for err.
func outcome(err error) (word string, code int) {
	var withCode *coded
	var usage *usageError
	switch {
	case err == nil:
		return "ok", exitOK
	case errors.As(err, &withCode):
		return "failed", withCode.code
	case errors.As(err, &usage):
		return "usage", exitUsage
	}
	opening := (*openError)(nil)
	for _, o := range outcomes {
		if errors.Is(err, o.is) {
			return o.word, o.code
		}
	}
	if errors.As(err, &opening) {
		return "unreachable", exitUnreachable
	}
	return "failed", exitFailed
}

func exitCode(err error) int {
	_, code := outcome(err)
	return code
}

// keepAndRestore is what is left to do about a store that is too damaged to be opened.
const keepAndRestore = "keep a copy of the whole store before anything else, add or delete no file by hand, and restore a backup: this version can't repair a store that does not open"

// advice is what to do about err, if the message does not say.
func advice(err error) string {
	word, _ := outcome(err)
	var own *hinted
	var opening *openError
	switch {
	case errors.As(err, &own):
		return own.hint
	case word == "corrupt" && errors.As(err, &opening):
		return keepAndRestore
	}
	switch word {
	case "locked":
		return "end the process that holds it, or ask that process"
	case "corrupt":
		return "papyra scan says what is damaged or was given up; papyra export --skip-damage gets out the rest"
	case "format":
		return "check the path; papyra doctor says more"
	case "unreachable":
		return "check the path, its permissions and the disk; papyra doctor says more"
	case "no-space":
		return "free some space on the disk and try again"
	case "compacted":
		return "leave --from out to begin at the first that is left"
	case "usage":
		return "see papyra --help"
	}
	return ""
}
