package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"github.com/papyra-go/papyra/backend"
)

// meta is one of the two pages that say where the tree is: of transaction n, page n modulo 2.
// Behind the page's header it holds, in the byte order of the machine that wrote it,
//
//	 0  magic u32, version u32, page size u32, flags u32
//	16  page of the root u64, a sequence u64, page of the list of free pages u64
//	40  the first page that is not in use u64, transaction u64
//	56  FNV-1a of all before, u64
type meta struct {
	page     int // 0 or 1
	sound    bool
	mended   bool // one byte was wrong, which the checksum tells
	version  uint32
	pageSize int64
	root     uint64
	end      uint64 // pages from here on are not in use
	txid     uint64
}

const (
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	pageHeader  = 16
	metaSize    = 64
)

// readMetas reads both meta pages. The second stands where the first says, or, if that is
// damaged, where it is found.
func readMetas(f *os.File) (metas [2]meta, err error) {
	if metas[0], err = readMeta(f, 0, 0); err != nil {
		return metas, err
	}
	if metas[0].sound {
		metas[1], err = readMeta(f, 1, metas[0].pageSize)
		return metas, err
	}
	for size := int64(leastPageBytes); size <= mostPageBytes; size *= 2 {
		m, err := readMeta(f, 1, size)
		if err != nil {
			return metas, err
		}
		if m.sound && !m.mended && m.pageSize == size {
			metas[1] = m
			return metas, nil
		}
	}
	return metas, nil
}

func readMeta(f io.ReaderAt, page int, pageSize int64) (meta, error) {
	b := make([]byte, pageHeader+metaSize)
	if _, err := f.ReadAt(b, int64(page)*pageSize); err != nil && !errors.Is(err, io.EOF) {
		return meta{}, unreadable(int64(page)*pageSize, err)
	}
	m, ok := parseMeta(b[pageHeader:])
	if !ok {
		m, ok = mendMeta(b[pageHeader:])
	}
	m.page, m.sound = page, ok
	if header := parseHeader(b); ok && (header.id != uint64(page) || header.flags != flagMeta) {
		m.mended = true // bbolt reads it all the same
	}
	return m, nil
}

func parseMeta(b []byte) (m meta, ok bool) {
	order := binary.NativeEndian
	h := fnv.New64a()
	_, _ = h.Write(b[:56])
	if order.Uint32(b) != metaMagic || order.Uint64(b[56:]) != h.Sum64() {
		return m, false
	}
	m = meta{version: order.Uint32(b[4:]), pageSize: int64(order.Uint32(b[8:])), root: order.Uint64(b[16:]), end: order.Uint64(b[40:]), txid: order.Uint64(b[48:])}
	return m, m.pageSize >= leastPageBytes/2 && m.pageSize&(m.pageSize-1) == 0
}

// mendMeta looks whether one byte is all that is wrong.
func mendMeta(b []byte) (m meta, ok bool) {
	b = append([]byte{}, b...)
	for i := range b {
		was := b[i]
		for x := 1; x < 256; x++ {
			b[i] = was ^ byte(x)
			if m, ok := parseMeta(b); ok {
				m.mended = true
				return m, true
			}
		}
		b[i] = was
	}
	return m, false
}

// newestMeta returns the meta page that counts; nil if none is sound.
func newestMeta(metas [2]meta) (newest *meta) {
	for i := range metas {
		if m := &metas[i]; m.sound && (newest == nil || m.txid > newest.txid) {
			newest = m
		}
	}
	return newest
}

// unreadable is an error of the medium, at its place: an unread byte may be anything.
func unreadable(off int64, err error) error {
	return &backend.CorruptError{File: fileName, Offset: off, Detail: fmt.Sprintf("can't be read: %v", err)}
}
