package kv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// Options are what [Open] takes.
type Options struct {
	// Dir is the store's directory: damaged bytes are saved in a folder of it.
	Dir string
}

// Log is an open store: a backend.LogDriver.
type Log struct {
	engine Engine
	dir    string
	facts  Facts
	store  identity
	sums   sums
	codec  codec.Seed

	// writing is held over what a write rests on and the write itself.
	writing sync.Mutex
	state   state             // as written; guarded by writing, as what follows
	lately  lately            // where streams stand
	arena   []byte            // the values of one append
	order   []*backend.Record // those of one append, by stream
	runs    []run             // what one append stores in each stream

	last  atomic.Uint64                   // state.last, for readers
	count atomic.Uint64                   // state.records, for Info
	doubt atomic.Pointer[map[string]head] // after an unknown outcome: where the streams stood before
	unfit atomic.Pointer[error]           // why nothing can be appended: the state is damaged, or not known; nil: it is fine
}

// Open opens the store that an engine holds, which [Create] has made. The engine is the
// Log's from then on, also if Open fails.
//
// Errors: backend.ErrFormat if a newer version wrote it; backend.ErrCorrupt if what the
// store says of itself can't be read; what the engine says.
func Open(e Engine, o Options) (*Log, error) {
	l := &Log{engine: e, dir: o.Dir, facts: e.Facts()}
	if err := l.load(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return l, nil
}

// load reads what the store says of itself.
func (l *Log) load() error {
	return l.engine.View(func(s Snapshot) (err error) {
		if l.store, err = l.readIdentity(s); err != nil {
			return err
		}
		l.sums, l.codec = newSums(l.store.store), codec.NewSeed(l.store.store)
		l.doubt.Store(nil)
		l.lately.forgetAll()
		return l.loadState(s)
	})
}

// loadState reads where the store stands. If that is damaged, the store can be read, as far
// as its positions tell.
func (l *Log) loadState(s Snapshot) error {
	st, err := l.readState(s)
	l.unfit.Store(nil)
	if errors.Is(err, backend.ErrCorrupt) {
		refused := fmt.Errorf("%w; nothing is appended until it is recovered", err)
		l.unfit.Store(&refused)
		st, err = l.guessState(s)
	}
	if err != nil {
		return err
	}
	l.setState(st)
	return nil
}

func (l *Log) setState(st state) {
	l.state = st
	l.last.Store(uint64(st.last))
	l.count.Store(st.records)
}

func (l *Log) readState(s Snapshot) (state, error) {
	value, found, err := s.Get(stateKey, nil)
	if err != nil {
		return state{}, err
	}
	if !found {
		return state{}, l.corrupt("", 0, 0, "where the store stands is missing")
	}
	st, err := parseState(l.sums, value)
	if err != nil {
		return state{}, l.corrupt("", 0, 0, "where the store stands can't be read: %v", err)
	}
	return st, nil
}

// guessState is what the positions say.
func (l *Log) guessState(s Snapshot) (state, error) {
	c := s.Cursor([]byte{tablePlaces}, after(tablePlaces))
	defer c.Close()
	var st state
	for ok := c.SeekBelow(after(tablePlaces)); ok; ok = c.Prev() {
		if p, sound := parsePlaceKey(c.Key()); sound {
			st.last, st.newest = p, p
			break
		}
	}
	return st, c.Err()
}

// corrupt is damage at a key.
func (l *Log) corrupt(stream string, v backend.Version, p backend.Position, format string, args ...any) *backend.CorruptError {
	return &backend.CorruptError{File: l.facts.File, Offset: -1, Stream: stream, Version: v, Position: p, Detail: fmt.Sprintf(format, args...)}
}

// buffers are where keys and values are built and read, by one goroutine at a time.
type buffers struct{ key, value []byte }

// Head returns where the stream stands.
func (l *Log) Head(_ context.Context, stream string) (backend.Head, error) {
	h, err := l.head(stream)
	return h.Head, err
}

func (l *Log) head(stream string) (h head, err error) {
	if was, ok := l.before(stream); ok {
		return was, nil
	}
	err = l.engine.View(func(s Snapshot) (err error) {
		found := false
		var buf buffers
		if h, found, err = l.readHead(s, stream, &buf); err == nil && !found {
			err = l.headless(s, stream, &buf)
		}
		return err
	})
	return h, err
}

// before returns where a stream stood before an append whose outcome is not known.
func (l *Log) before(stream string) (h head, doubtful bool) {
	if m := l.doubt.Load(); m != nil {
		h, doubtful = (*m)[stream]
	}
	return h, doubtful
}

// Last returns the newest position.
func (l *Log) Last(context.Context) (backend.Position, error) {
	return backend.Position(l.last.Load()), nil
}

// Info describes the engine.
func (l *Log) Info() backend.Info {
	f := l.engine.Facts()
	return backend.Info{
		Engine:       l.facts.Engine,
		Capabilities: backend.Capabilities{Durable: true, Repair: true, Quarantine: true, Compact: true, CompactBeside: true},
		Stats: append([]backend.Stat{
			{Name: "records", Unit: "{record}", Help: "Records in the store, of every kind.", Value: int64(l.count.Load())},
			{Name: "size_bytes", Unit: "By", Help: "Bytes on the medium.", Value: f.Size},
		}, f.Stats...),
	}
}

// Close closes the engine.
func (l *Log) Close() error { return l.engine.Close() }
