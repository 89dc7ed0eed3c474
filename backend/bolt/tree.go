package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// tree is a file as it is looked at without bbolt.
type tree struct {
	file     *os.File
	size     int64
	metas    [2]meta
	meta     *meta // the one that counts
	findings []backend.Anomaly
	bucket   string          // that is being visited
	hit      map[string]bool // the buckets in which something was found

	// each, if not nil, is called for every element of a bucket that can be read; at is
	// where the value begins in the file, odd whether something was wrong with its page.
	each     func(bucket, key, value []byte, at int64, odd bool) error
	seen     []uint64 // bits of the pages that were visited, those that only follow one left out
	used     []uint64 // bits of the pages that belong to those
	counting bool     // check looks how many records there are, too
	// gone is called between pages; an error ends the walk.
	gone func() error
}

// maxDepth is more than any tree has.
const maxDepth = 64

// readTree reads the meta pages.
func readTree(f *os.File) (*tree, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	t := &tree{file: f, size: info.Size()}
	if t.metas, err = readMetas(f); err != nil {
		return nil, err
	}
	t.meta = newestMeta(t.metas)
	switch {
	case t.meta == nil:
		return nil, &backend.CorruptError{File: fileName, Offset: 0, Detail: "neither of its meta pages is sound"}
	case t.meta.version != metaVersion:
		return nil, fmt.Errorf("%w: %s is of version %d of bbolt's format, and this version of papyra reads %d", backend.ErrFormat, fileName, t.meta.version, metaVersion)
	}
	return t, nil
}

// rootBucket stands for the page that lists the buckets.
const rootBucket = "the root"

func (t *tree) find(code backend.AnomalyCode, page uint64, n int64, format string, args ...any) {
	if t.hit == nil {
		t.hit = map[string]bool{}
	}
	t.hit[t.bucket] = true
	if len(t.findings) < backend.MaxFindings {
		t.findings = append(t.findings, backend.Anomaly{Code: code, Severity: backend.Damage, File: fileName, Offset: int64(page) * t.meta.pageSize, Length: n,
			Detail: fmt.Sprintf("page %d: %s", page, fmt.Sprintf(format, args...))})
	}
}

// check visits every page that is in use. What is wrong stands in findings; an error means
// that it could not go on.
func (t *tree) check() error {
	for i := range t.metas {
		m := &t.metas[i]
		switch {
		case m.sound && !m.mended:
		case m.mended:
			t.find(backend.BadHeader, uint64(i), t.meta.pageSize, "one byte of the meta page is wrong, which its checksum tells")
		default:
			t.find(backend.BadHeader, uint64(i), t.meta.pageSize, "the meta page is damaged; the tree of transaction %d is the newest", t.meta.txid)
		}
	}
	if by := t.signature(t.meta.root); by != t.meta.txid {
		t.find(backend.BadHeader, t.meta.root, t.meta.pageSize, "it should be the root of transaction %d", t.meta.txid)
	}
	t.forget()
	if need := int64(t.meta.end) * t.meta.pageSize; need > t.size {
		t.find(backend.MissingRecord, uint64(t.size/t.meta.pageSize), 0, "the file ends at %d bytes, and %d are in use", t.size, need)
	}
	if t.counting {
		return t.count()
	}
	return t.root()
}

// count visits every page, and looks whether there are as many records as the store says. There are
// not where a branch leads to a page that is an older state of another: pages don't say when
// they were written.
func (t *tree) count() error {
	var judge *kv.Judge
	said, records := map[string][]byte{}, uint64(0)
	t.each = func(bucket, key, value []byte, _ int64, _ bool) error {
		if string(bucket) != string(buckets[tableStreams]) { // the last of them
			if len(key) <= 2 {
				said[string(key)] = bytes.Clone(value)
			}
			return nil
		}
		if judge == nil {
			judge, _ = kv.NewJudge(func(key []byte) []byte { return said[string(key)] })
		}
		if judge != nil && judge.Record(key) && !judge.Lost(value) {
			records++
		}
		return nil
	}
	err := t.root()
	t.each = nil
	if err != nil || judge == nil || len(t.findings) > 0 {
		return err
	}
	key := string([]byte{tableMeta, 's'})
	if _, sound := judge.Home([]byte(key), said[key]); sound && !judge.Complete(records, func(key []byte) []byte { return said[string(key)] }) {
		t.bucket = string(buckets[tableStreams])
		t.find(backend.WrongStore, t.meta.root, 0, "%d records are in its tree, and not as many as the store says: a page stands in it that is not the newest", records)
	}
	return nil
}

