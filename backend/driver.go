package backend

import (
	"context"
	"iter"
)

// Driver is what a storage engine implements. Applications never see it: they
// hold a [Backend], which calls it and does everything that is the same for all
// engines (closed check, validation and limits, group commit, deadlines,
// poisoning, startup mode, paging, error context, metrics, observer).
//
// An engine that one process writes to at a time implements the simpler
// [LogDriver] and is wrapped by [Sequenced].
//
// # What a driver may rely on
//
//   - Every argument was validated; ctx is never nil.
//   - Append, Recover and Compact are never called twice at a time, nor beside one
//     another, but for Append beside Compact where [Capabilities.CompactBeside] is set.
//   - Read, Head, Last, Streams, Scan and Info may run beside each other and beside
//     Append, from any goroutine; nothing runs beside Recover, nor beside Compact
//     unless [Capabilities.CompactBeside] is set. That is about one handle: where other
//     handles may read (Options.ReadOnly), they do so beside everything.
//   - The loop over an iterator is papyra's own: short, never user code. A lock or a
//     transaction may be held while yielding.
//   - Close comes once, after every other call has returned. Nothing comes after it.
//   - What is passed in is borrowed for the call.
//
// # What a driver must do
//
//   - Honour ctx between steps, also where a loop goes through much and yields little, such
//     as a read of one kind, or a scan. Append is called with the Backend's own context:
//     no caller's cancel reaches it.
//   - Wrap every error in a sentinel of this package and add the place.
//   - Never hand out bytes that were not appended: check each record's checksum
//     (package codec) on each read, and report [ErrCorrupt] with its place.
//   - Never show, in any answer, what is not yet durable.
//   - Import neither metrics nor another engine; start no work that Close does not
//     wait for; never exit the process.
type Driver interface {
	// Append judges and stores a group: batches of any streams, in order, several
	// of one stream among them, at one durability point. A group holds restored
	// batches only, or none. Each batch is judged alone,
	// as if those before it were already stored: its Result.Err says that it was
	// definitely not written (ErrConflict, ErrFenced, ErrOwned, ErrTooLarge,
	// ErrNoSpace, ErrCompacted, or what the store said); the others are stored
	// whole. When Append returns, every Result without Err is durable, and none was
	// visible before.
	//
	// An error is the verdict on all batches but those whose Result beside it says
	// Repeated or has an Err of its own. One that wraps ErrUnknownOutcome leaves open
	// what was stored, any other means that nothing was. One that also wraps
	// ErrPoisoned makes the Backend refuse all further appends until Reopen.
	Append(ctx context.Context, group []Batch) ([]Result, error)
	Store
}

// LogDriver is the seam for engines with one writing process: they store records
// that [Sequenced] has already judged and numbered.
type LogDriver interface {
	// Append stores the records, all or none, durable on return. They stand in
	// position order; their versions follow their streams' heads (see [Head.After]);
	// a batch begins where Batch.Place is zero and its records stand together.
	// Positions are dense but for restored records. Errors as in [Driver.Append]:
	// without ErrUnknownOutcome, nothing was stored.
	//
	// It need not hide anything from readers: Sequenced does. An error that leaves the
	// outcome open need not wrap ErrPoisoned: Sequenced adds that.
	Append(ctx context.Context, records []Record) error
	Store
}

