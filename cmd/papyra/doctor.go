package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

const doctorLong = `doctor looks at everything that can be looked at without changing anything, and
says on one page what is well, what is not, and what to do next: what the place is,
permissions, free space, who holds the store, a quick check, the last position, what an
application would meet that starts now in each startup mode, and what lies in
quarantine. It also works where the store can't be opened. Where the quick check finds
something, the whole store is read, to say what a recovery would do about it.

Exit codes: 0 all is well; 1 the place is not a store that this papyra reads; 2
anomalies; 3 missing, locked or not reachable; 64 wrong usage; 130 interrupted.`

// The statuses of a check, from good to bad. Those from warning on make the exit
// code 2, unless the store can't be opened, which has codes of its own.
const (
	statusOK      = "ok"
	statusNote    = "note"    // worth knowing, nothing to do
	statusUnknown = "unknown" // could not be found out here
	statusWarning = "warning" // not as it should be
	statusProblem = "problem" // keeps the store from working, or data from being read
)

// check is one line of the page.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail"`
}

// doctor gathers the page.
type doctor struct {
	Schema       string              `json:"schema"`
	Place        string              `json:"place"`
	Engine       string              `json:"engine"`
	Healthy      bool                `json:"healthy"`
	ExitCode     int                 `json:"exit_code"`
	Checks       []check             `json:"checks"`
	LastPosition *backend.Position   `json:"last_position,omitempty"`
	Scan         *backend.ScanReport `json:"scan,omitempty"`
	Quarantine   []quarantined       `json:"quarantine"`
	Advice       []string            `json:"advice"`
	failed       int                 // the exit code of what failed; 0: nothing did
	otherwise    string              // what to do if the store can't be opened; empty: as opening says
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "doctor",
		Short:   "Say on one page how a store is, and what to do next",
		Long:    doctorLong,
		Example: "  papyra doctor --store file:///var/lib/app",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.doctor(c.Context()) },
	}
}

func (a *app) doctor(ctx context.Context) error {
	p, err := a.place()
	if err != nil {
		return err
	}
	d := &doctor{
		Schema: "papyra.doctor/1", Place: p.String(), Engine: p.url.Scheme,
		Checks: []check{}, Quarantine: []quarantined{}, Advice: []string{},
	}
	d.examineDirectory(p)
	if err := d.examineStore(ctx, a, p); err != nil {
		return err // the URL is wrong, or a signal came: there is nothing to report
	}
	d.judge()
	if err := d.print(a); err != nil {
		return err
	}
	if d.ExitCode != exitOK {
		return &coded{d.ExitCode, errReported}
	}
	return nil
}

func (d *doctor) add(name, status, format string, args ...any) {
	d.Checks = append(d.Checks, check{name, status, printable(fmt.Sprintf(format, args...))})
}

func (d *doctor) advise(format string, args ...any) {
	if line := printable(fmt.Sprintf(format, args...)); !slices.Contains(d.Advice, line) {
		d.Advice = append(d.Advice, line)
	}
}

// fail notes an error as a problem; the first one decides the exit code.
func (d *doctor) fail(name string, err error) {
	_, code := outcome(err)
	if d.failed == 0 {
		d.failed = code
	}
	d.add(name, statusProblem, "%s", plain(err))
}

// examineStore opens the store and checks what can be checked then. It returns an
// error only if there can be no page.
func (d *doctor) examineStore(ctx context.Context, a *app, p place) error {
	b, err := p.open(ctx)
	if err != nil {
		return d.notOpened(err)
	}
	defer b.Close()
	d.Engine = b.Engine()
	d.add("open", statusOK, "opened read-only with the %s engine", b.Engine())
	if last, err := b.Last(ctx); err != nil {
		d.fail("last position", err)
	} else {
		d.LastPosition = &last
		d.add("last position", statusOK, "%d", last)
	}
	d.Scan, err = b.Scan(ctx, &backend.ScanOptions{Quick: true})
	d.scanned(p, err)
	if err == nil {
		d.examineStart(ctx, a, b, p)
	}
	return ctx.Err()
}

// notOpened tells why a store can't be opened, and what to do about it.
func (d *doctor) notOpened(err error) error {
	word, _ := outcome(err)
	if word == "usage" || word == "interrupted" {
		return err
	}
	if opening, ok := err.(*openError); ok {
		d.fail("open", &openCause{opening})
	}
	switch {
	case word == "format" && d.otherwise != "":
		d.advise("%s", d.otherwise)
	default:
		d.advise("%s", opening[word])
	}
	return nil
}

// openCause is an openError without the place, which the page names at its head.
type openCause struct{ *openError }

func (e *openCause) Error() string { return plain(e.err) }

