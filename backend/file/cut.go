package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/papyra-go/papyra/backend"
)

// A cut is a group of the log as well, ordered and synced like any other: its records are
// floors, and its first position is the next that will be given, of which it takes none.
//
//	flags u8 │ name length v, name │ floor v │ CRC u32
//
//	flags   1: the whole stream goes
//	CRC     of all before, and of the group's sequence (u64), which comes first
const cutDelete = 1

// cutBytes is how much one group of cuts gathers.
const cutBytes = 1 << 20

// encodeCut builds the group of as many of the floors as one group takes, and returns how
// many those are. next is the position that comes next.
func (e *encoder) encodeCut(floors []backend.StreamFloor, sequence uint64, next backend.Position) (g group, b []byte, n int) {
	size := 0
	for n = 0; n < len(floors) && (n == 0 || size < cutBytes); n++ {
		size += len(floors[n].Stream) + 32
	}
	g = group{kind: kindCut, sequence: sequence, first: next, records: uint32(n)}
	e.buf, e.extents = append(e.buf[:0], make([]byte, groupSize+g.table())...), e.extents[:0]
	for i := range n {
		at := len(e.buf)
		e.buf = appendCut(e.buf, &floors[i], sequence)
		e.extents = append(e.extents, extent{at, len(e.buf) - at, next})
		binary.LittleEndian.PutUint32(e.buf[groupSize+i*denseEntry:], uint32(len(e.buf)-at))
	}
	e.finish(&g)
	return g, e.buf, n
}

func appendCut(b []byte, f *backend.StreamFloor, sequence uint64) []byte {
	start, flags := len(b), byte(0)
	if f.Delete {
		flags = cutDelete
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(len(f.Stream)))
	b = append(b, f.Stream...)
	b = binary.AppendUvarint(b, uint64(f.Floor))
	return binary.LittleEndian.AppendUint32(b, cutCRC(b[start:], sequence))
}

func cutCRC(b []byte, sequence uint64) uint32 {
	return crc32.Update(crc32.Checksum(binary.LittleEndian.AppendUint64(nil, sequence), castagnoli), castagnoli, b)
}

// parseCut reads the floor at the beginning of b and returns how many bytes it took.
func parseCut(b []byte, sequence uint64, f *backend.StreamFloor) (int, error) {
	short := fmt.Errorf("%w: the cut can't be parsed", backend.ErrCorrupt)
	if len(b) < 2 {
		return 0, short
	}
	size, w := binary.Uvarint(b[1:])
	if w <= 0 || size == 0 || size > backend.MaxStreamBytes || int(size) > len(b)-1-w {
		return 0, short
	}
	at := 1 + w + int(size)
	floor, w := binary.Uvarint(b[at:])
	if w <= 0 || len(b) < at+w+4 {
		return 0, short
	}
	n := at + w
	if cutCRC(b[:n], sequence) != binary.LittleEndian.Uint32(b[n:]) {
		return 0, fmt.Errorf("%w: the cut's checksum does not hold", backend.ErrCorrupt)
	}
	if b[0]&^cutDelete != 0 {
		return 0, fmt.Errorf("%w: a cut with unknown flags %#x: a newer version wrote it", backend.ErrFormat, b[0])
	}
	*f = backend.StreamFloor{Stream: string(b[at-int(size) : at]), Floor: backend.Version(floor), Delete: b[0]&cutDelete != 0}
	return n + 4, nil
}

// cut makes floors durable, and in force.
func (s *store) cut(ctx context.Context, floors []backend.StreamFloor) error {
	for len(floors) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := s.cutSome(floors)
		if err != nil {
			return err
		}
		floors = floors[n:]
	}
	return nil
}

// cutSome appends a group of cuts.
func (s *store) cutSome(floors []backend.StreamFloor) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.mayAppend(); err != nil {
		return 0, err
	}
	w := &s.writer
	last := s.end().last
	g, b, n := w.encoder.encodeCut(floors, w.sequence+1, last+1)
	sg, off, err := s.write(&g, b)
	if errors.Is(err, backend.ErrNoSpace) && s.dir.Remove(reserveName) == nil { // it makes room
		sg, off, err = s.write(&g, b)
	}
	if err != nil {
		return 0, err
	}
	s.publish(sg, off, &g, func() {
		for i := range floors[:n] {
			sg.table.cut(&floors[i], last)
		}
	})
	return n, nil
}
