package kv

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// FormatVersion is the format that this package writes, and the newest it reads.
const FormatVersion = 1

// identity is what the key 00 'i' holds, and its copy, both written once:
//
//	"papyrakv" · format u32 · store UUID, 16 bytes · created i64, in nanoseconds since 1970 · CRC-32C of all before
//
// A newer format may continue otherwise behind its number; the checksum comes last in any.
type identity struct {
	format  uint32
	store   [16]byte
	created int64
}

const identityMagic = "papyrakv"

func (id *identity) encode() []byte {
	b := append([]byte{}, identityMagic...)
	b = binary.BigEndian.AppendUint32(b, id.format)
	b = append(b, id.store[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(id.created))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func parseIdentity(b []byte) (id identity, err error) {
	n := len(b) - 4
	switch {
	case n < 12 || string(b[:8]) != identityMagic:
		return id, fmt.Errorf("%w: what stands there is not a papyra store's", backend.ErrCorrupt)
	case crc32.Checksum(b[:n], castagnoli) != binary.BigEndian.Uint32(b[n:]):
		return id, fmt.Errorf("%w: %w", backend.ErrCorrupt, errSum)
	}
	if id.format = binary.BigEndian.Uint32(b[8:]); id.format > FormatVersion {
		return id, fmt.Errorf("%w: the store is of format %d, and this version of papyra reads up to %d", backend.ErrFormat, id.format, FormatVersion)
	}
	if n != 36 {
		return id, fmt.Errorf("%w: %w", backend.ErrCorrupt, errFields)
	}
	copy(id.store[:], b[12:])
	id.created = int64(binary.BigEndian.Uint64(b[28:]))
	return id, nil
}

// state is where the store stands: what the key 00 's' holds, written with every append.
//
//	last v · newest v · version v · epoch v · records v · CRC
type state struct {
	last    backend.Position // the newest ever given, also if its record is gone
	newest  backend.Position // the highest that table 'p' holds; 0: none
	version backend.Version  // the highest of any stream, ever
	epoch   uint64           // the highest of any stream, ever
	records uint64           // in the store, of every kind
}

func (st *state) append(dst []byte, s sums) []byte {
	from := len(dst)
	dst = appendUvarints(dst, uint64(st.last), uint64(st.newest), uint64(st.version), st.epoch, st.records)
	return binary.BigEndian.AppendUint32(dst, s.of(stateKey, dst[from:]))
}

func parseState(s sums, value []byte) (st state, err error) {
	b, err := s.open(stateKey, value)
	if err != nil {
		return st, err
	}
	b, err = take(b, (*uint64)(&st.last), (*uint64)(&st.newest), (*uint64)(&st.version), &st.epoch, &st.records)
	if err == nil && (len(b) > 0 || st.newest > st.last) {
		err = errFields
	}
	return st, err
}

// readIdentity reads what store this is, from the copy if need be. A newer format is what
// either says.
func (l *Log) readIdentity(s Snapshot) (id identity, err error) {
	var first error
	for _, key := range [][]byte{identityKey, identityCopy} {
		value, found, err := s.Get(key, nil)
		if err != nil {
			return id, err
		}
		if !found {
			err = fmt.Errorf("%w: it is missing", backend.ErrCorrupt)
		} else if id, err = parseIdentity(value); err == nil || errors.Is(err, backend.ErrFormat) {
			return id, err
		}
		if first == nil {
			first = err
		}
	}
	return id, &backend.CorruptError{File: l.facts.File, Offset: -1, Detail: fmt.Sprintf("what store it is: %s", detail(first))}
}

// Create makes a store of an engine that holds nothing. An engine's package calls it on a
// place that becomes a store only afterwards: what is there without an identity is then
// damaged, never new.
func Create(e Engine) error {
	id := identity{format: FormatVersion, created: time.Now().UnixNano()}
	_, _ = rand.Read(id.store[:]) // it never fails
	id.store[6], id.store[8] = id.store[6]&0x0f|0x40, id.store[8]&0x3f|0x80
	return e.Write(func(b Batch) error {
		for _, key := range [][]byte{identityKey, identityCopy} {
			if err := b.Set(key, id.encode()); err != nil {
				return err
			}
		}
		return b.Set(stateKey, new(state).append(nil, newSums(id.store)))
	})
}
