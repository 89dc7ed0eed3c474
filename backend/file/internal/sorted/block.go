// Package sorted is a table of names and values that is written once and read many
// times: a section of a file, in blocks of 4 KiB, sorted by the names' bytes. It is no
// database: nothing in it changes, nothing spans two tables, and what the values mean
// is the caller's affair. The layout is drawn in block.go; writer.go makes it, table.go
// looks up, iterator.go lists, check.go verifies.
package sorted

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A section is a tree of blocks, each BlockSize long. A block is written when there is
// an entry that does not fit, so it comes after all blocks below it, and the root is the
// last:
//
//	0     1        209   210   211           212      300   301                  302
//	leaf  leaf  …  leaf  leaf  index: 0–209  leaf  …  leaf  index: 210, 212–300  root: 211, 301
//
// Leaves are in the order of their names. A table of one leaf has no index blocks, and
// that of no entries has no blocks. A block:
//
//	   0  count u16            of entries, at least 1
//	   2  used u16             where the entries end
//	   4  level u8             0: a leaf; else one more than that of the blocks it lists
//	   5  flags u8             1: the root; a section that was cut has none
//	   6  zero u16
//	   8  entries
//	      zeros
//	      restarts             u16 each: where the entries 0, 8, 16, … begin; the last
//	                           one ends at 4092
//	4092  CRC-32C of all before; its seed: the file's, block number u64
//
// An entry is three uvarints: how many bytes its name shares with that of the entry
// before it (0 at a restart), how many follow, and the value's length; then the bytes
// of the name, then the value. An index entry's value is the number u32 of the block
// that it lists, and its name is at most the first name in there and above all names
// before that: the shortest prefix that is.
type block [BlockSize]byte

// The limits of a table.
const (
	BlockSize = 4096 // of a section's blocks, in bytes
	MaxName   = 512  // bytes of a name; it has at least 1
	MaxValue  = 256  // bytes of a value
)

