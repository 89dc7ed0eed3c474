package file

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// mark is the idle watermark: proof, in a file of its own, that the log was durable up
// to some group. Evidence must not share a page with what it proves. The file MARK is
// two pages with a slot at the beginning of each, the rest zero:
//
//	  0  magic "papyramk"
//	  8  format u32
//	 12  flags u32             1: clean, the store was closed after this group
//	 16  store UUID, 16 bytes
//	 32  generation u64        the newer slot counts
//	 40  segment id u64        where the group is; 0: there is none in the log
//	 48  life u64              the segment's
//	 56  end u64               the group's end in the segment
//	 64  sequence u64          the group's
//	 72  last position u64     the group's
//	 80  chain u32             the CRC in the group's header
//	 84  zero
//	508  CRC-32C of all before
//
// A mark is written, to the older slot, only after the sync that it reports. So losing
// the newer slot weakens the evidence, and never lies.
type mark struct {
	format     uint32
	clean      bool
	store      [16]byte
	generation uint64
	segment    uint64
	life       uint64
	end        uint64
	sequence   uint64
	last       backend.Position
	chain      uint32
}

const (
	markMagic = "papyramk"
	markSlot  = 512
	markSize  = 2 * pageSize
	markClean = 1
)

func (m *mark) encode() []byte {
	b := make([]byte, markSlot)
	le := binary.LittleEndian
	copy(b, markMagic)
	le.PutUint32(b[8:], FormatVersion)
	if m.clean {
		le.PutUint32(b[12:], markClean)
	}
	copy(b[16:], m.store[:])
	le.PutUint64(b[32:], m.generation)
	le.PutUint64(b[40:], m.segment)
	le.PutUint64(b[48:], m.life)
	le.PutUint64(b[56:], m.end)
	le.PutUint64(b[64:], m.sequence)
	le.PutUint64(b[72:], uint64(m.last))
	le.PutUint32(b[80:], m.chain)
	le.PutUint32(b[markSlot-4:], crc32.Checksum(b[:markSlot-4], castagnoli))
	return b
}

func parseMark(b []byte, store [16]byte) (m mark, ok bool) {
	le := binary.LittleEndian
	if len(b) < markSlot || string(b[:8]) != markMagic || [16]byte(b[16:32]) != store ||
		crc32.Checksum(b[:markSlot-4], castagnoli) != le.Uint32(b[markSlot-4:]) {
		return m, false
	}
	m.format = le.Uint32(b[8:])
	m.clean = le.Uint32(b[12:])&markClean != 0
	m.store = store
	m.generation = le.Uint64(b[32:])
	m.segment = le.Uint64(b[40:])
	m.life = le.Uint64(b[48:])
	m.end = le.Uint64(b[56:])
	m.sequence = le.Uint64(b[64:])
	m.last = backend.Position(le.Uint64(b[72:]))
	m.chain = le.Uint32(b[80:])
	return m, true
}

// marks is what the file MARK holds.
type marks struct {
	newest mark
	slot   int // where newest is
	found  []backend.Anomaly
	ok     bool // newest stands
}

// readMarks reads MARK. What is wrong with it is in found: it is evidence, and its loss
// loses nothing that is stored. An error is a newer format, or a file that this process does
// not get.
func readMarks(dir disk.FS, store [16]byte) (ms marks, err error) {
	f, err := dir.Open(markName, os.O_RDONLY)
	if refused(err) { // it may be sound: nothing is decided without it
		return ms, fmt.Errorf("%s: %w", markName, err)
	}
	if err != nil {
		ms.report(backend.MissingFile, backend.Warning, 0, 0, fmt.Sprintf("the newest mark is lost: %v; recover makes it again", err))
		return ms, nil
	}
	defer f.Close()
	b := make([]byte, markSize+1)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		ms.report(backend.Unreadable, backend.Warning, 0, markSize, fmt.Sprintf("the marks can't be read: %v", err))
		return ms, nil
	}
	if n != markSize {
		ms.report(backend.BadHeader, backend.Notice, 0, int64(n), fmt.Sprintf("the file has not %d bytes", markSize))
	}
	b = append(b[:n], make([]byte, markSize)...)
	for slot := range 2 {
		at := slot * pageSize
		m, ok := parseMark(b[at:], store)
		switch {
		case !ok:
			ms.report(backend.BadHeader, backend.Notice, int64(at), markSlot, "a slot does not hold a mark of this store: a crash while writing it leaves that, the other slot stands")
		case m.format > FormatVersion:
			return ms, fmt.Errorf("%w: %s: format %d: this version of papyra reads up to %d; nothing was changed", backend.ErrFormat, markName, m.format, FormatVersion)
		case !ms.ok || m.generation > ms.newest.generation:
			ms.newest, ms.slot, ms.ok = m, slot, true
		}
		if !zero(b[at+markSlot : at+pageSize]) {
			ms.report(backend.StrayBytes, backend.Notice, int64(at+markSlot), pageSize-markSlot, "the rest of a mark's page is not zero")
		}
	}
	if !ms.ok {
		ms.report(backend.BadHeader, backend.Warning, 0, markSize, "neither slot holds a mark of this store; recover makes it again")
	}
	return ms, nil
}

func (ms *marks) report(code backend.AnomalyCode, severity backend.Severity, off, n int64, detail string) {
	ms.found = append(ms.found, backend.Anomaly{Code: code, Severity: severity, File: markName, Offset: off, Length: n, Detail: detail})
}

// newMarkFile is what a MARK that holds only m begins as: both slots hold it, so that
// losing one never makes an older mark count.
func newMarkFile(m mark) []byte {
	b := make([]byte, markSize)
	copy(b, m.encode())
	copy(b[pageSize:], m.encode())
	return b
}

// zero reports whether b holds nothing else.
func zero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
