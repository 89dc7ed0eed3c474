package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// What of the file engine's format is needed to find records in bytes that were set aside:
// see docs/file-format.md.
const (
	groupMagic  = 0x4750
	groupHeader = 56
	groupAlign  = 8
	flagSparse  = 1

	partHeader   = 4096 // the first page of a segment or a span
	segmentMagic = "papyrasg"
	spanMagic    = "papyrasp"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// soundHeader reports whether the first page of a segment or a span is as it was written.
func soundHeader(page []byte, magic string) bool {
	return string(page[:len(magic)]) == magic &&
		crc32.Checksum(page[:partHeader-4], castagnoli) == binary.LittleEndian.Uint32(page[partHeader-4:])
}

// What the store has at the position of a record in quarantine.
const (
	stateLost   = "lost"
	stateStored = "stored"
	stateOther  = "other"
)

// salvaged is a whole record that was found in quarantine.
type salvaged struct {
	offset, length int64 // in the file
	record         backend.Record
	state          string
	timed          bool // its time is proven, or possible at least
}

// storeUUID reads which store a directory is of: the second line of its manifest, or of
// the copy.
func storeUUID(dir string) (id [16]byte, err error) {
	for _, name := range []string{manifestFile, copyFile} {
		beginning, _ := firstBytes(filepath.Join(dir, name))
		lines := strings.SplitN(string(beginning), "\n", 3)
		if len(lines) < 3 || !strings.HasPrefix(lines[0], manifestMagic) {
			continue
		}
		b, err := hex.DecodeString(strings.TrimPrefix(lines[1], "store "))
		if err == nil && len(b) == len(id) {
			return [16]byte(b), nil
		}
	}
	return id, fmt.Errorf("%w: no manifest says which store this is", backend.ErrCorrupt)
}

// salvager finds records in bytes that were set aside. It believes nothing but the
// checksum that ends a record, which binds it to the store and a position.
type salvager struct {
	decoder codec.Decoder
	data    []byte
	base    int64  // what the offsets of groups are multiples of groupAlign from
	life    []byte // store UUID, id and life, with which the checksums of a whole segment's group headers begin
	found   []salvaged
	seen    map[backend.Position]bool
}

// salvage returns the whole records of an extent, in the order in which they stand there.
func salvage(store [16]byte, x *extent, data []byte) []salvaged {
	s := &salvager{decoder: codec.Decoder{Seed: codec.NewSeed(store)}, data: data, seen: map[backend.Position]bool{}}
	if x.Offset > 0 {
		s.base = x.Offset
	} else if len(data) >= partHeader && soundHeader(data, segmentMagic) {
		s.life = slices.Concat(data[16:32], data[32:40], data[40:48])
	}
	for at := (groupAlign - s.base%groupAlign) % groupAlign; at+groupHeader <= int64(len(data)); at += groupAlign {
		s.group(at)
	}
	for _, h := range x.Holes { // what no header tells of
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
	if le.Uint16(b) != groupMagic || n == 0 || n > (int64(len(b))-groupHeader)/entry {
		return
	}
	proven := s.proves(b[:groupHeader], at)
	off := at + groupHeader + n*entry
	for i := range n {
		row := b[groupHeader+i*entry:]
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
	return crc32.Update(sum, castagnoli, header[:groupHeader-4]) == le.Uint32(header[groupHeader-4:])
}

// headerBefore is the time that the records of the extent's first group count from, as far
// as its damaged header says.
func (s *salvager) headerBefore(at int64) int64 {
	if at < groupHeader || s.base%groupAlign != 0 {
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
	s.found = append(s.found, salvaged{offset: at, length: int64(n), record: r, timed: proven})
}

// judge finds out what the store has at the position of each record, and whether its time
// can be right.
func (q *quarantine) judge(ctx context.Context, found []salvaged) error {
	for i := range found {
		f := &found[i]
		stored, any, err := q.recordAt(ctx, f.record.Position)
		switch {
		case errors.Is(err, backend.ErrCorrupt):
			f.state = stateLost
		case err != nil:
			return err
		case any && same(stored, &f.record):
			f.state, f.timed, f.record.Time = stateStored, true, stored.Time
		default:
			f.state = stateOther
		}
		if f.state != stateStored && !f.timed {
			if err := q.setTime(ctx, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// same reports whether two records are one, but for their times.
func same(a, b *backend.Record) bool {
	return a.Stream == b.Stream && a.Version == b.Version && a.Kind == b.Kind && a.Type == b.Type &&
		bytes.Equal(a.Payload, b.Payload) && bytes.Equal(a.Meta, b.Meta)
}

func (q *quarantine) recordAt(ctx context.Context, p backend.Position) (*backend.Record, bool, error) {
	for r, err := range q.store.Read(ctx, backend.Query{From: uint64(p), To: uint64(p), Kinds: backend.AllKinds}) {
		if err != nil {
			return nil, false, err
		}
		r.Payload, r.Meta = bytes.Clone(r.Payload), bytes.Clone(r.Meta)
		return &r, true, nil
	}
	return nil, false, nil
}

// setTime leaves a record its time if it lies between those of the records before and
// behind; else it gets the one before's.
func (q *quarantine) setTime(ctx context.Context, f *salvaged) error {
	before, err := q.neighbour(ctx, f.record.Position, true)
	if err != nil {
		return err
	}
	behind, err := q.neighbour(ctx, f.record.Position, false)
	if err != nil {
		return err
	}
	at := f.record.Time
	switch {
	case !before.IsZero() && at.Before(before):
	case !behind.IsZero() && at.After(behind):
	case before.IsZero() && behind.IsZero():
	default:
		f.timed = true
		return nil
	}
	if before.IsZero() {
		before = behind
	}
	if !before.IsZero() {
		f.record.Time = before
	}
	return nil
}

// farthestNeighbour is how many positions that can't be read are stepped over.
const farthestNeighbour = 4096

// neighbour is the time of the nearest record that can be read before or behind a position;
// zero if there is none.
func (q *quarantine) neighbour(ctx context.Context, p backend.Position, before bool) (time.Time, error) {
	query := backend.Query{Limit: 1, Kinds: backend.AllKinds, Reverse: before}
	for range farthestNeighbour {
		if before {
			p--
			query.To = uint64(p)
		} else {
			p++
			query.From = uint64(p)
		}
		if p == 0 {
			return time.Time{}, nil
		}
		at, err := q.firstTime(ctx, query)
		if !errors.Is(err, backend.ErrCorrupt) {
			return at, err
		}
	}
	return time.Time{}, nil
}

func (q *quarantine) firstTime(ctx context.Context, query backend.Query) (time.Time, error) {
	for r, err := range q.store.Read(ctx, query) {
		return r.Time, err
	}
	return time.Time{}, nil
}
