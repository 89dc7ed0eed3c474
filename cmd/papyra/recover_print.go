package main

import (
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// maxLinesShown is how many findings, or steps, a list for people has room for.
const maxLinesShown = 50

// list prints lines under a title, as many as there is room for.
func (a *app) list(title string, n int, line func(i int) string) {
	if n == 0 {
		return
	}
	fmt.Fprintf(a.out, "%s\n", title)
	for i := range min(n, maxLinesShown) {
		fmt.Fprintf(a.out, "  %s\n", printable(line(i)))
	}
	if n > maxLinesShown {
		fmt.Fprintf(a.out, "  … and %d more (--format json shows all)\n", n-maxLinesShown)
	}
}

// printPlan shows what was found, what is to be done about it, and what is not.
func (r *recovering) printPlan(plan *backend.RecoveryReport) {
	found := plan.Before.Anomalies
	r.list("found", len(found), func(i int) string { return found[i].String() })
	r.printActions("to be done")
	left, more := remains(plan.Before, plan.Actions)
	if r.mode == backend.Ignore {
		return
	}
	r.list("left as it is", len(left), func(i int) string { return left[i].String() })
	if more > 0 {
		fmt.Fprintf(r.out, "  … and perhaps some of %d more findings\n", more)
	}
}

// printDone shows what was done.
func (r *recovering) printDone() {
	r.printActions("done")
	r.list("saved", len(r.done.Saved), func(i int) string {
		q := r.done.Saved[i]
		return fmt.Sprintf("%s (%s)", show(q.File), count(int(q.Bytes), "byte"))
	})
}

func (r *recovering) printActions(title string) {
	r.list(title, len(r.done.Actions), func(i int) string { return actionLine(&r.done.Actions[i]) })
}

// actionLine is a step in one line.
func actionLine(act *recoverAction) string {
	s := act.Action + " " + show(act.File)
	if act.Offset >= 0 && act.Length > 0 {
		s += fmt.Sprintf(" offset %d length %d", act.Offset, act.Length)
	}
	if act.Saved != "" {
		s += ", saved in " + show(act.Saved)
	}
	s += ": " + act.Detail
	if act.Opening {
		s += " (opening the store did it)"
	}
	return s
}

// printVerdict ends the page: how the store is now, and what to do.
func (r *recovering) printVerdict(state *backend.ScanReport, failed error) error {
	_, err := fmt.Fprintf(r.out, "%s: %s\n", r.done.Place, verdict(state, failed))
	if len(r.done.Advice) > 0 {
		_, err = fmt.Fprint(r.out, "\nwhat to do\n")
	}
	for _, line := range r.done.Advice {
		_, err = fmt.Fprintf(r.out, "  - %s\n", line)
	}
	return err
}
