package main

import (
	"context"
	"encoding/binary"
)

// An engine is one of those that are compared. Each has a file of its own,
// engine_*.go, that uses it as an application would, with the settings that its own
// documentation or its largest user recommends for durable writes.
type engine struct {
	name   string
	module string // whose version the report names
	how    string // one line for the report: how it is used here
	kind   store  // a nil store of its type: what it can do can be asked before one is open
	// open opens the store in dir, or creates it: the parent is there, dir perhaps not.
	// writers is how many goroutines will append at a time: some engines are used in one
	// way by one and in another by many.
	open func(ctx context.Context, dir string, writers int) (store, error)
	// names is what the caller hands over with an event of a stream beyond its payload,
	// in bytes: the name of the stream, or a key. Disk sizes are reckoned against it.
	names func(stream int) int
}

// engines in the order of the report. The first three are papyra's.
var engines = []engine{fileEngine, boltEngine, papyraPebbleEngine, pebbleEngine, raftWALEngine, tidwallEngine, etcdEngine, rosedbEngine, bboltEngine, badgerEngine, sqliteEngine}

// A store is an open store. What it can do beside being closed is said by the
// interfaces below; what an engine has no such call for is "n/a" in its rows.
type store interface{ Close() error }

// An appender makes events durable.
type appender interface {
	store
	// writer returns the function that one goroutine appends with. It may keep
	// buffers, so that none is counted against the engine.
	writer() writeFunc
}

// writeFunc makes the events durable, together, before it returns. Events of one stream
// stand in order, each one above the stream's newest.
type writeFunc func(events []event) error

// A replayer reads everything: in the order of the log, or, where events are kept under
// keys, in the order of the keys, which is the cheapest that such an engine has. visit
// gets each payload and keeps nothing.
type replayer interface {
	store
	replay(ctx context.Context, visit func(payload []byte)) error
}

// A streamReader reads one stream's events in their order, without reading others'.
type streamReader interface {
	store
	readStream(ctx context.Context, stream int, visit func(payload []byte)) error
}

// A scanner checks the integrity of all that is stored.
type scanner interface {
	store
	scan(ctx context.Context) error
	recoverNothing(ctx context.Context) error // a recovery that may not change anything
}

// A compactor rewrites its files so that streams lie together and nothing dead is left.
// An engine that can't yet answers [errNotYet].
type compactor interface {
	store
	compact(ctx context.Context) error
}

// A crowded store can be filled with very many streams of a small event each, and asked
// for one of them.
type crowded interface {
	store
	crowd(ctx context.Context, from, to int) error
	member(ctx context.Context, stream int) error
}

// can reports whether an engine's stores have a capability.
func can[T store](e engine) bool {
	_, ok := e.kind.(T)
	return ok
}

// keyBytes is the size of the key, or of the header, with which peers store an event:
// its stream and its number, eight bytes each, ordered as bytes.
const keyBytes = 16

func putKey(b []byte, e event) {
	binary.BigEndian.PutUint64(b, uint64(e.stream))
	binary.BigEndian.PutUint64(b[8:], e.seq)
}

func keyNames(int) int { return keyBytes }

// frames lays events out for a log that stores bytes: key, payload. What it returns is
// good until the next call, which uses its buffers again.
type frames struct {
	buf []byte
	all [][]byte
}

func (f *frames) of(events []event) [][]byte {
	f.buf, f.all = f.buf[:0], f.all[:0]
	for _, e := range events {
		f.buf = append(f.buf, make([]byte, keyBytes)...)
		putKey(f.buf[len(f.buf)-keyBytes:], e)
		f.buf = append(f.buf, e.payload...)
	}
	at := 0
	for _, e := range events {
		n := keyBytes + len(e.payload)
		f.all = append(f.all, f.buf[at:at+n:at+n])
		at += n
	}
	return f.all
}
