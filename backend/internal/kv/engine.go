package kv

import (
	"context"

	"github.com/papyra-go/papyra/backend"
)

// Engine is an ordered store of keys and values. Keys are 1 to 600 bytes; their first byte
// is their table: no cursor and no range crosses from one table to another, so that an
// engine may keep tables apart. Values are 1 byte to 17 MiB.
//
// # What an engine may rely on
//
//   - Write, Recover and Compact are never called twice at a time, nor beside one another.
//     View and Check may run beside them, but for Recover, which is alone.
//   - No View is called inside a View or a Write of the same goroutine, nor a Write inside a View.
//     Nothing is yielded to anyone inside: views are short.
//   - Keys and values that are passed in are not changed before Write has returned, or Get
//     or a cursor's method has.
//   - Close comes once, after every other call has returned.
//
// # What an engine must do
//
//   - Wrap every error in a sentinel of package backend, and add the place.
//   - Never panic on damaged bytes, and never end the process.
//   - Hand out copies: what it returns stays good when the view has ended, until the slice
//     is used again as that method says.
type Engine interface {
	// View calls f with a snapshot: what was written before, and nothing that is written
	// meanwhile. It returns what f does.
	View(f func(Snapshot) error) error

	// Write calls f once, with a batch, and makes all of the batch durable, or nothing.
	// If f returns an error, nothing is written, and Write returns it. What Write
	// returns is judged as in backend.LogDriver's Append: without ErrUnknownOutcome,
	// nothing was stored.
	Write(f func(Batch) error) error

	// Check looks at what the engine itself keeps, and reports what is wrong, until
	// report returns an error, which it returns. Quick costs no more than opening did.
	// An error means that the check could not be carried on.
	Check(ctx context.Context, depth backend.ScanDepth, report func(backend.Anomaly) error) error

	// Recover repairs what the engine itself keeps, so that keys and values can be read
	// and written again, as the plan allows; damaged bytes are saved with q first. It
	// does not look into values. A dry run changes nothing and says the same. fit is
	// whether keys and values can be written then, or, after a dry run, could be.
	Recover(ctx context.Context, plan backend.RecoveryPlan, q *Quarantine) (actions []backend.RecoveryAction, fit bool, err error)

	// Compact gives back the room of what was deleted, as far as the engine does.
	Compact(ctx context.Context) error

	// Facts describes the engine. All but Size and Stats are the same in every call between
	// two recoveries. It is not called inside a View.
	Facts() Facts

	// Close releases everything.
	Close() error
}

// Facts are what an engine says of itself.
type Facts struct {
	Engine string         // its name, as in backend.Info
	File   string         // the file or directory, relative to the store, that a key is said to be in
	Size   int64          // bytes on the medium
	Stats  []backend.Stat // figures of its own
	// ReadOnly says that it was opened so that Write is refused.
	ReadOnly bool
}

// Snapshot is what View hands out, for one goroutine, until it returns.
type Snapshot interface {
	// Get appends the value of key to dst. Without such a key found is false, and
	// nothing is appended.
	Get(key, dst []byte) (value []byte, found bool, err error)
	// Cursor returns a cursor over the keys from low to high, without high. Both are of
	// one table; high may also be the byte after it. It stands nowhere at first.
	Cursor(low, high []byte) Cursor
}

// Locator is a Snapshot that knows where on the medium values are, so that findings say it.
type Locator interface {
	// Locate returns where the value of a key is in the engine's file. ok is false if there
	// is no such key, or its place is not known.
	Locate(key []byte) (off, n int64, ok bool)
}

// Lossy is a Snapshot that may lack keys of which nothing tells: what is not found is in doubt.
type Lossy interface {
	Snapshot
	Lossy() bool
}

// Cursor goes through keys in bytewise order. Each move returns whether it stands on a key
// then; if not, Err says whether there is none or there was an error.
type Cursor interface {
	Seek(key []byte) bool      // to the first key that is not below key
	SeekBelow(key []byte) bool // to the last key below key
	Next() bool
	Prev() bool
	// Key returns the key that the cursor stands on; it is good until the next move.
	Key() []byte
	// Value appends the value to dst. An error is also that of Err.
	Value(dst []byte) ([]byte, error)
	Err() error
	Close() error
}

// Batch is what Write makes durable. An error of a method is to be returned from the
// function that was given the batch.
type Batch interface {
	Set(key, value []byte) error
	Delete(key []byte) error // a key that is not there is fine
	// DeleteRange deletes the keys from low to high, without high, both of one table.
	DeleteRange(low, high []byte) error
}
