package backend

import (
	"fmt"
	"strings"
	"time"
)

// ScanDepth says how much a scan reads.
type ScanDepth uint8

const (
	// Quick checks what a start relies on, such as lists of files, their headers and the
	// log's end. It costs the tail, not the store.
	Quick ScanDepth = iota
	// Full reads and checks everything.
	Full
)

// ScanPlan tells a driver how to scan.
type ScanPlan struct {
	Depth ScanDepth
	// Progress, if not nil, is told now and then how many bytes (or other units) of
	// how many are done; see [ScanOptions.Progress] for what may be relied on. The ends
	// of the steps after which ctx is looked at are good places.
	Progress func(done, total int64)
}

// Severity says how bad an anomaly is.
type Severity uint8

const (
	// Notice is no damage, such as a torn tail, which any crash leaves and the next writing
	// open cuts. It does not count as an anomaly in metrics or startup checks.
	Notice Severity = iota
	// Warning: nothing stored is lost or in doubt, but something is not as it
	// should be, such as a derivable file that is missing or a stray one.
	Warning
	// Damage: stored bytes are lost, or can't be trusted.
	Damage
)

// String returns "notice", "warning" or "damage".
func (s Severity) String() string {
	switch s {
	case Notice:
		return "notice"
	case Warning:
		return "warning"
	case Damage:
		return "damage"
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// MarshalText returns the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// AnomalyCode names what is wrong, in words that are stable across versions.
type AnomalyCode string

// The codes that papyra's own engines report.
const (
	TornTail      AnomalyCode = "torn-tail"      // the last batches, cut by a crash; never acknowledged
	BadChecksum   AnomalyCode = "bad-checksum"   // a record's bytes are not what was stored
	BadHeader     AnomalyCode = "bad-header"     // a frame, segment or manifest header can't be trusted
	MissingRecord AnomalyCode = "missing-record" // a gap in a stream or in the log
	MissingFile   AnomalyCode = "missing-file"   // a file that the manifest lists is not there
	StrayFile     AnomalyCode = "stray-file"     // a file that nothing lists
	StrayBytes    AnomalyCode = "stray-bytes"    // bytes where there should be none
	Unreadable    AnomalyCode = "unreadable"     // the medium returned an error
	WrongStore    AnomalyCode = "wrong-store"    // a healthy piece of another store, or of another place in this one
	WrongHead     AnomalyCode = "wrong-head"     // a stream's head disagrees with its records
	WrongIndex    AnomalyCode = "wrong-index"    // an index disagrees with the records that it leads to
	MarkedHole    AnomalyCode = "marked-hole"    // records that a quarantine has given up; reported as a notice
	BadPermission AnomalyCode = "bad-permission" // others than the owner may read or write the store
)

// Anomaly is one finding of a scan.
type Anomaly struct {
	Code     AnomalyCode `json:"code"`
	Severity Severity    `json:"severity"`
	// Where it is, as exactly as it is known: file or table relative to the store,
	// byte offset (-1: not known) and length (0: not known) …
	File   string `json:"file,omitempty"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length,omitempty"`
	// … and, where a record is hit, which.
	Stream   string   `json:"stream,omitempty"`
	Version  Version  `json:"version,omitempty"`
	Position Position `json:"position,omitempty"`
	// Mendable is true of damage that a repair mends without loss, as what is damaged follows
	// from what is sound. A warning is mendable without saying so.
	Mendable bool `json:"mendable,omitempty"`
	// Detail is for people: what was seen, what was wanted. Never a payload.
	Detail string `json:"detail"`
}

// String is the finding in one line.
func (a Anomaly) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", a.Severity, a.Code)
	if a.File != "" {
		b.WriteString(": " + a.File)
		if a.Offset >= 0 {
			fmt.Fprintf(&b, " offset %d", a.Offset)
		}
		if a.Length > 0 {
			fmt.Fprintf(&b, " length %d", a.Length)
		}
	}
	if a.Stream != "" {
		fmt.Fprintf(&b, ": stream %q", a.Stream)
		if a.Version != 0 {
			fmt.Fprintf(&b, " version %d", a.Version)
		}
	}
	if a.Position != 0 {
		fmt.Fprintf(&b, ": position %d", a.Position)
	}
	return b.String() + ": " + a.Detail
}

// MaxFindings is how many anomalies a report keeps; further ones are counted.
const MaxFindings = 10_000

// ScanReport is what a scan found.
type ScanReport struct {
	Full      bool          `json:"full"`
	Took      time.Duration `json:"took_ns"`
	Anomalies []Anomaly     `json:"anomalies"` // all severities, in the store's order, at most MaxFindings
	Notices   int           `json:"notices"`   // how many there were of severity Notice
	Warnings  int           `json:"warnings"`  // … Warning
	Damages   int           `json:"damages"`   // … Damage
}

// Clean reports whether nothing is wrong: no warning and no damage.
func (r *ScanReport) Clean() bool { return r.Warnings+r.Damages == 0 }

func (r *ScanReport) add(a Anomaly) {
	switch a.Severity {
	case Notice:
		r.Notices++
	case Warning:
		r.Warnings++
	default:
		r.Damages++
	}
	if len(r.Anomalies) < MaxFindings {
		r.Anomalies = append(r.Anomalies, a)
	}
}

// RecoveryMode says what a recovery may do.
type RecoveryMode uint8

const (
	// Ignore changes nothing: it reports what a scan finds.
	Ignore RecoveryMode = iota
	// Repair loses nothing but a torn tail and what can be derived again, and
	// reports what it leaves.
	Repair
	// Quarantine repairs, and moves exactly the damaged extents aside: every
	// healthy record stays, a marked hole remains, and nothing is deleted.
	Quarantine
)

// String returns "ignore", "repair" or "quarantine".
func (m RecoveryMode) String() string {
	switch m {
	case Ignore:
		return "ignore"
	case Repair:
		return "repair"
	case Quarantine:
		return "quarantine"
	}
	return fmt.Sprintf("recovery-mode(%d)", uint8(m))
}

// MarshalText returns the mode's name.
func (m RecoveryMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// RecoveryPlan tells a driver what to recover.
type RecoveryPlan struct {
	Mode RecoveryMode // Repair or Quarantine
	// DryRun: say what would be done, with the same Actions, and change nothing.
	DryRun bool
	// QuarantineDir is where damaged bytes go. Empty: beside the store's own files.
	QuarantineDir string
	// Anomalies is what the scan before it found, at most MaxFindings.
	Anomalies []Anomaly
}

// RecoveryAction is one step that a recovery took, or would take.
type RecoveryAction struct {
	Action string `json:"action"` // a verb, such as "cut", "rebuild", "quarantine"
	File   string `json:"file,omitempty"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length,omitempty"`
	Saved  string `json:"saved,omitempty"` // where the bytes were saved, relative to the store
	// Which stream or record it is done to, as the anomaly says, where a place in a file tells
	// less.
	Stream   string   `json:"stream,omitempty"`
	Version  Version  `json:"version,omitempty"`
	Position Position `json:"position,omitempty"`
	Detail   string   `json:"detail"`
}

// RecoveryStats is what a driver's recovery did.
type RecoveryStats struct {
	Actions []RecoveryAction
}

// RecoveryReport is what a recovery found, did and left.
type RecoveryReport struct {
	Mode    RecoveryMode     `json:"mode"`
	DryRun  bool             `json:"dry_run"`
	Took    time.Duration    `json:"took_ns"`
	Before  *ScanReport      `json:"before"`
	Actions []RecoveryAction `json:"actions"`
	After   *ScanReport      `json:"after"` // nil after a dry run
}

// Cut is the boundary below which records go: one floor for each stream that loses
// something. Without floors nothing goes; an engine may still use the occasion to
// put what it holds in order. [Backend.PlanCut] makes one from policies; one made by
// hand is judged by the same rules (see [Backend.Compact]).
type Cut struct {
	Floors []StreamFloor // in the bytewise order of the streams' names, each once
}

// StreamFloor says what a cut takes from one stream: see [StreamFloor.Takes].
type StreamFloor struct {
	Stream string
	// Floor is the oldest version that stays. It is at most the version after the
	// stream's newest snapshot, so that the state can always be built again; in a
	// system stream, which has no snapshots, at most the version after the newest. One
	// that is not above the stream's own floor takes nothing.
	Floor Version
	// Delete takes the whole stream, its newest snapshot too. Floor is then the version
	// after the newest; zero stands for it, and any other is [ErrConflict]: the
	// stream is not where the caller thinks. Of the stream its name, version and epoch
	// are left, so that no version is ever given again; appends go on from there.
	Delete bool
}

// Takes reports whether r, of the same stream, goes: a numbered record below the
// floor, and a snapshot of a version from which the records up to the floor are gone.
// That is never the newest snapshot, unless with Delete. What was written after the
// cut was made stays in any case. It is the one rule by which engines compact.
func (f StreamFloor) Takes(r *Record) bool {
	if r.Kind == Snapshot && !f.Delete {
		return r.Version+1 < f.Floor
	}
	return r.Version < f.Floor
}

// CompactionStats is what a driver's compaction did. Records are of every kind. What was
// taken and is still on the medium counts: it is not said to be gone before it is.
type CompactionStats struct {
	RecordsBefore, RecordsAfter int64
	BytesBefore, BytesAfter     int64 // on the medium
}

// CompactionReport is what a compaction did.
type CompactionReport struct {
	CompactionStats
	Took time.Duration
}
