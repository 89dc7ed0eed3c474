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
	if !f.head(src[:min(n, len(src))]) || f.end+4+f.meta > n-4 {
		return 0, damaged("the fields don't fit in the record's %d bytes", n)
	}
	if f.end+4 > len(src) {
		return 0, ErrShort
	}
	if headSum(src[0], crc32.Update(d.Seed.at(p), castagnoli, src[:f.end])) != binary.LittleEndian.Uint32(src[f.end:]) {
		return 0, damaged("the head's checksum does not hold")
	}
	d.fill(r, p, &f, base)
	return n, nil
}

// Mend looks whether one byte of the head is all that is wrong with the record at position
// p in src, which is exactly one, and puts it right in place: head and record carry a
// checksum each, which both must hold then, so that this is no guess. It returns false,
// with src as it was, if there is no such byte.
func (d *Decoder) Mend(src []byte, p backend.Position) bool {
	if len(src) < minLength+4 {
		return false
	}
	seed := d.Seed.at(p)
	var f fields
	most := min(len(src), backend.MaxStreamBytes+backend.MaxTypeBytes+MaxOverhead)
	if f.parse(src) {
		most = min(most, f.end+4)
	}
	for i := range most {
		was := src[i]
		for x := 1; x < 256; x++ {
			src[i] = was ^ byte(x)
			if i < 6 && !lengthIs(src, len(src)) {
				continue
			}
			if f.parse(src) && i < f.end+4 &&
				headSum(src[0], crc32.Update(seed, castagnoli, src[:f.end])) == binary.LittleEndian.Uint32(src[f.end:]) &&
				crc32.Update(seed, castagnoli, src[:len(src)-4]) == binary.LittleEndian.Uint32(src[len(src)-4:]) {
				return true
			}
		}
		src[i] = was
	}
	return false
}

// lengthIs reports whether the record in src says that it takes n bytes.
func lengthIs(src []byte, n int) bool {
	u, w := binary.Uvarint(src[1:min(len(src), 6)])
	return w > 0 && 1+w+int(u)+4 == n
}

// HeadIs reports whether a head that is sound at position p stands at the beginning of
// src, of a record of exactly n bytes.
func (d *Decoder) HeadIs(src []byte, p backend.Position, n int) bool {
	if len(src) < minLength || !lengthIs(src, n) {
		return false
	}
	var f fields
	return f.head(src[:min(n, len(src))]) && f.end+4+f.meta <= n-4 && f.end+4 <= len(src) &&
		headSum(src[0], crc32.Update(d.Seed.at(p), castagnoli, src[:f.end])) == binary.LittleEndian.Uint32(src[f.end:])
}

// Plausible reports whether src may begin with a record, by its first few bytes alone. It
// is for looking for records among other bytes: few that are none are plausible.
func Plausible(src []byte) bool {
	if len(src) < minLength || src[0]&newerBits != 0 || src[0]&kindBits == 0 {
		return false
	}
	n, w := binary.Uvarint(src[1:6])
	if w <= 0 || n < minLength || n > MaxLength {
		return false
	}
	name, v := binary.Uvarint(src[1+w : min(len(src), 4+w)])
	return v > 0 && name > 0 && name <= backend.MaxStreamBytes && name < n
}