// forget makes the tree one that was not visited.
func (t *tree) forget() {
	t.seen, t.used = make([]uint64, (t.pages()+63)/64), make([]uint64, (t.pages()+63)/64)
}

// again returns the same tree, not visited yet and without findings.
func (t *tree) again() *tree {
	out := &tree{file: t.file, size: t.size, metas: t.metas, meta: t.meta}
	out.forget()
	return out
}

// pages is how many pages there are, of those in use.
func (t *tree) pages() uint64 {
	return min(t.meta.end, uint64((t.size+t.meta.pageSize-1)/t.meta.pageSize))
}

// root visits the buckets.
func (t *tree) root() error {
	t.bucket = rootBucket
	return t.visit(t.meta.root, nil, nil, 0, func(page uint64, e *element, odd bool) error {
		t.bucket = rootBucket
		if e.flags != flagBucket || len(e.value) < bucketSize {
			t.find(backend.BadHeader, page, 0, "%.16q is not a bucket", e.key)
			if !known(e.key) || len(e.value) < bucketSize {
				return nil
			}
		}
		name := bytes.Clone(e.key)
		t.bucket = string(name)
		elem := func(page uint64, e *element, odd bool) error { return t.element(name, page, e, odd) }
		if root := binary.NativeEndian.Uint64(e.value); root != 0 {
			return t.visit(root, nil, nil, 1, elem)
		}
		if len(e.value) < bucketSize+pageHeader {
			t.find(backend.BadHeader, page, 0, "the bucket %.16q is cut short", e.key)
			return nil
		}
		inline := e.value[bucketSize:]
		h := parseHeader(inline)
		if h.flags != flagLeaf || h.id != 0 || h.overflow != 0 {
			t.find(backend.BadHeader, page, 0, "the bucket %.16q holds no leaf", e.key)
			h.flags = flagLeaf
		}
		return t.leaf(page, inline, h, e.at+bucketSize, nil, nil, elem)
	})
}

// known reports whether a bucket is one of papyra's.
func known(name []byte) bool {
	for _, b := range buckets {
		if bytes.Equal(b, name) {
			return true
		}
	}
	return false
}

// element hands an element of a bucket out.
func (t *tree) element(bucket []byte, page uint64, e *element, odd bool) error {
	if e.flags != 0 {
		t.find(backend.BadHeader, page, 0, "an element has unknown flags %#x", e.flags)
		odd = true
	}
	if t.each == nil {
		return nil
	}
	return t.each(bucket, e.key, e.value, int64(page)*t.meta.pageSize+int64(e.at), odd)
}

// visit visits a page and those below it. All keys are from low on, and below high; nil: no
// bound.
func (t *tree) visit(id uint64, low, high []byte, depth int, each func(page uint64, e *element, odd bool) error) error {
	if t.gone != nil {
		if err := t.gone(); err != nil {
			return err
		}
	}
	switch {
	case id < 2 && id != t.meta.root || id >= t.meta.end:
		t.find(backend.BadHeader, id, 0, "it is not one that is in use, and the tree leads to it")
		return nil
	case depth > maxDepth:
		t.find(backend.BadHeader, id, 0, "the tree is deeper than any")
		return nil
	}
	b, h, err := t.read(id)
	if err != nil || b == nil {
		return err
	}
	if h.flags == flagLeaf {
		return t.leaf(id, b, h, 0, low, high, each)
	}
	list, odd := elements(b, h)
	if odd == nil && len(list) == 0 {
		odd = errors.New("a branch has no elements")
	}
	if odd != nil {
		t.find(backend.BadHeader, id, int64(len(b)), "%v", odd)
	}
	t.order(id, list, low, high)
	for i := range list {
		to := high
		if i+1 < len(list) {
			to = list[i+1].key
		}
		if err := t.visit(list[i].page, list[i].key, to, depth+1, each); err != nil {
			return err
		}
	}
	return nil
}

