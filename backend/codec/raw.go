package codec

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/papyra-go/papyra/backend"
)

// Raw is a record as it stands in its bytes, checked, but not made into a
// [backend.Record]: for those that move records, and need to know of each no more than
// whose it is.
type Raw struct {
	src []byte
	f   fields
}

// Read sets raw to the record at position p at the beginning of src, and keeps src. Errors
// are those of [Decoder.Decode]; raw is then not to be used.
func (raw *Raw) Read(src []byte, seed Seed, p backend.Position) error {
	n, err := Length(src)
	if err == nil && n > len(src) {
		err = ErrShort
	}
	if err != nil {
		return err
	}
	raw.src = src[:n:n]
	crc := crc32.Update(seed.at(p), castagnoli, raw.src[:n-4])
	if crc != Sum(raw.src) || src[0]&newerBits != 0 || !raw.f.parse(raw.src) {
		d, r := Decoder{Seed: seed}, backend.Record{}
		return d.refuse(raw.src, p, 0, &r, crc)
	}
	return nil
}

// Stream is the name of the record's stream, as long as src is not changed.
func (raw *Raw) Stream() []byte { return raw.f.name }

// Kind is the record's kind.
func (raw *Raw) Kind() backend.Kind { return raw.f.kind }

// Version is the record's version; of a snapshot the one that it covers.
func (raw *Raw) Version() backend.Version { return backend.Version(raw.f.version) }

// Append appends the record to dst as [Append] would, with its time counted from another
// base than it is: from is the one that it was given, to the one that it gets. seed and p
// are the ones that it was read with.
func (raw *Raw) Append(dst []byte, seed Seed, p backend.Position, from, to int64) []byte {
	if from == to {
		return append(dst, raw.src...)
	}
	f := &raw.f
	time := zigzag(unzigzag(f.time) + from - to)
	length := len(raw.src) - f.body - 4 - (f.timeEnd - f.timeAt) + uvarintLen(time)
	start := len(dst)
	dst = append(dst, raw.src[0]|bound)
	dst = binary.AppendUvarint(dst, uint64(length))
	dst = append(dst, raw.src[f.body:f.timeAt]...)
	dst = binary.AppendUvarint(dst, time)
	dst = append(dst, raw.src[f.timeEnd:f.end]...)
	crc := crc32.Update(seed.at(p), castagnoli, dst[start:])
	tail := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, masked(crc))
	dst = append(dst, raw.src[f.end+4:len(raw.src)-4]...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Update(crc, castagnoli, dst[tail:]))
}
