package codec

import "hash/maphash"

// The number of strings that an interner keeps grows with how many it meets.
const (
	internLeast = 1 << 8
	internMost  = 1 << 16
)

var hashSeed = maphash.MakeSeed()

// interner gives the same string for the same bytes, without an allocation as long
// as it remembers them: it keeps one string in each slot, the last that hashed
// there.
type interner struct {
	slots  []string // as many as a power of two
	misses int      // since slots last grew
}

func (in *interner) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if in.slots == nil {
		in.slots = make([]string, internLeast)
	}
	slot := &in.slots[maphash.Bytes(hashSeed, b)&uint64(len(in.slots)-1)]
	if *slot == string(b) {
		return *slot
	}
	*slot = string(b)
	s := *slot
	if in.misses++; in.misses > len(in.slots) && len(in.slots) < internMost {
		in.grow()
	}
	return s
}

func (in *interner) grow() {
	old := in.slots
	in.slots, in.misses = make([]string, 4*len(old)), 0
	for _, s := range old {
		if s != "" {
			in.slots[maphash.String(hashSeed, s)&uint64(len(in.slots)-1)] = s
		}
	}
}
