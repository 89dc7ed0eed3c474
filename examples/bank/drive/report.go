package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/papyra-go/papyra/backend"
	_ "github.com/papyra-go/papyra/backend/bolt"   // for -store bolt:///…
	_ "github.com/papyra-go/papyra/backend/file"   // for -store file:///…
	_ "github.com/papyra-go/papyra/backend/memory" // for -store memory://
	_ "github.com/papyra-go/papyra/backend/pebble" // for -store pebble:///…
)

// report is what the table is made of.
type report struct {
	ledger   []entry
	trouble  trouble
	in, held int64 // cents
	took     time.Duration
	counters map[string]uint64
	scan     *backend.ScanReport // nil: the store ended with the bank
}

func (r *report) fine() bool {
	return r.trouble.none() && (r.scan == nil || r.scan.Clean())
}

// scan reads the whole store that the bank has left behind, without changing it.
func (r *run) scan(ctx context.Context) error {
	if strings.HasPrefix(r.store, "memory:") {
		return nil
	}
	b, err := backend.OpenWith(ctx, r.store, &backend.Options{ReadOnly: true, Startup: backend.Startup{Mode: backend.IgnoreAnomalies}})
	if err != nil {
		return fmt.Errorf("scanning the store: %w", err)
	}
	r.report.scan, err = b.Scan(ctx, nil)
	return firstOf(err, b.Close())
}

// counts sums the ledger up.
type counts struct {
	total, acked, declined, unknown, retried int
	byKind                                   [3]int
	done, refused                            int
}

func (r *report) count() (c counts) {
	c.total = len(r.ledger)
	for i := range r.ledger {
		e := &r.ledger[i]
		c.byKind[e.kind]++
		c.acked += one(e.outcome == acked)
		c.declined += one(e.outcome == declined)
		c.unknown += one(e.outcome == unknown)
		c.retried += one(e.retried)
		c.done += one(e.state == "done")
		c.refused += one(e.state == "refused")
	}
	return c
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// table prints what happened and what was found.
func (r *run) table() error {
	c, t := r.report.count(), &r.report.trouble
	w := tabwriter.NewWriter(r.out, 0, 0, 3, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	engine, _, _ := strings.Cut(r.store, ":")
	row("bank", "%d clients, %d accounts, on %s, %.1f s of load, killed %s (seed %d)", r.config.clients, len(r.accounts), engine, r.load.Seconds(), plural(int(r.killed.Load()), "time"), r.seed)
	row("operations", "%d: %d deposits, %d withdrawals, %d transfers", c.total, c.byKind[deposit], c.byKind[withdrawal], c.byKind[transfer])
	row("acknowledged", "%d", c.acked)
	row("refused", "%d withdrawals, for want of money", c.declined)
	row("sent again", "%d, with the same id", c.retried)
	row("transfers", "%d done, %d refused, %d pending", c.done, c.refused, c.byKind[transfer]-c.done-c.refused)
	row("lost", "%d", t.lost.n)
	row("invented", "%d", t.invented.n)
	row("stuck", "%d", t.stuck.n)
	row("wrong answers", "%d", t.wrong.n)
	row("money", "%d cents came in, %d are in the accounts", r.report.in, r.report.held)
	row("throughput", "%.0f acknowledged operations a second, time of the kills included", float64(c.acked)/r.report.took.Seconds())
	r.recoveries(row)
	r.findings(row)
	row("counters", "%s", r.counters())
	if err := w.Flush(); err != nil {
		return err
	}
	return r.verdict()
}

// plural is "1 time" or "2 times".
func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// recoveries tells how long the restarts took, from the start of the process.
func (r *run) recoveries(row func(name, format string, args ...any)) {
	var healthy, acked []string
	for _, s := range r.restarts {
		healthy = append(healthy, s.healthy.Round(time.Millisecond).String())
		if first := time.Duration(s.acked.Load()); first > 0 {
			acked = append(acked, first.Round(time.Millisecond).String())
		}
	}
	if len(healthy) > 0 {
		row("recovery", "healthy after %s; first acknowledgement after %s", strings.Join(healthy, ", "), strings.Join(acked, ", "))
	}
}

func (r *run) findings(row func(name, format string, args ...any)) {
	s := r.report.scan
	if s == nil {
		row("findings", "no scan: the store is gone with the bank")
		return
	}
	row("findings", "%s, %s, %s in a full scan of %v", plural(s.Damages, "damage"), plural(s.Warnings, "warning"), plural(s.Notices, "notice"), s.Took.Round(time.Millisecond))
}

// counters are those of the last process.
func (r *run) counters() string {
	var all []string
	for name, n := range r.report.counters {
		all = append(all, fmt.Sprintf("%s=%d", name, n))
	}
	slices.Sort(all)
	return strings.Join(all, " ") + " (since the last start)"
}

// verdict tells in words what should not be there.
func (r *run) verdict() error {
	t := &r.report.trouble
	for _, sort := range []struct {
		name string
		tally
	}{{"lost", t.lost}, {"invented", t.invented}, {"stuck", t.stuck}, {"wrong", t.wrong}} {
		for _, words := range sort.first {
			fmt.Fprintf(r.out, "%s: %s\n", sort.name, words)
		}
	}
	if s := r.report.scan; s != nil && !s.Clean() {
		for _, a := range s.Anomalies[:min(len(s.Anomalies), keptWords)] {
			fmt.Fprintf(r.out, "scan: %s\n", a)
		}
	}
	if !r.report.fine() {
		return nil
	}
	_, err := fmt.Fprintln(r.out, "nothing was lost, invented or stuck")
	return err
}
