package bolt

import (
	"encoding/binary"
	"fmt"
)

// A page begins with a header; pages that need more than one go on in those that follow.
// Then come the elements, and then their keys and values, in order and without gaps:
//
//	header   id u64, flags u16, count u16, pages that follow u32
//	branch   offset of the key from here u32, key size u32, page u64
//	leaf     flags u32, offset of the key from here u32, key size u32, value size u32
const (
	flagBranch = 0x01
	flagLeaf   = 0x02
	flagMeta   = 0x04

	elementSize = 16
	flagBucket  = 0x01 // of a leaf's element: its value is a bucket: root u64, sequence u64, and without a root a page
	bucketSize  = 16
)

type header struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint32
}

func parseHeader(b []byte) header {
	order := binary.NativeEndian
	return header{order.Uint64(b), order.Uint16(b[8:]), int(order.Uint16(b[10:])), order.Uint32(b[12:])}
}

// element is one of a page's.
type element struct {
	flags uint32 // of a leaf's
	page  uint64 // of a branch's
	key   []byte
	value []byte // of a leaf's
	at    int    // where value begins in the page
}

// elements takes the elements of a page apart, as far as they lie in it, and returns the
// first thing that is not as bbolt writes it.
func elements(b []byte, h header) (list []element, odd error) {
	order := binary.NativeEndian
	fail := func(format string, args ...any) {
		if odd == nil {
			odd = fmt.Errorf(format, args...)
		}
	}
	count := h.count
	if most := (len(b) - pageHeader) / elementSize; count > most {
		fail("%d elements don't fit into the page", count)
		count = most
	}
	leaf := h.flags == flagLeaf
	next := pageHeader + count*elementSize
	if len(b) >= pageHeader+elementSize { // where the first key begins tells how many there are, too
		pos, _, _ := parts(b, 0, leaf)
		n := pos / elementSize
		sound := pos%elementSize == 0 && n > 0 && pageHeader+pos <= len(b) && !agrees(b, count, leaf) && (n == 1 && count > 0 || agrees(b, n, leaf))
		if pageHeader+pos != next && (count > 0 || sound) { // bbolt writes zeros behind a page without elements
			fail("the first key does not follow the elements")
			if sound {
				count, next = n, pageHeader+pos
			}
		}
	}
	for i := range count {
		at := pageHeader + i*elementSize
		var e element
		pos, ksize, vsize := parts(b, i, leaf)
		if leaf {
			e.flags = order.Uint32(b[at:])
		} else {
			e.page = order.Uint64(b[at+8:])
		}
		if at+pos != next {
			fail("the key of element %d does not follow the one before", i)
		}
		if end := at + pos + ksize + vsize; ksize == 0 || at+pos < pageHeader || end > len(b) {
			fail("element %d does not lie in the page", i)
			continue
		}
		e.at = at + pos + ksize
		e.key, e.value = b[at+pos:e.at:e.at], b[e.at:e.at+vsize:e.at+vsize]
		next = at + pos + ksize + vsize
		list = append(list, e)
	}
	return list, odd
}

// parts returns what an element says of where its key is, from the element on, and of the sizes of
// key and value.
func parts(b []byte, i int, leaf bool) (pos, ksize, vsize int) {
	order := binary.NativeEndian
	b = b[pageHeader+i*elementSize:]
	if leaf {
		return int(order.Uint32(b[4:])), int(order.Uint32(b[8:])), int(order.Uint32(b[12:]))
	}
	return int(order.Uint32(b)), int(order.Uint32(b[4:])), 0
}

// agrees reports whether the second element says so, too, that there are n: its key begins where
// the first value ends, then.
func agrees(b []byte, n int, leaf bool) bool {
	if n < 2 || pageHeader+n*elementSize > len(b) {
		return false
	}
	_, ksize, vsize := parts(b, 0, leaf)
	pos, _, _ := parts(b, 1, leaf)
	return elementSize+pos == n*elementSize+ksize+vsize
}
