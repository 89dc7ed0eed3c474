package kv

import (
	"bytes"
	"context"
	"slices"

	"github.com/papyra-go/papyra/backend"
)

// overlay is an Engine that keeps in memory what is written, over another that is only read:
// for dry runs. One goroutine uses it.
type overlay struct {
	under  Engine
	keys   []string          // in order
	values map[string][]byte // nil: the key is deleted
}

func newOverlay(under Engine) *overlay {
	return &overlay{under: under, values: map[string][]byte{}}
}

func (o *overlay) View(f func(Snapshot) error) error {
	return o.under.View(func(s Snapshot) error { return f(&overlaid{o, s}) })
}

func (o *overlay) Write(f func(Batch) error) error { return f(o) }

func (o *overlay) Check(ctx context.Context, depth backend.ScanDepth, report func(backend.Anomaly) error) error {
	return o.under.Check(ctx, depth, report)
}

func (o *overlay) Recover(context.Context, backend.RecoveryPlan, *Quarantine) ([]backend.RecoveryAction, bool, error) {
	return nil, true, nil
}

func (o *overlay) Compact(context.Context) error { return nil }

func (o *overlay) Facts() Facts { return o.under.Facts() }

func (o *overlay) Close() error { return nil }

func (o *overlay) Set(key, value []byte) error {
	o.put(string(key), append([]byte{}, value...))
	return nil
}

func (o *overlay) Delete(key []byte) error {
	o.put(string(key), nil)
	return nil
}

// DeleteRange deletes the keys that are there now.
func (o *overlay) DeleteRange(low, high []byte) error {
	return o.View(func(s Snapshot) error {
		c := s.Cursor(low, high)
		defer c.Close()
		for ok := c.Seek(low); ok; ok = c.Next() {
			o.put(string(c.Key()), nil)
		}
		return c.Err()
	})
}

func (o *overlay) put(key string, value []byte) {
	if at, there := slices.BinarySearch(o.keys, key); !there {
		o.keys = slices.Insert(o.keys, at, key)
	}
	o.values[key] = value
}

// overlaid is a Snapshot of both.
type overlaid struct {
	o     *overlay
	under Snapshot
}

func (s *overlaid) Get(key, dst []byte) ([]byte, bool, error) {
	if v, there := s.o.values[string(key)]; there {
		return append(dst, v...), v != nil, nil
	}
	return s.under.Get(key, dst)
}

func (s *overlaid) Cursor(low, high []byte) Cursor {
	return &overlaidCursor{s: s, low: string(low), high: string(high), under: s.under.Cursor(low, high)}
}

// overlaidCursor looks in both for each move.
type overlaidCursor struct {
	s         *overlaid
	low, high string
	under     Cursor
	key       []byte
}

// Seek takes the lower of what both have, past what is deleted.
func (c *overlaidCursor) Seek(key []byte) bool {
	for key = bytes.Clone(key); ; key = append(key, 0) {
		ok := c.under.Seek(key)
		if c.under.Err() != nil {
			return false
		}
		at, _ := slices.BinarySearch(c.s.o.keys, max(string(key), c.low))
		over := at < len(c.s.o.keys) && c.s.o.keys[at] < c.high
		switch {
		case !ok && !over:
			return false
		case over && (!ok || c.s.o.keys[at] <= string(c.under.Key())):
			key = []byte(c.s.o.keys[at])
		default:
			key = bytes.Clone(c.under.Key())
		}
		if v, there := c.s.o.values[string(key)]; !there || v != nil {
			c.key = key
			return true
		}
	}
}

// SeekBelow takes the higher of what both have, past what is deleted.
func (c *overlaidCursor) SeekBelow(key []byte) bool {
	for key = bytes.Clone(key); ; {
		ok := c.under.SeekBelow(key)
		if c.under.Err() != nil {
			return false
		}
		at, _ := slices.BinarySearch(c.s.o.keys, min(string(key), c.high))
		over := at > 0 && c.s.o.keys[at-1] >= c.low
		switch {
		case !ok && !over:
			return false
		case over && (!ok || c.s.o.keys[at-1] >= string(c.under.Key())):
			key = []byte(c.s.o.keys[at-1])
		default:
			key = bytes.Clone(c.under.Key())
		}
		if v, there := c.s.o.values[string(key)]; !there || v != nil {
			c.key = key
			return true
		}
	}
}

func (c *overlaidCursor) Next() bool { return c.Seek(append(bytes.Clone(c.key), 0)) }

func (c *overlaidCursor) Prev() bool { return c.SeekBelow(c.key) }

func (c *overlaidCursor) Key() []byte { return c.key }

func (c *overlaidCursor) Value(dst []byte) ([]byte, error) {
	v, _, err := c.s.Get(c.key, dst)
	return v, err
}

func (c *overlaidCursor) Err() error { return c.under.Err() }

func (c *overlaidCursor) Close() error { return c.under.Close() }
