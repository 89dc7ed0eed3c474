package sorted

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// A Writer writes a table, one block at a time, and keeps one open block of each level.
// After an error of the io.Writer it only returns that error.
type Writer struct {
	w      io.Writer
	seed   uint32
	n      int64 // blocks written
	count  int
	levels []*builder // the open blocks, leaf first
	last   []byte     // the name last added
	name   []byte     // the one that is being added
	err    error
}

// NewWriter writes blocks to w from its current position on. The seed binds every
// block's CRC to its file.
func NewWriter(w io.Writer, seed uint32) *Writer { return &Writer{w: w, seed: seed} }

var errFinished = errors.New("the table is finished")

// Count is the number of entries added.
func (w *Writer) Count() int { return w.count }

// Add adds an entry, of which it keeps nothing. Names rise strictly; one that does not,
// or is too long or empty, or a value that is too long, is an error and is not added.
func (w *Writer) Add(name string, value []byte) error {
	if w.err != nil {
		return w.err
	}
	if len(name) == 0 || len(name) > MaxName || len(value) > MaxValue {
		return fmt.Errorf("a name of %d bytes with a value of %d: want 1 to %d and at most %d", len(name), len(value), MaxName, MaxValue)
	}
	if name <= string(w.last) {
		return fmt.Errorf("the name %q is not above %q", name, w.last)
	}
	w.name = append(w.name[:0], name...)
	if w.err = w.put(0, w.name, w.name[:shared(w.last, w.name)+1], value); w.err != nil {
		return w.err
	}
	w.last, w.name = w.name, w.last
	w.count++
	return nil
}

// Finish writes what is open. It returns the section's size, a multiple of BlockSize,
// and 0 for no entries. Nothing can be added afterwards.
func (w *Writer) Finish() (size int64, err error) {
	if w.err != nil {
		return 0, w.err
	}
	for level := 0; level < len(w.levels); level++ {
		if w.err = w.flush(level, level == len(w.levels)-1); w.err != nil {
			return 0, w.err
		}
	}
	w.err = errFinished
	return w.n * BlockSize, nil
}

// put adds an entry to the open block of a level. If it is that block's first, the
// separator will be the block's name in the level above.
func (w *Writer) put(level int, name, separator, value []byte) error {
	if level == len(w.levels) {
		w.levels = append(w.levels, &builder{level: level, used: headerSize})
	}
	b := w.levels[level]
	if !b.fits(name, value) {
		if err := w.flush(level, false); err != nil {
			return err
		}
	}
	if b.count == 0 {
		b.separator = append(b.separator[:0], separator...)
	}
	b.add(name, value)
	return nil
}

// flush writes the open block of a level and, but for the root, lists it in the level
// above.
func (w *Writer) flush(level int, root bool) error {
	if w.n > math.MaxUint32 {
		return errors.New("the table is full")
	}
	b := w.levels[level]
	b.seal(w.seed, w.n, root)
	if _, err := w.w.Write(b.block[:]); err != nil {
		return err
	}
	w.n++
	b.count, b.used = 0, headerSize
	if root {
		return nil
	}
	var child [childSize]byte
	binary.LittleEndian.PutUint32(child[:], uint32(w.n-1))
	return w.put(level+1, b.separator, b.separator, child[:])
}

// A builder is a block that is not full yet.
type builder struct {
	block
	level, count, used int
	separator          []byte
	last               []byte // the name last added
	starts             []uint16
}

// fits reports whether the block has room for an entry. An empty one has.
func (b *builder) fits(name, value []byte) bool {
	var lengths [3 * binary.MaxVarintLen16]byte
	share := b.share(name)
	n := len(appendLengths(lengths[:0], share, len(name)-share, len(value))) + len(name) - share + len(value)
	return b.used+n <= restartAt(b.count+1, 0)
}

// share is how many bytes of the block's next name are not written.
func (b *builder) share(name []byte) int {
	if b.count%restarts == 0 {
		return 0
	}
	return shared(b.last, name)
}

func (b *builder) add(name, value []byte) {
	if b.count == 0 {
		b.starts = b.starts[:0]
	}
	if b.count%restarts == 0 {
		b.starts = append(b.starts, uint16(b.used))
	}
	share := b.share(name)
	out := appendLengths(b.block[:b.used], share, len(name)-share, len(value))
	out = append(append(out, name[share:]...), value...)
	b.used, b.count = len(out), b.count+1
	b.last = append(b.last[:0], name...)
}

// seal completes the block with number n.
func (b *builder) seal(seed uint32, n int64, root bool) {
	le := binary.LittleEndian
	clear(b.block[b.used:])
	clear(b.block[:headerSize])
	le.PutUint16(b.block[0:], uint16(b.count))
	le.PutUint16(b.block[2:], uint16(b.used))
	b.block[4] = uint8(b.level)
	if root {
		b.block[5] = flagRoot
	}
	for i, start := range b.starts {
		le.PutUint16(b.block[restartAt(b.count, i*restarts):], start)
	}
	le.PutUint32(b.block[crcOffset:], b.crc(seed, n))
}

func appendLengths(b []byte, lengths ...int) []byte {
	for _, n := range lengths {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

// shared is the length of the longest common prefix.
func shared(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
