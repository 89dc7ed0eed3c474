// Package file is the engine that papyra recommends: an append-only log in segment
// files, in a directory of its own, for one writing process at a time. Each group of
// appends is one write and one sync; each record and each header carries a checksum that
// binds it to its store and its place.
//
// It is not for network file systems, and it does not compact yet.
//
// Open a store with [Open], or with backend.Open and a URL: file:///absolute/path or
// file:relative/path, with the query key segment-bytes beside those that every engine
// has.
//
// Where to read next: docs/file-format.md for the bytes, the invariants and what a crash
// may leave; then group.go (a group's bytes), append.go (the commit path and its
// failures), tail.go (where the log ends, and what is damage), index.go and read.go.
package file
