package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// engine is a kv.Engine over one file: over bbolt while its pages are sound, and without
// it, for reading alone, if they are damaged.
type engine struct {
	dir  string
	opts Options
	lock disk.Lock // held by who writes; nil: read-only
	file *os.File  // store.db, for reading by itself
	db   *bbolt.DB

	dbFile   *os.File    // bbolt's own
	packing  bool        // keys are written in order: pages are filled
	stuck    atomic.Bool // a panic has left bbolt with a lock held
	pageSize int64       // of the file; bbolt's own answer races with commits
	wrote    bool        // by this handle; guarded by the rule that writes come one at a time
	unclean  bool        // whoever held the store before has not closed it, or not well
	damage   *salvaged   // what can be read of a damaged file; nil: it is sound
	poison   atomic.Pointer[error]
}

// guard runs f, and turns what bbolt does on a damaged page into an error: a panic, or a
// fault of the memory that the file is mapped to. What bbolt holds after that is not known:
// the handle is poisoned.
func (e *engine) guard(f func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			err = &backend.CorruptError{File: fileName, Offset: -1, Detail: fmt.Sprintf("bbolt met a page that is damaged, or can't be read: %v", p)}
			e.setPoison(err)
		}
	}()
	return f()
}

func (e *engine) setPoison(err error) {
	poison := fmt.Errorf("%w: %w", backend.ErrPoisoned, err)
	e.poison.CompareAndSwap(nil, &poison)
}

// View hands out a read transaction, or what was salvaged.
func (e *engine) View(f func(kv.Snapshot) error) error {
	if e.damage != nil {
		return f(e.damage)
	}
	var tx *bbolt.Tx
	if e.stuck.Load() {
		return *e.poison.Load()
	}
	tx, err := e.begin(false)
	if err != nil {
		return dbError("begin to read", err)
	}
	defer e.end(tx)
	return f(&snapshot{e, tx})
}

// begin begins a transaction. One that panics may leave bbolt locked.
func (e *engine) begin(writes bool) (tx *bbolt.Tx, err error) {
	e.stuck.Store(e.stuck.Load() || e.guardStuck(func() (err error) {
		tx, err = e.db.Begin(writes)
		return err
	}, &err))
	return tx, err
}

// end rolls a transaction back.
func (e *engine) end(tx *bbolt.Tx) {
	var err error
	if e.guardStuck(tx.Rollback, &err) {
		e.stuck.Store(true)
	}
}

// guardStuck is guard for what may leave bbolt locked: it reports whether it has panicked.
func (e *engine) guardStuck(f func() error, err *error) (panicked bool) {
	panicked = true
	*err = e.guard(func() error {
		err := f()
		panicked = false
		return err
	})
	return panicked
}

// dbError wraps what bbolt says.
func dbError(what string, err error) error {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return err
		}
	}
	return fmt.Errorf("%w: %s: %w", backend.ErrUnavailable, what, err)
}

type snapshot struct {
	e  *engine
	tx *bbolt.Tx
}

func (s *snapshot) bucket(table byte) (*bbolt.Bucket, error) {
	b := s.tx.Bucket(buckets[table])
	if b == nil {
		return nil, &backend.CorruptError{File: fileName, Offset: -1, Detail: fmt.Sprintf("the bucket %q is missing", buckets[table])}
	}
	return b, nil
}

func (s *snapshot) Get(key, dst []byte) (value []byte, found bool, err error) {
	value = dst
	err = s.e.guard(func() error {
		b, err := s.bucket(key[0])
		if err != nil {
			return err
		}
		v := b.Get(key)
		value, found = append(dst, v...), v != nil
		return nil
	})
	return value, found, err
}

func (s *snapshot) Cursor(low, high []byte) kv.Cursor {
	c := &cursor{e: s.e, low: low, high: high}
	c.err = s.e.guard(func() error {
		b, err := s.bucket(low[0])
		if err == nil {
			c.c = b.Cursor()
		}
		return err
	})
	return c
}

// cursor keeps a copy of the key that it stands on: bbolt's own is memory that the file is
// mapped to.
type cursor struct {
	e         *engine
	c         *bbolt.Cursor
	low, high []byte
	key       []byte
	value     []byte // bbolt's
	err       error
}

// move makes a move of bbolt's cursor and reports whether it stands in the range then.
func (c *cursor) move(f func() (key, value []byte)) (there bool) {
	if c.err != nil {
		return false
	}
	c.err = c.e.guard(func() error {
		k, v := f()
		there = k != nil && bytes.Compare(k, c.low) >= 0 && bytes.Compare(k, c.high) < 0
		if there {
			c.key, c.value = append(c.key[:0], k...), v
		}
		return nil
	})
	return there && c.err == nil
}

func (c *cursor) Seek(key []byte) bool {
	if bytes.Compare(key, c.low) < 0 {
		key = c.low
	}
	return c.move(func() ([]byte, []byte) { return c.c.Seek(key) })
}

func (c *cursor) SeekBelow(key []byte) bool {
	if bytes.Compare(key, c.high) > 0 {
		key = c.high
	}
	return c.move(func() ([]byte, []byte) {
		if k, _ := c.c.Seek(key); k == nil {
			return c.c.Last()
		}
		return c.c.Prev()
	})
}

func (c *cursor) Next() bool {
	return c.move(func() ([]byte, []byte) { return c.c.Next() })
}

func (c *cursor) Prev() bool {
	return c.move(func() ([]byte, []byte) { return c.c.Prev() })
}

func (c *cursor) Key() []byte { return c.key }

func (c *cursor) Value(dst []byte) ([]byte, error) {
	if c.err != nil {
		return dst, c.err
	}
	c.err = c.e.guard(func() error {
		dst = append(dst, c.value...)
		return nil
	})
	return dst, c.err
}

func (c *cursor) Err() error { return c.err }

func (c *cursor) Close() error { return nil }

// Compact does nothing: what was deleted is room that bbolt uses again, and its file never
// shrinks.
func (e *engine) Compact(context.Context) error { return nil }

// Facts describes the engine.
func (e *engine) Facts() kv.Facts {
	f := kv.Facts{Engine: "bolt", File: fileName, ReadOnly: e.opts.ReadOnly}
	if e.file == nil {
		return f
	}
	if info, err := e.file.Stat(); err == nil {
		f.Size = info.Size()
	}
	if e.db != nil {
		f.Stats = []backend.Stat{{Name: "page_bytes", Unit: "By", Help: "Size of a page.", Value: e.pageSize}}
	}
	return f
}

// Close lets go of the file. After a panic bbolt may hold a lock of its own for ever: it is
// left alone then, with the memory that it has mapped. An empty LOCK says that all was well.
func (e *engine) Close() error {
	var err error
	clean := e.db != nil && e.poison.Load() == nil
	if e.db != nil {
		if e.stuck.Load() {
			err = e.dbFile.Close() // which gives its lock back
		} else {
			err = e.guard(e.db.Close)
		}
		e.db = nil
	}
	if clean = clean && err == nil; e.lock != nil {
		switch {
		case !e.wrote: // nothing has changed, and LOCK has not
			err = errors.Join(err, e.lock.Say(e.lock.Left()))
		case clean:
			err = e.lock.Say("")
		}
	}
	if e.file != nil {
		err = errors.Join(err, e.file.Close())
		e.file = nil
	}
	if e.lock != nil {
		err = errors.Join(err, e.lock.Close())
		e.lock = nil
	}
	if err != nil {
		return dbError("close", err)
	}
	return nil
}
