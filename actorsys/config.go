package actorsys

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Defaults of [Config], [Options] and [Plain].
const (
	DefaultMaxRecoveries = 32
	DefaultMailbox       = 1024
	DefaultIdle          = 10 * time.Minute
	DefaultMaxMessages   = 1 << 18
	DefaultMaxPending    = 64 << 20
	DefaultSnapshotKeep  = 2
)

// Config is what [Start] takes. Only Backend is required.
type Config struct {
	// Name is the system's name, which names the streams of its own facts
	// ($sys/<name>/lifecycle). Default: "main".
	Name string
	// Backend is where events go. It stays the caller's: close it after Shutdown.
	Backend *backend.Backend
	// Startup says what to check before any actor may run. The zero value is a quick
	// check that refuses a damaged store. What Backend was opened with does not count
	// here: a backend that was to ignore what is wrong is checked all the same, and
	// Mode [backend.IgnoreAnomalies] here turns this check off.
	Startup backend.Startup
	// Clock gives the turns their time. Default: time.Now.
	Clock func() time.Time
	// Logger gets what concerns the whole system (a poisoned backend and its healing)
	// and what has no asker to go to (panics, actors that can't be activated).
	// Default: slog.Default.
	Logger *slog.Logger
	// MaxRecoveries is how many actors may replay at a time; others wait, first come,
	// first served. Default: [DefaultMaxRecoveries].
	MaxRecoveries int
	// MaxMessages is how many messages that nobody waits for may be in all mailboxes
	// together. Default: [DefaultMaxMessages].
	MaxMessages int
	// MaxPending is how many bytes all durable actors together may have decided that
	// the store has not answered; beyond that, they read no further messages. Turns that
	// are being decided when the last room goes exceed it: one for each actor that is at
	// it. Default: [DefaultMaxPending].
	MaxPending int
	// Facts says which of the system's own facts are recorded.
	Facts FactLevel
	// Hooks are called around what the system does. Default: none.
	Hooks Hooks
	// NoReopen leaves a poisoned backend alone. Otherwise the system calls
	// [backend.Backend.Reopen] by itself, at once and then with growing pauses, so
	// that a service heals.
	NoReopen bool
}

// FactLevel says which lifecycle facts a system records in its stream.
type FactLevel uint8

const (
	// FactsFailures records that the system started and stopped, and that actors
	// failed: the default.
	FactsFailures FactLevel = iota
	// FactsAll also records each activation and passivation.
	FactsAll
	// FactsNone records nothing.
	FactsNone
)

func (c Config) check() error {
	switch {
	case c.Backend == nil:
		return fmt.Errorf("%w: Config.Backend is nil", backend.ErrInvalid)
	case c.MaxRecoveries < 0:
		return fmt.Errorf("%w: Config.MaxRecoveries is %d: want 0 (%d) or more", backend.ErrInvalid, c.MaxRecoveries, DefaultMaxRecoveries)
	case c.MaxMessages < 0:
		return fmt.Errorf("%w: Config.MaxMessages is %d: want 0 (%d) or more", backend.ErrInvalid, c.MaxMessages, DefaultMaxMessages)
	case c.MaxPending < 0:
		return fmt.Errorf("%w: Config.MaxPending is %d: want 0 (%d) or more", backend.ErrInvalid, c.MaxPending, DefaultMaxPending)
	case c.Facts > FactsNone:
		return fmt.Errorf("%w: Config.Facts is %d", backend.ErrInvalid, c.Facts)
	}
	return backend.CheckStream(backend.SystemStream(c.Name, backend.Lifecycle))
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "main"
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.MaxRecoveries == 0 {
		c.MaxRecoveries = DefaultMaxRecoveries
	}
	if c.MaxMessages == 0 {
		c.MaxMessages = DefaultMaxMessages
	}
	if c.MaxPending == 0 {
		c.MaxPending = DefaultMaxPending
	}
	return c
}

