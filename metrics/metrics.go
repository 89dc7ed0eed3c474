// Package metrics is the one counter struct that every papyra backend shares.
//
// It holds counters and nothing else: no exporter, no names forced on anyone,
// no labels. [Table] is all that an adapter to a monitoring system needs.
//
// Only package backend counts. Drivers return facts (bytes, records, findings)
// and never import this package, so a counter can be neither forgotten nor
// counted twice by an engine.
package metrics

import (
	"iter"
	"sync/atomic"
)

// Counters are the running totals of one backend, or of several that were
// handed the same Counters. The zero value is ready to use. Every field is
// exact and only ever grows; there is no reset, because a reset turns into a
// negative difference further down the line: keep a [Snapshot] as a baseline
// and subtract it with [Snapshot.Sub].
//
// All fields may be read and added to by any number of goroutines. A Counters
// must not be copied after first use.
type Counters struct {
	WritesTotal   atomic.Uint64 // records acknowledged as durable; one for each record
	WriteErrors   atomic.Uint64 // batches and snapshots that were not acknowledged; one for each
	BytesWritten  atomic.Uint64 // bytes of the acknowledged records: stream, type, meta and payload
	ScanCount     atomic.Uint64 // scans that ran to their end, whatever they found
	ScanErrors    atomic.Uint64 // scans that could not run to their end
	ScanAnomalies atomic.Uint64 // anomalies (warnings and damages, not notices) reported by all scans; the same one counts in each scan that meets it
	RecoverCount  atomic.Uint64 // recoveries that ran to their end
	RecoverErrors atomic.Uint64 // recoveries that could not
	CompactCount  atomic.Uint64 // compactions that ran to their end
	CompactErrors atomic.Uint64 // compactions that could not
}

// Snapshot is a plain copy of [Counters]. Each field is exact at the moment it
// was read; fields that move together (a write and its bytes) may be one
// operation apart.
type Snapshot struct {
	WritesTotal   uint64 `json:"writes_total"`
	WriteErrors   uint64 `json:"write_errors"`
	BytesWritten  uint64 `json:"bytes_written"`
	ScanCount     uint64 `json:"scan_count"`
	ScanErrors    uint64 `json:"scan_errors"`
	ScanAnomalies uint64 `json:"scan_anomalies"`
	RecoverCount  uint64 `json:"recover_count"`
	RecoverErrors uint64 `json:"recover_errors"`
	CompactCount  uint64 `json:"compact_count"`
	CompactErrors uint64 `json:"compact_errors"`
}

// A Counter describes one field of [Counters].
type Counter struct {
	Name string                 // lower_snake_case, without a prefix; stable
	Unit string                 // UCUM: "By" or an annotation such as "{record}"
	Help string                 // one sentence
	Of   func(*Snapshot) uint64 // reads the field from a snapshot
}

// Table lists every counter, in the order in which people should meet them.
// It is the only place where names, units and help texts stand. The slice is
// shared: do not change it.
var Table = []Counter{
	{"writes_total", "{record}", "Records acknowledged as durable.", func(s *Snapshot) uint64 { return s.WritesTotal }},
	{"write_errors", "{error}", "Batches and snapshots that were not acknowledged.", func(s *Snapshot) uint64 { return s.WriteErrors }},
	{"bytes_written", "By", "Bytes of acknowledged records: stream, type, meta and payload.", func(s *Snapshot) uint64 { return s.BytesWritten }},
	{"scan_count", "{scan}", "Integrity scans that ran to their end.", func(s *Snapshot) uint64 { return s.ScanCount }},
	{"scan_errors", "{error}", "Integrity scans that could not run to their end.", func(s *Snapshot) uint64 { return s.ScanErrors }},
	{"scan_anomalies", "{anomaly}", "Anomalies (warnings and damages) reported by all scans.", func(s *Snapshot) uint64 { return s.ScanAnomalies }},
	{"recover_count", "{recovery}", "Recoveries that ran to their end.", func(s *Snapshot) uint64 { return s.RecoverCount }},
	{"recover_errors", "{error}", "Recoveries that could not run to their end.", func(s *Snapshot) uint64 { return s.RecoverErrors }},
	{"compact_count", "{compaction}", "Compactions that ran to their end.", func(s *Snapshot) uint64 { return s.CompactCount }},
	{"compact_errors", "{error}", "Compactions that could not run to their end.", func(s *Snapshot) uint64 { return s.CompactErrors }},
}

// Snapshot copies the counters. It takes no lock and does not allocate.
func (c *Counters) Snapshot() Snapshot {
	return Snapshot{
		WritesTotal:   c.WritesTotal.Load(),
		WriteErrors:   c.WriteErrors.Load(),
		BytesWritten:  c.BytesWritten.Load(),
		ScanCount:     c.ScanCount.Load(),
		ScanErrors:    c.ScanErrors.Load(),
		ScanAnomalies: c.ScanAnomalies.Load(),
		RecoverCount:  c.RecoverCount.Load(),
		RecoverErrors: c.RecoverErrors.Load(),
		CompactCount:  c.CompactCount.Load(),
		CompactErrors: c.CompactErrors.Load(),
	}
}

// All yields each counter's description and value, in the order of [Table].
func (s Snapshot) All() iter.Seq2[Counter, uint64] {
	return func(yield func(Counter, uint64) bool) {
		for _, c := range Table {
			if !yield(c, c.Of(&s)) {
				return
			}
		}
	}
}

// Sub returns what was counted since base: each field of s less the same field
// of base. This is how a caller resets: it keeps a baseline of its own.
func (s Snapshot) Sub(base Snapshot) Snapshot {
	return Snapshot{
		WritesTotal:   s.WritesTotal - base.WritesTotal,
		WriteErrors:   s.WriteErrors - base.WriteErrors,
		BytesWritten:  s.BytesWritten - base.BytesWritten,
		ScanCount:     s.ScanCount - base.ScanCount,
		ScanErrors:    s.ScanErrors - base.ScanErrors,
		ScanAnomalies: s.ScanAnomalies - base.ScanAnomalies,
		RecoverCount:  s.RecoverCount - base.RecoverCount,
		RecoverErrors: s.RecoverErrors - base.RecoverErrors,
		CompactCount:  s.CompactCount - base.CompactCount,
		CompactErrors: s.CompactErrors - base.CompactErrors,
	}
}
