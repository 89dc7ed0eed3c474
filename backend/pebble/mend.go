package pebble

import (
	"encoding/binary"
	"math/bits"
)

// unstep[x] is the byte whose entry of the table of the checksum has x as its highest byte.
var unstep = func() (inverse [256]byte) {
	for i, sum := range castagnoli {
		inverse[sum>>24] = byte(i)
	}
	return inverse
}()

// mendBit puts right the one bit that is wrong in b, if that is all that is wrong with it or with
// its checksum: differs is in which bits the two disagree, unmasked. An error in a byte goes on
// through the bytes that follow, so it is followed back from the end.
func mendBit(b []byte, differs uint32) bool {
	for i := len(b) - 1; i >= 0; i-- {
		x := unstep[differs>>24]
		if castagnoli[x] == differs && bits.OnesCount8(x) == 1 {
			b[i] ^= x
			return true
		}
		differs = (differs^castagnoli[x])<<8 | uint32(x)
	}
	return false
}

// mendSum puts right one bit in b, or nothing if the one bit is in its checksum; ok is whether
// the two agree then.
func mendSum(b []byte, sum uint32) (ok bool) {
	got := maskedSum(b)
	return bits.OnesCount32(got^sum) <= 1 || mendBit(b, unmask(got)^unmask(sum))
}

func unmask(c uint32) uint32 {
	c -= 0xa282ead8
	return c>>17 | c<<15
}

// mendChunk returns the chunk of which one bit is wrong, and its parts as parseChunk does.
func mendChunk(b []byte, number uint32) (chunk []byte, head, n int, ok bool) {
	heads := []int{leastChunk + 12, leastChunk + 4}
	if number == 0 {
		heads = []int{leastChunk}
	}
	size := binary.LittleEndian.Uint16(b[4:])
	for bit := range 17 { // the size is not under the checksum; the last time round it is as it stands
		size := size ^ uint16(1<<bit&0xffff)
		for _, head := range heads {
			n := head + int(size)
			if n > len(b) {
				continue
			}
			chunk := append([]byte{}, b[:n]...)
			binary.LittleEndian.PutUint16(chunk[4:], size)
			if bit < 16 && maskedSum(chunk[6:]) != binary.LittleEndian.Uint32(chunk) || !mendSum(chunk[6:], binary.LittleEndian.Uint32(chunk)) {
				continue
			}
			binary.LittleEndian.PutUint32(chunk, maskedSum(chunk[6:]))
			if h, m, ok := parseChunk(chunk, number); ok && m == n {
				return chunk, h, n, true
			}
		}
	}
	return nil, 0, 0, false
}
