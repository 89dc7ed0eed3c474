// Package bolt keeps a store in one file of bbolt, a B+tree that is copied on write
// (go.etcd.io/bbolt): for who has bbolt in their house already, reads far more than they
// append, or wants a store of two files. How records become keys and values is that of
// backend/internal/kv, as with pebble.
//
// A store is a directory of its own:
//
//	LOCK         held by who writes, and names it
//	store.db     the file of bbolt
//	quarantine/  what a recovery has put aside
//
// It is a directory because the file alone can't be replaced safely, nor say who holds it,
// and because damaged bytes need a place. Open one with [Open], or with backend.Open and a
// URL: bolt:///absolute/path or bolt:relative/path.
//
// bbolt checks none of its pages, and meets damage with panics, faults and endless loops, some
// of them in goroutines of its own. This package therefore looks at every page before bbolt
// does, when it opens a store and in full scans, reading the file by itself; a store whose pages are damaged is read
// without bbolt, and appends to it are refused until it is recovered. docs/bolt.md draws the
// file and says what this engine can't promise.
//
// Where to read next: bolt.go and open.go, engine.go and write.go for what runs over a healthy file;
// meta.go, page.go and tree.go for how a file is looked at; salvage.go and rebuild.go for a
// damaged one.
package bolt
