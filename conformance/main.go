package conformance

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The exit codes of [Main], as docs/cli.md has them for every command of papyra.
const (
	exitOK           = 0
	exitFailed       = 1   // the suite could not be run
	exitNotConfirmed = 2   // not conformant, or it can't be told
	exitUsage        = 64  // wrong flags
	exitInterrupted  = 130 // SIGINT or SIGTERM
)

// Main is the main function of a program that runs the suite on a backend of your own:
//
//	func main() { conformance.Main(mine.Harness()) }
//
// It takes the flags of papyra conformance, of which -help tells, but no URL: the
// harness knows where its stores are. It does not return. opts go before the flags.
//
// The rules are judged in a second process, which is the same program again with the same
// arguments: what main does before Main is done in both. What the backend prints goes to
// standard error there, and a backend that ends the process leaves no report, but exit
// code 1 and a line that names the rule.
func Main(h Harness, opts ...Option) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if dir := os.Getenv(handOverVariable); dir != "" {
		os.Unsetenv(handOverVariable) // it is not for what the backend starts
		os.Exit(handOver(ctx, h, dir, opts))
	}
	os.Exit(mainWith(ctx, h, os.Args, os.Stdout, os.Stderr, opts, apart))
}

// running judges the rules and writes the report; nil: to where it is told, and no file.
type running func(ctx context.Context, p *Program, h Harness, w io.Writer, opts []Option) (code int, err error)

func mainWith(ctx context.Context, h Harness, args []string, stdout, stderr io.Writer, opts []Option, run running) int {
	name := filepath.Base(args[0])
	p := &Program{run: run}
	p.Again = func(id ID, seed uint64) string { return fmt.Sprintf("%s -rules %s -seed %#x", name, id, seed) }
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&p.Format, "format", "text", "the report's `format`: "+strings.Join(Formats, ", "))
	p.Flags(flags)
	switch err := flags.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage // the flag set has said it
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "%s: takes no argument, got %q\n", name, flags.Arg(0))
		return exitUsage
	case run == nil:
		p.out = ""
	}
	code, err := p.Run(ctx, h, stdout, opts...)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
	}
	return code
}

// Program is the suite as a command line: what [Main] and papyra conformance share.
// Set Format and Again, define the flags, parse them, and run.
type Program struct {
	Format string // one of [Formats]
	// Again is the command line that judges one rule again.
	Again func(ID, uint64) string
	// Job is how the command line of the n-th of several processes begins, behind the
	// program's name: each wants a place of its own. Nil: with nothing.
	Job func(n int) []string

	opts    []Option // what the flags said
	given   []string // the flags that say how rules are judged, as they were given
	globs   globs    // of -rules and -skip
	strict  bool
	list    bool
	explain string
	repeat  int
	jobs    int
	words   []string // what was given, for jobs
	out     string
	seed    uint64  // zero: none was given
	run     running // nil: here
}

type globs struct{ only, skip []string }

// Flags defines the flags of p.
func (p *Program) Flags(f *flag.FlagSet) {
	option := func(name, usage string, parse func(string) (Option, error)) {
		f.Func(name, usage, func(text string) error {
			o, err := parse(text)
			if err == nil {
				p.opts, p.given = append(p.opts, o), append(p.given, name)
				p.words = append(p.words, "--"+name+"="+text)
			}
			return err
		})
	}
	plain := func(o func(string) Option) func(string) (Option, error) {
		return func(text string) (Option, error) { return o(text), nil }
	}
	globs := func(to *[]string, o func(...string) Option) func(string) (Option, error) {
		return func(text string) (Option, error) {
			list := strings.Split(text, ",")
			*to = append(*to, list...)
			return o(list...), nil
		}
	}
	option("profile", "the `profile` to keep: volatile, durable, shared or full (default: what the backend claims)", plain(WithProfile))
	option("rules", "judge only the rules that match these `globs`, as OCC-*,READ-01, and what they require", globs(&p.globs.only, Only))
	option("skip", "leave out the rules that match these `globs`", globs(&p.globs.skip, Skip))
	option("pin", "count only rules up to this `version` of the suite, or all (default: the one before this)", plain(Pin))
	option("waive", "bear with a failure until a day: `ID:YYYY-MM-DD:reason`", parseWaiver)
	option("seed", "the `number` from which all that is random follows (default: another each time)", func(text string) (Option, error) {
		seed, err := strconv.ParseUint(text, 0, 64)
		p.seed = seed
		return Seed(seed), wanted(err, "a number from 0, such as 0x5f2a")
	})
	option("budget", "the `duration` that one rule may take, such as 1m (default 30s)", func(text string) (Option, error) {
		d, err := time.ParseDuration(text)
		if err == nil && d <= 0 {
			err = errors.New("not above zero")
		}
		return Budget(d), wanted(err, "a duration above zero, such as 1m")
	})
	f.BoolVar(&p.strict, "strict", false, "what could not be judged is a failure, and rules that are new in this version count")
	f.BoolVar(&p.list, "list", false, "list the rules, and run nothing")
	f.StringVar(&p.explain, "explain", "", "explain one `rule`, such as OCC-02, and run nothing")
	f.IntVar(&p.repeat, "repeat", 1, "run so many `times`, each with the next seed, and count the verdicts of each rule")
	f.IntVar(&p.jobs, "jobs", 1, "with repeat: so many `processes` at a time; as many as there are processors at most")
	f.StringVar(&p.out, "out", "", "write the report to this `file`, whole or not at all, instead of printing it")
}

