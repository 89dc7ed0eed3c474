package file

import (
	"cmp"
	"fmt"
	"slices"

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

// holesMost is how many holes are told apart. If there are more, it is forgotten of which
// streams they are.
const holesMost = 1024

// tidy returns marked holes in position order, each once, and those of unknown streams
// that follow one another as one.
func (hs holes) tidy() holes {
	hs = slices.Clone(hs)
	if len(hs) > holesMost {
		hs = slices.DeleteFunc(hs, func(h hole) bool { return h.from == 0 })
		for i := range hs {
			hs[i].stream, hs[i].lost.Stream, hs[i].lost.Version = "", "", 0
		}
	}
	slices.SortStableFunc(hs, func(a, b hole) int { return cmp.Compare(a.from, b.from) })
	out := hs[:0]
	for _, h := range hs {
		if n := len(out); n > 0 && h.from > 0 && h.stream == "" && out[n-1].stream == "" && out[n-1].to+1 >= h.from {
			out[n-1].to = max(out[n-1].to, h.to)
			continue
		}
		if n := len(out); n > 0 && out[n-1] == h {
			continue
		}
		out = append(out, h)
	}
	return out
}

// with returns the holes and others, in position order.
func (hs holes) with(others holes) holes {
	all := append(slices.Clone(hs), others...)
	slices.SortStableFunc(all, func(a, b hole) int { return cmp.Compare(a.from, b.from) })
	return slices.Compact(all)
}

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

// hidden is how many records of any stream may be in holes below p.
func (hs holes) hidden(p backend.Position) (n uint64) {
	for i := range hs {
		if h := &hs[i]; h.stream == "" && h.from < p {
			n += uint64(min(h.to, p-1) - h.from + 1)
		}
	}
	return n
}

// doubtful is the error for a stream that may have records in a hole.
func doubtful(stream string, h *hole) error {
	lost := h.lost
	lost.Stream = stream
	lost.Detail = fmt.Sprintf("whether the stream had records here can't be told: %s", lost.Detail)
	return &lost
}
