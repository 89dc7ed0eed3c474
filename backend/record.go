package backend

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Kind says what a record is. Kinds are stored by number; a number never
// changes its meaning.
type Kind uint8

// The kinds of records. The zero Kind in an appended record means the kind that
// its stream holds: see [KindOf].
const (
	Event      Kind = 1 // a domain fact: what an actor decided
	Snapshot   Kind = 2 // an actor's state at a version, standing beside its stream
	Lifecycle  Kind = 3 // the actor system's own: an actor started, stopped, crashed
	Audit      Kind = 4 // the actor system's own: a report of its state
	DeadLetter Kind = 5 // the actor system's own: a message that reached nobody
)

var kindNames = [...]string{Event: "event", Snapshot: "snapshot", Lifecycle: "lifecycle", Audit: "audit", DeadLetter: "deadletter"}

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool { return k >= Event && k <= DeadLetter }

// String returns the kind's name in lower case, as every report prints it.
func (k Kind) String() string {
	if k.Valid() {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind is the inverse of [Kind.String]. An unknown name is [ErrInvalid].
func ParseKind(name string) (Kind, error) {
	for k := Event; k <= DeadLetter; k++ {
		if kindNames[k] == name {
			return k, nil
		}
	}
	return 0, fmt.Errorf("%w: kind %q: want event, snapshot, lifecycle, audit or deadletter", ErrInvalid, name)
}

// Kinds is a set of kinds. The zero value stands for the default of the call
// that takes it.
type Kinds uint32

// KindSet returns the set of the given kinds.
func KindSet(kinds ...Kind) Kinds {
	var s Kinds
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// Numbered is every kind that takes a version in a stream: all but snapshots.
const Numbered Kinds = 1<<Event | 1<<Lifecycle | 1<<Audit | 1<<DeadLetter

// AllKinds is every kind there is.
const AllKinds = Numbered | 1<<Snapshot

// Has reports whether k is in the set.
func (s Kinds) Has(k Kind) bool { return k < 32 && s&(1<<k) != 0 }

// Version is a record's place in its stream: 1 for the first, without gaps.
// Versions are never reused, also when records were cut away.
type Version uint64

// Any as [Batch.Expected] asks for no check: the batch goes after whatever the
// stream holds.
const Any = ^Version(0)

// Position is a record's place in the whole store: from 1, strictly increasing
// in commit order, never reused, not necessarily without gaps. Whoever has seen
// position p will never find a new record at or below p.
type Position uint64

// BatchID names one batch for [idempotent retry]; sixteen random bytes (a UUID)
// will do. The zero BatchID is none.
//
// [idempotent retry]: https://pkg.go.dev/github.com/papyra-go/papyra/backend#Batch
type BatchID [16]byte

// IsZero reports whether id is the zero BatchID, which names nothing.
func (id BatchID) IsZero() bool { return id == BatchID{} }

// String returns the id in hexadecimal, 32 digits.
func (id BatchID) String() string { return hex.EncodeToString(id[:]) }

// BatchRef says which batch a stored record came with.
type BatchRef struct {
	// ID is the batch's ID. It stands on the batch's first record only; on the
	// others, and where the batch had none, it is zero.
	ID BatchID
	// Place is the record's 0-based place in its batch.
	Place uint32
}

// Record is one stored thing with its numbers.
//
// To append, a caller fills Kind, Type, Schema, Time, Payload and Meta as
// wanted; the rest is filled in by the store, and ignored where a caller sets
// it (except in [Batch.Restore] batches and [Backend.SaveSnapshot]).
type Record struct {
	// Position is the record's place in the whole store.
	Position Position
	// Stream is the name of the record's stream: see [CheckStream].
	Stream string
	// Version is the record's place in its stream; for a snapshot, the version
	// that it covers.
	Version Version
	// Kind says what the record is. Zero in an append: the stream's own kind.
	Kind Kind
	// Type names what happened in the application's words, such as "deposited".
	// At most [MaxTypeBytes] of valid UTF-8 without NUL; may be empty.
	Type string
	// Schema is the application's version of the payload's layout.
	Schema uint32
	// Time is wall clock time, UTC, to the nanosecond, between the years 1678
	// and 2262. Zero in an append: the Backend's clock. It never orders
	// anything.
	Time time.Time
	// Epoch is the writer's epoch: see [Batch.Epoch].
	Epoch uint64
	// Batch says which batch the record came with.
	Batch BatchRef
	// Payload is opaque to papyra. Nil and empty are the same, and read back as
	// an empty slice. In a record that was read it is borrowed: it is valid
	// until the iterator advances, and must not be changed.
	Payload []byte
	// Meta is a few small pairs beside the payload, such as a trace parent. In a
	// record that was read it is borrowed like Payload.
	Meta Meta
}

// Size is what the record counts for in limits and in bytes_written: the bytes
// of stream, type, meta and payload.
func (r *Record) Size() int {
	return len(r.Stream) + len(r.Type) + len(r.Meta) + len(r.Payload)
}

// Clone returns a copy of r that owns its Payload and Meta, for keeping after
// the iterator has advanced.
func (r Record) Clone() Record {
	r.Payload = append(make([]byte, 0, len(r.Payload)), r.Payload...)
	if r.Meta != nil {
		r.Meta = append(make(Meta, 0, len(r.Meta)), r.Meta...)
	}
	return r
}