// read reads a page with those that follow it; nil if it can't be used.
func (t *tree) read(id uint64) ([]byte, header, error) {
	size := t.meta.pageSize
	b := make([]byte, size)
	n, err := t.file.ReadAt(b, int64(id)*size)
	if err != nil && !errors.Is(err, io.EOF) {
		t.find(backend.Unreadable, id, size, "can't be read: %v", err)
		return nil, header{}, nil
	}
	if n < pageHeader {
		t.find(backend.MissingRecord, id, size, "the file ends before it")
		return nil, header{}, nil
	}
	h := parseHeader(b)
	if h.id != id { // it may be an older state of what belongs here
		t.find(backend.WrongStore, id, size, "page %d stands here", h.id)
		if id != t.meta.root { // which says itself what it is
			return nil, h, nil
		}
	}
	if h.flags != flagBranch && h.flags != flagLeaf {
		t.find(backend.BadHeader, id, size, "its flags are %#x", h.flags)
		h.flags = likely(b, h)
	}
	if uint64(h.overflow) >= t.meta.end-id {
		t.find(backend.BadHeader, id, size, "it says that %d pages belong to it, which are more than there are", h.overflow)
		h.overflow = 0
	}
	if h.overflow > 0 {
		more := make([]byte, int64(1+h.overflow)*size)
		if n, err = t.file.ReadAt(more, int64(id)*size); err != nil && !errors.Is(err, io.EOF) {
			t.find(backend.Unreadable, id, int64(len(more)), "can't be read: %v", err)
			n = copy(more, b)
		}
		b = more
	}
	if t.foreign(b, h) { // who it belongs to leads to it, too
		t.find(backend.WrongStore, id, size, "it belongs to another bucket than %q", t.bucket)
		return nil, h, nil
	}
	if visited(t.seen, id) {
		t.find(backend.BadHeader, id, size, "two places of the tree lead to it")
		return nil, h, nil
	}
	visit(t.seen, id)
	for p := id; p <= id+uint64(h.overflow); p++ {
		if visited(t.used, p) {
			t.find(backend.BadHeader, p, size, "it belongs to two pages")
		}
		visit(t.used, p)
	}
	return b[:max(n, pageHeader)], h, nil
}

// foreign reports whether the first and the last key of a page are of one and the same other bucket
// than the one that is being visited: a branch leads to where it should not.
func (t *tree) foreign(b []byte, h header) bool {
	own, ok := tableOf([]byte(t.bucket))
	if !ok || h.count == 0 || pageHeader+h.count*elementSize > len(b) {
		return false
	}
	var of [2]byte
	for end, i := range []int{0, h.count - 1} {
		pos, _, _ := parts(b, i, h.flags == flagLeaf)
		key := pageHeader + i*elementSize + pos
		if key < pageHeader || key >= len(b) {
			return false
		}
		of[end] = b[key]
	}
	_, other := buckets[of[0]]
	return other && of[0] == of[1] && of[0] != own && of[0] != tableMeta // zeros are no key of it
}

func visited(bits []uint64, p uint64) bool {
	return p/64 < uint64(len(bits)) && bits[p/64]&(1<<(p%64)) != 0
}

func visit(bits []uint64, p uint64) {
	if p/64 < uint64(len(bits)) {
		bits[p/64] |= 1 << (p % 64)
	}
}

// likely is what a page whose flags are damaged may be: of a branch the second word of its first
// element is the size of a key.
func likely(b []byte, h header) uint16 {
	for _, flags := range []uint16{flagLeaf, flagBranch} {
		h.flags = flags
		if list, odd := elements(b, h); odd == nil && len(list) > 0 {
			return flags
		}
	}
	return flagLeaf
}

// leaf hands out the elements of a leaf. Its bytes begin at off in the page.
func (t *tree) leaf(id uint64, b []byte, h header, off int, low, high []byte, each func(uint64, *element, bool) error) error {
	list, odd := elements(b, h)
	if odd != nil {
		t.find(backend.BadHeader, id, int64(len(b)), "%v", odd)
	}
	wrong := !t.order(id, list, low, high) || odd != nil
	for i := range list {
		list[i].at += off
		if err := each(id, &list[i], wrong); err != nil {
			return err
		}
	}
	return nil
}

// order looks whether keys rise, and lie where the branch above says.
func (t *tree) order(id uint64, list []element, low, high []byte) bool {
	for i := range list {
		key := list[i].key
		switch {
		case i == 0 && low != nil && bytes.Compare(key, low) < 0,
			i > 0 && bytes.Compare(key, list[i-1].key) <= 0,
			high != nil && bytes.Compare(key, high) >= 0:
			t.find(backend.BadHeader, id, t.meta.pageSize, "the key of element %d is not in its order", i)
			return false
		}
	}
	return true
}
