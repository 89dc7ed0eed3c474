package main

import (
	"path/filepath"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// remains are the findings, notices left out, that the actions of a dry run do nothing
// about: what a recovery would leave. TestAStartupCheckSaysWhatAnApplicationMeets holds it
// to what recoveries do leave.
func remains(found *backend.ScanReport, actions []backend.RecoveryAction) (left []backend.Anomaly, more int) {
	for i := range found.Anomalies {
		if a := &found.Anomalies[i]; a.Severity != backend.Notice && !dealtWith(a, actions) {
			left = append(left, *a)
		}
	}
	return left, found.Notices + found.Warnings + found.Damages - len(found.Anomalies)
}

// dealtWith reports whether an action is about the place of a finding.
func dealtWith(a *backend.Anomaly, actions []backend.RecoveryAction) bool {
	for i := range actions {
		if act := &actions[i]; act.Action != "save" && a.Code != backend.BadPermission && concerns(act, a) {
			return true
		}
	}
	return false
}

// concerns reports whether an action and a finding are about the same bytes. What is done
// to one of the manifests, or of the heads, is done to all of them; and what is done to the
// whole log (its first segment is named) counts for every segment.
func concerns(act *backend.RecoveryAction, a *backend.Anomaly) bool {
	kind := fileKind(act.File)
	switch {
	case kind != fileKind(a.File):
		return false
	case kind == manifestFile || kind == headsSuffix:
		return true
	case kind == segmentSuffix && act.Action == "quarantine":
		return true
	case act.File != a.File:
		return false
	case act.Stream != "" || act.Position > 0: // done to a record, or to a stream
		return act.Stream == a.Stream && act.Version == a.Version && act.Position == a.Position
	case act.Action == "replace" && (a.Stream != "" || a.Position > 0): // of pages: what is in them has actions of its own
		return false
	}
	whole := act.Offset < 0 || a.Offset < 0 || act.Length == 0 || a.Length == 0
	return whole || act.Offset < a.Offset+a.Length && a.Offset < act.Offset+act.Length
}

// The files of a file store that are dealt with together.
const (
	manifestFile  = "MANIFEST"
	copyFile      = "MANIFEST.copy"
	segmentSuffix = ".seg"
	headsSuffix   = ".heads"
)

// fileKind tells the files of a file store apart by what they are.
func fileKind(name string) string {
	switch {
	case name == manifestFile || name == copyFile:
		return manifestFile
	case strings.Contains(name, "/"):
		return name
	}
	return filepath.Ext(name)
}
