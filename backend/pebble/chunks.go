package pebble

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// A log and a manifest are blocks of 32 KiB, each of which holds chunks, and zeros behind the
// last; zeros that were laid ahead may follow. A chunk is
//
//	checksum u32 · size u16 · type u8 · [ number of the log u32 · [ synced u64 ]] · size bytes
//
// little endian. Types 1 to 4 have neither of the fields in brackets, 5 to 8 the first, 9 to
// 12 both; of each four, the first is a whole record, the others are the first, a middle
// and the last chunk of one. The checksum, a masked CRC-32C, is over all that follows
// size. A log that was closed ends with a chunk of type 5 without a checksum and with the
// number of the next log. See package record of pebble.
const (
	chunkBlock = 32 << 10
	leastChunk = 7
)

// chunks are what is in a log or a manifest.
type chunks struct {
	records []chunkRecord
	bad     []extent // bytes that should be chunks, and are none
	end     int64    // where the last chunk ends
	sure    int64    // what is wrong below it is damage: a record begins here that was written later, or a chunk was mended; -1: nowhere
	closed  bool     // the end is marked
	torn    bool     // the last record is not whole
	synced  int64    // the log was synced up to here before its last chunks were written
}

type chunkRecord struct {
	at    int64
	data  []byte
	last  int64 // where its last chunk begins
	doubt bool  // a checksum is wrong: each part of it is to be looked at
}

type extent struct {
	off, n int64
	mended bool // it is one chunk, of which one bit was wrong
}

// readChunks reads what is in a log of that number; 0: in a manifest. Where a chunk is wrong
// it looks for the next one.
func readChunks(f io.ReaderAt, size int64, number uint32) (c *chunks, err error) {
	c = &chunks{sure: -1}
	r := chunkReader{c: c, number: number}
	block := make([]byte, chunkBlock)
	for at := int64(0); at < size && !r.done; at += chunkBlock {
		n, err := f.ReadAt(block[:min(chunkBlock, size-at)], at)
		if err != nil && err != io.EOF {
			return c, err
		}
		r.block(block[:n], at)
	}
	if r.inside && !r.partial.doubt { // torn
		c.bad = append(c.bad, extent{off: r.partial.at, n: c.end - r.partial.at})
		c.torn = true
	} else {
		r.drop()
	}
	return c, nil
}

type chunkReader struct {
	c       *chunks
	number  uint32
	partial chunkRecord // that is not whole yet
	inside  bool
	done    bool
}

// block reads one block.
func (r *chunkReader) block(b []byte, at int64) {
	for pos := 0; len(b)-pos >= leastChunk && !r.done; {
		head, n, ok := parseChunk(b[pos:], r.number)
		switch {
		case ok:
			if head == leastChunk+12 {
				r.c.synced = max(r.c.synced, int64(binary.LittleEndian.Uint64(b[pos+leastChunk+4:])))
			}
			part := (b[pos+6] - 1) % 4
			if part == 0 || part == 1 {
				r.c.sure = at + int64(pos)
			}
			r.found(at+int64(pos), part, b[pos+head:pos+n])
			pos += n
			r.c.end = at + int64(pos)
		case r.number > 0 && isTrailer(b[pos:], r.number):
			r.c.closed, r.done, r.c.end = true, true, at+int64(pos)
			r.c.sure = r.c.end
		case zeros(b[pos:]):
			return // the rest of the block; what follows the end of a file that was made longer, too
		case r.number > 0 && stale(b[pos:], r.number):
			r.done = true // of the log whose room this one uses
		default:
			chunk, head, n, ok := mendChunk(b[pos:], r.number)
			if !ok {
				pos = r.wrong(b, pos, at)
				continue
			}
			r.c.bad = append(r.c.bad, extent{off: at + int64(pos), n: int64(n), mended: true})
			r.c.sure = at + int64(pos)
			r.found(at+int64(pos), (chunk[6]-1)%4, chunk[head:])
			pos += n
			r.c.end = at + int64(pos)
		}
	}
}

