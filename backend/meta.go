package backend

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// Meta is a small ordered list of key and value pairs, kept encoded so that
// reading a record builds nothing:
//
//	( uvarint key length, key, uvarint value length, value ) *
//
// with each length in its shortest form, so that equal pairs are equal bytes. Keys are
// not empty and stand once; values may be empty; both are any bytes.
// Nil is no pairs. At most [MaxMetaBytes] in all.
type Meta []byte

// MakeMeta returns the pairs key, value, key, value, … in the order given. An
// odd number of strings, an empty key, a key that stands twice or more than
// [MaxMetaBytes] are [ErrInvalid].
func MakeMeta(pairs ...string) (Meta, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("%w: meta: %d strings do not make pairs", ErrInvalid, len(pairs))
	}
	var m Meta
	for i := 0; i < len(pairs); i += 2 {
		m = binary.AppendUvarint(m, uint64(len(pairs[i])))
		m = append(m, pairs[i]...)
		m = binary.AppendUvarint(m, uint64(len(pairs[i+1])))
		m = append(m, pairs[i+1]...)
	}
	return m, m.Check()
}

// Get returns the value of key, and whether it is there. The value is a copy.
func (m Meta) Get(key string) (string, bool) {
	for len(m) > 0 {
		k, v, rest, ok := m.next()
		if !ok {
			return "", false
		}
		if string(k) == key {
			return string(v), true
		}
		m = rest
	}
	return "", false
}

// All yields the pairs in order, as copies. It ends at the first byte that is
// not well formed; what [Check] accepts is well formed.
func (m Meta) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for len(m) > 0 {
			k, v, rest, ok := m.next()
			if !ok || !yield(string(k), string(v)) {
				return
			}
			m = rest
		}
	}
}

// Check reports, as [ErrInvalid], why m is not well formed.
func (m Meta) Check() error {
	if len(m) > MaxMetaBytes {
		return fmt.Errorf("%w: meta of %d bytes: at most %d", ErrInvalid, len(m), MaxMetaBytes)
	}
	whole := m
	for len(m) > 0 {
		at := len(whole) - len(m)
		k, _, rest, ok := m.next()
		if !ok {
			return fmt.Errorf("%w: meta: not well formed at byte %d (build it with MakeMeta)", ErrInvalid, at)
		}
		if len(k) == 0 {
			return fmt.Errorf("%w: meta: empty key at byte %d", ErrInvalid, at)
		}
		if before := whole[:at]; at > 0 {
			if _, twice := before.Get(string(k)); twice {
				return fmt.Errorf("%w: meta: key %q stands twice", ErrInvalid, k)
			}
		}
		m = rest
	}
	return nil
}

func (m Meta) next() (key, value []byte, rest Meta, ok bool) {
	key, m, ok = m.take()
	if !ok {
		return nil, nil, nil, false
	}
	value, m, ok = m.take()
	return key, value, m, ok
}

func (m Meta) take() (b []byte, rest Meta, ok bool) {
	n, w := binary.Uvarint(m)
	if w <= 0 || w > 1 && m[w-1] == 0 || n > uint64(len(m)-w) { // the second: not the shortest form
		return nil, nil, false
	}
	return m[w : w+int(n)], m[w+int(n):], true
}