// Store is what [Driver] and [LogDriver] have in common: everything but Append.
type Store interface {
	// Read yields what q asks for. Payload and Meta of a record may be reused when
	// the iterator advances. After an error the iterator ends. The bounds are
	// plain here: From is at least 1, To may exceed the last there is, Kinds is
	// not zero, Limit zero means none. Prefix, Types, Since and Until are zero: the
	// Backend selects by them, for all engines; but see [Searcher].
	//
	// A gap in a stream, or a record that fails its check, is ErrCorrupt, at its
	// place in the order: never skipped. From below the floor yields from the floor. (A
	// version that is missing up to the head the Backend sees by itself; an engine that
	// knows the place of the damage can say more.)
	Read(ctx context.Context, q Query) iter.Seq2[Record, error]

	// Head returns where the stream stands: the zero Head if it never held anything.
	Head(ctx context.Context, stream string) (Head, error)

	// Last returns the newest position; zero if nothing was ever stored. It is
	// called for each read and must be cheap.
	Last(ctx context.Context) (Position, error)

	// Streams lists streams in the bytewise order of their names, those of which
	// nothing is left too. After and Prefix may be empty; Limit zero means none.
	Streams(ctx context.Context, q StreamQuery) iter.Seq2[StreamInfo, error]

	// Scan checks the store and yields what is wrong, in the order of the store's
	// places. It changes nothing, works on a read-only medium, and does not stop at
	// the first finding. An error means that the scan itself could not go on.
	Scan(ctx context.Context, plan ScanPlan) iter.Seq2[Anomaly, error]

	// Recover does what the plan says to the store on disk, and says what it did.
	// It must survive a crash inside: run again, it comes to the same end. It is
	// called only with a mode that [Capabilities] claims, Ignore never. An error leaves a
	// store of which what can be read reads as before; one that wraps ErrPoisoned makes
	// the Backend refuse appends until Reopen.
	Recover(ctx context.Context, plan RecoveryPlan) (RecoveryStats, error)

	// Compact makes the cut, and gives back the room of what it takes, now or later.
	// It is called only if [Capabilities.Compact] is set, with a cut that was checked:
	// in order, each floor above its stream's (but for Delete, whose stream may have
	// nothing left but snapshots), none above the version after what was acknowledged.
	//
	//   - What goes is what [StreamFloor.Takes] says, and nothing else, also where
	//     records were appended since the cut was checked. What stays reads exactly
	//     as before: bytes, versions, positions, times, batches.
	//   - Each stream's Head keeps Version and Epoch; its Floor becomes the cut's, and
	//     never falls. That holds where nothing is left of the stream: its
	//     Head is then {Version, Epoch, Version+1}, Streams goes on listing it, and
	//     Head.After continues it. Last does not fall either.
	//   - When Compact returns nil the cut is durable, and reads begin at the floors.
	//     The bytes may go later. An error, or a crash, leaves for each stream the floor
	//     as it was or as the cut says; what lies above is whole in either case. One
	//     that wraps ErrPoisoned makes the Backend refuse appends until Reopen.
	//   - A Read under way beside it may end early with ErrCompacted; it never
	//     leaves a gap.
	//   - A cut without floors takes nothing; the engine may put its files in order.
	Compact(ctx context.Context, cut Cut) (CompactionStats, error)

	// Info describes the engine. All but Stats must be the same in every call.
	Info() Info

	// Close releases everything. What was acknowledged is durable already.
	Close() error
}

// Searcher is for a [Driver] whose store can look for records, such as one with an
// index of types or times: it need not hand over what nobody asked for. It is optional,
// and what a [LogDriver] has of it is not used.
type Searcher interface {
	// Search is Read for a query of the whole store with any of Prefix, Types, Since
	// and Until. It yields every record that q asks for, in order, at most q.Limit. It
	// may yield others too, which count for the limit: the Backend looks at each
	// again. If it yields fewer than q.Limit, there are no more.
	//
	// A stream is always read whole, by Read: nobody would see a gap in it otherwise.
	Search(ctx context.Context, q Query) iter.Seq2[Record, error]
}

// Info is what an engine says of itself.
type Info struct {
	Engine       string       // one word: "memory", "file", "bolt", …
	Limits       Limits       // what it can store; zero fields: the defaults
	Capabilities Capabilities // what it can do
	Stats        []Stat       // figures of its own, in a fixed order
}

// Capabilities say what an engine does. What is not set answers
// [ErrUnsupported] and changes nothing; the conformance suite tests both ways.
type Capabilities struct {
	Durable       bool // an acknowledged append survives SIGKILL and power loss
	Shared        bool // several processes may write at a time
	Repair        bool // Recover with [Repair]
	Quarantine    bool // Recover with [Quarantine]
	Compact       bool // Compact
	CompactBeside bool // Append may run beside Compact
}

// Stat is one figure of an engine, such as a number of segments.
type Stat struct {
	Name  string // lower_snake_case; stable
	Unit  string // UCUM: "By" or an annotation such as "{segment}"
	Help  string // one sentence
	Value int64
}