// wrong takes what stands where no chunk is sound, as far as it may be one of which a few bytes
// are wrong, and returns where the next one begins.
func (r *chunkReader) wrong(b []byte, pos int, at int64) (next int) {
	next, follows := pos+1, byte(0)
	for ; next < len(b); next++ {
		if len(b)-next < leastChunk {
			next = len(b)
			break
		}
		if _, _, ok := parseChunk(b[next:], r.number); ok {
			follows = (b[next+6] - 1) % 4
			break
		}
		if r.number > 0 && isTrailer(b[next:], r.number) || zeros(b[next:]) {
			break
		}
	}
	next = min(next, len(b))
	r.c.bad = append(r.c.bad, extent{off: at + int64(pos), n: int64(next - pos)})
	if head := leastChunk + 12; r.number > 0 && next-pos > head {
		goesOn := follows == 2 || follows == 3
		part := map[[2]bool]byte{{false, false}: 0, {false, true}: 1, {true, true}: 2, {true, false}: 3}[[2]bool{r.inside, goesOn}]
		r.found(at+int64(pos), part, b[pos+head:next])
		r.doubt(part)
	} else {
		r.drop()
	}
	return next
}

// doubt marks the record that a part was added to.
func (r *chunkReader) doubt(part byte) {
	if r.inside {
		r.partial.doubt = true
	} else if n := len(r.c.records); n > 0 && (part == 0 || part == 3) {
		r.c.records[n-1].doubt = true
	}
}

// found takes a part of a record: 0 all of it, 1 the first, 2 a middle one, 3 the last.
func (r *chunkReader) found(at int64, part byte, data []byte) {
	if part == 0 || part == 1 {
		r.drop()
		r.inside, r.partial = true, chunkRecord{at: at}
	} else if !r.inside { // the middle or the end of a record that was lost
		return
	}
	r.partial.data, r.partial.last = append(r.partial.data, data...), at
	if part == 0 || part == 3 {
		r.c.records = append(r.c.records, r.partial)
		r.inside = false
	}
}

// drop gives up a record of which no more is found.
func (r *chunkReader) drop() {
	if r.inside {
		r.partial.doubt = true
		r.c.records = append(r.c.records, r.partial)
		r.inside = false
	}
}

// parseChunk returns the size of the header, and of all of a chunk that is sound and of this log.
func parseChunk(b []byte, number uint32) (head, n int, ok bool) {
	kind := b[6]
	head = leastChunk
	switch {
	case number == 0 && kind >= 1 && kind <= 4:
	case number > 0 && kind >= 5 && kind <= 8:
		head += 4
	case number > 0 && kind >= 9 && kind <= 12:
		head += 12
	default:
		return 0, 0, false
	}
	n = head + int(binary.LittleEndian.Uint16(b[4:]))
	if n > len(b) || number > 0 && binary.LittleEndian.Uint32(b[leastChunk:]) != number {
		return 0, 0, false
	}
	return head, n, maskedSum(b[6:n]) == binary.LittleEndian.Uint32(b)
}

// maskedSum is the checksum of chunks, and of blocks of tables.
func maskedSum(b []byte) uint32 { return mask(crc32.Checksum(b, castagnoli)) }

func mask(c uint32) uint32 { return (c>>15 | c<<17) + 0xa282ead8 }

func isTrailer(b []byte, number uint32) bool {
	return len(b) >= leastChunk+4 && zeros(b[:6]) && b[6] == 5 && binary.LittleEndian.Uint32(b[leastChunk:]) == number+1
}

// stale reports whether a sound chunk of an older log stands here.
func stale(b []byte, number uint32) bool {
	if len(b) < leastChunk+4 {
		return false
	}
	older := binary.LittleEndian.Uint32(b[leastChunk:])
	_, _, ok := parseChunk(b, older)
	return ok && older > 0 && older < number
}

func zeros(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
