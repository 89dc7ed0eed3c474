package file

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// A group is what one append writes and one sync makes durable, all or none:
//
//	 0  magic u16              0x4750, "PG" in the bytes' order
//	 2  kind u8                1: records; 2: a cut, see cut.go
//	 3  flags u8               1: sparse
//	 4  length u32             of the whole group, a multiple of 8
//	 8  sequence u64           1 for the store's first group, then dense
//	16  first position u64
//	24  records u32            at least 1
//	28  life u32               the low half of the segment's: compared before any CRC
//	32  chain u32              the CRC in the header of the group before; 0 for the first
//	36  body CRC u32           over the table, the CRCs that end the records, and the padding
//	40  base time i64          the first record's, in nanoseconds since 1970
//	48  zero u32
//	52  CRC u32                of all before; its seed: store UUID, segment id, life (u64
//	                           each), own offset (u64)
//	56  table: for each record its length u32 and, if sparse, what its position is
//	    above the first u64; else positions are dense
//	    records, each an envelope of package codec
//	    zeros up to a multiple of 8
//
// The header's CRC holds its own offset, so that no copy of a header, in a payload or
// elsewhere, is ever taken for one. The body CRC covers checksums, not payloads:
// damage to a record is that record's.
type group struct {
	kind, flags uint8
	length      uint32
	sequence    uint64
	first       backend.Position
	records     uint32
	chain       uint32
	body        uint32
	base        int64
	crc         uint32
}

const (
	groupMagic   = 0x4750
	groupSize    = 56 // of the header
	kindRecords  = 1
	kindCut      = 2
	flagSparse   = 1
	denseEntry   = 4 // of the table
	sparseEntry  = 12
	groupMinimum = groupSize + denseEntry + 24
)

// entry is the size of one entry of the table.
func (g *group) entry() int {
	if g.flags&flagSparse != 0 {
		return sparseEntry
	}
	return denseEntry
}

// table is the size of the table.
func (g *group) table() int { return int(g.records) * g.entry() }

// known reports whether this version knows what the group holds.
func (g *group) known() bool {
	return g.kind == kindRecords && g.flags&^flagSparse == 0 || g.kind == kindCut && g.flags == 0
}

// put writes the header into b, at offset off of a segment with the given life, and
// sets g.crc.
func (g *group) put(b []byte, life uint32, seed uint32, off int64) {
	le := binary.LittleEndian
	le.PutUint16(b, groupMagic)
	b[2], b[3] = g.kind, g.flags
	le.PutUint32(b[4:], g.length)
	le.PutUint64(b[8:], g.sequence)
	le.PutUint64(b[16:], uint64(g.first))
	le.PutUint32(b[24:], g.records)
	le.PutUint32(b[28:], life)
	le.PutUint32(b[32:], g.chain)
	le.PutUint32(b[36:], g.body)
	le.PutUint64(b[40:], uint64(g.base))
	le.PutUint32(b[48:], 0)
	g.crc = headerCRC(b, seed, off)
	le.PutUint32(b[52:], g.crc)
}

// headerCRC is the checksum of the header in b. The offset goes in like the eight
// bytes that it would be stored as; a slice of those would escape.
func headerCRC(b []byte, seed uint32, off int64) uint32 {
	crc := ^seed
	for i := 0; i < 64; i += 8 {
		crc = castagnoli[byte(crc)^byte(off>>i)] ^ crc>>8
	}
	return crc32.Update(^crc, castagnoli, b[:groupSize-4])
}