func wanted(err error, what string) error {
	if err != nil {
		return errors.New("want " + what)
	}
	return nil
}

func parseWaiver(text string) (Option, error) {
	parts := strings.SplitN(text, ":", 3)
	if len(parts) != 3 {
		return nil, errors.New("want ID:YYYY-MM-DD:reason, such as OCC-02:2030-01-31:issue 7")
	}
	until, err := time.Parse(time.DateOnly, parts[1])
	return Waive(ID(parts[0]), parts[2], until), wanted(err, "ID:YYYY-MM-DD:reason, such as OCC-02:2030-01-31:issue 7")
}

// Asks reports whether p only says something about the rules: then it needs no
// backend.
func (p *Program) Asks() bool { return p.list || p.explain != "" }

// Run does what the flags said, writes the report to w, or to the file that the flags name,
// and returns the exit code: 0 if the backend is conformant, or if only some rules were
// asked for and they hold; 2 if not, or if it can't be told. An error says why there is no
// report. opts go before the flags.
func (p *Program) Run(ctx context.Context, h Harness, w io.Writer, opts ...Option) (code int, err error) {
	if err := p.sensible(); err != nil {
		return exitUsage, err
	}
	opts = append(append([]Option{Again(p.Again)}, opts...), p.opts...)
	if p.strict {
		opts = append(opts, Strict())
	}
	if _, err := newSettings(opts); err != nil {
		return exitUsage, err
	}
	return p.to(w, func(w io.Writer) (int, error) {
		switch {
		case p.list:
			return written(writeRules(w, p.Format, p.globs), p.Format == "junit")
		case p.explain != "":
			return written(WriteRule(w, ID(p.explain), p.Format), p.Format != "text" && p.Format != "json")
		case p.run != nil:
			return p.run(ctx, p, h, w, opts)
		}
		return p.judge(ctx, h, w, opts)
	})
}

// sensible refuses flags that do not go together: none of them is left unheeded.
func (p *Program) sensible() error {
	given := p.judging()
	switch {
	case !slices.Contains(Formats, p.Format):
		return fmt.Errorf("no format %q: want %s", p.Format, strings.Join(Formats, ", "))
	case p.list && p.explain != "":
		return errors.New("list and explain: want one of them")
	case p.list:
		given = slices.DeleteFunc(given, func(name string) bool { return name == "rules" || name == "skip" })
		if len(given) > 0 {
			return fmt.Errorf("list runs nothing: %s does not go with it", given[0])
		}
	case p.explain != "" && len(given) > 0:
		return fmt.Errorf("explain runs nothing: %s does not go with it", given[0])
	case p.explain != "":
		return known(ID(p.explain))
	case p.jobs < 1 || p.jobs > 1 && p.repeat < p.jobs:
		return fmt.Errorf("%d jobs for %d runs: want 1 or more, each with a run", p.jobs, p.repeat)
	}
	return nil
}

