package backend

import "time"

// Batch is what an append makes durable all together or not at all: one or more
// numbered records for one stream.
//
// # Idempotent retry
//
// A batch with an ID and an expected version may be sent again after
// [ErrUnknownOutcome], or whenever the caller did not get to see the answer. If
// the records after the expected version are that batch's, the first result
// comes back and nothing is written; else it is judged as new. The ID is judged
// before version and epoch, and also against batches that are being written at
// the same time. If that place has been cut away by retention, the answer is
// [ErrCompacted]. The records themselves are not compared, only their number:
// an ID names one batch for ever.
type Batch struct {
	// Stream is the stream to append to: see [CheckStream].
	Stream string
	// Expected is the version that the stream must be at: 0 when it must hold
	// nothing yet, [Any] for no check. If it is elsewhere, the verdict is a
	// [*ConflictError].
	Expected Version
	// Epoch is the writer's fencing number. It must not be below the stream's
	// newest, or the verdict is [ErrFenced]; a higher one becomes the newest. Who
	// does not fence leaves it zero everywhere.
	Epoch uint64
	// ID names the batch for idempotent retry. Zero: none. With Expected Any it is
	// ErrInvalid, because the place to look is not known.
	ID BatchID
	// Restore marks records that were read from another store and keep their
	// numbers: Position, Version, Epoch, Batch and Time stand in the records,
	// snapshots may stand among them, and Expected, Epoch and ID are not used.
	// Each Position must be above the store's last; each Version must follow the
	// stream's, except that a stream that holds nothing may begin anywhere: what
	// lies below was cut away where it came from. A record that does not fit is
	// ErrConflict.
	Restore bool
	// Records are the records to append, in order. The caller keeps them: nothing
	// refers to them after the call has returned. None at all is a no-op.
	Records []Record
}

// Size is the sum of the records' sizes, each with this batch's stream name.
func (b *Batch) Size() int {
	n := len(b.Records) * len(b.Stream)
	for i := range b.Records {
		r := &b.Records[i]
		n += len(r.Type) + len(r.Meta) + len(r.Payload)
	}
	return n
}

// Result is the verdict on one batch.
type Result struct {
	// Version and Position are those of the batch's last record; the versions of
	// a batch are dense. Zero if nothing was stored.
	Version  Version
	Position Position
	// Err is nil if the batch is durable, now or since its first sending. Else the
	// batch was definitely not written, and Err says why.
	Err error
	// Repeated is true if the batch was already there: an idempotent retry.
	Repeated bool
}

// decided reports whether r is a verdict that does not depend on what is being
// written.
func (r *Result) decided() bool { return r.Repeated || r.Err != nil }

// Query says what to read: one stream, or the whole store.
//
// From and To bound it, the fields from Kinds on select from what lies between, and
// a record is read if it passes all of them: see [Query.Selects]. Limit counts what
// passes.
type Query struct {
	// Stream is the stream to read, in version order. Empty: the whole store, in
	// position order.
	Stream string
	// From and To bound the read, both inclusive: versions with a Stream, else
	// positions. From zero is the first there is; asked for explicitly, a version
	// below the stream's floor is [ErrCompacted]. To zero is the last there is when
	// the read begins: a read ends, it does not follow the writers. From above To
	// is empty.
	From, To uint64
	// Limit is the most records to yield. Zero: no limit. Negative: ErrInvalid.
	Limit int
	// Reverse reads from To down to From: exactly the reverse order.
	Reverse bool
	// Kinds selects. Zero is [Numbered]: everything but snapshots. With a Stream,
	// snapshots are asked for alone: they are ordered by the version that they
	// cover, those of one version by position.
	Kinds Kinds
	// Prefix selects the streams whose names begin with it, bytewise. Empty: all. It is
	// for reads of the whole store: beside a Stream it is ErrInvalid, and so is one
	// that is longer than a name may be, holds NUL or is not valid UTF-8.
	Prefix string
	// Types selects the records whose Type is one of these, to the byte; the empty
	// string selects records without a type. None: all. One that can't be a type is
	// ErrInvalid. Nobody may change the slice until the loop has ended.
	Types []string
	// Since and Until select by [Record.Time]: from Since on, and before Until, so that
	// ranges that meet share nothing. Zero: no bound. Until before Since is ErrInvalid.
	// Times order nothing: all the records between From and To are looked at.
	Since, Until time.Time
}

// Head is where a stream stands. The zero Head is a stream that holds nothing
// and never did.
type Head struct {
	// Version is the newest version; 0 if there never was one.
	Version Version
	// Epoch is the newest epoch that wrote.
	Epoch uint64
	// Floor is the oldest version that can be read, 1 unless retention or a
	// restore cut some away; Version+1 if nothing can be read.
	Floor Version
}

// After returns the head of the stream after r, numbered, was stored in it. It is
// the one rule by which heads follow from records: engines use it to keep and to
// rebuild them.
func (h Head) After(r *Record) Head {
	switch {
	case r.Kind != Snapshot:
		if h.Unreadable() {
			h.Floor = r.Version
		}
		h.Version = r.Version
	case r.Version > h.Version: // restored from a store where all that it covers was cut away
		h.Version, h.Floor = r.Version, r.Version+1
	}
	h.Epoch = max(h.Epoch, r.Epoch)
	return h
}

// Unreadable reports whether the stream holds no numbered record: it never did, or
// all were cut away.
func (h Head) Unreadable() bool { return h.Version == 0 || h.Floor > h.Version }

// StreamInfo is one stream in a listing.
type StreamInfo struct {
	Name string
	Head Head
}

// StreamQuery says which streams to list, in the bytewise order of their names.
type StreamQuery struct {
	Prefix string // only names that begin with it
	After  string // only names above it: the last name of the page before
	Limit  int    // the most streams to yield; zero: no limit; negative: ErrInvalid
}