// parseGroup reads the header at offset off of sg. ok says that it stands where it was
// written, in this life of this segment, and that its length and count go together.
func parseGroup(b []byte, sg *segment, off int64) (g group, ok bool) {
	le := binary.LittleEndian
	if len(b) < groupSize || le.Uint16(b) != groupMagic || le.Uint32(b[28:]) != uint32(sg.life) {
		return g, false
	}
	g.crc = le.Uint32(b[52:])
	if headerCRC(b, sg.seed, off) != g.crc {
		return g, false
	}
	g.kind, g.flags = b[2], b[3]
	g.length = le.Uint32(b[4:])
	g.sequence = le.Uint64(b[8:])
	g.first = backend.Position(le.Uint64(b[16:]))
	g.records = le.Uint32(b[24:])
	g.chain = le.Uint32(b[32:])
	g.body = le.Uint32(b[36:])
	g.base = int64(le.Uint64(b[40:]))
	fits := g.length%groupAlign == 0 && g.length >= groupSize && g.length <= maxGroup
	if g.known() {
		fits = fits && g.records > 0 && g.first > 0 && int64(g.length) >= groupSize+int64(g.records)*int64(g.entry())
	}
	return g, fits
}

// extent is where a record is in its group, and its position.
type extent struct {
	at, n    int
	position backend.Position
}

// lay returns the extents of the group's records, in the order of the table in b, which
// is the whole group or at least its header and table. ok is false if lengths or
// positions can't be right.
func (g *group) lay(b []byte, out []extent) (_ []extent, ok bool) {
	at, table, entry := groupSize+g.table(), b[groupSize:], g.entry()
	last := backend.Position(0)
	for i := range int(g.records) {
		e := extent{at: at, n: int(binary.LittleEndian.Uint32(table[i*entry:])), position: g.first + backend.Position(i)}
		if entry == sparseEntry {
			e.position = g.first + backend.Position(binary.LittleEndian.Uint64(table[i*entry+denseEntry:]))
		}
		if e.n > int(g.length)-at || e.position <= last {
			return out, false
		}
		at, last = at+e.n, e.position
		out = append(out, e)
	}
	return out, int(g.length)-at < groupAlign
}

// bodyCRC is the checksum of the body in b, the whole group.
func (g *group) bodyCRC(b []byte, records []extent) uint32 {
	crc := crc32.Update(0, castagnoli, b[groupSize:groupSize+g.table()])
	end := groupSize + g.table()
	for _, e := range records {
		end = e.at + e.n
		crc = crc32.Update(crc, castagnoli, b[max(e.at, end-4):end])
	}
	return crc32.Update(crc, castagnoli, b[end:g.length])
}

// encoder builds groups in one buffer that it keeps.
type encoder struct {
	seed    codec.Seed
	buf     []byte
	extents []extent
}

// keepBuffer is the most that an encoder's buffer keeps between groups.
const keepBuffer = 4 << 20

// encode builds the group of the records but for its header, which needs to know where
// it goes. The bytes are valid until the next call.
func (e *encoder) encode(records []backend.Record) (g group, b []byte) {
	first := &records[0]
	g = group{kind: kindRecords, first: first.Position, records: uint32(len(records)), base: first.Time.UnixNano()}
	if records[len(records)-1].Position-first.Position != backend.Position(len(records)-1) {
		g.flags = flagSparse
	}
	head := groupSize + g.table()
	if cap(e.buf) > keepBuffer {
		e.buf, e.extents = nil, nil
	}
	e.buf, e.extents = append(e.buf[:0], make([]byte, head)...), e.extents[:0]
	for i := range records {
		r := &records[i]
		at := len(e.buf)
		e.buf = codec.Append(e.buf, r, e.seed, g.base)
		e.extents = append(e.extents, extent{at, len(e.buf) - at, r.Position})
		entry := e.buf[groupSize+i*g.entry():]
		binary.LittleEndian.PutUint32(entry, uint32(len(e.buf)-at))
		if g.flags&flagSparse != 0 {
			binary.LittleEndian.PutUint64(entry[denseEntry:], uint64(r.Position-first.Position))
		}
	}
	e.finish(&g)
	return g, e.buf
}

// finish pads the group in e.buf and completes what its header says of the body.
func (e *encoder) finish(g *group) {
	for len(e.buf)%groupAlign != 0 {
		e.buf = append(e.buf, 0)
	}
	g.length = uint32(len(e.buf))
	g.body = g.bodyCRC(e.buf, e.extents)
}
