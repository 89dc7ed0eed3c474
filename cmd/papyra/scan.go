package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

// scanShape is what scan says.
type scanShape struct {
	header
	Clean bool `json:"clean"`
	*backend.ScanReport
	Advice []string    `json:"advice"` // what to do about it
	Error  *errorShape `json:"error,omitempty"`
}

func (a *app) scanCommand() *cobra.Command {
	var quick bool
	c := &cobra.Command{
		Use:   "scan",
		Short: "Check a store's integrity; changes nothing",
		Long: `scan reads the whole store and reports what is wrong, with its exact place.
It changes nothing. Warnings and damage make the exit code 2, and the last lines say
what to do about them; notices, such as the torn tail that any crash leaves, do not.
Of a file store that does not open, because its manifest and the copy are both gone, it
says what the files that hold records are by their own headers.

--quick checks only what a start relies on: manifest, headers, footers and tail.`,
		Example: "  papyra scan --store file:///var/lib/app\n  papyra scan --quick --format json",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.scan(c.Context(), quick) },
	}
	c.Flags().BoolVar(&quick, "quick", false, "check only what a start relies on")
	return c
}

func (a *app) scan(ctx context.Context, quick bool) error {
	b, p, err := a.open(ctx)
	if err != nil {
		return a.scanUnopened(ctx, p, quick, err)
	}
	defer b.Close()
	progress := a.progress("scanning", "bytes")
	report, err := b.Scan(ctx, &backend.ScanOptions{Quick: quick, Progress: progress.set})
	progress.end()
	if report == nil {
		return err
	}
	advice := []string{}
	if err == nil && !report.Clean() {
		advice = append(advice, whatToDo(p, report, quick || seenAtStart(ctx, b), false)...)
	}
	if writeErr := a.printScan(headerOf("papyra.scan/1", p, b), report, advice, err); writeErr != nil {
		return writeErr
	}
	if err == nil && !report.Clean() {
		return &coded{exitAnomalies, errReported}
	}
	return err
}

// seenAtStart reports whether a quick check, as an application makes it when it starts,
// finds anything.
func seenAtStart(ctx context.Context, b *backend.Backend) bool {
	report, err := b.Scan(ctx, &backend.ScanOptions{Quick: true})
	return err != nil || !report.Clean()
}

// printScan prints a report, whole or as far as it came until scanErr.
func (a *app) printScan(head header, report *backend.ScanReport, advice []string, scanErr error) error {
	if a.format == formatJSON {
		return a.document(scanShape{head, scanErr == nil && report.Clean(), report, safe(advice), shapeOf(scanErr)})
	}
	for _, anomaly := range report.Anomalies {
		fmt.Fprintln(a.out, a.finding(anomaly))
	}
	if beyond := report.Notices + report.Warnings + report.Damages - len(report.Anomalies); beyond > 0 {
		fmt.Fprintf(a.out, "… and %d more\n", beyond)
	}
	_, err := fmt.Fprintf(a.out, "%s: %s\n", head.Place, verdict(report, scanErr))
	if len(advice) > 0 {
		_, err = fmt.Fprintf(a.out, "\n%s\n", a.paint(dim, "what to do"))
	}
	for _, line := range safe(advice) {
		_, err = fmt.Fprintf(a.out, "  - %s\n", line)
	}
	return err
}

// verdict is a report in half a line.
func verdict(r *backend.ScanReport, scanErr error) string {
	depth := "quick check"
	if r.Full {
		depth = "full scan"
	}
	counts := fmt.Sprintf("%s: %s, %s, %s", depth, count(r.Damages, "damage"), count(r.Warnings, "warning"), count(r.Notices, "notice"))
	switch took := r.Took.Round(time.Millisecond); {
	case scanErr != nil:
		return "not finished; " + counts
	case r.Clean():
		return fmt.Sprintf("clean (%s, took %v)", counts, took)
	default:
		return fmt.Sprintf("NOT clean (%s, took %v)", counts, took)
	}
}

// count is "1 notice" or "2 notices".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
