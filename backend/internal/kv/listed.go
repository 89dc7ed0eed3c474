package kv

import "sort"

// Listed is a Snapshot of keys that are in memory, for engines that read a damaged store without
// the library that wrote it.
type Listed struct {
	Len int
	// Key returns the i-th key: they are in order, and each is there once.
	Key func(i int) string
	// Value appends the value of the i-th key to dst.
	Value func(i int, dst []byte) ([]byte, error)
}

// Find returns which key is the first that is not below key, and whether it is that one.
func (l Listed) Find(key []byte) (at int, there bool) {
	at = sort.Search(l.Len, func(i int) bool { return l.Key(i) >= string(key) })
	return at, at < l.Len && l.Key(at) == string(key)
}

// Get appends the value of key to dst.
func (l Listed) Get(key, dst []byte) (value []byte, found bool, err error) {
	at, there := l.Find(key)
	if !there {
		return dst, false, nil
	}
	value, err = l.Value(at, dst)
	return value, true, err
}

// Cursor returns a cursor over the keys from low to high, without high.
func (l Listed) Cursor(low, high []byte) Cursor {
	from, _ := l.Find(low)
	to, _ := l.Find(high)
	return &listedCursor{l: l, from: from, to: to, at: -1}
}

type listedCursor struct {
	l        Listed
	from, to int // the keys that it goes through
	at       int
	err      error
}

func (c *listedCursor) there() bool { return c.at >= c.from && c.at < c.to }

func (c *listedCursor) Seek(key []byte) bool {
	at, _ := c.l.Find(key)
	c.at = max(at, c.from)
	return c.there()
}

func (c *listedCursor) SeekBelow(key []byte) bool {
	at, _ := c.l.Find(key)
	c.at = min(at, c.to) - 1
	return c.there()
}

func (c *listedCursor) Next() bool {
	c.at++
	return c.there()
}

func (c *listedCursor) Prev() bool {
	c.at--
	return c.there()
}

func (c *listedCursor) Key() []byte { return []byte(c.l.Key(c.at)) }

func (c *listedCursor) Value(dst []byte) (value []byte, err error) {
	value, err = c.l.Value(c.at, dst)
	c.err = err
	return value, err
}

func (c *listedCursor) Err() error { return c.err }

func (c *listedCursor) Close() error { return nil }
