package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
)

func TestEachErrorHasItsExitCode(t *testing.T) {
	opening := func(err error) error { return &openError{place{}, &backend.OpError{Op: backend.OpOpen, Err: err}} }
	denied := &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}
	for _, c := range []struct {
		name string
		err  error
		code int
	}{
		{"none", nil, exitOK},
		{"anything", errors.New("x"), exitFailed},
		{"a flag", usagef("x"), exitUsage},
		{"a bad argument that the store refuses", fmt.Errorf("%w: x", backend.ErrInvalid), exitUsage},
		{"a bad URL", opening(backend.ErrInvalid), exitUsage},
		{"a refused directory", opening(fmt.Errorf("%w: %w", backend.ErrUnavailable, denied)), exitUnreachable},
		{"no network", opening(errors.New("connection refused")), exitUnreachable},
		{"locked", opening(backend.ErrLocked), exitUnreachable},
		{"locked later", backend.ErrLocked, exitUnreachable},
		{"foreign", opening(backend.ErrFormat), exitFailed},
		{"damaged manifest", opening(&backend.CorruptError{}), exitAnomalies},
		{"damaged record", &backend.CorruptError{}, exitAnomalies},
		{"compacted", backend.ErrCompacted, exitFailed},
		{"findings", &coded{exitAnomalies, errReported}, exitAnomalies},
		{"interrupted", fmt.Errorf("x: %w", errInterrupted), exitInterrupted},
	} {
		if got := exitCode(c.err); got != c.code {
			t.Errorf("%s: exit code %d, want %d", c.name, got, c.code)
		}
	}
}

// fullDisk is where standard output goes when there is no room for it.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestOutputThatCanNotBeWrittenIsAFailure(t *testing.T) {
	for _, args := range []string{"version", "scan --store fixture://damaged", "inspect streams --store fixture://many", "export --store fixture://many"} {
		var stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), fullDisk{}, &stderr); code != exitFailed {
			t.Errorf("%s: exit code %d, want %d", args, code, exitFailed)
		}
		if !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%s: says %q", args, stderr.String())
		}
	}
}

func TestAnInterruptGoesBeforeOtherErrors(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errInterrupted)
	if code := run(ctx, strings.Fields("scan --store fixture://plain"), io.Discard, io.Discard); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
}

func TestAnInterruptIsToldWhereNothingAnswers(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(100*time.Millisecond, func() { cancel(errInterrupted) })
	var stderr bytes.Buffer
	if code := run(ctx, strings.Fields("scan --store fixture://hung"), io.Discard, &stderr); code != exitInterrupted || stderr.String() != "papyra: interrupted\n" {
		t.Errorf("exit code %d, want %d; says %q", code, exitInterrupted, stderr.String())
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	for _, c := range allCommands() {
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		var out bytes.Buffer
		if code := run(t.Context(), args, &out, io.Discard); code != exitOK {
			t.Errorf("%s --help: exit code %d", c.CommandPath(), code)
		}
		if !strings.Contains(out.String(), "Examples:\n  papyra") && !strings.Contains(out.String(), "Examples:\n  PAPYRA") {
			t.Errorf("%s --help has no example:\n%s", c.CommandPath(), out.String())
		}
	}
}

func TestADirectoryIsTakenFromAFileURL(t *testing.T) {
	for raw, want := range map[string]string{
		"file:///var/lib/app":          "/var/lib/app",
		"file://localhost/var/lib/app": "/var/lib/app",
		"file:///with%20space?x=y":     "/with space",
		"file:rel/app":                 "rel/app",
		"file://./rel":                 "./rel",
		"file://../rel":                "../rel",
		"file://host/rel":              "",
		"memory://x":                   "",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := (place{u}).dir(); got != filepath.FromSlash(want) {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}
