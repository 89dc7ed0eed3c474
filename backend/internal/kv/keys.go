package kv

import (
	"bytes"
	"encoding/binary"

	"github.com/papyra-go/papyra/backend"
)

// # The keys
//
// Numbers in keys are big endian, eight bytes, so that bytewise order is their order. A
// stream's name has no byte 00, which therefore ends it, and its order is that of the
// names: all that is kept of a stream is one range.
//
//	00 'i'                                what store this is: see identity
//	's'                                   the same: the empty name, which no stream has
//	00 's'                                where the store stands: see state
//	'c' name                              a cut of this stream whose records are not all deleted yet: see head
//	'e' name 00 01 version                a numbered record: position, envelope
//	'e' name 00 02 version position       a snapshot: position, envelope
//	'e' name 00 03                        where the stream stands: see head
//	'p' position                          which record has this position: see place
//	's' name                              that there is such a stream, and, if nothing of it is left, where it stands: see head
//
// Tables and parts of a stream that are not listed are a newer version's: they are left as
// they are.
const (
	tableMeta    = 0x00
	tableCuts    = 'c'
	tableStreams = 'e'
	tablePlaces  = 'p'
	tableNames   = 's'

	partRecord   = 1
	partSnapshot = 2
	partHead     = 3
)

var (
	identityKey = []byte{tableMeta, 'i'}
	stateKey    = []byte{tableMeta, 's'}

	identityCopy = []byte{tableNames} // apart from the first, so that not both are hit
	firstName    = []byte{tableNames, 1}
)

func appendStream(dst []byte, name string, part byte) []byte {
	return append(append(append(dst, tableStreams), name...), 0, part)
}

func appendRecordKey(dst []byte, name string, v backend.Version) []byte {
	return binary.BigEndian.AppendUint64(appendStream(dst, name, partRecord), uint64(v))
}

func appendSnapshotKey(dst []byte, name string, v backend.Version, p backend.Position) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(appendStream(dst, name, partSnapshot), uint64(v)), uint64(p))
}

func appendHeadKey(dst []byte, name string) []byte { return appendStream(dst, name, partHead) }

func appendCutKey(dst []byte, name string) []byte { return append(append(dst, tableCuts), name...) }

func appendNameKey(dst []byte, name string) []byte { return append(append(dst, tableNames), name...) }

func appendPlaceKey(dst []byte, p backend.Position) []byte {
	return binary.BigEndian.AppendUint64(append(dst, tablePlaces), uint64(p))
}

// after returns the first key of the next table.
func after(table byte) []byte { return []byte{table + 1} }

// behind returns the key of table 'e' that is above all keys of the stream, and not above
// those of any other stream that follows it.
func behind(dst []byte, name string) []byte {
	return append(append(append(dst, tableStreams), name...), 1)
}

// streamKey is a key of table 'e', taken apart.
type streamKey struct {
	name     []byte
	part     byte
	version  backend.Version  // of a record and of a snapshot
	position backend.Position // of a snapshot
}

// parseStreamKey takes a key of table 'e' apart. ok is false if it is none that this
// version, or a newer one, writes.
func parseStreamKey(key []byte) (k streamKey, ok bool) {
	end := bytes.IndexByte(key, 0)
	if end < 2 || end > 1+backend.MaxStreamBytes || len(key) < end+2 || key[0] != tableStreams {
		return k, false
	}
	k.name, k.part = key[1:end], key[end+1]
	rest := key[end+2:]
	switch k.part {
	case partRecord:
		ok = len(rest) == 8
	case partSnapshot:
		ok = len(rest) == 16
	case partHead:
		return k, len(rest) == 0
	default:
		return k, k.part > partHead
	}
	if !ok {
		return k, false
	}
	k.version = backend.Version(binary.BigEndian.Uint64(rest))
	if k.part == partSnapshot {
		k.position = backend.Position(binary.BigEndian.Uint64(rest[8:]))
	}
	return k, k.version > 0
}

// parsePlaceKey returns the position of a key of table 'p'.
func parsePlaceKey(key []byte) (backend.Position, bool) {
	if len(key) != 9 || key[0] != tablePlaces {
		return 0, false
	}
	return backend.Position(binary.BigEndian.Uint64(key[1:])), true
}
