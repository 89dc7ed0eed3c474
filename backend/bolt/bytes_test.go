package bolt

import (
	"encoding/binary"
	"hash/crc32"
	"hash/fnv"
)

// seal appends the checksum of an identity.
func seal(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func binaryUint32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }

// sumMeta puts the checksum of a meta page right.
func sumMeta(b []byte) {
	h := fnv.New64a()
	_, _ = h.Write(b[:56])
	binary.NativeEndian.PutUint64(b[56:], h.Sum64())
}
