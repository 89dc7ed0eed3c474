package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

const conformanceLong = `Judges an engine by the rules that every backend must keep: docs/conformance.md.

The store's URL names a place for scratch stores: memory://, or a file URL of a
directory that does not exist or is empty, on the disk that is to be tested. Each
rule gets a fresh store there, which is removed afterwards. A place that holds
anything is refused.

Reports are text, json, junit or markdown: see --format.

Exit codes: 0 the engine is conformant, or the rules that were asked for hold;
2 it is not, or it can't be told; others as for every command.`

const conformanceExample = `  papyra conformance --store file:///mnt/new-disk/try
  papyra conformance --store file:///tmp/try --profile durable --strict
  papyra conformance --store memory:// --rules 'OCC-*' --format json
  papyra conformance --store memory:// --compare file:///tmp/try --repeat 20
  papyra conformance --explain OCC-02
  papyra conformance --list
  papyra conformance --selftest --quick`

func (a *app) conformanceCommand() *cobra.Command {
	p := new(conformance.Program)
	var proves, quick bool
	var other string
	c := &cobra.Command{
		Use:     "conformance",
		Short:   "Judge an engine by the rules of the conformance suite",
		Long:    conformanceLong,
		Example: conformanceExample,
		Args:    noArguments,
		PersistentPreRunE: func(*cobra.Command, []string) error { // the root's knows text and json only
			if !slices.Contains(conformance.Formats, a.format) {
				return fmt.Errorf("--format %s: want %s", show(a.format), strings.Join(conformance.Formats, ", "))
			}
			a.started = true
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case quick && !proves:
				return usagef("--quick goes with --selftest")
			case proves && other != "":
				return usagef("--selftest and --compare: want one of them")
			case proves:
				if err := p.Alone("selftest"); err != nil {
					return &usageError{err}
				}
				return a.selfTest(c.Context(), quick)
			case other != "":
				return a.compare(c.Context(), p, other)
			}
			return a.conformance(c.Context(), p)
		},
	}
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	p.Flags(flags)
	c.Flags().AddGoFlagSet(flags)
	c.Flags().StringVar(&other, "compare", "", "judge no rules, but play random operations here and at this `URL`, and compare the answers")
	c.Flags().BoolVar(&proves, "selftest", false, "prove the suite itself on broken, odd and lying backends, and judge no store (minutes)")
	c.Flags().BoolVar(&quick, "quick", false, "with --selftest: broken backends meet only the rules of their own group")
	return c
}

func (a *app) conformance(ctx context.Context, p *conformance.Program) error {
	p.Format = a.format
	if p.Asks() {
		return ended(p.Run(ctx, nil, a.out))
	}
	place, err := a.place()
	if err != nil {
		return err
	}
	scratch, err := place.scratch(ctx)
	if err != nil {
		return err
	}
	p.Again = func(id conformance.ID, seed uint64) string {
		return fmt.Sprintf("papyra conformance --store %s --rules %s --seed %#x", shellWord(place.String()), id, seed)
	}
	p.Job = func(n int) []string { return []string{"conformance", "--store", place.job(n)} }
	return errors.Join(ended(p.Run(ctx, scratch, a.out)), scratch.remove())
}

// job is the URL of a place below this one, for one of several processes; a place that is no
// directory is each process's own as it is.
func (p place) job(n int) string {
	if p.directory() != nil {
		if u, err := directoryURL(p.url, filepath.Join(p.dir(), fmt.Sprint("job-", n+1))); err == nil {
			return u
		}
	}
	return p.url.String()
}

// compare plays the same operations at two places.
func (a *app) compare(ctx context.Context, p *conformance.Program, other string) error {
	p.Format = a.format
	if err := p.Alone("compare", conformance.Compared...); err != nil {
		return &usageError{err}
	}
	b := *a
	b.store = other
	var harnesses []conformance.Harness
	var errs []error
	for _, side := range []*app{a, &b} {
		place, err := side.place()
		if err == nil {
			var s *scratch
			if s, err = place.scratch(ctx); err == nil {
				harnesses = append(harnesses, s)
				defer func() { _ = s.remove() }() // also if the other place is none
			}
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return ended(p.RunCompare(ctx, a.out, harnesses...))
}

// selfTest proves the suite.
func (a *app) selfTest(ctx context.Context, quick bool) error {
	if a.format != formatText && a.format != formatJSON {
		return usagef("--format %s: a self-test has text or json", a.format)
	}
	bar := a.progress("backends", "")
	defer bar.end()
	opts := []selftest.Option{selftest.Progress(func(done, of int, _ string) { bar.set(int64(done), int64(of)) })}
	if quick {
		opts = append(opts, selftest.Quick())
	}
	rep, err := selftest.Check(ctx, opts...)
	if err != nil {
		return err
	}
	if err := rep.Write(a.out, a.format); err != nil {
		return err
	}
	if !rep.Proven() {
		return &coded{exitAnomalies, errReported}
	}
	return nil
}

// ended is the outcome of a program of the suite as an error.
func ended(code int, err error) error {
	switch {
	case code == exitOK:
		return nil
	case err == nil:
		return &coded{code, errReported}
	case code == exitUsage:
		return &usageError{err}
	case code == exitInterrupted:
		return errInterrupted
	}
	return err
}
