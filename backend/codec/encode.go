package codec

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"github.com/papyra-go/papyra/backend"
)

// Bits of a record's first byte.
const (
	kindBits  = 0x1f
	withID    = 0x20
	bound     = 0x40
	newerBits = 0x80
)

// MaxOverhead is the most bytes that a record takes beyond its [backend.Record.Size].
const MaxOverhead = 1 + 5 + 2 + 10 + 2 + 5 + 10 + 10 + 5 + 16 + 3 + 4 + 4

// MaxLength is the most bytes that a record takes.
const MaxLength = backend.DefaultMaxRecordBytes + MaxOverhead

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Seed binds records to one store: it is the checksum's state after the store's
// UUID.
type Seed uint32

// NewSeed returns the seed of the store with this UUID.
func NewSeed(store [16]byte) Seed {
	return Seed(crc32.Update(0, castagnoli, store[:]))
}

// at is the checksum's state where the record at position p begins. It equals
// crc32.Update over the position's eight bytes, and takes a tenth of the time: all the
// bytes are looked up at once, each in the table for its distance from the end.
func (s Seed) at(p backend.Position) uint32 {
	t := &distances
	x := ^uint32(s) ^ uint32(p)
	crc := t[7][byte(x)] ^ t[6][byte(x>>8)] ^ t[5][byte(x>>16)] ^ t[4][x>>24]
	if y := uint32(p >> 32); y != 0 { // a zero adds nothing
		crc ^= t[3][byte(y)] ^ t[2][byte(y>>8)] ^ t[1][byte(y>>16)] ^ t[0][y>>24]
	}
	return ^crc
}

// distances holds, for each number of bytes that follow, what a byte adds to the
// checksum.
var distances = func() (t [8]crc32.Table) {
	t[0] = *castagnoli
	for n := 1; n < len(t); n++ {
		for b, crc := range t[n-1] {
			t[n][b] = castagnoli[byte(crc)] ^ crc>>8
		}
	}
	return t
}()

// masked is how a head's checksum is stored. As it is, it would bring the checksum of all that
// follows to one and the same state whatever the head says, and a payload of another record,
// with its own checksum, would pass under this head. LevelDB stores checksums so for the same
// reason.
func masked(crc uint32) uint32 {
	return bits.RotateLeft32(crc, 17) + 0xa282ead8
}

// headSum is what is stored in headCRC, of a record with this first byte whose head has
// the checksum crc.
func headSum(first byte, crc uint32) uint32 {
	if first&bound == 0 {
		return crc
	}
	return masked(crc)
}

// Append appends the envelope of r to dst, and allocates only if dst has no room
// for [Size] bytes. r holds what [backend.Backend] admits; base is the time, in
// nanoseconds since 1970, that [Decoder.Decode] must be given again: one near r's makes
// the record a few bytes shorter. An engine that keeps records one by one gives 0.
func Append(dst []byte, r *backend.Record, seed Seed, base int64) []byte {
	start := len(dst)
	first, time := byte(r.Kind)&kindBits|bound, zigzag(r.Time.UnixNano()-base)
	id := !r.Batch.ID.IsZero()
	if id {
		first |= withID
	}
	dst = append(dst, first)
	dst = binary.AppendUvarint(dst, uint64(lengthOf(r, time)))
	dst = appendString(dst, r.Stream)
	dst = binary.AppendUvarint(dst, uint64(r.Version))
	dst = appendString(dst, r.Type)
	dst = binary.AppendUvarint(dst, uint64(r.Schema))
	dst = binary.AppendUvarint(dst, r.Epoch)
	dst = binary.AppendUvarint(dst, time)
	dst = binary.AppendUvarint(dst, uint64(r.Batch.Place))
	if id {
		dst = append(dst, r.Batch.ID[:]...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Meta)))
	crc := crc32.Update(seed.at(r.Position), castagnoli, dst[start:])
	tail := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, masked(crc))
	dst = append(dst, r.Meta...)
	dst = append(dst, r.Payload...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Update(crc, castagnoli, dst[tail:]))
}

// Size returns how many bytes Append appends for r.
func Size(r *backend.Record, base int64) int {
	n := lengthOf(r, zigzag(r.Time.UnixNano()-base))
	return 1 + uvarintLen(uint64(n)) + n + 4
}

// lengthOf returns the value of r's length field. time is that of the time field.
func lengthOf(r *backend.Record, time uint64) int {
	n := r.Size() + uvarintLen(uint64(len(r.Stream))) + uvarintLen(uint64(r.Version)) +
		uvarintLen(uint64(len(r.Type))) + uvarintLen(uint64(r.Schema)) + uvarintLen(r.Epoch) +
		uvarintLen(time) + uvarintLen(uint64(r.Batch.Place)) +
		uvarintLen(uint64(len(r.Meta))) + 4
	if !r.Batch.ID.IsZero() {
		n += len(r.Batch.ID)
	}
	return n
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// uvarintLen is the number of bytes of x as an unsigned varint.
func uvarintLen(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }

// zigzag maps small numbers of either sign to small unsigned ones.
func zigzag(d int64) uint64 { return uint64(d)<<1 ^ uint64(d>>63) }

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
