package file

import (
	"fmt"

	"github.com/papyra-go/papyra/backend"
)

// hole is positions whose records are lost. What the walk at opening finds is damage, and
// the store takes no appends; what quarantine has given up is marked in the manifest, and
// the store goes on.
type hole struct {
	from, to backend.Position
	stream   string // the one stream that they are of; empty: it can't be told
	lost     backend.CorruptError
	marked   bool
}

// holes are in position order; there are none in a healthy store.
type holes []hole

// unbounded ends a hole of which only the beginning is known.
const unbounded = ^backend.Position(0)

// between returns the error of the oldest hole that has positions from one to another,
// both inclusive.
func (hs holes) between(from, to backend.Position) error {
	for i := range hs {
		if h := &hs[i]; h.from <= to && h.to >= from {
			lost := h.lost
			return &lost
		}
	}
	return nil
}

// at returns the error of the hole at p.
func (hs holes) at(p backend.Position) error {
	if err := hs.between(p, p); err != nil {
		return err
	}
	return &backend.CorruptError{Offset: -1, Position: p, Detail: "the record is lost"}
}

// blame returns the error for a version of a stream that is missing: that of the hole
// which it is known to be in, or else of the newest below p that may hold any stream's
// records.
func (hs holes) blame(stream string, v backend.Version, p backend.Position) backend.CorruptError {
	for i := range hs {
		if h := &hs[i]; h.stream == stream && h.lost.Version == v {
			return h.lost
		}
	}
	for i := len(hs) - 1; i >= 0; i-- {
		if h := &hs[i]; h.from < p && h.stream == "" {
			return h.lost
		}
	}
	return backend.CorruptError{Offset: -1, Detail: "the record is missing"}
}

// above returns the newest hole that may hold records of a stream whose newest known
// record is at p; nil if there is none. What is marked was given up: it is in doubt no
// more.
func (hs holes) above(p backend.Position) *hole {
	for i := len(hs) - 1; i >= 0; i-- {
		if h := &hs[i]; h.stream == "" && h.to > p && !h.marked {
			return h
		}
	}
	return nil
}

// below returns the oldest hole that may hold records of a stream whose oldest known
// record is at p, as above.
func (hs holes) below(p backend.Position) *hole {
	for i := range hs {
		if h := &hs[i]; h.stream == "" && h.from < p && !h.marked {
			return h
		}
	}
	return nil
}

// hides reports whether records of any stream may be in a hole below p.
func (hs holes) hides(p backend.Position) bool {
	for i := range hs {
		if h := &hs[i]; h.stream == "" && h.from < p {
			return true
		}
	}
	return false
}

// doubtful is the error for a stream that may have records in a hole.
func doubtful(stream string, h *hole) error {
	lost := h.lost
	lost.Stream = stream
	lost.Detail = fmt.Sprintf("whether the stream had records here can't be told: %s", lost.Detail)
	return &lost
}
