package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/papyra-go/papyra/backend"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"papyra":    main,
		"mkstore":   program(mkstore),
		"holds":     program(hold),
		"treehash":  program(treehash),
		"truncates": program(truncate),
		"opens":     program(opens),
		"tears":     program(tear),
		"longline":  program(longLine),
		"lots":      program(lots),
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") == "1",
		Condition:           condition,
		Setup: func(env *testscript.Env) error {
			python, err := filepath.Abs(filepath.Join("testdata", "python"))
			env.Setenv("PYTHON", python)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"refuses":    refuses,
			"interrupts": interrupts,
			"flip":       flip,
			"unzstd":     unzstd,
			"kills":      kills,
			"cut":        cut,
			"replace":    replace,
		},
	})
}

// condition knows [engine:NAME], an engine that this build has, and [root].
func condition(cond string) (bool, error) {
	if name, ok := strings.CutPrefix(cond, "engine:"); ok {
		return slices.Contains(backend.Schemes(), name), nil
	}
	switch cond {
	case "root":
		return os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// exits is the script command "exits CODE program argument...": the program ends
// with exactly that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program argument...")
	}
	got := codeOf(ts.Exec(args[1], args[2:]...))
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%v: exit code %d, want %s", args[1:], got, args[0])
	}
}

func codeOf(err error) int {
	if ee := (*exec.ExitError)(nil); errors.As(err, &ee) {
		return ee.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// interrupts is the script command "interrupts CODE program argument...": it waits
// for the program's first line on standard error, sends SIGINT, and wants that code
// within five seconds.
func interrupts(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupts CODE program argument...")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, onPath(ts, args[1]), args[2:]...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH")}
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	var first [1]byte
	_, err = io.ReadFull(stderr, first[:])
	ts.Check(err)
	ts.Check(cmd.Process.Signal(os.Interrupt))
	start := time.Now()
	rest, _ := io.ReadAll(stderr)
	got := codeOf(cmd.Wait())
	if took := time.Since(start); strconv.Itoa(got) != args[0] || took > 5*time.Second {
		ts.Fatalf("%v: exit code %d after %v, want %s within 5s\n%s", args[1:], got, took, args[0], rest)
	}
	ts.Logf("%s%s", first[:], rest)
}

func onPath(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	ts.Fatalf("no %s on PATH", name)
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// flip is the script command "flip FILE TEXT": it changes one bit of the first
// place where the file holds the text.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE TEXT")
	}
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		ts.Check(err)
		if at := strings.Index(string(data), args[1]); at >= 0 {
			data[at] ^= 1
			ts.Check(os.WriteFile(file, data, 0o600))
			return
		}
	}
	ts.Fatalf("no file %s holds %q", args[0], args[1])
}

// program makes a main of a function of arguments.
func program(f func(args []string) error) func() {
	return func() {
		if err := f(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// mkstore is the program "mkstore DIR [FIXTURE]": it makes a file store with the
// records of a fixture.
func mkstore(args []string) error {
	ctx := context.Background()
	b, err := openWriting(ctx, args[0])
	if err != nil {
		return err
	}
	name := "plain"
	if len(args) > 1 {
		name = args[1]
	}
	return errors.Join(fill(ctx, b, name), b.Close())
}

// openWriting opens the file store in a directory, or that of a URL.
func openWriting(ctx context.Context, place string) (*backend.Backend, error) {
	if !strings.Contains(place, "://") {
		abs, err := filepath.Abs(place)
		if err != nil {
			return nil, err
		}
		place = "file://" + abs
	}
	return backend.OpenWith(ctx, place, &backend.Options{Clock: ticking()})
}

// hold is the program "holds [-busy] PLACE program argument...": it runs the program
// while it holds the store (a directory, or a URL) open for writing (and, if busy, appends to it all
// the time), and exits as the program does.
func hold(args []string) error {
	busy := args[0] == "-busy"
	if busy {
		args = args[1:]
	}
	b, err := openWriting(context.Background(), args[0])
	if err != nil {
		return err
	}
	defer b.Close()
	if busy {
		go appendOn(b)
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	if code := codeOf(err); code > 0 {
		b.Close()
		os.Exit(code)
	}
	return err
}

// appendOn appends until b is closed.
func appendOn(b *backend.Backend) {
	live := backend.Batch{Stream: "live", Expected: backend.Any, Records: []backend.Record{{Payload: []byte(`{"n":1}`)}, {}}}
	for {
		if _, err := b.Append(context.Background(), live); err != nil {
			return
		}
	}
}

// opens is the program "opens URL": it opens a store as an application does.
func opens(args []string) error {
	b, err := backend.Open(context.Background(), args[0])
	if err != nil {
		return err
	}
	return b.Close()
}

// truncate is the program "truncates DIR": of the file store's log, it zeroes the newer
// half of the bytes that were written.
func truncate(args []string) error {
	segments, err := filepath.Glob(filepath.Join(args[0], "*.seg"))
	if err != nil || len(segments) == 0 {
		return fmt.Errorf("no segments in %s: %v", args[0], err)
	}
	name := segments[0]
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	end := len(bytes.TrimRight(data, "\x00"))
	clear(data[end/2:])
	return os.WriteFile(name, data, 0o600)
}

// tear is the program "tears DIR": it opens the file store, so that its last group is not
// marked, dies, and leaves in the log what a crash inside an append may leave.
func tear(args []string) error {
	b, err := openWriting(context.Background(), args[0])
	if err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(args[0], "*.seg"))
	if err != nil || len(segments) == 0 {
		return fmt.Errorf("no segments in %s: %v", args[0], err)
	}
	f, err := os.OpenFile(segments[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	end := (len(bytes.TrimRight(data, "\x00")) + 7) &^ 7
	if _, err := f.WriteAt([]byte("what was being written"), int64(end)); err != nil {
		return err
	}
	_ = b // it is not closed
	return f.Close()
}

// treehash is the program "treehash DIR": one line for each file, with everything
// that a command that only reads must leave as it is.
func treehash(args []string) error { return hashFiles(os.Stdout, args[0]) }

func hashFiles(w io.Writer, dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		var sum [32]byte
		if e.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum = sha256.Sum256(data)
		}
		fmt.Fprintf(w, "%s %v %d %d %x\n", path, info.Mode(), info.Size(), info.ModTime().UnixNano(), sum[:8])
		return nil
	})
}