// Options are what a kind of actors may choose. Nil, and the zero value, are the
// defaults.
type Options[S any] struct {
	// Initial returns the state of an actor without events. Default: the zero S.
	Initial func(id string) S
	// Codec encodes events and snapshots. Default: encoding/json, with which types
	// that it would store with loss are refused (see [On]).
	Codec Codec
	// SnapshotEvery saves the state each time so many events have been added, to make
	// activation quicker; the codec must return the state as it was. With the default
	// codec [Register] refuses an S that encoding/json would store with loss, as events
	// are (see [On]). A snapshot is encoded and saved beside the turns, once the turn has
	// left: no reply waits for it. So it is one more reason why a state must be a value:
	// what an older one refers to may be read while the next is made. Of the snapshots
	// that wait to be saved only each actor's newest is. Default: 0, never.
	SnapshotEvery int
	// SnapshotWhen also saves the states, after a turn with events, of which it says so.
	// It is called in the turn and should be quick; if it panics there is no snapshot.
	SnapshotWhen func(s S) bool
	// SnapshotSchema is the number of the state's layout. A snapshot that was saved
	// under another is passed over, unless SnapshotUpcast reads it: change it whenever
	// the state or Evolve changes.
	SnapshotSchema uint32
	// SnapshotUpcast reads, by their schema, snapshots of older layouts from their bytes:
	// as they are stored, so that what the Codec does is up to the function. Where
	// Truncate has cut events away it is the only way to a new layout.
	SnapshotUpcast map[uint32]func(data []byte) (S, error)
	// Truncate cuts away for good what lies behind the oldest of the SnapshotKeep newest
	// snapshots: events, and older snapshots. Nothing is cut before that many have been
	// read back and decoded, nor what Dedup may need, nor what a [backend.Backend.Hold]
	// keeps. It is done for all actors together, about a minute after their snapshots,
	// with [backend.Backend.Compact]; what is left to do when the system stops is done
	// after the actor's next snapshot. The backend must be able to compact.
	//
	// An event that is cut is gone for everyone who reads the stream. Default: all stay.
	Truncate bool
	// SnapshotKeep is how many snapshots Truncate leaves, so that one that is damaged
	// does not cost the actor. Default: [DefaultSnapshotKeep].
	SnapshotKeep int
	// Dedup has each actor remember, by their ids, the commands whose events are among
	// its last Dedup ones: a command with a method CommandID() string that has recorded
	// something, and is sent again under the same id, is not decided again. It gets the
	// answer that the first one got, made from the state as it was then, and sends
	// nothing; also if the first is still on its way to the store, and after a restart. So
	// a client that did not see the answer sends again. What Fail answered comes back in a
	// [*DuplicateError]. A command that was refused, or changed nothing, has left
	// nothing to remember and is decided anew. Commands are compared by their ids alone;
	// an empty id is none, and one has at most 256 bytes.
	//
	// It costs up to Dedup ids in memory for each active actor, and reading as many
	// events at its activation, also behind a snapshot. Beyond the window, and where
	// events were cut away, a command sent again is a new one; Truncate leaves the window. Default: 0, none are remembered.
	Dedup int
	// Alarm is the command that is run on an actor whose alarm rings: see [Turn.Alarm].
	// A system rings the alarms that were set before it started, whatever its name, as
	// soon as the kind is registered. What it knows of them stands in the stream
	// $alarms/<kind>. Default: none, and no actor of the kind has an alarm.
	Alarm Command[S]
	// Idle is how long an actor without messages stays in memory, give or take a
	// quarter. Default: [DefaultIdle]. Negative: for ever.
	Idle time.Duration
	// Mailbox is how many messages may wait. Default: [DefaultMailbox].
	Mailbox int
}

func (o Options[S]) check() error {
	switch {
	case o.SnapshotEvery < 0:
		return fmt.Errorf("%w: Options.SnapshotEvery is %d: want 0 (never) or more", backend.ErrInvalid, o.SnapshotEvery)
	case o.SnapshotKeep < 0:
		return fmt.Errorf("%w: Options.SnapshotKeep is %d: want 0 (%d) or more", backend.ErrInvalid, o.SnapshotKeep, DefaultSnapshotKeep)
	case o.SnapshotKeep > 0 && !o.Truncate:
		return fmt.Errorf("%w: Options.SnapshotKeep without Truncate: a store gives up snapshots only together with the events behind them", backend.ErrInvalid)
	case o.Dedup < 0:
		return fmt.Errorf("%w: Options.Dedup is %d: want 0 (none) or more", backend.ErrInvalid, o.Dedup)
	case o.Mailbox < 0:
		return fmt.Errorf("%w: Options.Mailbox is %d: want 0 (%d) or more", backend.ErrInvalid, o.Mailbox, DefaultMailbox)
	}
	return nil
}

func (o Options[S]) withDefaults() Options[S] {
	if o.Initial == nil {
		o.Initial = func(string) (zero S) { return zero }
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.Mailbox == 0 {
		o.Mailbox = DefaultMailbox
	}
	if o.SnapshotKeep == 0 {
		o.SnapshotKeep = DefaultSnapshotKeep
	}
	return o
}
