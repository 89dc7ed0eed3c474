package codec

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/papyra-go/papyra/backend"
)

// Head reads the head alone of the record at position p from the beginning of src, which
// need not hold the rest, and returns how many bytes the record takes. All of r but
// Payload and Meta is then what was stored; whether those are too is not known. base is
// the time given to [Append]. Errors are those of [Decoder.Decode].
func (d *Decoder) Head(src []byte, p backend.Position, base int64, r *backend.Record) (int, error) {
	*r = backend.Record{Position: p}
	n, err := Length(src)
	if err != nil {
		return 0, err
	}
	var f fields
	end, ok := f.parse(src[:min(n, len(src))])
	if !ok || end+4+f.meta > n-4 {
		return 0, damaged("the fields don't fit in the record's %d bytes", n)
	}
	if end+4 > len(src) {
		return 0, ErrShort
	}
	if crc32.Update(d.Seed.at(p), castagnoli, src[:end]) != binary.LittleEndian.Uint32(src[end:]) {
		return 0, damaged("the head's checksum does not hold")
	}
	d.fill(r, &f, base)
	return n, nil
}