const (
	headerSize = 8
	crcOffset  = BlockSize - 4
	flagRoot   = 1
	restarts   = 8  // entries from one restart to the next
	maxLevel   = 16 // seven or more entries fit into a block: 12 levels list 2^32 blocks
	childSize  = 4  // the value of an index entry
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// BlockError says which block of a section can't be read or is damaged.
type BlockError struct {
	Block  int64 // its number
	Offset int64 // of the block in the section
	Err    error // from the reader, or what is wrong with the block
}

func (e *BlockError) Error() string {
	return fmt.Sprintf("block %d offset %d: %v", e.Block, e.Offset, e.Err)
}

func (e *BlockError) Unwrap() error { return e.Err }

func blockError(n int64, err error) error {
	return &BlockError{Block: n, Offset: n * BlockSize, Err: err}
}

func (b *block) u16(at int) int { return int(binary.LittleEndian.Uint16(b[at:])) }
func (b *block) count() int     { return b.u16(0) }
func (b *block) used() int      { return b.u16(2) }
func (b *block) level() int     { return int(b[4]) }

// restartAt is the place in a block of count entries that says where the entry with
// ordinal i begins, a multiple of restarts.
func restartAt(count, i int) int {
	return crcOffset - 2*((count+restarts-1)/restarts-i/restarts)
}

// crc is the checksum of the block with number n. The number goes in like the eight
// bytes that it would be stored as.
func (b *block) crc(seed uint32, n int64) uint32 {
	crc := ^seed
	for i := 0; i < 64; i += 8 {
		crc = castagnoli[byte(crc)^byte(n>>i)] ^ crc>>8
	}
	return crc32.Update(^crc, castagnoli, b[:crcOffset])
}

// verify returns nil if the block is number n of a section, its last or not, and its
// entries end before its restarts.
func (b *block) verify(seed uint32, n int64, last bool) error {
	want := binary.LittleEndian.Uint32(b[crcOffset:])
	if crc := b.crc(seed, n); crc != want {
		return fmt.Errorf("crc %08x, want %08x", crc, want)
	}
	if b.level() > maxLevel || b[5]&^flagRoot != 0 || b.u16(6) != 0 {
		return fmt.Errorf("a header of % x", b[:headerSize])
	}
	if root := b[5] == flagRoot; root != last {
		return fmt.Errorf("root is %t and last is %t", root, last)
	}
	if b.count() == 0 || b.used() < headerSize || b.used() > restartAt(b.count(), 0) {
		return fmt.Errorf("%d entries in %d bytes", b.count(), b.used())
	}
	return nil
}

// A span says where the parts of an entry are in its block.
type span struct{ shared, suffix, value, end int }

var errBounds = errors.New("an entry leaves its bounds")

// span returns the parts of the entry that begins at so many bytes.
func (b *block) span(at int) (s span, err error) {
	used := min(b.used(), BlockSize)
	if at+3 <= used && (b[at]|b[at+1]|b[at+2])&0x80 == 0 { // the common case
		s.shared, s.suffix, s.value, at = int(b[at]), int(b[at+1]), int(b[at+2]), at+3
	} else {
		for _, length := range [...]*int{&s.shared, &s.suffix, &s.value} {
			v, n := binary.Uvarint(b[min(at, used):used])
			if n <= 0 || v > MaxName {
				return s, errBounds
			}
			*length, at = int(v), at+n
		}
	}
	s.end = at + s.suffix + s.value
	if s.shared+s.suffix > MaxName || s.value > MaxValue || s.end > used {
		return s, errBounds
	}
	s.suffix, s.value = at, at+s.suffix
	return s, nil
}

// A walk reads the entries of verified blocks in order. It reports all that an entry
// can have wrong, names that do not rise among it.
type walk struct {
	b     *block
	i     int    // the ordinal of the next entry
	at    int    // where that begins
	name  []byte // of the entry last read, or empty; the walk's own memory
	value []byte // of the entry last read, in the block
}

// follow goes on to the first entry of a block whose names are above those before.
func (w *walk) follow(b *block) { w.b, w.i, w.at = b, 0, headerSize }

// jump goes to the last restart of a block whose name is at most the given one, or to
// the first.
func (w *walk) jump(b *block, name string) error {
	low, high := 0, (b.count()+restarts-1)/restarts
	for high-low > 1 {
		mid := (low + high) / 2
		s, err := b.span(b.u16(restartAt(b.count(), mid*restarts)))
		if err != nil {
			return err
		}
		if string(b[s.suffix:s.value]) <= name {
			low = mid
		} else {
			high = mid
		}
	}
	w.b, w.i, w.name = b, low*restarts, w.name[:0]
	w.at = b.u16(restartAt(b.count(), w.i))
	return nil
}

// next reads an entry. It returns false at the block's end.
func (w *walk) next() (bool, error) {
	if w.i == w.b.count() {
		if w.at != w.b.used() {
			return false, fmt.Errorf("%d entries end at %d, want %d", w.i, w.at, w.b.used())
		}
		return false, nil
	}
	s, err := w.b.span(w.at)
	if err != nil {
		return false, err
	}
	if w.i%restarts == 0 && (s.shared != 0 || w.at != w.b.u16(restartAt(w.b.count(), w.i))) {
		return false, fmt.Errorf("entry %d is no restart", w.i)
	}
	suffix := w.b[s.suffix:s.value]
	if s.shared > len(w.name) || bytes.Compare(suffix, w.name[s.shared:]) <= 0 {
		return false, fmt.Errorf("the name of entry %d is not above the one before", w.i)
	}
	w.name = append(w.name[:s.shared], suffix...)
	w.value = w.b[s.value:s.end]
	w.i, w.at = w.i+1, s.end
	return true, nil
}

// child returns the number of the block that an index block lists for the name.
func (w *walk) child(b *block, name string) (n int64, err error) {
	if err := w.jump(b, name); err != nil {
		return 0, err
	}
	for first := true; ; first = false {
		ok, err := w.next()
		if err != nil {
			return 0, err
		}
		if !ok || !first && string(w.name) > name {
			return n, nil
		}
		if len(w.value) != childSize {
			return 0, errChild
		}
		n = int64(binary.LittleEndian.Uint32(w.value))
	}
}

var errChild = errors.New("an index entry lists no block below its own")
