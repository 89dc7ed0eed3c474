// Command mutants asks of papyra's tests whether they would notice: it breaks papyra's own
// code in one place at a time, in a way that breaks a promise of docs/durability.md, and
// runs the test that ought to fail. A mutant that no test catches survives, which is a
// finding about the tests.
//
//	go run ./backend/internal/mutants            all of them
//	go run ./backend/internal/mutants -short     those that take seconds, for each change
//	go run ./backend/internal/mutants -run sync  those whose name matches
//
// Nothing in the source tree is touched: the go command is given an overlay. The tests must
// pass on the code as it is first; a mutant that does not compile, whose text does not
// stand in its file exactly once (it is stale), or whose test does not exist, is an
// error and no catch. The exit code is 1 if any survives, or can't be judged.
//
// Where to read next: table.go, packing.go, keyvalue.go.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// mutant is one way to break papyra.
type mutant struct {
	name    string
	promise string // of docs/durability.md: the one that it breaks
	file    string // below the module's root
	old     string // stands in it exactly once …
	new     string // … and is replaced by this
	pkg     string // of the test that must fail, below the module's root
	test    string // its name; of several, separated by |, one must
	fast    bool   // in the short form too
	root    bool   // its test needs root, and loop devices
}

func all() []mutant { return slices.Concat(table, packing, keyValue) }

// workers is how many mutants are tried at a time.
const workers = 2

// testTime bounds one run of a test; a test that hangs has noticed, too.
const testTime = 40 * time.Second

func main() {
	short := flag.Bool("short", false, "only the fast ones")
	pattern := flag.String("run", "", "only those whose name matches this regular expression")
	verbose := flag.Bool("v", false, "print what the tests say")
	flag.Parse()
	match, err := regexp.Compile(*pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var chosen []mutant
	for _, m := range all() {
		switch {
		case *short && !m.fast || !match.MatchString(m.name):
		case m.root && os.Geteuid() != 0:
			fmt.Fprintf(os.Stderr, "mutants: SKIPPED, as it needs root: %s\n", m.name)
		default:
			chosen = append(chosen, m)
		}
	}
	os.Exit(run(ctx, chosen, *verbose))
}

// run judges the mutants, prints the table and returns the exit code.
func run(ctx context.Context, chosen []mutant, verbose bool) int {
	dir, err := os.MkdirTemp("", "papyra-mutants-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	root, err := moduleRoot(ctx)
	if err == nil {
		err = fresh(root, chosen)
	}
	l := &lab{root: root, dir: dir, verbose: verbose, total: len(chosen)}
	if err == nil {
		err = l.baseline(ctx, chosen)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		return 1
	}
	return l.judgeAll(ctx, chosen)
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// fresh reports mutants whose text does not stand in its file exactly once.
func fresh(root string, chosen []mutant) error {
	var stale []string
	for _, m := range chosen {
		b, err := os.ReadFile(filepath.Join(root, m.file))
		if err != nil {
			stale = append(stale, fmt.Sprintf("%q: %v", m.name, err))
		} else if n := strings.Count(string(b), m.old); n != 1 {
			stale = append(stale, fmt.Sprintf("%q: its text stands %d times in %s: %q", m.name, n, m.file, m.old))
		}
	}
	if len(stale) > 0 {
		return fmt.Errorf("stale, mend table.go:\n\t%s", strings.Join(stale, "\n\t"))
	}
	return nil
}

// lab is where mutants are made.
type lab struct {
	root, dir string
	verbose   bool
	total     int

	mu   sync.Mutex
	done int
}

// baseline runs all of the tests on the code as it is.
func (l *lab) baseline(ctx context.Context, chosen []mutant) error {
	tests := map[string][]string{}
	for _, m := range chosen {
		for _, t := range strings.Split(m.test, "|") {
			if !slices.Contains(tests[m.pkg], t) {
				tests[m.pkg] = append(tests[m.pkg], t)
			}
		}
	}
	for pkg, names := range tests {
		fmt.Fprintf(os.Stderr, "mutants: %d tests of %s on the code as it is\n", len(names), pkg)
		bin, out, err := l.build(ctx, pkg, "")
		if err != nil {
			return fmt.Errorf("%s does not compile: %w\n%s", pkg, err, out)
		}
		out, err = l.test(ctx, pkg, bin, strings.Join(names, "|"), time.Duration(len(names))*testTime)
		if err != nil {
			return fmt.Errorf("%s fails on the code as it is: %w\n%s", pkg, err, out)
		}
		for _, name := range names {
			if !strings.Contains(out, "--- PASS: "+name+" ") {
				return fmt.Errorf("%s: there is no test %s, or it was skipped", pkg, name)
			}
		}
	}
	return nil
}

// build compiles a package's tests.
func (l *lab) build(ctx context.Context, pkg, overlay string) (bin, out string, err error) {
	f, err := os.CreateTemp(l.dir, "*.test")
	if err != nil {
		return "", "", err
	}
	if err := f.Close(); err != nil {
		return "", "", err
	}
	args := []string{"test", "-c", "-vet=off", "-o", f.Name()}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+pkg)...)
	cmd.Dir = l.root
	b, err := cmd.CombinedOutput()
	return f.Name(), string(b), err
}

// test runs tests in the directory of their package.
func (l *lab) test(ctx context.Context, pkg, bin, names string, limit time.Duration) (out string, err error) {
	cmd := exec.CommandContext(ctx, bin, "-test.v", "-test.short", "-test.failfast", "-test.run=^("+names+")$", "-test.timeout="+limit.String())
	cmd.Dir = filepath.Join(l.root, pkg)
	cmd.Env = append(os.Environ(), "TMPDIR="+l.dir) // a test that fails, or hangs, leaves things behind
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// verdict is what became of a mutant.
type verdict struct {
	caught string // by which test; empty: it survived
	err    error  // it can't be judged
	took   time.Duration
	out    string
}

func (l *lab) judgeAll(ctx context.Context, chosen []mutant) int {
	verdicts := make([]verdict, len(chosen))
	next := make(chan int)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for i := range next {
				begun := time.Now()
				verdicts[i] = l.judge(ctx, i, &chosen[i])
				verdicts[i].took = time.Since(begun)
				l.progress()
			}
		})
	}
	for i := range chosen {
		next <- i
	}
	close(next)
	wait.Wait()
	fmt.Fprintln(os.Stderr)
	return l.print(chosen, verdicts)
}

