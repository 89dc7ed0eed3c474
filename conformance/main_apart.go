package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// handOverVariable names, to the process that judges the rules, the directory in which it
// hands over its report. See [Main].
const handOverVariable = "PAPYRA_CONFORMANCE_HAND_OVER"

// What is handed over, in files. The code comes last and makes the report whole.
const (
	reportFile  = "report"
	codeFile    = "code"    // the exit code
	errorFile   = "error"   // why there is no report
	judgingFile = "judging" // the rule that is being judged
)

// handOver judges the rules and hands over what comes of it.
func handOver(ctx context.Context, h Harness, dir string, opts []Option) int {
	report, err := os.Create(filepath.Join(dir, reportFile))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	opts = append(opts, began(func(id ID) {
		_ = os.WriteFile(filepath.Join(dir, judgingFile), []byte(id), 0o600) // for a message only
	}))
	var said strings.Builder
	code := mainWith(ctx, h, os.Args, report, &said, opts, nil)
	err = errors.Join(report.Close(), os.WriteFile(filepath.Join(dir, errorFile), []byte(said.String()), 0o600))
	if err == nil {
		err = whole(filepath.Join(dir, codeFile), func(w io.Writer) error { _, err := fmt.Fprint(w, code); return err })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return code
}

// waitToEnd is how long the process that judges may take to end once it was told to.
const waitToEnd = 5 * time.Second

// apart has the rules judged by a process of their own, whose report it writes to w.
func apart(ctx context.Context, _ *Program, _ Harness, w io.Writer, _ []Option) (code int, err error) {
	dir, err := os.MkdirTemp("", "papyra-conformance-run-")
	if err != nil {
		return exitFailed, err
	}
	defer os.RemoveAll(dir)
	exe, err := os.Executable()
	if err != nil {
		return exitFailed, fmt.Errorf("this program can't start itself, to judge the rules in a process of their own: %w", err)
	}
	cmd := exec.CommandContext(ctx, exe, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), handOverVariable+"="+dir)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // standard output is the report's
	cmd.Cancel = func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return cmd.Process.Kill()
		}
		return nil
	}
	cmd.WaitDelay = waitToEnd
	ended := cmd.Run()
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(dir, name)) // what is not there is empty
		return strings.TrimSpace(string(b))
	}
	if code, err = strconv.Atoi(read(codeFile)); err != nil {
		if ctx.Err() != nil {
			return exitInterrupted, errors.New("interrupted")
		}
		return exitFailed, early(cmd, ended, read(judgingFile))
	}
	if said := read(errorFile); said != "" {
		return code, errors.New(strings.TrimPrefix(said, filepath.Base(os.Args[0])+": "))
	}
	f, err := os.Open(filepath.Join(dir, reportFile))
	if err != nil {
		return exitFailed, err
	}
	defer f.Close()
	if _, err := io.Copy(w, f); err != nil {
		return exitFailed, err
	}
	return code, nil
}

// early says that the process has ended before its report was there.
func early(cmd *exec.Cmd, ended error, rule string) error {
	if cmd.ProcessState == nil {
		return fmt.Errorf("the process that judges the rules was not started: %w", ended)
	}
	when := "before the first rule"
	if rule != "" {
		when = "while " + rule + " was judged"
	}
	return fmt.Errorf("there is no report: the process ended %s (%v); a backend or harness does that by os.Exit, log.Fatal, or a panic in a goroutine of its own", when, cmd.ProcessState)
}
