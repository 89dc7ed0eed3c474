package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// ErrShort says that the input ends before the record does: give more of it. From
// an input that holds all there is, it means damage, and the engine must say so: ErrShort
// wraps no sentinel of package backend. [Decoder.DecodeWhole] does.
var ErrShort = errors.New("the record goes on beyond the input")

// Length returns how many bytes the record at the beginning of src takes, which is
// at most [MaxLength]. src need not hold all of it: six bytes are enough; with
// fewer it may be [ErrShort]. A length that no record can have is
// [backend.ErrCorrupt]. Nothing is checked otherwise.
func Length(src []byte) (int, error) {
	if len(src) < 2 {
		return 0, ErrShort
	}
	n, w := binary.Uvarint(src[1:min(len(src), 6)])
	switch {
	case w == 0 && len(src) < 6:
		return 0, ErrShort
	case w <= 0, n > MaxLength:
		return 0, damaged("the length is not one that a record can have")
	case n < minLength:
		return 0, damaged("the length of %d bytes is less than any record's", n)
	}
	total := 1 + w + int(n) + 4
	if total > MaxLength {
		return 0, damaged("the length of %d bytes is more than any record's", n)
	}
	return total, nil
}

// minLength is the least value of a length field: eight fields of one byte, and
// headCRC.
const minLength = 8 + 4

// Decoder turns bytes back into records. It keeps the strings that it met last, so
// that reading records of the same streams and types allocates nothing. The zero
// Decoder is not usable without a Seed. One goroutine may use it at a time.
type Decoder struct {
	// Seed is the store's: see [NewSeed].
	Seed  Seed
	names interner
	types interner
}

// Decode reads the record at position p from the beginning of src into r and
// returns how many bytes it took. r's Payload and Meta are parts of src; the rest
// is r's own. base is the time given to [Append].
//
// Errors: [ErrShort]; [backend.ErrFormat] if the bytes are sound and a newer
// version wrote them; else [backend.ErrCorrupt]. With an error r holds no payload
// and no meta. If r.Stream is not empty then, the record's head passed its own
// check: stream, version and the other numbers are what was stored.
//
// Decode never panics, and allocates nothing before the checksum holds.
func (d *Decoder) Decode(src []byte, p backend.Position, base int64, r *backend.Record) (int, error) {
	n, err := Length(src)
	if err == nil && n > len(src) {
		err = ErrShort
	}
	if err != nil {
		*r = backend.Record{Position: p}
		return 0, err
	}
	src = src[:n:n]
	crc := crc32.Update(d.Seed.at(p), castagnoli, src[:n-4])
	var f fields
	if crc != Sum(src) || src[0]&newerBits != 0 || !f.parse(src) {
		return 0, d.refuse(src, p, base, r, crc)
	}
	d.fill(r, p, &f, base)
	r.Meta = nil
	if f.meta > 0 {
		r.Meta = backend.Meta(src[f.end+4 : f.end+4+f.meta : f.end+4+f.meta])
	}
	r.Payload = src[f.end+4+f.meta : n-4 : n-4]
	return n, nil
}

// DecodeWhole is Decode for an engine that keeps records one by one: src holds exactly one.
// An end that comes too soon, and bytes behind the record, are then [backend.ErrCorrupt].
func (d *Decoder) DecodeWhole(src []byte, p backend.Position, base int64, r *backend.Record) error {
	n, err := d.Decode(src, p, base, r)
	switch {
	case errors.Is(err, ErrShort):
		return damaged("%w, which has %d bytes", err, len(src))
	case err == nil && n < len(src):
		*r = backend.Record{Position: p}
		return damaged("%d bytes follow the record", len(src)-n)
	}
	return err
}

// Outline is a record without its bytes: what [Decoder.Outline] reads. Offsets count from the
// record's begin.
type Outline struct {
	Kind          backend.Kind
	Schema, Place uint32
	Version       backend.Version
	Epoch         uint64
	Time          int64  // in nanoseconds since 1970
	Stream, Type  []byte // parts of the record
	ID            int    // where the batch ID begins; 0: there is none
	Meta, Payload int    // where they begin, and the one ends
}

// Outline checks the record at position p in src, which is exactly one, as Decode does, and
// makes nothing. ok is false if Decode would return an error.
func (d *Decoder) Outline(src []byte, p backend.Position, base int64) (o Outline, ok bool) {
	if n, err := Length(src); err != nil || n != len(src) {
		return o, false
	}
	var f fields
	if crc32.Update(d.Seed.at(p), castagnoli, src[:len(src)-4]) != Sum(src) || src[0]&newerBits != 0 || !f.parse(src) {
		return o, false
	}
	o = Outline{Kind: f.kind, Schema: uint32(f.schema), Place: uint32(f.place), Version: backend.Version(f.version), Epoch: f.epoch,
		Time: base + unzigzag(f.time), Stream: f.name, Type: f.typ, ID: f.idAt, Meta: f.end + 4, Payload: f.end + 4 + f.meta}
	return o, true
}

