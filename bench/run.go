package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// results are what a run measured.
type results struct {
	rows    []row
	engines []engine
	samples map[string]map[string]samples // by row and engine
	missing map[string]map[string]string  // why there are none
}

// of returns the samples of an engine in a row.
func (r *results) of(row, engine string) samples { return r.samples[row][engine] }

// measure runs all phases: within each, repetition → row → engine, so that what changes
// on the machine over the minutes hits all engines alike. A failing engine is an error:
// figures that nobody has checked are not printed.
func measure(ctx context.Context, l *lab, chosen []engine, p *progress) (*results, error) {
	defer p.finish()
	r := &results{engines: chosen, samples: map[string]map[string]samples{}, missing: map[string]map[string]string{}}
	for _, phase := range l.phases() {
		for _, row := range phase {
			r.rows = append(r.rows, row)
			r.samples[row.name], r.missing[row.name] = map[string]samples{}, map[string]string{}
			for _, e := range chosen {
				if row.can(e) {
					p.plan(row.reps, row.seconds)
				}
			}
		}
	}
	for _, phase := range l.phases() {
		for rep := range phase.reps() {
			for _, row := range phase {
				for i := range chosen {
					e := chosen[(i+rep)%len(chosen)] // none always comes after the same other
					if rep >= row.reps || !row.can(e) {
						continue
					}
					if err := context.Cause(ctx); err != nil {
						return r, err
					}
					p.begin(fmt.Sprintf("%s · %s · %d/%d", row.title, e.name, rep+1, row.reps))
					got, err := row.measure(ctx, l, e)
					p.end(row.seconds)
					switch {
					case errors.Is(err, errNotYet):
						r.missing[row.name][e.name] = err.Error()
					case err != nil:
						return r, fmt.Errorf("%s: %s: %w", row.title, e.name, err)
					default:
						r.samples[row.name][e.name] = append(r.samples[row.name][e.name], got)
					}
				}
			}
		}
	}
	return r, nil
}

func (p phase) reps() (most int) {
	for _, r := range p {
		most = max(most, r.reps)
	}
	return most
}

// progress says on a terminal, in one line, how far a run is; elsewhere in plain lines,
// one every few seconds.
type progress struct {
	w           io.Writer
	terminal    bool
	steps, of   int     // measurements
	done, total float64 // the same weighed, roughly in seconds: for the time that is left
	start       time.Time
	said        time.Time
}

func newProgress(f *os.File) *progress {
	info, err := f.Stat()
	return &progress{w: f, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

const (
	sayEvery = 5 * time.Second
	lineWide = 79 // a line that wraps can't be replaced
)

// plan says that steps of so many seconds each are to come.
func (p *progress) plan(steps int, seconds float64) {
	p.of += steps
	p.total += float64(steps) * seconds
}

func (p *progress) begin(what string) {
	now := time.Now()
	if p.start.IsZero() {
		p.start = now
	}
	p.steps++
	if !p.terminal && now.Sub(p.said) < sayEvery {
		return
	}
	p.said = now
	left := ""
	if p.done > 0 {
		d := time.Duration(float64(now.Sub(p.start)) * (p.total - p.done) / p.done)
		left = fmt.Sprintf(" · %v left", d.Round(time.Second))
	}
	line := fmt.Sprintf("%d/%d%s · %s", p.steps, p.of, left, what)
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%.*s", lineWide, line)
	} else {
		fmt.Fprintln(p.w, line)
	}
}

func (p *progress) end(seconds float64) { p.done += seconds }

func (p *progress) finish() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
