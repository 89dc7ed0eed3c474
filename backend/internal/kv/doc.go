// Package kv keeps papyra's log in an ordered store of keys and values: what the engines
// bolt and pebble have in common. [Log] is a backend.LogDriver over a small [Engine], so
// that comparing two engines compares the engines, and so that what can be told of damage
// is told the same way.
//
// It opens no files and takes no locks: that, the mapping of an engine's errors to
// papyra's, and what poisons a handle, is each engine's package.
//
// Where to read next, in this order:
//
//	engine.go                what an engine has to do
//	keys.go value.go         the keys and the values, drawn
//	log.go meta.go head.go   an open store; what it says of itself; where a stream stands
//	append.go lately.go      writing records
//	page.go read.go places.go snapshots.go streams.go   reading
//	compact.go               cuts, and giving back the room
//	scan.go scanstreams.go scanplaces.go   checking all of it
//	recover.go counted.go quarantine.go    what is done about damage
package kv
