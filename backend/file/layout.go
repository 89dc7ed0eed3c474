package file

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// FormatVersion is the format that this package writes, and the newest it reads.
const FormatVersion = 2

// The names in a store's directory. What ends in tmpSuffix is rubbish that a crash
// left.
const (
	lockName      = "LOCK"
	manifestName  = "MANIFEST"
	copyName      = "MANIFEST.copy"
	markName      = "MARK"
	reserveName   = "reserve"
	quarantineDir = "quarantine"
	segmentSuffix = ".seg"
	spanSuffix    = ".span"
	headsSuffix   = ".heads"
	tmpSuffix     = ".tmp"
	lostAndFound  = "lost+found" // a file system's own, at its root
)

const (
	pageSize   = 4096      // what a disk is taken to write, or to lose, as one
	headerSize = pageSize  // of a segment: groups begin after it
	groupAlign = 8         // groups begin at multiples of it
	layLeast   = 64 << 10  // zeros laid ahead at a time, and in a new segment
	layMost    = 1 << 20   // zeros laid ahead at a time
	readSize   = 256 << 10 // of one pread, where more than one record is wanted
	maxGroup   = 256 << 20 // bytes of a group: the largest batch fits, whatever its records
	maxSegment = 1<<32 - 1 // offsets are kept in 32 bits
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func segmentName(id uint64) string { return fmt.Sprintf("%08d%s", id, segmentSuffix) }

// segmentID is the inverse of segmentName.
func segmentID(name string) (id uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, err == nil && segmentName(id) == name
}

func spanName(first, last, generation uint64) string {
	return fmt.Sprintf("%08d-%08d.%d%s", first, last, generation, spanSuffix)
}

// parseSpanName is the inverse of spanName.
func parseSpanName(name string) (first, last, generation uint64, ok bool) {
	whole, ok := strings.CutSuffix(name, spanSuffix)
	if !ok {
		return 0, 0, 0, false
	}
	ids, gen, _ := strings.Cut(whole, ".")
	from, to, _ := strings.Cut(ids, "-")
	first, err1 := strconv.ParseUint(from, 10, 64)
	last, err2 := strconv.ParseUint(to, 10, 64)
	generation, err3 := strconv.ParseUint(gen, 10, 64)
	return first, last, generation, err1 == nil && err2 == nil && err3 == nil && first <= last && spanName(first, last, generation) == name
}

func headsName(generation uint64) string { return fmt.Sprintf("%08d%s", generation, headsSuffix) }

// headsGeneration is the inverse of headsName.
func headsGeneration(name string) (generation uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, headsSuffix)
	if !ok {
		return 0, false
	}
	generation, err := strconv.ParseUint(digits, 10, 64)
	return generation, err == nil && headsName(generation) == name
}

// segmentHeader is the first page of a segment:
//
//	   0  magic "papyrasg"
//	   8  format u32
//	  12  zero u32
//	  16  store UUID, 16 bytes
//	  32  id u64
//	  40  life u64            random, made with the segment; never shown to anyone
//	  48  previous id u64     0: none
//	  56  zero
//	4092  CRC-32C of all before
type segmentHeader struct {
	format   uint32
	store    [16]byte
	id, life uint64
	previous uint64
}

const segmentMagic = "papyrasg"

func (h *segmentHeader) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], h.format)
	copy(b[16:], h.store[:])
	binary.LittleEndian.PutUint64(b[32:], h.id)
	binary.LittleEndian.PutUint64(b[40:], h.life)
	binary.LittleEndian.PutUint64(b[48:], h.previous)
	binary.LittleEndian.PutUint32(b[headerSize-4:], crc32.Checksum(b[:headerSize-4], castagnoli))
	return b
}

// parseSegmentHeader returns ok false if the page can't be trusted. A page of a newer
// format is ok; the caller looks at format first.
func parseSegmentHeader(b []byte) (h segmentHeader, ok bool) {
	if len(b) < headerSize || string(b[:8]) != segmentMagic ||
		crc32.Checksum(b[:headerSize-4], castagnoli) != binary.LittleEndian.Uint32(b[headerSize-4:]) {
		return h, false
	}
	h.format = binary.LittleEndian.Uint32(b[8:])
	copy(h.store[:], b[16:])
	h.id = binary.LittleEndian.Uint64(b[32:])
	h.life = binary.LittleEndian.Uint64(b[40:])
	h.previous = binary.LittleEndian.Uint64(b[48:])
	return h, true
}

// lifeSeed is the checksum's state that all group headers of a segment begin with.
func lifeSeed(store [16]byte, id, life uint64) uint32 {
	b := append(make([]byte, 0, 32), store[:]...)
	b = binary.LittleEndian.AppendUint64(b, id)
	b = binary.LittleEndian.AppendUint64(b, life)
	return crc32.Checksum(b, castagnoli)
}

// This checks at compile time that the largest batch fits into a group.
const _ = uint(maxGroup - backend.DefaultMaxBatchBytes - backend.MaxBatchCount*(codec.MaxOverhead+sparseEntry) - groupSize - groupAlign)
