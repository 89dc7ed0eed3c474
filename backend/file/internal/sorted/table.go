package sorted

import (
	"fmt"
	"io"
	"math"
	"sync"
)

// A Table reads what a Writer wrote. It is safe for concurrent use. What it can't read
// or trust is a *BlockError. Index blocks stay in memory once they were used: about one
// in two hundred of all blocks.
type Table struct {
	r      io.ReaderAt
	off    int64
	seed   uint32
	blocks int64
	err    error  // the section can't be one
	cache  *Cache // of leaves; nil: there is none

	mu    sync.RWMutex
	index map[int64]*block // guarded by mu; verified, and never changed
}

// Keep makes the table look for its leaves in a cache, and put them there. It must be
// called before the table is used.
func (t *Table) Keep(c *Cache) { t.cache = c }

// Open returns the table in the section of r that begins at off and has size bytes. It
// does no I/O.
func Open(r io.ReaderAt, off, size int64, seed uint32) *Table {
	t := &Table{r: r, off: off, seed: seed, blocks: size / BlockSize, index: map[int64]*block{}}
	if off < 0 || size < 0 || size%BlockSize != 0 || off > math.MaxInt64-size {
		t.err = blockError(t.blocks, fmt.Errorf("a section of %d bytes at %d: want a multiple of %d", size, off, BlockSize))
	}
	return t
}

// Get appends the value of name to value[:0]. ok is false if there is no such name. It
// reads one block that is not an index block.
func (t *Table) Get(name string, value []byte) (v []byte, ok bool, err error) {
	l := leaves.Get().(*leaf)
	l.n = none
	v, ok, err = t.get(l, name, value[:0])
	l.b = nil
	leaves.Put(l)
	return v, ok, err
}

// A Cursor looks up as its table does, and keeps the leaf that it used last: the next
// lookup in that reads nothing. It is not safe for concurrent use.
type Cursor struct {
	t *Table
	l leaf
}

// NewCursor returns a cursor that has no leaf yet.
func (t *Table) NewCursor() *Cursor { return &Cursor{t: t, l: leaf{n: none}} }

// Get is Table.Get.
func (c *Cursor) Get(name string, value []byte) (v []byte, ok bool, err error) {
	return c.t.get(&c.l, name, value[:0])
}

// A leaf is a buffer for one, and what it takes to look something up.
type leaf struct {
	n    int64  // the number of the leaf in b, or none
	b    *block // own, or one that is in the cache
	own  block
	walk walk
}

const none = -1

var leaves = sync.Pool{New: func() any { return new(leaf) }}

func (t *Table) get(l *leaf, name string, value []byte) (v []byte, ok bool, err error) {
	if t.blocks == 0 || t.err != nil {
		return value, false, t.err
	}
	if err := t.find(l, name); err != nil {
		return value, false, err
	}
	if err := l.walk.jump(l.b, name); err != nil {
		return value, false, blockError(l.n, err)
	}
	for {
		ok, err := l.walk.next()
		if err != nil {
			return value, false, blockError(l.n, err)
		}
		if !ok || string(l.walk.name) > name {
			return value, false, nil
		}
		if string(l.walk.name) == name {
			return append(value, l.walk.value...), true, nil
		}
	}
}

// find makes l hold the leaf that has the name if any has. The table has blocks. Levels
// fall at each step, so the steps are at most maxLevel.
func (t *Table) find(l *leaf, name string) error {
	n, above := t.blocks-1, maxLevel+1
	for n != l.n {
		b, err := t.block(l, n, above)
		if err != nil {
			return blockError(n, err)
		}
		if b.level() == 0 {
			l.n = n
			return nil
		}
		child, err := l.walk.child(b, name)
		if err == nil && child >= n {
			err = errChild
		}
		if err != nil {
			return blockError(n, err)
		}
		n, above = child, b.level()
	}
	return nil
}

// block returns block n, which is listed by one of the level above, or is the root: an
// index block that stays, or a leaf, which is then l.b.
func (t *Table) block(l *leaf, n int64, above int) (b *block, err error) {
	switch {
	case above > 1:
		t.mu.RLock()
		b = t.index[n]
		t.mu.RUnlock()
	case t.cache != nil:
		b = t.cache.get(t, n)
		l.b = b
	}
	if b == nil {
		if b, err = t.load(l, n); err != nil {
			return nil, err
		}
	}
	if n < t.blocks-1 && b.level() != above-1 {
		return nil, fmt.Errorf("level %d, want %d", b.level(), above-1)
	}
	return b, nil
}

// load reads block n into l.own, and keeps a copy if it is an index block or there is a
// cache. l.b is the block, if it is a leaf.
func (t *Table) load(l *leaf, n int64) (*block, error) {
	l.n, l.b = none, &l.own
	if _, err := t.read(l.own[:], n); err != nil {
		return nil, err
	}
	if err := l.own.verify(t.seed, n, n == t.blocks-1); err != nil {
		return nil, err
	}
	isLeaf := l.own.level() == 0
	if isLeaf && t.cache == nil {
		return &l.own, nil
	}
	b := new(block)
	*b = l.own
	if isLeaf {
		t.cache.put(t, n, b)
		l.b = b
		return b, nil
	}
	t.mu.Lock()
	t.index[n] = b
	t.mu.Unlock()
	return b, nil
}

// read reads whole blocks from number n on, and returns how many it got. It is an error
// if that is none; if it is fewer than asked for, asking for the next one tells why.
func (t *Table) read(p []byte, n int64) (blocks int, err error) {
	got, err := t.r.ReadAt(p, t.off+n*BlockSize)
	if got >= BlockSize {
		return min(got, len(p)) / BlockSize, nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}
