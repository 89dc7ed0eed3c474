package backend

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/papyra-go/papyra/metrics"
)

// Defaults of [Options].
const (
	DefaultWriteTimeout = 30 * time.Second
	DefaultQueueBytes   = 64 << 20
)

// Options are what every backend takes, whatever its engine. The zero value, and
// nil where a pointer is asked for, stand for the defaults.
type Options struct {
	// Name is the backend's name in errors, metrics and traces. Default: the
	// engine's name. It should be one of a few fixed names, not made from data.
	Name string
	// Counters is where the backend counts. Default: counters of its own. Hand the
	// same to several backends to have them counted together.
	Counters *metrics.Counters
	// Clock stamps records whose Time is zero. Default: time.Now.
	Clock func() time.Time
	// Observer sees each call's start and end. Default: none.
	Observer Observer
	// Limits bound what an append may carry: see [Limits].
	Limits Limits
	// WriteTimeout is how long a caller whose batch is being written waits for the
	// outcome before it is told [ErrUnknownOutcome]; see [Backend.Append]. It does not
	// bound the wait in the queue: the context does. Default: [DefaultWriteTimeout].
	WriteTimeout time.Duration
	// QueueBytes bounds the batches that wait to be written; callers beyond it wait
	// on their context. Default: [DefaultQueueBytes].
	QueueBytes int
	// Startup says what to check, and what to do about it, before the backend may
	// be used. The zero value refuses to open a damaged store.
	Startup Startup
	// Retention is what [Backend.PlanCut] plans by when it is asked for nothing else.
	// Nothing is cut before [Backend.Compact] is called. Default: all is kept.
	Retention Retention
	// ReadOnly opens without taking the write lock and without changing a byte, also
	// on a read-only medium. Appends, cuts and repairs are then [ErrUnsupported]. Where
	// no store is none is made: opening is [ErrUnavailable], or [ErrFormat] if the place
	// is there, or what is opened is empty.
	ReadOnly bool
}

func (o Options) check() error {
	if o.WriteTimeout < 0 {
		return fmt.Errorf("%w: Options.WriteTimeout is %v: want 0 (%v) or more", ErrInvalid, o.WriteTimeout, DefaultWriteTimeout)
	}
	if o.QueueBytes < 0 {
		return fmt.Errorf("%w: Options.QueueBytes is %d: want 0 (%d) or more", ErrInvalid, o.QueueBytes, DefaultQueueBytes)
	}
	if err := o.Limits.check(); err != nil {
		return err
	}
	if err := o.Retention.check("Options.Retention"); err != nil {
		return err
	}
	return o.Startup.check()
}

func (o Options) withDefaults(info Info) Options {
	if o.Name == "" {
		o.Name = info.Engine
	}
	if o.Counters == nil {
		o.Counters = new(metrics.Counters)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = DefaultWriteTimeout
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = DefaultQueueBytes
	}
	o.Retention = maps.Clone(o.Retention)
	o.Limits = o.Limits.within(info.Limits.within(Limits{DefaultMaxRecordBytes, DefaultMaxBatchBytes}))
	return o
}

// Op names a call in errors and to an [Observer].
type Op string

// The operations of a [Backend].
const (
	OpOpen         Op = "open"
	OpAppend       Op = "append"
	OpRead         Op = "read"
	OpHead         Op = "head"
	OpLast         Op = "last"
	OpStreams      Op = "streams"
	OpSaveSnapshot Op = "save snapshot"
	OpSnapshot     Op = "snapshot"
	OpScan         Op = "scan"
	OpRecover      Op = "recover"
	OpCompact      Op = "compact"
	OpHold         Op = "hold"
	OpReopen       Op = "reopen"
	OpClose        Op = "close"
	OpCheck        Op = "startup check"
)

// Call is what an [Observer] is told when a call begins.
type Call struct {
	Op      Op
	Backend string // the backend's name
	Engine  string // the engine's name
	Stream  string // the stream, where exactly one is meant; not for metric labels
	Batches int    // batches of an append
	Records int    // records of an append
	Bytes   int    // bytes of an append, counted as bytes_written
}

// Observer sees the start and, through the function that it returns, the end of
// each call of a Backend, with the caller's context: this is where tracing hooks
// in. The context that it returns is the one that the call goes on with. The end
// function is called exactly once, with the call's error; for an iterator, when
// the loop ends. Either may be called by several goroutines at a time; both run in
// the caller's goroutine, with no lock held.
type Observer func(ctx context.Context, call Call) (context.Context, func(error))