func (l *lab) progress() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done++
	fmt.Fprintf(os.Stderr, "\rmutants: %d of %d", l.done, l.total)
}

// judge makes one mutant and runs its test.
func (l *lab) judge(ctx context.Context, i int, m *mutant) (v verdict) {
	overlay, err := l.overlay(i, m)
	if err != nil {
		return verdict{err: err}
	}
	bin, out, err := l.build(ctx, m.pkg, overlay)
	if err != nil {
		return verdict{err: fmt.Errorf("it does not compile: %w", err), out: out}
	}
	defer os.Remove(bin)
	out, err = l.test(ctx, m.pkg, bin, m.test, testTime)
	switch {
	case ctx.Err() != nil:
		return verdict{err: ctx.Err()}
	case err == nil:
		return verdict{out: out}
	}
	for _, t := range strings.Split(m.test, "|") {
		switch {
		case strings.Contains(out, "--- FAIL: "+t+" "):
			return verdict{caught: t, out: out}
		case strings.Contains(out, "panic: test timed out") && strings.Contains(out, "=== RUN   "+t+"\n"):
			return verdict{caught: t + " (it hangs)", out: out}
		case strings.Contains(out, "\npanic: ") || strings.Contains(out, "\nfatal error: "):
			return verdict{caught: t + " (it panics)", out: out}
		}
	}
	return verdict{err: fmt.Errorf("%s failed, and not by its test: %w", m.pkg, err), out: out}
}

// overlay writes the mutated file beside a description that the go command takes.
func (l *lab) overlay(i int, m *mutant) (string, error) {
	source := filepath.Join(l.root, m.file)
	b, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	mutated := filepath.Join(l.dir, fmt.Sprintf("%d-%s", i, filepath.Base(m.file)))
	if err := os.WriteFile(mutated, []byte(strings.Replace(string(b), m.old, m.new, 1)), 0o600); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {source: mutated}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(l.dir, fmt.Sprintf("%d-overlay.json", i))
	return overlay, os.WriteFile(overlay, text, 0o600)
}

// print prints the table and returns the exit code.
func (l *lab) print(chosen []mutant, verdicts []verdict) (code int) {
	caught := 0
	fmt.Printf("| %-58s | %-7s | %-66s | seconds |\n|---|---|---|---|\n", "mutant", "promise", "caught by")
	for i, m := range chosen {
		v := &verdicts[i]
		by := v.caught
		switch {
		case v.err != nil:
			by, code = "ERROR: "+v.err.Error(), 1
		case by == "":
			by, code = "SURVIVED "+m.test, 1
		default:
			caught++
		}
		fmt.Printf("| %-58s | %-7s | %-66s | %7.1f |\n", m.name, m.promise, by, v.took.Seconds())
	}
	fmt.Printf("mutants: %d of %d caught\n", caught, len(chosen))
	for i, m := range chosen {
		if v := &verdicts[i]; l.verbose || v.err != nil {
			fmt.Printf("\n%s: %s\n%.4000s\n", m.name, m.file, v.out)
		}
	}
	return code
}
