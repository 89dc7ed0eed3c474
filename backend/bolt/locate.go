package bolt

import (
	"bytes"
	"unsafe"
)

// Locate tells where a value is in the file: where it is in the memory that the file is
// mapped to.
func (s *snapshot) Locate(key []byte) (off, n int64, ok bool) {
	err := s.e.guard(func() error {
		b, err := s.bucket(key[0])
		if err != nil {
			return err
		}
		v := b.Get(key)
		if len(v) == 0 {
			return nil
		}
		at := uintptr(unsafe.Pointer(unsafe.SliceData(v)))
		if base := s.tx.DB().Info().Data; at >= base && at < base+uintptr(s.tx.Size()) {
			off, n, ok = int64(at-base), int64(len(v)), true
			return nil
		}
		off, n, ok = s.inRoot(key)
		return nil
	})
	return off, n, ok && err == nil
}

// inRoot tells where a value of a bucket is that is so small that it stands in the page of
// the root. bbolt copies such buckets.
func (s *snapshot) inRoot(key []byte) (off, n int64, ok bool) {
	metas, err := readMetas(s.e.file)
	if err != nil {
		return 0, 0, false
	}
	for i := range metas {
		m := &metas[i]
		if !m.sound || m.txid != uint64(s.tx.ID()) {
			continue
		}
		page := make([]byte, m.pageSize)
		if _, err := s.e.file.ReadAt(page, int64(m.root)*m.pageSize); err != nil {
			return 0, 0, false
		}
		bucket, at := value(page, buckets[key[0]])
		if len(bucket) < bucketSize+pageHeader {
			return 0, 0, false
		}
		v, in := value(bucket[bucketSize:], key)
		return int64(m.root)*m.pageSize + int64(at+bucketSize+in), int64(len(v)), v != nil
	}
	return 0, 0, false
}

// value finds the value of a key in a leaf, and where in there it begins.
func value(leaf, key []byte) (v []byte, at int) {
	list, _ := elements(leaf, parseHeader(leaf))
	for i := range list {
		if bytes.Equal(list[i].key, key) {
			return list[i].value, list[i].at
		}
	}
	return nil, 0
}
