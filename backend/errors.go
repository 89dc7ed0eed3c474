package backend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The ways in which a call can fail. Every error that leaves a [Backend] wraps one
// of these, or the caller's own context error, so that errors.Is can tell what to
// do; ErrUnknownOutcome may come together with ErrPoisoned. An engine's error that
// wraps none is wrapped in ErrUnavailable. No error holds a payload or the credentials
// of a store.
//
// On the way in:
var (
	// ErrInvalid: the request itself is wrong (a name, a kind, an option, a URL).
	// Sending it again will not help. Nothing was written.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge: a record or batch exceeds the store's [Limits]. Nothing was
	// written.
	ErrTooLarge = errors.New("too large")
	// ErrUnsupported: the engine does not do this, as [Capabilities] says, or the
	// handle is read-only. Nothing was changed.
	ErrUnsupported = errors.New("unsupported")
	// ErrClosed: the backend is closed. Nothing was written.
	ErrClosed = errors.New("closed")
)

// When opening:
var (
	// ErrLocked: another handle, here or in another process, has the store open
	// for writing. The message names the holder where it is known.
	ErrLocked = errors.New("locked")
	// ErrUnavailable: the store can't be had or used, for a reason outside papyra: it is
	// not there, the operating system or the network refuses it. The cause is wrapped.
	// Nothing was written.
	ErrUnavailable = errors.New("unavailable")
	// ErrFormat: the place holds something that this version does not read: a
	// newer format, or no papyra store at all. It was left untouched.
	ErrFormat = errors.New("unknown format")
)

// When appending. All but ErrUnknownOutcome and ErrPoisoned mean that the batch
// was definitely not written:
var (
	// ErrConflict: the stream is not at the expected version. See [ConflictError].
	ErrConflict = errors.New("version conflict")
	// ErrFenced: a writer with a newer epoch has taken over the stream.
	ErrFenced = errors.New("fenced")
	// ErrOwned: another process holds the claim on the stream.
	ErrOwned = errors.New("owned")
	// ErrNoSpace: the disk or quota is full. Reads go on; appends work again when
	// there is space.
	ErrNoSpace = errors.New("no space")
	// ErrPoisoned: an earlier write or sync failed in a way that makes the handle
	// unfit to write. Reads of what was acknowledged go on; [Backend.Reopen] makes
	// it fit again.
	ErrPoisoned = errors.New("poisoned")
	// ErrUnknownOutcome: the batch may or may not have been stored, wholly. Send
	// it again with the same [Batch.ID] to find out.
	ErrUnknownOutcome = errors.New("unknown outcome")
)

// When reading:
var (
	// ErrNotFound: there is no such snapshot.
	ErrNotFound = errors.New("not found")
	// ErrCompacted: what was asked for lies below the stream's floor, where
	// retention has cut it away.
	ErrCompacted = errors.New("compacted")
	// ErrCorrupt: stored bytes are not what was stored, or are gone. Never
	// guessed around: nothing that follows the damage is handed out as if it
	// followed what precedes it. See [CorruptError].
	ErrCorrupt = errors.New("corrupt")
)

// ConflictError is an [ErrConflict] with its numbers.
type ConflictError struct {
	Stream   string
	Expected Version // what the batch expected; for a snapshot, the version it covers
	Actual   Version // where the stream is
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v: stream %q: expected version %d, is at %d", ErrConflict, e.Stream, e.Expected, e.Actual)
}

// Unwrap returns [ErrConflict].
func (e *ConflictError) Unwrap() error { return ErrConflict }

// FencedError is an [ErrFenced] with its numbers.
type FencedError struct {
	Stream string
	Epoch  uint64 // the batch's
	Newest uint64 // the stream's
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("%v: stream %q: epoch %d is older than the stream's %d", ErrFenced, e.Stream, e.Epoch, e.Newest)
}

// Unwrap returns [ErrFenced].
func (e *FencedError) Unwrap() error { return ErrFenced }

var sentinels = []error{
	ErrInvalid, ErrTooLarge, ErrUnsupported, ErrClosed, ErrLocked, ErrUnavailable, ErrFormat, ErrConflict, ErrFenced,
	ErrOwned, ErrNoSpace, ErrPoisoned, ErrUnknownOutcome, ErrNotFound, ErrCompacted, ErrCorrupt,
}

// known wraps err in ErrUnavailable unless it says already what it is: by a sentinel, by
// an end of ctx, or by being a context's error.
func known(ctx context.Context, err error) error {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return err
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// CorruptError is an [ErrCorrupt] with its place, as exactly as it is known.
type CorruptError struct {
	File     string   // file or table, relative to the store; empty if not known
	Offset   int64    // byte offset in File; -1 if not known
	Length   int64    // bytes in doubt from Offset; 0 if not known
	Stream   string   // empty if not known
	Version  Version  // 0 if not known
	Position Position // 0 if not known
	Detail   string   // what was seen and what was wanted
}

func (e *CorruptError) Error() string {
	var b strings.Builder
	b.WriteString(ErrCorrupt.Error())
	if e.File != "" {
		b.WriteString(": " + e.File)
		if e.Offset >= 0 {
			b.WriteString(" offset " + strconv.FormatInt(e.Offset, 10))
		}
	}
	if e.Stream != "" {
		fmt.Fprintf(&b, ": stream %q", e.Stream)
		if e.Version != 0 {
			fmt.Fprintf(&b, " version %d", e.Version)
		}
	}
	if e.Position != 0 {
		fmt.Fprintf(&b, ": position %d", e.Position)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	return b.String()
}

// Unwrap returns [ErrCorrupt].
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// OpError is what every failed call of a [Backend] returns: what was done, where,
// and why it failed. Only the Backend makes it; drivers add the place and wrap a
// sentinel.
type OpError struct {
	Op      Op     // what was done
	Backend string // the backend's name; empty if it was not opened and has none yet
	Stream  string // the stream, where one was meant
	Err     error  // wraps one of the sentinels, or a context's error
}

func (e *OpError) Error() string {
	s := string(e.Op)
	if e.Stream != "" {
		s += fmt.Sprintf(" %.80q", e.Stream)
	}
	if e.Backend == "" {
		return fmt.Sprintf("%s: %v", s, e.Err)
	}
	return fmt.Sprintf("backend %q: %s: %v", e.Backend, s, e.Err)
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }
