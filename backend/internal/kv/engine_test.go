package kv

import (
	"bytes"
	"context"
	"slices"
	"sort"
	"sync"

	"github.com/papyra-go/papyra/backend"
)

// medium is an ordered map in memory: what an engine keeps. Handles come and go over it, as
// over a file.
type medium struct {
	mu     sync.RWMutex
	keys   []string // in order
	values map[string][]byte
	writer bool // a handle that writes has it open
}

func newMedium() *medium { return &medium{values: map[string][]byte{}} }

// clone returns a copy, as a crash leaves it: without its writer.
func (m *medium) clone() *medium {
	c := newMedium()
	c.keys = slices.Clone(m.keys)
	for k, v := range m.values {
		c.values[k] = bytes.Clone(v)
	}
	return c
}

func (m *medium) set(key string, value []byte) {
	if _, there := m.values[key]; !there {
		at, _ := slices.BinarySearch(m.keys, key)
		m.keys = slices.Insert(m.keys, at, key)
	}
	m.values[key] = bytes.Clone(value)
}

func (m *medium) delete(key string) {
	if at, there := slices.BinarySearch(m.keys, key); there {
		m.keys = slices.Delete(m.keys, at, at+1)
		delete(m.values, key)
	}
}

// handle is an Engine over a medium. A view holds the lock: one inside another would hang
// as soon as someone waits to write.
type handle struct {
	m        *medium
	readOnly bool
}

func (h *handle) View(f func(Snapshot) error) error {
	h.m.mu.RLock()
	defer h.m.mu.RUnlock()
	return f(h.m)
}

func (h *handle) Write(f func(Batch) error) error {
	var b memoryBatch
	if err := f(&b); err != nil {
		return err
	}
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	b.apply(h.m)
	return nil
}

func (h *handle) Check(context.Context, backend.ScanDepth, func(backend.Anomaly) error) error {
	return nil
}

func (h *handle) Recover(context.Context, backend.RecoveryPlan, *Quarantine) ([]backend.RecoveryAction, bool, error) {
	return nil, true, nil
}

func (h *handle) Compact(context.Context) error { return nil }

func (h *handle) Facts() Facts {
	h.m.mu.RLock()
	defer h.m.mu.RUnlock()
	size := 0
	for k, v := range h.m.values {
		size += len(k) + len(v)
	}
	return Facts{Engine: "map", File: "map", Size: int64(size), ReadOnly: h.readOnly}
}

func (h *handle) Close() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if !h.readOnly {
		h.m.writer = false
	}
	return nil
}

// memoryBatch is what one Write does.
type memoryBatch struct{ ops []memoryOp }

type memoryOp struct {
	key, high string // high: all from key to it go
	value     []byte // nil: key goes
}

func (b *memoryBatch) Set(key, value []byte) error {
	b.ops = append(b.ops, memoryOp{key: string(key), value: value})
	return nil
}

func (b *memoryBatch) Delete(key []byte) error {
	b.ops = append(b.ops, memoryOp{key: string(key)})
	return nil
}

func (b *memoryBatch) DeleteRange(low, high []byte) error {
	b.ops = append(b.ops, memoryOp{key: string(low), high: string(high)})
	return nil
}

func (b *memoryBatch) apply(m *medium) {
	for _, op := range b.ops {
		switch {
		case op.high != "":
			from, _ := slices.BinarySearch(m.keys, op.key)
			to, _ := slices.BinarySearch(m.keys, op.high)
			for _, key := range slices.Clone(m.keys[from:max(from, to)]) {
				m.delete(key)
			}
		case op.value == nil:
			m.delete(op.key)
		default:
			m.set(op.key, op.value)
		}
	}
}

func (m *medium) Get(key, dst []byte) ([]byte, bool, error) {
	v, ok := m.values[string(key)]
	return append(dst, v...), ok, nil
}

func (m *medium) Cursor(low, high []byte) Cursor {
	if len(low) == 0 || len(high) == 0 || high[0] != low[0] && !bytes.Equal(high, []byte{low[0] + 1}) {
		panic("a cursor crosses tables")
	}
	from, _ := slices.BinarySearch(m.keys, string(low))
	to, _ := slices.BinarySearch(m.keys, string(high))
	return &memoryCursor{m: m, keys: m.keys[from:max(from, to)], at: -1}
}

type memoryCursor struct {
	m    *medium
	keys []string
	at   int
}

func (c *memoryCursor) there() bool { return c.at >= 0 && c.at < len(c.keys) }

func (c *memoryCursor) Seek(key []byte) bool {
	c.at = sort.SearchStrings(c.keys, string(key))
	return c.there()
}

func (c *memoryCursor) SeekBelow(key []byte) bool {
	c.at = sort.SearchStrings(c.keys, string(key)) - 1
	return c.there()
}

func (c *memoryCursor) Next() bool {
	c.at++
	return c.there()
}

func (c *memoryCursor) Prev() bool {
	c.at--
	return c.there()
}

func (c *memoryCursor) Key() []byte { return []byte(c.keys[c.at]) }

func (c *memoryCursor) Value(dst []byte) ([]byte, error) {
	return append(dst, c.m.values[c.keys[c.at]]...), nil
}

func (c *memoryCursor) Err() error { return nil }

func (c *memoryCursor) Close() error { return nil }