// refuse says why the record in src is not one, and sets of r what can be known. crc is
// the checksum that it should have.
func (d *Decoder) refuse(src []byte, p backend.Position, base int64, r *backend.Record, crc uint32) error {
	*r = backend.Record{Position: p}
	sound := crc == Sum(src)
	if sound && src[0]&newerBits != 0 {
		return fmt.Errorf("%w: a record has unknown flags %#x: a newer version wrote it", backend.ErrFormat, src[0]&newerBits)
	}
	var f fields
	if !f.parse(src) {
		return damaged("the fields don't fit in the record's %d bytes", len(src))
	}
	if headSum(src[0], crc32.Update(d.Seed.at(p), castagnoli, src[:f.end])) != binary.LittleEndian.Uint32(src[f.end:]) {
		return damaged("crc %08x, want %08x", Sum(src), crc)
	}
	d.fill(r, p, &f, base)
	return damaged("crc %08x, want %08x; the head's own checksum holds", Sum(src), crc)
}

// Sum returns the checksum that ends the record in src, which is exactly one.
func Sum(src []byte) uint32 { return binary.LittleEndian.Uint32(src[len(src)-4:]) }

// fill sets all of r but Payload and Meta.
func (d *Decoder) fill(r *backend.Record, p backend.Position, f *fields, base int64) {
	r.Position = p
	r.Stream = d.names.get(f.name)
	r.Type = d.types.get(f.typ)
	r.Version = backend.Version(f.version)
	r.Kind = f.kind
	r.Schema = uint32(f.schema)
	r.Epoch = f.epoch
	r.Time = time.Unix(0, base+unzigzag(f.time)).UTC()
	r.Batch = backend.BatchRef{Place: uint32(f.place)}
	copy(r.Batch.ID[:], f.id)
}

// fields are a record's head as it stands in the bytes.
type fields struct {
	kind                                backend.Kind
	name, typ, id                       []byte
	version, schema, epoch, time, place uint64
	meta                                int
	body                                int // where the length field ends
	timeAt, timeEnd                     int // the time field
	end                                 int // of the head
	idAt                                int // where id begins; 0: there is none
}

// parse reads the head of the record in src, which is exactly one. It checks bounds,
// not checksums, and returns whether all that it says fits in.
func (f *fields) parse(src []byte) bool { return f.head(src) && f.end+4+f.meta <= len(src)-4 }

// head is parse for src that need not hold more than the head. The record's own length was
// looked at before.
func (f *fields) head(src []byte) bool {
	first := src[0]
	f.kind = backend.Kind(first & kindBits)
	_, at := uvarint(src, 1)
	f.body = at
	n, at := uvarint(src, at)
	if n-1 >= backend.MaxStreamBytes || int(n) > len(src)-at {
		return false
	}
	f.name, at = src[at:at+int(n)], at+int(n)
	if f.version, at = digit(src, at); f.version > 0x7f {
		f.version, at = uvarint(src, at-1)
	}
	if n, at = digit(src, at); n > 0x7f {
		n, at = uvarint(src, at-1)
	}
	if n > backend.MaxTypeBytes || int(n) > len(src)-at {
		return false
	}
	f.typ, at = src[at:at+int(n)], at+int(n)
	if f.schema, at = digit(src, at); f.schema > 0x7f {
		f.schema, at = uvarint(src, at-1)
	}
	if f.epoch, at = digit(src, at); f.epoch > 0x7f {
		f.epoch, at = uvarint(src, at-1)
	}
	f.timeAt = at
	f.time, at = uvarint(src, at)
	f.timeEnd = at
	if f.place, at = digit(src, at); f.place > 0x7f {
		f.place, at = uvarint(src, at-1)
	}
	if f.id, f.idAt = nil, 0; first&withID != 0 {
		if len(src)-at < 16 {
			return false
		}
		f.id, f.idAt, at = src[at:at+16], at, at+16
	}
	if n, at = digit(src, at); n > 0x7f {
		n, at = uvarint(src, at-1)
	}
	f.meta, f.end = int(n), at
	return at <= len(src) && f.kind != 0 && f.schema <= math.MaxUint32 && f.place <= math.MaxUint32 && n <= backend.MaxMetaBytes
}

// uvarint reads a number at a place, and returns the place behind it: one beyond src if there
// is no number, and for each number after that.
func uvarint(src []byte, at int) (u uint64, next int) {
	u, w := binary.Uvarint(src[min(at, len(src)):])
	if w <= 0 {
		return 0, len(src) + 1
	}
	return u, at + w
}

// digit is uvarint for what is mostly below 0x80: a number of one byte. If there is none, or
// it is longer, it is more than that, and next is one further.
func digit(src []byte, at int) (u uint64, next int) {
	if at < len(src) {
		return uint64(src[at]), at + 1
	}
	return 0xff, at + 1
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{backend.ErrCorrupt}, args...)...)
}
