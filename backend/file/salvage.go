package file

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// savedSuffix ends the names of saved bytes: <id>-<offset>-<length>-<crc>.bytes, where the
// id is a segment's, or that of the last segment that a span covers.
const savedSuffix = ".bytes"

// segmentOrSpan is what saved bytes were of, until a hole tells which.
const segmentOrSpan = "segment or span"

// Saved takes from a file's name what it says.
func (directory) Saved(name string) backend.Saved {
	whole := backend.Saved{Of: "file", Offset: -1, Text: "a whole file, moved here"}
	stem, saved := strings.CutSuffix(name, savedSuffix)
	parts := strings.Split(stem, "-")
	if !saved || len(parts) != 4 || len(parts[3]) != 8 {
		return whole
	}
	id, errID := strconv.ParseUint(parts[0], 10, 64)
	off, errOff := strconv.ParseInt(parts[1], 10, 64)
	n, errLen := strconv.ParseInt(parts[2], 10, 64)
	if errID != nil || errOff != nil || errLen != nil || off < 0 || n < 0 {
		return whole
	}
	s := backend.Saved{ID: id, Offset: off, Length: n, Sum: parts[3]}
	describe(&s, segmentOrSpan)
	return s
}

// describe says what saved bytes were of.
func describe(s *backend.Saved, of string) {
	s.Of = of
	if of == segmentOrSpan {
		of = "segment, or span that ends with segment,"
	}
	s.Text = fmt.Sprintf("%d bytes at offset %d of %s %d", s.Length, s.Offset, of, s.ID)
}

// Holds compares the places.
func (directory) Holds(s *backend.Saved, a *backend.Anomaly) bool {
	if s.Offset < 0 || a.Offset < 0 || a.Offset < s.Offset || a.Offset >= s.Offset+s.Length {
		return false
	}
	id, source := sourceID(a.File)
	if id != s.ID {
		return false
	}
	describe(s, source)
	return true
}

// QuickHoles says so: the manifest lists the holes.
func (directory) QuickHoles() bool { return true }

// sourceID is the id by which saved bytes of a file are known, and what the file is.
func sourceID(file string) (id uint64, source string) {
	switch stem, _, _ := strings.Cut(file, "."); filepath.Ext(file) {
	case segmentSuffix:
		id, _ = strconv.ParseUint(stem, 10, 64)
		return id, "segment"
	case spanSuffix:
		_, last, _ := strings.Cut(stem, "-")
		id, _ = strconv.ParseUint(last, 10, 64)
		return id, "span"
	}
	return 0, ""
}

// Salvage looks for groups, and for the records of the holes.
func (directory) Salvage(dir string, s backend.Saved, data []byte, holes []backend.Anomaly) ([]backend.Salvaged, error) {
	id, err := storeUUID(dir)
	if err != nil {
		return nil, err
	}
	return salvage(id, s, data, holes), nil
}

// salvager finds records in bytes that were set aside. It believes nothing but the
// checksum that ends a record, which binds it to the store and a position.
type salvager struct {
	decoder codec.Decoder
	data    []byte
	base    int64  // what the offsets of groups are multiples of groupAlign from
	life    []byte // store UUID, id and life, with which the checksums of a whole segment's group headers begin
	found   []backend.Salvaged
	seen    map[backend.Position]bool
}

// salvage returns the whole records in saved bytes, in the order in which they stand there.
func salvage(store [16]byte, x backend.Saved, data []byte, holes []backend.Anomaly) []backend.Salvaged {
	s := &salvager{decoder: codec.Decoder{Seed: codec.NewSeed(store)}, data: data, seen: map[backend.Position]bool{}}
	if x.Offset > 0 {
		s.base = x.Offset
	} else if len(data) >= headerSize && soundHeader(data, segmentMagic) {
		s.life = slices.Concat(data[16:32], data[32:40], data[40:48])
	}
	for at := (groupAlign - s.base%groupAlign) % groupAlign; at+groupSize <= int64(len(data)); at += groupAlign {
		s.group(at)
	}
	for _, h := range holes { // what no header tells of
		if at := h.Offset - s.base; h.Length > 0 && at >= 0 && at < int64(len(data)) {
			s.take(at, h.Position, s.headerBefore(at), false)
		}
	}
	return s.found
}

// group looks for the records of a group whose header begins at an offset: what the header
// says is tried, and believed where a record's checksum holds.
func (s *salvager) group(at int64) {
	b := s.data[at:]
	le := binary.LittleEndian
	n, first, base := int64(le.Uint32(b[24:])), backend.Position(le.Uint64(b[16:])), int64(le.Uint64(b[40:]))
	entry := int64(4)
	if b[3]&flagSparse != 0 {
		entry = 12
	}
	if le.Uint16(b) != groupMagic || n == 0 || n > (int64(len(b))-groupSize)/entry {
		return
	}
	proven := s.proves(b[:groupSize], at)
	off := at + groupSize + n*entry
	for i := range n {
		row := b[groupSize+i*entry:]
		p := first + backend.Position(i)
		if entry == 12 {
			p = first + backend.Position(le.Uint64(row[4:]))
		}
		s.take(off, p, base, proven)
		if off += int64(le.Uint32(row)); off >= int64(len(s.data)) {
			return
		}
	}
}

// proves reports whether the header of a group is sound, which can be told only where the
// segment that it stands in is known.
func (s *salvager) proves(header []byte, at int64) bool {
	if s.life == nil {
		return false
	}
	le := binary.LittleEndian
	sum := crc32.Checksum(le.AppendUint64(slices.Clone(s.life), uint64(at)), castagnoli)
	return crc32.Update(sum, castagnoli, header[:groupSize-4]) == le.Uint32(header[groupSize-4:])
}

// headerBefore is the time that the records of the extent's first group count from, as far
// as its damaged header says.
func (s *salvager) headerBefore(at int64) int64 {
	if at < groupSize || s.base%groupAlign != 0 {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(s.data[40:]))
}

// take notes the record at an offset, if it is whole at that position.
func (s *salvager) take(at int64, p backend.Position, base int64, proven bool) {
	var r backend.Record
	if s.seen[p] || p == 0 || p > backend.MaxNumber || at >= int64(len(s.data)) {
		return
	}
	n, err := s.decoder.Decode(s.data[at:], p, base, &r)
	if err != nil {
		return
	}
	s.seen[p] = true
	s.found = append(s.found, backend.Salvaged{Offset: at, Length: int64(n), Record: r, Timed: proven})
}
