package codec

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// The number of strings that an interner keeps grows with how many it meets.
const (
	internLeast = 1 << 8
	internMost  = 1 << 16
	internSet   = 4 // slots that a string may be in
)

// interner gives the same string for the same bytes, without an allocation as long
// as it remembers them: the last one, as records of one stream or type often follow one
// another, and in each set of slots the last four that hashed there.
type interner struct {
	last   string
	slots  []string // as many as a power of two
	misses int      // since slots last grew
	piece  strings.Builder
}

// pieceBytes is how much memory strings share, so that not each is an allocation. Who keeps
// one of them keeps a piece.
const pieceBytes = 1 << 10

// string returns a string of b.
func (in *interner) string(b []byte) string {
	if in.piece.Cap()-in.piece.Len() < len(b) {
		in.piece = strings.Builder{} // strings made before live on in the old one
		in.piece.Grow(max(pieceBytes, len(b)))
	}
	in.piece.Write(b)
	return in.piece.String()[in.piece.Len()-len(b):]
}

func (in *interner) get(b []byte) string {
	if string(b) == in.last {
		return in.last
	}
	in.last = in.look(b)
	return in.last
}

func (in *interner) look(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if in.slots == nil {
		in.slots = make([]string, internLeast)
	}
	set := in.set(b)
	for _, s := range set {
		if s == string(b) {
			return s
		}
	}
	s := in.string(b)
	copy(set[1:], set)
	set[0] = s
	if in.misses++; in.misses > len(in.slots)/2 && len(in.slots) < internMost {
		in.grow()
	}
	return s
}

// set returns the slots in which b may be, the last that came first.
func (in *interner) set(b []byte) []string {
	at := hash(b) & uint64(len(in.slots)-1) &^ (internSet - 1)
	return in.slots[at : at+internSet]
}

func (in *interner) grow() {
	old := in.slots
	in.slots, in.misses = make([]string, 4*len(old)), 0
	for _, s := range old {
		if s != "" {
			set := in.set([]byte(s))
			copy(set[1:], set)
			set[0] = s
		}
	}
}

// hash mixes eight bytes at a time. Who makes strings collide makes them be built again,
// and harms nobody.
func hash(b []byte) uint64 {
	const k = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio
	h := uint64(len(b))
	for ; len(b) > 8; b = b[8:] {
		h = mix(h^binary.LittleEndian.Uint64(b), k)
	}
	var last uint64
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	return mix(h^last, k)
}

func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}
