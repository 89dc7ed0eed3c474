// Package transfer moves what a store holds into lines of an export, into another store,
// and back, whole: records with their numbers, the gaps between positions, and where the
// streams stand of which nothing is left.
//
// [Items] reads a store in the order of an export. [Restorer] puts such items into a
// store, through Restore batches, and goes on where an interrupted one has ended.
// [ReadExport] reads an export's lines as items; [Compare] sets two stores side by side.
// [Appender] and the [Foreign] formats bring in records that were no papyra store's.
//
// Package lines has the lines themselves. The command papyra has the flags and what is
// printed.
package transfer
