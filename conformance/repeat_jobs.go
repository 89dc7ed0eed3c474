package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// runJobs shares the runs between processes of this program, each with seeds of its own: in
// one process they would count each other's goroutines and file descriptors.
func (p *Program) runJobs(ctx context.Context, seed uint64) (*Flakiness, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("this program can't start itself for jobs: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	parts, errs := make([]*Flakiness, p.jobs), make(chan error, p.jobs)
	for i := range p.jobs {
		first, next := i*p.repeat/p.jobs, (i+1)*p.repeat/p.jobs
		args := slices.Concat(p.Job(i), p.words, []string{"--repeat=" + fmt.Sprint(next-first), fmt.Sprintf("--seed=%#x", seed+uint64(first)), "--format=json"})
		go func() {
			var err error
			if parts[i], err = repeated(ctx, exe, args); err != nil {
				cancel() // the others' work is of no use
			}
			errs <- err
		}()
	}
	var failed error
	for range p.jobs {
		if err := <-errs; failed == nil {
			failed = err
		}
	}
	if failed != nil {
		return nil, failed
	}
	f := parts[0]
	for _, part := range parts[1:] {
		f.merge(part)
	}
	f.Took = time.Since(start)
	return f, nil
}

// repeated is what a process of this program says of its runs.
func repeated(ctx context.Context, exe string, args []string) (*Flakiness, error) {
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Args[0] = os.Args[0]
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, os.Stderr, waitToEnd
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	ended := cmd.Run()
	f := new(Flakiness)
	if err := json.Unmarshal(out.Bytes(), f); err != nil || f.Schema != FlakinessSchema { // some rules may have failed in it
		return nil, fmt.Errorf("a job has no counts: %w", errors.Join(ended, err))
	}
	return f, nil
}

// merge adds the counts of later runs of the same rules.
func (f *Flakiness) merge(later *Flakiness) {
	f.Runs += later.Runs
	for i := range later.Rules {
		l := &later.Rules[i]
		at := slices.IndexFunc(f.Rules, func(r RuleRuns) bool { return r.ID == l.ID })
		if at < 0 {
			f.Rules = append(f.Rules, *l)
			continue
		}
		r := &f.Rules[at]
		for v, n := range l.Verdicts {
			r.Verdicts[v] += n
		}
		if r.Seen == "" {
			r.Seen = l.Seen
		}
		r.Seeds = append(r.Seeds, l.Seeds...)
		r.Seeds = r.Seeds[:min(len(r.Seeds), seedsKept)]
	}
}
