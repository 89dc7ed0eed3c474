package sorted

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Check reads the whole section and returns the first thing that is wrong, nil if there
// is none: a block's CRC, an entry's form or order, or an index that does not list each
// block once, under the name that the Writer gave it. progress, unless nil, is called
// after each block with the number of bytes that were checked so far. What is in memory
// is not used.
func (t *Table) Check(progress func(n int64)) error {
	if t.err != nil {
		return t.err
	}
	c := checker{ahead: ahead{t: t, size: readMost}}
	for c.n < t.blocks {
		b, n, err := c.next()
		if err != nil {
			return err
		}
		if err := c.check(b, n); err != nil {
			return blockError(n, err)
		}
		if progress != nil {
			progress(c.n * BlockSize)
		}
	}
	return nil
}

type checker struct {
	ahead
	leaves walk
	// unlisted holds, for each level, the blocks that no index block has listed so far:
	// not many more than one lists.
	unlisted [maxLevel + 1][]child
}

type child struct {
	n         int64
	separator []byte
}

// mostUnlisted is more than what an index block can list, which has 4 bytes of value
// and at least 1 of name in an entry.
const mostUnlisted = BlockSize / (childSize + 1)

func (c *checker) check(b *block, n int64) error {
	for _, x := range b[b.used():restartAt(b.count(), 0)] {
		if x != 0 {
			return errors.New("no zeros after the entries")
		}
	}
	var first []byte
	var err error
	if b.level() == 0 {
		first, err = c.checkLeaf(b)
	} else {
		first, err = c.checkIndex(b)
	}
	if err != nil {
		return err
	}
	same := &c.unlisted[b.level()]
	if *same = append(*same, child{n, first}); len(*same) > mostUnlisted {
		return fmt.Errorf("%d blocks of level %d before one that lists them", len(*same), b.level())
	}
	if c.n == c.t.blocks {
		return c.checkRoot(b.level())
	}
	return nil
}

// checkLeaf returns the name that the leaf has to have in the index.
func (c *checker) checkLeaf(b *block) (separator []byte, err error) {
	c.leaves.follow(b)
	before := bytes.Clone(c.leaves.name)
	for {
		ok, err := c.leaves.next()
		if err != nil || !ok {
			return separator, err
		}
		if separator == nil {
			separator = bytes.Clone(c.leaves.name[:shared(before, c.leaves.name)+1])
		}
	}
}

// checkIndex takes what the block lists from the level below.
func (c *checker) checkIndex(b *block) (separator []byte, err error) {
	below := &c.unlisted[b.level()-1]
	if b.count() > len(*below) {
		return nil, fmt.Errorf("lists %d blocks, and there are %d", b.count(), len(*below))
	}
	var w walk
	w.follow(b)
	for _, want := range (*below)[:b.count()] {
		if _, err := w.next(); err != nil {
			return nil, err
		}
		if len(w.value) != childSize || int64(binary.LittleEndian.Uint32(w.value)) != want.n || !bytes.Equal(w.name, want.separator) {
			return nil, fmt.Errorf("entry %d does not list block %d as %q", w.i-1, want.n, want.separator)
		}
	}
	_, err = w.next()
	separator = (*below)[0].separator
	*below = append((*below)[:0], (*below)[b.count():]...)
	return separator, err
}

// checkRoot returns an error if the root, the last block, is not above all others.
func (c *checker) checkRoot(level int) error {
	for i, blocks := range c.unlisted {
		if i != level && len(blocks) > 0 || i == level && len(blocks) != 1 {
			return fmt.Errorf("%d blocks of level %d are not in the index", len(blocks), i)
		}
	}
	return nil
}
