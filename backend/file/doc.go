// Package file is the engine that papyra recommends: a directory of its own, for one
// writing process at a time. Appends go to a log in segment files: each group of them is
// one write and one sync, and each record and each header carries a checksum that binds
// it to its store and its place. A segment that is full is packed, beside appends, into a
// span: the same records, gathered by stream. Opening reads the log that is not packed
// yet; compaction and quarantine pack again.
//
// It is not for network file systems, nor for several writing processes. It keeps no
// second copy of a record: what is damaged is found, located and put aside, and one wrong
// byte is mended where two checksums prove it. It removes nothing but what a cut has taken
// away, and when to compact is the caller's affair.
//
// Open a store with [Open], or with backend.Open and a URL: file:///absolute/path or
// file:relative/path, with the query key segment-bytes beside those that every engine
// has.
//
// Where to read next: docs/file-format.md for the bytes, the invariants and what a crash
// may leave. Then, in this order:
//
//	layout.go segment.go           names, and the first page of a segment
//	group.go cut.go                a group's bytes: records, and cuts
//	append.go rotate.go            the commit path and its failures; the next segment
//	mark.go marker.go              evidence of what was durable
//	manifest.go reserve.go         the list of what exists, and room to write it
//	walk.go tail.go                reading the log; where it ends, and what is damage
//	table.go hole.go               what the walk makes: where records are, and are not
//	open.go store.go view.go       from a directory to a store; what readers pin
//	span.go standing.go frames.go  a span's bytes, and what it knows of a stream
//	heads.go                       where streams stand behind the newest span
//	pack.go packlog.go             making spans, of segments and of spans
//	seal.go compact.go cutaway.go  when that is done, and what lies below a cut
//	read.go stream.go              reading the log, and a stream
//	unfold.go unfolded.go          reading spans by position
//	snapshots.go list.go           reading snapshots; listing streams, and where each stands
//	scan.go scanstreams.go         checking all of it
//	survey.go mend.go              checking, and what can be read of a damaged span
//	recover.go                     what is done about damage
//	quarantine.go giveup.go        … if something is to be given up
//	directory.go salvage.go        what tools tell from outside, and of what was saved
//
// file.go has the options, errors.go what becomes of the operating system's errors.
// Package internal/sorted is the table in spans and heads, backend/internal/disk the seam to the
// operating system, backend/internal/faultfs a disk in memory that crashes and fails, and
// internal/attack tests that use the machine's own.
package file
