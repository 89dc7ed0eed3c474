package sorted

// readMost is how much is read at a time by what goes through a table: one block at
// first, then twice as much each time.
const readMost = 64 << 10

// An Iterator lists entries in the order of their names. It is not safe for concurrent
// use. It has nothing to close.
type Iterator struct {
	leaf  leaf // the one that Seek found; its walk goes on to those read ahead
	ahead ahead
	n     int64  // the block that the walk is in
	from  string // names below it are not listed
	done  bool   // no more blocks, or an error
	err   error
}

// Seek returns an iterator whose first Next goes to the first entry with a name that
// is at least the given one.
func (t *Table) Seek(name string) *Iterator {
	it := &Iterator{leaf: leaf{n: none}, from: name}
	if t.err != nil || t.blocks == 0 {
		it.stop(t.err)
		return it
	}
	if err := t.find(&it.leaf, name); err != nil {
		it.stop(err)
		return it
	}
	it.n = it.leaf.n
	it.ahead = ahead{t: t, n: it.n + 1, size: BlockSize}
	if err := it.leaf.walk.jump(it.leaf.b, name); err != nil {
		it.stop(blockError(it.n, err))
	}
	return it
}

// Next goes to the next entry. It returns false at the end, and after an error.
func (it *Iterator) Next() bool {
	for !it.done {
		ok, err := it.leaf.walk.next()
		switch {
		case err != nil:
			it.stop(blockError(it.n, err))
		case !ok:
			it.leap()
		case string(it.leaf.walk.name) >= it.from:
			it.from = ""
			return true
		}
	}
	return false
}

// leap goes on to the next leaf.
func (it *Iterator) leap() {
	for {
		b, n, err := it.ahead.next()
		if b == nil {
			it.stop(err)
			return
		}
		if b.level() == 0 {
			it.n = n
			it.leaf.walk.follow(b)
			return
		}
	}
}

func (it *Iterator) stop(err error) { it.done, it.err = true, err }

// Name is the entry's. It is valid until the next Next, which is to have returned true.
func (it *Iterator) Name() []byte { return it.leaf.walk.name }

// Value is the entry's. It is valid until the next Next, which is to have returned true.
func (it *Iterator) Value() []byte { return it.leaf.walk.value }

// Err is the error that ended the list, nil if the table's end did.
func (it *Iterator) Err() error { return it.err }

// ahead reads a table's blocks in order.
type ahead struct {
	t    *Table
	n    int64  // of the next block
	size int    // of the next read
	rest []byte // what was read and comes next, in buf
	buf  []byte
}

// next returns the next block, verified, and its number: nil at the end and with an
// error. The block is valid until the next call.
func (a *ahead) next() (b *block, n int64, err error) {
	if a.n == a.t.blocks {
		return nil, a.n, nil
	}
	if len(a.rest) == 0 {
		if err := a.fill(); err != nil {
			return nil, a.n, blockError(a.n, err)
		}
	}
	b, n = (*block)(a.rest), a.n
	a.rest, a.n = a.rest[BlockSize:], a.n+1
	if err := b.verify(a.t.seed, n, a.n == a.t.blocks); err != nil {
		return nil, n, blockError(n, err)
	}
	return b, n, nil
}

func (a *ahead) fill() error {
	size := int(min(int64(a.size/BlockSize), a.t.blocks-a.n)) * BlockSize
	if cap(a.buf) < size {
		a.buf = make([]byte, size)
	}
	got, err := a.t.read(a.buf[:size], a.n)
	a.rest = a.buf[:got*BlockSize]
	a.size = min(2*a.size, readMost)
	return err
}
