// Command bench measures durable storage of events: papyra's engine beside the raw disk
// and beside the engines that others would use, in one run, on the same work.
//
// It is also an example of how to compare such engines fairly:
//
//   - Only durable work counts. An event is counted once its sync has returned, and after
//     each run of appends the store is closed, opened again and read: it must hold what
//     was acknowledged, byte by byte.
//   - All do the same: payloads of 256 bytes that don't compress, over 10,000 streams,
//     each written by one goroutine. A store holds one event in each stream before the
//     clock starts. What reads touches every byte that it is handed.
//   - Engines take turns, repetition by repetition, in an order that shifts, each in a new
//     directory of the same disk; figures are medians, with the lowest and the highest.
//   - The raw disk is measured just before and just after each run of appends: disks,
//     above all shared ones, change from second to second.
//   - What can't write for several goroutines at a time stands behind one mutex, as an
//     application would put it. What has no call for a row is left out of it.
//
// Read engine.go for what an engine can do, engine_*.go for how each is used, rows.go
// for what is measured, lab.go for how, goals.go for what is wanted of papyra.
//
// It is a module of its own, so that the peers never reach a user's module graph.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings say what to measure, and how long.
type settings struct {
	dir       string
	writers   []int
	rows      []string // groups
	time      time.Duration
	runs      int // zero: each row's own
	long      bool
	streams   int // in the stores of all rows but growth's
	perStream int // events in each, in the larger of the filled stores
	// growth's two stores, in records
	growFrom, growTo int
	crowd            int // streams of the store whose memory is measured
}

// reps is how often a row is measured.
func (s settings) reps(usual int) int {
	if s.runs > 0 {
		return s.runs
	}
	return usual
}

// Defaults of the flags.
const (
	defaultTime = 500 * time.Millisecond
	longTime    = 3 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, newProgress(os.Stderr))
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer, p *progress) (err error) {
	s := settings{rows: slices.Clone(groups), perStream: 100, growFrom: 100_000, growTo: 10_000_000, crowd: 10_000_000}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&s.dir, "dir", os.TempDir(), "where to put the stores: the disk that is measured")
	writers := flags.String("writers", "1,64,1024", "numbers of concurrent writers")
	chosen := flags.String("engines", strings.Join(names(), ","), "engines to measure")
	rows := flags.String("rows", strings.Join(groups, ","), "groups of rows to measure; growth and memory need -long")
	flags.IntVar(&s.runs, "runs", 0, "repetitions; 0: 5 of appends, 3 of the rest")
	flags.DurationVar(&s.time, "for", defaultTime, "how long each run of appends writes; with -long "+longTime.String())
	flags.IntVar(&s.streams, "streams", 10_000, "streams of a store")
	flags.BoolVar(&s.long, "long", false, "longer runs, the growth of a store to 10 million records, and the memory of one of 10 million streams")
	asJSON := flags.String("json", "", "write every sample to this file")
	asMarkdown := flags.String("md", "", "write the report to this file too")
	asPlot := flags.String("plot", "", "draw the rates into this SVG file")
	profile := flags.String("cpuprofile", "", "write a CPU profile of the whole run to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if s.long && !set(flags, "for") {
		s.time = longTime
	}
	if s.writers, err = numbers(*writers); err != nil {
		return fmt.Errorf("-writers %s: %w", *writers, err)
	}
	if s.streams < slices.Max(append(s.writers, 1)) || s.streams > maxStreams {
		return fmt.Errorf("-streams %d: want one for each writer at least, and at most %d", s.streams, maxStreams)
	}
	if s.rows, err = choose(*rows, groups); err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	wanted, err := choose(*chosen, names())
	if err != nil {
		return fmt.Errorf("-engines: %w", err)
	}
	var measured []engine
	for _, e := range engines {
		if slices.Contains(wanted, e.name) {
			measured = append(measured, e)
		}
	}
	if inMemory(s.dir) {
		fmt.Fprintf(p.w, "warning: %s is in memory: syncs cost nothing there; name a directory on a disk with -dir\n", s.dir)
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	l, err := newLab(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	start := time.Now()
	r, err := measure(ctx, l, measured, p)
	if err != nil {
		return err
	}
	env := environment(s, time.Since(start))
	text := report(r, env)
	_, err = io.WriteString(out, text)
	return errors.Join(err,
		write(*asMarkdown, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }),
		write(*asJSON, func(w io.Writer) error { return writeJSON(w, r, env) }),
		write(*asPlot, func(w io.Writer) error { return drawRates(w, r, env) }))
}

// write creates a file, if one is wanted.
func write(name string, f func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f(file), file.Close())
}

func names() (all []string) {
	for _, e := range engines {
		all = append(all, e.name)
	}
	return all
}

func set(flags *flag.FlagSet, name string) (found bool) {
	flags.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

func numbers(list string) (all []int, err error) {
	for _, word := range split(list) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("want numbers above zero, such as 1,64,1024")
		}
		all = append(all, n)
	}
	return all, nil
}

// choose returns the words of a list, each of which must be known.
func choose(list string, known []string) ([]string, error) {
	words := split(list)
	for _, word := range words {
		if !slices.Contains(known, word) {
			return nil, fmt.Errorf("%q: want some of %s", word, strings.Join(known, ","))
		}
	}
	return words, nil
}

func split(list string) (words []string) {
	for _, word := range strings.Split(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}
