package bolt

import (
	"encoding/binary"
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// searchRoot makes sure that the tree is the newest. Each root says of which transaction it is:
//
//	the meta page leads to the root of another    the root is looked for on all pages
//	a meta page is damaged                        it may have been the newer one: a root that is
//	                                              one transaction newer counts, whatever is left of
//	                                              its tree: what is missing there is noticed
//
// A root is not written over before two more transactions have ended.
func (t *tree) searchRoot() error {
	if here := t.signature(t.meta.root); here != t.meta.txid {
		at, found, err := t.rootOf(t.meta.txid)
		if err != nil {
			return err
		}
		if !found && here != 0 {
			return &backend.CorruptError{File: fileName, Offset: int64(t.meta.root) * t.meta.pageSize, Detail: fmt.Sprintf("page %d should be the root of transaction %d, and is that of %d: it is nowhere", t.meta.root, t.meta.txid, here)}
		}
		if found {
			m := *t.meta
			t.find(backend.WrongStore, m.root, m.pageSize, "the root of transaction %d should be here, and is page %d", m.txid, at)
			m.root, t.meta = at, &m
		}
	}
	if t.metas[0].sound && t.metas[1].sound {
		return nil
	}
	at, found, err := t.rootOf(t.meta.txid + 1)
	if found && err == nil {
		m := *t.meta
		m.root, m.end, m.txid = at, uint64(t.size/m.pageSize), m.txid+1
		t.meta = &m
	}
	return err
}

// signature returns of which transaction a page is the root; 0: of none.
func (t *tree) signature(id uint64) uint64 {
	b := make([]byte, t.meta.pageSize)
	if _, err := t.file.ReadAt(b, int64(id)*t.meta.pageSize); err != nil {
		return 0
	}
	return signedBy(b, parseHeader(b))
}

// rootOf returns the page that is the root of a transaction: the first with a sound tree, or the
// first of all. It may stand where another page should, also in the place of a meta page.
func (t *tree) rootOf(txid uint64) (at uint64, found bool, err error) {
	for id := range uint64(t.size / t.meta.pageSize) {
		if t.signature(id) != txid {
			continue
		}
		m := *t.meta
		m.root, m.end, m.txid = id, uint64(t.size/m.pageSize), txid
		newer := &tree{file: t.file, size: t.size, meta: &m}
		newer.forget()
		if err := newer.root(); err != nil {
			return 0, false, err
		}
		if len(newer.findings) == 0 {
			return id, true, nil
		}
		if !found {
			at, found = id, true
		}
	}
	return at, found, nil
}

// signedBy returns the transaction that wrote a root; 0 if the page is none.
func signedBy(b []byte, h header) (txid uint64) {
	if h.flags != flagLeaf || h.count < len(buckets) || h.overflow > 0 {
		return 0
	}
	list, odd := elements(b, h)
	if odd != nil {
		return 0
	}
	found := 0
	for i := range list {
		if e := &list[i]; e.flags == flagBucket && known(e.key) && len(e.value) >= bucketSize {
			found++
			if string(e.key) == string(buckets[tableMeta]) {
				txid = binary.NativeEndian.Uint64(e.value[8:])
			}
		}
	}
	if found < len(buckets) {
		return 0
	}
	return txid
}
