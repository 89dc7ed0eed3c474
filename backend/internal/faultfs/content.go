package faultfs

import (
	"bytes"
	"slices"
)

// content is a file's bytes, in pages that are never written once they are in place: a
// copy shares them all, and costs as much as the list of them only when one side changes.
// So a store can be copied before each of thousands of events.
type content struct {
	size   int64
	pages  []*page // nil: zeros
	shared bool    // another content has the same array: it is copied before it is changed
	flat   []byte  // not nil: the bytes, instead of pages, for a test to change in place
}

type page [pageSize]byte

const pageSize = 4096

var zeroPage page

// made returns content that holds a copy of b.
func made(b []byte) content {
	var c content
	c.write(b, 0)
	return c
}

// clone returns a copy. Neither changes with the other.
func (c *content) clone() content {
	if c.flat != nil {
		return made(c.flat)
	}
	if !c.shared { // an event's content is shared for good, and read by several goroutines
		c.shared = true
	}
	return *c
}

// bytes returns the bytes, to be changed in place from now on.
func (c *content) bytes() []byte {
	if c.flat == nil {
		c.flat = make([]byte, c.size)
		c.read(c.flat, 0)
		c.pages, c.shared = nil, false
	}
	return c.flat
}

// read copies what there is from off on, and returns how much.
func (c *content) read(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	if c.pages == nil && c.flat != nil {
		return copy(p, c.flat[off:])
	}
	for at := 0; at < len(p); {
		from := off + int64(at)
		n := min(len(p)-at, pageSize-int(from%pageSize))
		if pg := c.pages[from/pageSize]; pg != nil {
			copy(p[at:at+n], pg[from%pageSize:])
		} else {
			clear(p[at : at+n])
		}
		at += n
	}
	return len(p)
}

// write puts p at off; the file grows as need be.
func (c *content) write(p []byte, off int64) {
	if end := off + int64(len(p)); end > c.size {
		c.resize(end)
	}
	if c.flat != nil {
		copy(c.flat[off:], p)
		return
	}
	c.own()
	for len(p) > 0 {
		i, from := off/pageSize, off%pageSize
		n := min(int64(len(p)), pageSize-from)
		old := c.pages[i]
		if old == nil && bytes.Equal(p[:n], zeroPage[:n]) { // zeros on zeros
			p, off = p[n:], off+n
			continue
		}
		fresh := new(page)
		if old != nil && n < pageSize {
			*fresh = *old
		}
		copy(fresh[from:], p[:n])
		c.pages[i] = fresh
		p, off = p[n:], off+n
	}
}

func (c *content) own() {
	if c.shared {
		c.pages, c.shared = slices.Clone(c.pages), false
	}
}

// resize cuts the file, or makes it longer by zeros.
func (c *content) resize(size int64) {
	if c.flat != nil {
		if size <= c.size {
			c.flat = c.flat[:size:size]
		} else {
			c.flat = append(c.flat, make([]byte, size-c.size)...)
		}
		c.size = size
		return
	}
	c.own()
	n := int((size + pageSize - 1) / pageSize)
	if n > len(c.pages) {
		c.pages = append(c.pages, make([]*page, n-len(c.pages))...)
	}
	c.pages = c.pages[:n:n]
	if rest := size % pageSize; size < c.size && rest > 0 && c.pages[n-1] != nil {
		cut := new(page)
		copy(cut[:rest], c.pages[n-1][:])
		c.pages[n-1] = cut
	}
	c.size = size
}