// Unwrap returns the openError.
func (e *openCause) Unwrap() error { return e.openError }

// opening is what to do about a store that can't be opened.
var opening = map[string]string{
	"locked":      "the store is in use: look at it through the process that holds it, or end that process first",
	"corrupt":     keepAndRestore,
	"format":      "check the path; if it is right, the place holds something else or was written by a newer papyra: use that one",
	"unreachable": "check the path, that the disk is mounted, and that this user may read it",
	"unsupported": "this engine can't be opened read-only: look at the store through the process that uses it",
	"no-space":    "free some space on the disk and try again",
	"failed":      "the message above is all that is known; try again, then look at the system's log",
}

// scanned judges the quick check.
func (d *doctor) scanned(p place, err error) {
	switch r := d.Scan; {
	case err != nil:
		d.fail("quick check", err)
		d.advise("the check could not be carried through: look at the disk (dmesg, smartctl) before anything else")
	case !r.Clean():
		status := statusWarning
		if r.Damages > 0 {
			status = statusProblem
		}
		d.add("quick check", status, "%s", verdictShort(r))
		for _, line := range whatToDo(p, r, true, false) {
			d.advise("%s", line)
		}
		d.adviseScan()
	case r.Notices > 0:
		d.add("quick check", statusNote, "clean, %s", count(r.Notices, "notice"))
	default:
		d.add("quick check", statusOK, "clean; papyra scan reads everything")
	}
}

func (d *doctor) adviseScan() {
	d.advise("a quick check does not read everything; to see all: papyra scan --store %s", shellWord(d.Place))
}

// examineStart says what a start in each mode would come to. What is wrong is the quick
// check's to say, so here it is a note.
func (d *doctor) examineStart(ctx context.Context, a *app, b *backend.Backend, p place) {
	readOnly := readsOnly(p.url)
	if d.Scan.Clean() {
		starts := "an application would start, whatever its startup mode"
		if p.held() != nil && !readOnly {
			starts = "an application would start once the store is free, whatever its startup mode; a second one can't start beside the one that holds it"
		}
		d.add("start", statusOK, "%s", starts)
		return
	}
	st := &starting{b: b, readOnly: readOnly, scan: d.Scan, progress: a.progress("planning a recovery", "bytes")}
	defer st.progress.end()
	for _, mode := range startups {
		m, err := st.in(ctx, mode)
		if err != nil {
			d.add("start", statusUnknown, "startup mode %v: %s", mode, plain(err))
			continue
		}
		d.add("start", statusNote, "startup mode %v: %s", mode, m.Detail)
	}
}

func verdictShort(r *backend.ScanReport) string {
	return fmt.Sprintf("NOT clean: %s, %s", count(r.Damages, "damage"), count(r.Warnings, "warning"))
}

// judge fills in the exit code and, if nothing else is to be done, says so.
func (d *doctor) judge() {
	d.ExitCode = d.failed
	for _, c := range d.Checks {
		if d.ExitCode == exitOK && (c.Status == statusWarning || c.Status == statusProblem) {
			d.ExitCode = exitAnomalies
		}
	}
	d.Healthy = d.ExitCode == exitOK
	if d.Healthy {
		d.advise("nothing to do")
	}
	if d.Healthy && d.Scan != nil {
		d.adviseScan()
	}
}

// maxFindingsShown is how many findings of the quick check the page has room for.
const maxFindingsShown = 10

func (d *doctor) print(a *app) error {
	if a.format == formatJSON {
		return a.document(d)
	}
	fmt.Fprintf(a.out, "%s (%s)\n\n", d.Place, d.Engine)
	for _, c := range d.Checks {
		fmt.Fprintf(a.out, "  %s %-14s %s\n", a.judged(c.Status, fmt.Sprintf("%-8s", c.Status)), c.Name, c.Detail)
	}
	if d.Scan != nil && len(d.Scan.Anomalies) > 0 {
		d.printFindings(a)
	}
	fmt.Fprintf(a.out, "\n%s\n", a.paint(dim, "what to do"))
	for _, line := range d.Advice {
		fmt.Fprintf(a.out, "  - %s\n", line)
	}
	return nil
}

func (d *doctor) printFindings(a *app) {
	fmt.Fprintf(a.out, "\n%s\n", a.paint(dim, "findings"))
	for i, anomaly := range d.Scan.Anomalies {
		if i == maxFindingsShown {
			fmt.Fprintf(a.out, "  … and %d more: papyra scan --quick --store %s\n", len(d.Scan.Anomalies)-i, shellWord(d.Place))
			return
		}
		fmt.Fprintf(a.out, "  %s\n", a.finding(anomaly))
	}
}
