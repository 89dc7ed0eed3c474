package actorsys

import (
	"errors"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// The ways in which a message can fail that are not its actor's own. An [Ask] ends
// in exactly one of: a reply (everything that it rests on is durable), the error of
// Decide or [Turn.Fail], a [*DuplicateError], a [*PanicError], an error that wraps ErrNotPersisted, or
// one that wraps [backend.ErrUnknownOutcome].
var (
	// ErrNotPersisted: certainly nothing of this command was stored; a plain actor did
	// not run it. The error wraps
	// the cause too: the backend's verdict, a failed activation, the end of the
	// asker's context before its turn. The command may be sent again.
	ErrNotPersisted = errors.New("not persisted")
	// ErrStopped: the system is shutting down, or has; or the plain actor has stopped,
	// or is about to.
	ErrStopped = errors.New("stopped")
	// ErrQuarantined: the durable actor can't be activated for what is stored in its
	// stream: it is damaged, holds what the kind does not know, or makes the actor's
	// code panic. The error wraps the reason. The actor answers it without reading
	// again, for a second, then for longer, up to a minute: a stream that has been
	// repaired is found to be.
	ErrQuarantined = errors.New("quarantined")
	// ErrMailboxFull: as many messages wait as the actor's mailbox may hold
	// ([Options.Mailbox], [Plain.Mailbox]), or all together ([Config.MaxMessages]).
	ErrMailboxFull = errors.New("mailbox full")
)

// PanicError is what the asker gets when the actor's code panicked in its turn.
// Nothing of the turn was stored; the actor lives on, from a replay.
type PanicError struct {
	Value any    // what was panicked with
	Stack []byte // of the goroutine, as [runtime/debug.Stack] prints it
}

func (e *PanicError) Error() string { return fmt.Sprintf("actor panicked: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// DuplicateError is the answer to a command that was carried out before, under the same
// id (see [Options.Dedup]), where its first answer was an error, or can't be given again.
// Nothing was stored this time.
type DuplicateError struct {
	ID      string
	Version backend.Version // of the actor after the command
	// Err is the error of [Turn.Fail] that it was answered, of which a replay keeps the
	// text only; or the reason why its reply can't be made again.
	Err error
}

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("command %q was carried out before, at version %d: %v", e.ID, e.Version, e.Err)
}

// Unwrap returns Err.
func (e *DuplicateError) Unwrap() error { return e.Err }

// UnknownEventError says that a stream holds an event that its kind has not
// registered. The actor can't be activated until it is; the stream was left as it
// is.
type UnknownEventError struct {
	Stream  string
	Version backend.Version
	Type    string
	Schema  uint32
}

func (e *UnknownEventError) Error() string {
	return fmt.Sprintf("stream %q version %d: event %q schema %d is not registered (see On and Upcast)", e.Stream, e.Version, e.Type, e.Schema)
}

// notPersisted wraps the reason why nothing of a command on a stream was stored.
func notPersisted(stream string, cause error) error {
	return fmt.Errorf("%w: %.80q: %w", ErrNotPersisted, stream, cause)
}

// unknownOutcome wraps the reason why it can't be told whether a command's events
// were stored.
func unknownOutcome(stream string, cause error) error {
	if errors.Is(cause, backend.ErrUnknownOutcome) {
		return fmt.Errorf("%.80q: %w", stream, cause)
	}
	return fmt.Errorf("%w: %.80q: %w", backend.ErrUnknownOutcome, stream, cause)
}
