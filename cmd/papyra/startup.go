package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

const startupLong = `startup-check says what an application would meet that opens the store now, and
changes nothing: with each startup mode, or with --mode alone. The exit code is that of the
mode that --mode names, else the store's URL (startup=…), else fail-on-anomaly, which is
what an application gets that says nothing.

A mode that recovers is not carried out: what it would do and leave follows from a dry run,
which reads the whole store if anything is wrong. --full checks as startup-full=true in the
URL does: the whole store.

Exit codes: 0 it would start; 1 the place is not a store that this papyra reads; 2 it would
be refused because of anomalies; 3 missing, locked or not reachable; 64 wrong usage; 130
interrupted.`

// startupShape is what startup-check says.
type startupShape struct {
	header
	Mode   string              `json:"mode"` // the one that decides
	Full   bool                `json:"full"`
	Starts bool                `json:"starts"`
	Modes  []startMode         `json:"modes"`
	Scan   *backend.ScanReport `json:"scan,omitempty"`
	Advice []string            `json:"advice"`
	Error  *errorShape         `json:"error,omitempty"`
}

// startMode is what a start in one mode comes to.
type startMode struct {
	Mode   string                   `json:"mode"`
	Starts bool                     `json:"starts"`
	Detail string                   `json:"detail"`
	Would  []backend.RecoveryAction `json:"would_do,omitempty"` // what it would do to the store first
}

// startups are all modes, with the default first.
var startups = []backend.StartupMode{backend.FailOnAnomaly, backend.RecoverAnomalies, backend.ScanOnly, backend.IgnoreAnomalies}

func (a *app) startupCheckCommand() *cobra.Command {
	var mode, recovery string
	var full bool
	c := &cobra.Command{
		Use:     "startup-check",
		Short:   "Say whether an application would start on a store; changes nothing",
		Long:    startupLong,
		Example: "  papyra startup-check --store file:///var/lib/app\n  papyra startup-check --store 'file:///var/lib/app?startup=recover' --format json\n  papyra startup-check --mode recover --full",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := a.place()
			if err != nil {
				return err
			}
			s, only, err := startupOf(p, mode, recovery, full)
			if err != nil {
				return err
			}
			return a.startupCheck(c.Context(), p, s, only)
		},
	}
	c.Flags().StringVar(&mode, "mode", "", "fail-on-anomaly, ignore, scan-only or recover: this one alone (default: all)")
	c.Flags().StringVar(&recovery, "recovery", backend.Repair.String(), "how the mode recover recovers: repair or quarantine")
	c.Flags().BoolVar(&full, "full", false, "check the whole store, not only what a start relies on")
	return c
}

// startupOf is the check that is asked for: by flags, else by the URL. only says that no
// other mode is of interest.
func startupOf(p place, mode, recovery string, full bool) (s backend.Startup, only bool, err error) {
	query := p.url.Query()
	from := "--mode "
	only = mode != ""
	if mode == "" {
		from, mode = "startup=", query.Get("startup")
	}
	if mode != "" {
		if s.Mode, err = backend.ParseStartupMode(mode); err != nil {
			return s, only, usagef("%s%s: want fail-on-anomaly, ignore, scan-only or recover", from, value(mode))
		}
	}
	if s.Recovery, err = recoveryMode(recovery); err != nil || s.Recovery == backend.Ignore {
		return s, only, usagef("--recovery %s: want repair or quarantine", value(recovery))
	}
	s.Full = full || query.Get("startup-full") == "true"
	return s, only, nil
}

func (a *app) startupCheck(ctx context.Context, p place, s backend.Startup, only bool) error {
	b, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	st := &starting{b: b, depth: s, readOnly: readsOnly(p.url)}
	st.progress = a.progress("checking", "bytes")
	defer st.progress.end()
	shape := startupShape{header: headerOf("papyra.startup/1", p, b), Mode: s.Mode.String(), Full: s.Full, Modes: []startMode{}}
	for _, mode := range startups {
		if only && mode != s.Mode {
			continue
		}
		m, err := st.in(ctx, mode)
		if err != nil {
			return err
		}
		if mode == s.Mode {
			shape.Starts = m.Starts
		}
		shape.Modes = append(shape.Modes, m)
	}
	st.progress.end()
	shape.Scan = st.scan
	var refused error
	if !st.readOnly {
		refused = errors.Join(p.held(), p.mayWrite())
	}
	var advice []string
	switch {
	case refused != nil:
		shape.Starts, shape.Error = false, shapeOf(refused)
	case !shape.Starts:
		advice = whatToDo(p, st.scan, seenAtStart(ctx, b), false)
		refused = &coded{exitAnomalies, errReported}
	}
	shape.Advice = safe(advice)
	if err := a.printStartup(&shape); err != nil {
		return err
	}
	return refused
}

// readsOnly reports whether the URL has an application open the store read-only.
func readsOnly(u *url.URL) bool { return u.Query().Get("readonly") == "true" }

// starting finds out what starts would come to. It scans once, and plans a recovery only if
// it has to.
type starting struct {
	b        *backend.Backend
	depth    backend.Startup // Full and Recovery count
	readOnly bool            // the application would open read-only
	progress *progress
	scan     *backend.ScanReport
	plan     *backend.RecoveryReport
	planErr  error
}

// in says what a start in one mode comes to. The error says that it can't be found out.
func (st *starting) in(ctx context.Context, mode backend.StartupMode) (m startMode, err error) {
	m = startMode{Mode: mode.String(), Starts: true}
	if mode == backend.IgnoreAnomalies {
		m.Detail = "starts: nothing is checked"
		return m, nil
	}
	if st.scan == nil {
		if st.scan, err = st.b.Scan(ctx, &backend.ScanOptions{Quick: !st.depth.Full, Progress: st.progress.set}); err != nil {
			return m, err
		}
	}
	found := tally(st.scan)
	switch {
	case st.scan.Clean():
		m.Detail = "starts: the check finds nothing wrong"
	case mode == backend.ScanOnly:
		m.Detail = "starts, with " + found
	case mode == backend.RecoverAnomalies:
		return st.recovering(ctx, m)
	default:
		m.Starts, m.Detail = false, "refuses the store: "+found
	}
	return m, nil
}

// recovering is in for the mode that recovers.
func (st *starting) recovering(ctx context.Context, m startMode) (startMode, error) {
	if st.plan == nil && st.planErr == nil {
		st.plan, st.planErr = st.b.Recover(ctx, backend.RecoveryOptions{Mode: max(st.depth.Recovery, backend.Repair), DryRun: true, Progress: st.progress.set})
	}
	switch {
	case st.readOnly:
		m.Starts, m.Detail = false, "refuses the store: it can't be recovered read-only"
		return m, nil
	case errors.Is(st.planErr, backend.ErrUnsupported):
		m.Starts, m.Detail = false, "refuses the store: the engine does not recover: "+printable(plain(st.planErr))
		return m, nil
	case st.planErr != nil:
		return m, st.planErr
	}
	left, more := remains(st.plan.Before, st.plan.Actions)
	m.Would = st.plan.Actions
	m.Starts = len(left) == 0 && more == 0
	switch steps := count(len(m.Would), "step"); {
	case m.Starts:
		m.Detail = "starts, after a recovery of " + steps
	case len(left) == 0:
		m.Detail = fmt.Sprintf("recovers in %s, and then refuses what is left of %s", steps, tally(st.plan.Before))
	default:
		m.Detail = fmt.Sprintf("recovers in %s, and then refuses what is left: %s", steps, printable(left[0].String()))
		if n := len(left) - 1 + more; n > 0 {
			m.Detail += fmt.Sprintf(", and %d more", n)
		}
	}
	return m, nil
}

// tally is how many findings there are.
func tally(r *backend.ScanReport) string {
	return count(r.Damages, "damage") + " and " + count(r.Warnings, "warning")
}

func (a *app) printStartup(s *startupShape) error {
	if a.format == formatJSON {
		return a.document(s)
	}
	word := "would start"
	if !s.Starts {
		word = "would NOT start"
	}
	_, err := fmt.Fprintf(a.out, "%s: an application %s (mode %s)\n\n", s.Place, word, s.Mode)
	for _, m := range s.Modes {
		_, err = fmt.Fprintf(a.out, "  %-16s %s\n", m.Mode, m.Detail)
	}
	if s.Scan != nil {
		a.list("\nfound", len(s.Scan.Anomalies), func(i int) string { return s.Scan.Anomalies[i].String() })
	}
	if len(s.Advice) > 0 {
		_, err = fmt.Fprintf(a.out, "\nwhat to do\n  - %s\n", strings.Join(s.Advice, "\n  - "))
	}
	return err
}
