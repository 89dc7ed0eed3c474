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
func Main(h Harness, opts ...Option) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(mainWith(ctx, h, os.Args, os.Stdout, os.Stderr, opts))
}

func mainWith(ctx context.Context, h Harness, args []string, stdout, stderr io.Writer, opts []Option) int {
	name := filepath.Base(args[0])
	p := new(Program)
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

	opts    []Option // what the flags said
	strict  bool
	list    bool
	explain string
	repeat  int
	seed    uint64 // zero: none was given
}

// Flags defines the flags of p.
func (p *Program) Flags(f *flag.FlagSet) {
	option := func(name, usage string, parse func(string) (Option, error)) {
		f.Func(name, usage, func(text string) error {
			o, err := parse(text)
			if err == nil {
				p.opts = append(p.opts, o)
			}
			return err
		})
	}
	plain := func(o func(string) Option) func(string) (Option, error) {
		return func(text string) (Option, error) { return o(text), nil }
	}
	globs := func(o func(...string) Option) func(string) (Option, error) {
		return func(text string) (Option, error) { return o(strings.Split(text, ",")...), nil }
	}
	option("profile", "the `profile` to keep: volatile, durable, shared or full (default: what the backend claims)", plain(WithProfile))
	option("rules", "judge only the rules that match these `globs`, as OCC-*,READ-01, and what they require", globs(Only))
	option("skip", "leave out the rules that match these `globs`", globs(Skip))
	option("pin", "count only rules up to this `version` of the suite, or all (default: the one before this)", plain(Pin))
	option("waive", "bear with a failure until a day: `ID:YYYY-MM-DD:reason`", parseWaiver)
	option("seed", "the `number` from which all that is random follows (default: another each time)", func(text string) (Option, error) {
		seed, err := strconv.ParseUint(text, 0, 64)
		p.seed = seed
		return Seed(seed), wanted(err, "a number from 0, such as 0x5f2a")
	})
	option("budget", "how `long` one rule may take, such as 1m (default 30s)", func(text string) (Option, error) {
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

// Run does what the flags said, writes the report to w, and returns the exit code:
// 0 if the backend is conformant, or if only some rules were asked for and they hold; 2
// if not, or if it can't be told. An error says why there is no report. opts go before
// the flags.
func (p *Program) Run(ctx context.Context, h Harness, w io.Writer, opts ...Option) (code int, err error) {
	switch {
	case !slices.Contains(Formats, p.Format):
		return exitUsage, fmt.Errorf("no format %q: want %s", p.Format, strings.Join(Formats, ", "))
	case p.list && p.explain != "":
		return exitUsage, errors.New("list and explain: want one of them")
	case p.list:
		return written(WriteRules(w, p.Format), p.Format == "junit")
	case p.explain != "":
		text, err := Explain(ID(p.explain))
		if err != nil {
			return exitUsage, err
		}
		_, err = io.WriteString(w, text)
		return written(err, false)
	}
	opts = append(append([]Option{Again(p.Again)}, opts...), p.opts...)
	if p.strict {
		opts = append(opts, Strict())
	}
	if _, err := newSettings(opts); err != nil {
		return exitUsage, err
	}
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

// comparedOps is how many operations a history has that backends are compared by.
const comparedOps = 200

// RunCompare plays a random history on each backend, or as many as repeat says, and
// reports the first in which their answers differ: the exit code is 2 then.
func (p *Program) RunCompare(ctx context.Context, w io.Writer, harnesses ...Harness) (code int, err error) {
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
	if p.Format == "json" {
		err = c.WriteJSON(w)
	} else {
		_, err = fmt.Fprintf(w, "%v\n%d histories, seeds from %#x\n", c, p.repeat, p.seed)
	}
	if err == nil && c.Differ >= 0 {
		return exitNotConfirmed, nil
	}
	return written(err, false)
}

func (p *Program) runRepeat(ctx context.Context, h Harness, w io.Writer, opts []Option) (int, error) {
	f, err := Repeat(ctx, h, p.repeat, opts...)
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
