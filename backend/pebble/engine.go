package pebble

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// engine is a kv.Engine over pebble while its files are sound, and without it, for reading
// alone, if they are damaged.
type engine struct {
	at   place
	opts Options
	lock io.Closer // held by who has the store
	m    *medium
	db   *pebble.DB

	writing    sync.Mutex // held over a Write, and while what is damaged is looked at
	strange    bool       // STORE was missing or can't be read
	damage     atomic.Pointer[salvaged]
	ailing     atomic.Pointer[error] // why what is in memory does not get to tables; nil: it does
	lagging    atomic.Pointer[error] // why tables are not compacted; nil: they are
	background atomic.Int64          // times that either failed
	dirty      bool                  // something is in memory that is in no table; Write's
	since      int                   // bytes written since the last look at what is in memory; Write's
}

// guard turns a panic of pebble on damaged bytes into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &backend.CorruptError{File: dbName, Offset: -1, Detail: fmt.Sprintf("pebble met what is damaged, or can't be read: %v: %s", p, firstFrames(debug.Stack()))}
		}
	}()
	return f()
}

// firstFrames says where a panic was.
func firstFrames(stack []byte) string {
	_, after, _ := strings.Cut(string(stack), "panic(")
	lines := strings.Split(after, "\n")
	return strings.TrimSpace(strings.Join(lines[min(2, len(lines)):min(4, len(lines))], " "))
}

// poison is why nothing is written any more; nil: it is.
func (e *engine) poison() error {
	if err := e.m.failed(); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrPoisoned, err)
	}
	return nil
}

// View hands out a snapshot, or what was salvaged.
func (e *engine) View(f func(kv.Snapshot) error) error {
	if d := e.damage.Load(); d != nil {
		return f(d)
	}
	s := e.db.NewSnapshot()
	defer s.Close()
	return f(snapshot{s})
}

type snapshot struct{ s *pebble.Snapshot }

func (s snapshot) Get(key, dst []byte) (value []byte, found bool, err error) {
	value = dst
	err = guard(func() error {
		v, closer, err := s.s.Get(key)
		if err == pebble.ErrNotFound {
			return nil
		}
		if err != nil {
			return dbError("read", err)
		}
		value, found = append(dst, v...), true
		return closer.Close()
	})
	return value, found, err
}

func (s snapshot) Cursor(low, high []byte) kv.Cursor {
	c := &cursor{}
	c.err = guard(func() (err error) {
		c.it, err = s.s.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
		return dbError("read", err)
	})
	return c
}

type cursor struct {
	it  *pebble.Iterator
	err error
}

// move moves, and looks whether that there is no more is the truth.
func (c *cursor) move(f func() bool) (there bool) {
	if c.err != nil {
		return false
	}
	c.err = guard(func() error {
		there = f()
		return dbError("read", c.it.Error())
	})
	return there && c.err == nil
}

func (c *cursor) Seek(key []byte) bool {
	return c.move(func() bool { return c.it.SeekGE(key) })
}

func (c *cursor) SeekBelow(key []byte) bool {
	return c.move(func() bool { return c.it.SeekLT(key) })
}

func (c *cursor) Next() bool { return c.move(c.it.Next) }

func (c *cursor) Prev() bool { return c.move(c.it.Prev) }

func (c *cursor) Key() []byte { return c.it.Key() }

func (c *cursor) Value(dst []byte) ([]byte, error) {
	if c.err != nil {
		return dst, c.err
	}
	c.err = guard(func() error {
		v, err := c.it.ValueAndErr()
		dst = append(dst, v...)
		return dbError("read", err)
	})
	return dst, c.err
}

func (c *cursor) Err() error { return c.err }

func (c *cursor) Close() error {
	if c.it == nil {
		return nil
	}
	return guard(func() error { return dbError("read", c.it.Close()) })
}

// Facts describes the engine.
func (e *engine) Facts() kv.Facts {
	f := kv.Facts{Engine: "pebble", File: dbName, ReadOnly: e.opts.ReadOnly}
	if sizes, err := e.at.sizes(); err == nil {
		for _, size := range sizes {
			f.Size += size
		}
	}
	if e.db == nil {
		return f
	}
	m := e.db.Metrics()
	f.Stats = []backend.Stat{
		{Name: "tables", Unit: "{table}", Help: "Tables on the medium.", Value: m.Total().TablesCount},
		{Name: "mem_table_bytes", Unit: "By", Help: "Bytes in memory that are not in tables yet.", Value: int64(m.MemTable.Size)},
		{Name: "compaction_debt_bytes", Unit: "By", Help: "Bytes that are to be compacted, estimated.", Value: int64(m.Compact.EstimatedDebt)},
		{Name: "l0_sublevels", Unit: "{sublevel}", Help: "Sublevels of the newest level, each of which a read may look at.", Value: int64(m.Levels[0].Sublevels)},
		{Name: "background_errors", Unit: "{error}", Help: "Tables that could not be written or compacted, and were tried again.", Value: e.background.Load()},
	}
	return f
}

// closeWait bounds how long a Close waits for pebble: for a medium that hangs.
const closeWait = 30 * time.Second

// Close closes pebble's files, and notes what they are if all is well. What pebble may
// still do afterwards, if it is not waited for, writes nothing.
func (e *engine) Close() (err error) {
	clean := e.db != nil && !e.opts.ReadOnly && e.m.failed() == nil && e.damage.Load() == nil
	if e.db != nil {
		err = e.closeDB()
		clean = clean && err == nil && e.m.failed() == nil
	}
	if d := e.damage.Swap(nil); d != nil {
		d.close()
	}
	if clean {
		_ = e.at.writeSeal() // without it the next opening knows less, and no more
	}
	if e.lock != nil {
		if closed := e.lock.Close(); err == nil {
			err = dbError("close", closed)
		}
		e.lock = nil
	}
	return err
}

// flushAtClose is false in tests that want records in logs.
var flushAtClose = true

// closeDB closes pebble's files. What is in memory goes to a table before, as the next opening
// would have to do: it is in the log only, if there is no room for one.
func (e *engine) closeDB() error {
	if e.dirty && flushAtClose && e.m.failed() == nil && e.free(0) == nil {
		_ = e.flush(context.Background(), 0)
	}
	db := e.db
	e.db = nil
	close(e.m.closing)
	done := make(chan error, 1)
	go func() { done <- guard(db.Close) }()
	select {
	case err := <-done:
		e.m.closeLeft()
		return dbError("close", err)
	case <-time.After(closeWait):
		e.m.fail(fmt.Errorf("%w: pebble is not done after %v", backend.ErrUnavailable, closeWait))
		return e.m.failed()
	}
}
