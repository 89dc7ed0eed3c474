// Package lines is the form in which records leave a store and come back: an export, one
// line of JSON each, and nothing that does something to a terminal.
//
//	{"export":1}                                        the head line
//	{"position":1,"stream":"a","version":1,…}           a record
//	{"position":2,"stream":"b","gone":{"version":7,…}}  a stream whose records are all gone
//	{"end":{"records":1,"gone":1,"last_position":2,…}}  the last line
//
// Every line has one form only: the same numbers, the same bytes, the same order of
// fields. A decoder takes no other, so that what it took encodes to the line that it was,
// and nothing that went through a tool which rounds numbers or sorts fields comes back as
// if it were what was stored. docs/cli.md describes the fields.
//
// [AppendRecord] and its kin write lines, [Decode] reads one, [Reader] finds them in a
// file. Package transfer says in which order they stand, and puts them into stores.
package lines

// Format is the version of the lines, which stands in the head line.
const Format = 1
