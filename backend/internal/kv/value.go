package kv

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/papyra-go/papyra/backend"
)

// # The values
//
// Numbers of a fixed size are big endian; v is an unsigned varint (encoding/binary). A
// record's value is
//
//	┌──────────────┬──────────────────────┐
//	│ position u64 │ envelope of codec …  │
//	└──────────────┴──────────────────────┘
//
// whose checksum binds it to its store and its position, and whose head says of which stream
// and version it is. The envelope's times count from the time at which the store was made.
// What a quarantine has given up stands in the record's place:
//
//	┌──────────────┬────┬───────────┬──────────┬─────────┐
//	│ position u64 │ 00 │ through v │ detail … │ CRC u32 │
//	└──────────────┴────┴───────────┴──────────┴─────────┘
//
// with position zero if it is not known, and through the last version that is lost: no
// envelope begins with 00. All other values end with a CRC-32C over the store's UUID, the
// key and what stands before it: a value under another key, or of another store, fails like
// a damaged one.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sums computes the checksums of one store's values.
type sums uint32

func newSums(store [16]byte) sums { return sums(crc32.Checksum(store[:], castagnoli)) }

// of is the checksum of a value without its own.
func (s sums) of(key, value []byte) uint32 {
	return crc32.Update(crc32.Update(uint32(s), castagnoli, key), castagnoli, value)
}

// seal appends the checksum to a value.
func (s sums) seal(key, value []byte) []byte {
	return binary.BigEndian.AppendUint32(value, s.of(key, value))
}

// open returns a value without its checksum, which holds.
func (s sums) open(key, value []byte) ([]byte, error) {
	n := len(value) - 4
	if n < 0 {
		return nil, errShort
	}
	if s.of(key, value[:n]) != binary.BigEndian.Uint32(value[n:]) {
		return nil, errSum
	}
	return value[:n], nil
}

var (
	errShort  = errors.New("the value ends too early")
	errSum    = errors.New("its checksum does not hold")
	errFields = errors.New("its fields don't fit in the value")
)

// take reads as many numbers as there are places for, and returns the rest.
func take(b []byte, to ...*uint64) ([]byte, error) {
	for _, u := range to {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errFields
		}
		*u, b = v, b[n:]
	}
	return b, nil
}

func appendUvarints(dst []byte, list ...uint64) []byte {
	for _, u := range list {
		dst = binary.AppendUvarint(dst, u)
	}
	return dst
}

// place is what table 'p' holds of a position:
//
//	kind u8 · distance v to the position before · version v · name · CRC
//
// Of a position that a quarantine has given up, kind is 0, and neither version nor name
// stand there. The position before is the one that the table holds, so that a position
// that is missing is noticed by whoever reads the next.
type place struct {
	kind    backend.Kind // 0: lost
	before  backend.Position
	version backend.Version
	name    []byte
}

func (pl *place) append(dst []byte, s sums, key []byte, p backend.Position) []byte {
	from := len(dst)
	dst = binary.AppendUvarint(append(dst, byte(pl.kind)), uint64(p-pl.before))
	if pl.kind != 0 {
		dst = append(binary.AppendUvarint(dst, uint64(pl.version)), pl.name...)
	}
	return binary.BigEndian.AppendUint32(dst, s.of(key, dst[from:]))
}

// parsePlace reads the place of position p. name is a part of value.
func parsePlace(s sums, key, value []byte, p backend.Position) (pl place, err error) {
	b, err := s.open(key, value)
	if err != nil {
		return pl, err
	}
	if len(b) == 0 {
		return pl, errFields
	}
	pl.kind = backend.Kind(b[0])
	var distance, version uint64
	if b, err = take(b[1:], &distance); err == nil && pl.kind != 0 {
		b, err = take(b, &version)
	}
	if err != nil || distance == 0 || distance > uint64(p) || (pl.kind == 0) != (len(b) == 0) {
		return pl, errFields
	}
	pl.before, pl.version, pl.name = p-backend.Position(distance), backend.Version(version), b
	return pl, nil
}

// lost is what stands where a record was that a quarantine has given up.
type lost struct {
	position backend.Position // 0: not known
	through  backend.Version  // the last version that is lost
	detail   string
}

// isLost reports whether a record's value is such a mark.
func isLost(value []byte) bool { return len(value) > 8 && value[8] == 0 }

func (l *lost) append(dst []byte, s sums, key []byte) []byte {
	from := len(dst)
	dst = append(binary.BigEndian.AppendUint64(dst, uint64(l.position)), 0)
	dst = append(binary.AppendUvarint(dst, uint64(l.through)), l.detail...)
	return binary.BigEndian.AppendUint32(dst, s.of(key, dst[from:]))
}

func parseLost(s sums, key, value []byte) (l lost, err error) {
	b, err := s.open(key, value)
	if err != nil {
		return l, err
	}
	if len(b) < 10 {
		return l, errFields
	}
	var through uint64
	rest, err := take(b[9:], &through)
	if err != nil {
		return l, err
	}
	return lost{backend.Position(binary.BigEndian.Uint64(b)), backend.Version(through), string(rest)}, nil
}