// judging are the flags that were given and say how rules are judged.
func (p *Program) judging() []string {
	given := slices.Clone(p.given)
	if p.strict {
		given = append(given, "strict")
	}
	if p.repeat != 1 {
		given = append(given, "repeat")
	}
	if p.jobs != 1 {
		given = append(given, "jobs")
	}
	return given
}

// Alone returns an error if any flag was given beside one of the command's own, what, with
// which none of p goes but those that allowed names.
func (p *Program) Alone(what string, allowed ...string) error {
	given := p.judging()
	for flag, was := range map[string]bool{"list": p.list, "explain": p.explain != "", "out": p.out != ""} {
		if was {
			given = append(given, flag)
		}
	}
	slices.Sort(given)
	for _, flag := range given {
		if !slices.Contains(allowed, flag) {
			return fmt.Errorf("%s judges no rules of a store: %s does not go with it", what, flag)
		}
	}
	return nil
}

// judge judges the rules and writes the report.
func (p *Program) judge(ctx context.Context, h Harness, w io.Writer, opts []Option) (code int, err error) {
	if p.repeat != 1 {
		return p.runRepeat(ctx, h, w, opts)
	}
	rep, err := Check(ctx, h, opts...)
	if ctx.Err() != nil {
		return exitInterrupted, errors.New("interrupted")
	}
	if err != nil {
		return exitFailed, err
	}
	if err := rep.Write(w, p.Format); err != nil {
		return exitFailed, err
	}
	if !rep.Held() {
		return exitNotConfirmed, nil
	}
	return exitOK, nil
}

// Compared are the flags that go with a comparison.
var Compared = []string{"seed", "repeat", "out"}

// comparedOps is how many operations a history has that backends are compared by.
const comparedOps = 200

// RunCompare plays a random history on each backend, or as many as repeat says, and
// reports the first in which their answers differ: the exit code is 2 then.
func (p *Program) RunCompare(ctx context.Context, w io.Writer, harnesses ...Harness) (code int, err error) {
	if err := p.Alone("compare", Compared...); err != nil {
		return exitUsage, err
	}
	switch {
	case p.Format != "text" && p.Format != "json":
		return exitUsage, fmt.Errorf("a comparison has no format %q: want text or json", p.Format)
	case p.repeat < 1:
		return exitUsage, fmt.Errorf("repeat %d times: want 1 or more", p.repeat)
	case p.seed == 0:
		p.seed = rand.Uint64()
	}
	var c *Comparison
	for i := range p.repeat {
		if c, err = Compare(ctx, p.seed+uint64(i), comparedOps, harnesses...); err != nil || c.Differ >= 0 {
			break
		}
	}
	switch {
	case ctx.Err() != nil:
		return exitInterrupted, errors.New("interrupted")
	case err != nil:
		return exitFailed, err
	}
	return p.to(w, func(w io.Writer) (int, error) {
		if p.Format == "json" {
			err = c.WriteJSON(w)
		} else {
			_, err = fmt.Fprintf(w, "%v\n%d histories, seeds from %#x\n", c, p.repeat, p.seed)
		}
		if err == nil && c.Differ >= 0 {
			return exitNotConfirmed, nil
		}
		return written(err, false)
	})
}

func (p *Program) runRepeat(ctx context.Context, h Harness, w io.Writer, opts []Option) (int, error) {
	var f *Flakiness
	s, err := newSettings(opts)
	if err == nil && p.jobs > 1 {
		if p.strict {
			p.words = append(p.words, "--strict")
		}
		if p.Job == nil {
			p.Job = func(int) []string { return nil }
		}
		f, err = p.runJobs(ctx, s.seed)
	} else if err == nil {
		f, err = Repeat(ctx, h, p.repeat, opts...)
	}
	switch {
	case ctx.Err() != nil:
		return exitInterrupted, errors.New("interrupted")
	case err != nil:
		return exitUsage, err
	}
	if code, err := written(f.Write(w, p.Format), p.Format != "text" && p.Format != "json"); err != nil || f.Steady() {
		return code, err
	}
	return exitNotConfirmed, nil
}

// written is the outcome of writing something, in a format that may not be there.
func written(err error, noSuchFormat bool) (int, error) {
	switch {
	case err == nil:
		return exitOK, nil
	case noSuchFormat:
		return exitUsage, err
	}
	return exitFailed, err
}
