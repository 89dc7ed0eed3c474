// Package pebble keeps a store in pebble, a log-structured merge tree
// (github.com/cockroachdb/pebble/v2): for stores that are far larger than memory, of many
// streams, that are written all the time. How records become keys and values is that of
// backend/internal/kv, as with bolt.
//
// A store is a directory of its own:
//
//	LOCK         held by who writes, and names it
//	SEAL         what the files were when the store was closed well
//	db/          pebble's files
//	quarantine/  what a recovery has put aside
//
// Open one with [Open], or with backend.Open and a URL: pebble:///absolute/path or
// pebble:relative/path.
//
// pebble ends the process when its log can't be synced, waits for ever on a full disk, and
// takes a damaged list of its files for one that ends there. This package therefore stands
// between pebble and its files: it keeps failures from pebble, and looks at what pebble
// does not check. A store that is damaged is read without pebble, and appends to it are
// refused until it is recovered. docs/pebble.md says what this engine promises, and how.
//
// Where to read next: pebble.go and open.go; medium.go and ahead.go, for what pebble's files are to it;
// engine.go and write.go for what runs over a healthy store; seal.go, chunks.go and
// table.go for how files are looked at; salvage.go, salvaged.go, mend.go and rebuild.go for a damaged
// one; directory.go and found.go for what tools tell of a store from outside.
package pebble
