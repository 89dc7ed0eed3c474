// Package backend is papyra's contract with storage: append, read, scan, recover,
// compact, the same on every engine.
//
// Users hold a [Backend]. They choose an engine by import and open a store with
// the engine package's Open, or from a URL:
//
//	import _ "github.com/papyra-go/papyra/backend/file"
//
//	b, err := backend.Open(ctx, "file:///var/lib/app")
//
// An engine implements [Driver], or [LogDriver] if one process writes at a time.
// The Backend does once, for all engines, what is the same for all: the closed
// check, validation and limits, group commit, deadlines, poisoning, startup check,
// paging, error context, metrics and the observer.
//
// # Words
//
// A record is anything stored, with its numbers: its version in its stream (1 for
// the first, no gaps) and its position in the whole store (rising in commit order).
// A batch is records for one stream, all or none. A group is the batches that one
// sync makes durable. A snapshot stands beside its stream at the version that it
// covers.
//
// # Promises
//
// docs/durability.md numbers them; the conformance suite (package conformance)
// tests them on any engine, yours too. In short: what Append has acknowledged
// survives; a batch is there wholly or not at all; a reader never gets bytes that
// were not appended, nor a gap without an error; nothing is visible before it is
// durable.
//
// # What this is not
//
// No engine lives here, no exporter, no logger. Nothing here starts a goroutine
// that Close does not wait for, exits the process, or prints.
//
// Where to read next: driver.go for what an engine must do; package
// backend/memory for an engine in one sitting; docs/custom-backend.md for writing one;
// package conformance.
package backend
