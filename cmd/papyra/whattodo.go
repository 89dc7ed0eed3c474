package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// whatToDo is what an operator does about what a scan has found, in that order; nothing if
// it has found nothing. seen says that a quick check finds something too: that is the check
// that an application makes when it starts, unless it asks for more; tried, that a recovery
// has mended what it can.
func whatToDo(p place, r *backend.ScanReport, seen, tried bool) (advice []string) {
	store := shellWord(p.String())
	say := func(format string, args ...any) { advice = append(advice, fmt.Sprintf(format, args...)) }
	if chmod := letOnlyTheOwnerIn(p, r); chmod != "" {
		say("%s", chmod)
	}
	switch lost := losses(r); {
	case len(lost) > 0:
		say("keep a copy of the whole store before anything else")
		say("records are lost: %s", strings.Join(lost, "; "))
		if !tried { // where a single byte is wrong, a recovery finds out whether it can be proved
			say("mend first what can be mended, which loses nothing and may be all, then scan again: papyra recover --store %s", store)
		}
		say("get out what can be read: papyra export --store %s --skip-damage --out rescued.ndjson", store)
		if seen {
			say("restore a backup: an application with the default startup check refuses to start on this store")
		} else {
			say("restore a backup: an application starts on this store all the same, and gets an error where it reads what is lost")
		}
		say("or go on without what is lost, which keeps every other record, sets the damaged bytes aside and marks the places: papyra recover --mode quarantine --store %s", store)
	case !mendable(r):
	case seen:
		say("nothing stored is lost, but an application with the default startup check refuses to start until this is mended")
		say("to mend it, which loses nothing: papyra recover --store %s", store)
		say("or let the application open it once with %s?startup=recover", p)
	default:
		say("nothing stored is lost, and an application starts on this store all the same")
		say("to mend it, which loses nothing: papyra recover --store %s", store)
		say("or let the application open it once with %s?startup=recover&startup-full=true: a quick check does not see it", p)
	}
	return advice
}

// derivable reports whether a finding is of something that can be made again from what is
// sound.
func derivable(a *backend.Anomaly) bool { return a.Severity == backend.Warning || a.Mendable }

// mendable reports whether a recovery can mend any of the findings. It changes no
// permissions.
func mendable(r *backend.ScanReport) bool {
	return slices.ContainsFunc(r.Anomalies, func(a backend.Anomaly) bool { return derivable(&a) && a.Code != backend.BadPermission })
}

// maxLosses is how many lost records are named.
const maxLosses = 5

// losses tells of each lost record, or of where some are lost, as far as a report does.
func losses(r *backend.ScanReport) (list []string) {
	more := r.Warnings + r.Notices + r.Damages - len(r.Anomalies)
	for i := range r.Anomalies {
		a := &r.Anomalies[i]
		if a.Severity != backend.Damage || derivable(a) {
			continue
		}
		what := fmt.Sprintf("which ones is not known, in %s", show(a.File))
		switch {
		case a.Stream != "" && a.Version > 0:
			what = fmt.Sprintf("%s version %d", show(a.Stream), a.Version)
		case a.Stream != "":
			what = fmt.Sprintf("a snapshot of %s", show(a.Stream))
		case a.Code == backend.MissingFile:
			what = fmt.Sprintf("those in %s", show(a.File))
		}
		switch {
		case slices.Contains(list, what):
		case len(list) == maxLosses:
			more++
		default:
			list = append(list, what)
		}
	}
	if more > 0 && len(list) > 0 {
		list = append(list, "and more, which papyra scan and the export tell")
	}
	return list
}

// letOnlyTheOwnerIn is what to do about permissions; empty if a report finds nothing wrong
// with them.
func letOnlyTheOwnerIn(p place, r *backend.ScanReport) string {
	i := slices.IndexFunc(r.Anomalies, func(a backend.Anomaly) bool {
		return a.Severity == backend.Warning && a.Code == backend.BadPermission
	})
	switch {
	case i < 0 || p.dir() == "":
		return ""
	case r.Anomalies[i].File == ".":
		return "let only the owner in: chmod 0700 " + shellWord(p.dir())
	}
	return "let only the owner in: chmod 0600 " + shellWord(filepath.Join(p.dir(), r.Anomalies[i].File))
}

// safe are lines of advice that hold nothing unprintable.
func safe(advice []string) []string {
	lines := make([]string, len(advice))
	for i, line := range advice {
		lines[i] = printable(line)
	}
	return lines
}
