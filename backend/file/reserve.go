package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// The reserve is a file of zeros that a store of some size keeps: on a full disk it is
// removed, so that there is room for the manifest that makes room. It holds nothing, and
// is made again when there is space.
const (
	reserveSize = 1 << 20
	reserveFrom = 16 << 20 // bytes of a store that has one
)

// reserve makes the reserve if the store is to have one and has none. That there is no room
// for it harms nothing.
func (s *store) reserve() {
	if _, size := s.weigh(); size < reserveFrom {
		return
	}
	f, err := s.dir.Open(reserveName, os.O_RDONLY)
	if err == nil {
		_ = f.Close()
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		s.preparer.count(&s.preparer.began) // no scan minds its tmp file
		defer s.preparer.count(&s.preparer.ended)
		if clean, err := replace(s.dir, reserveName, zeros[:reserveSize]); err != nil && !clean && !noSpace(err) { // other names may be lost with its own
			s.setPoison(fmt.Errorf("%s: %w", reserveName, err))
		}
	}
}
