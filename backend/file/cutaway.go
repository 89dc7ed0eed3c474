package file

import "github.com/papyra-go/papyra/backend"

// A cut counts once its group is durable, and what it takes away is removed by packing the
// spans again that hold some of it. In between, and after a crash or an error in between,
// records below a floor are still stored. Reading a stream does not meet them, as it begins
// at the floor; reading by position leaves them out one by one. That costs a look-up for
// each stream that is met, so it is done only while there may be such records: while the
// log has a cut in it, or the manifest says so. It does from the moment on which a cut goes
// from the log to a span, until a compaction has come to its end.

// cutsAmong reports whether a cut is in any of the segments.
func (s *store) cutsAmong(segments []*segment) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, sg := range segments {
		if sg.table.cuts {
			return true
		}
	}
	return false
}

// cutsGone notes that no span holds anything below a floor any more, but for what cuts take
// away that are in the log still.
func (s *store) cutsGone() error {
	s.manifests.Lock()
	defer s.manifests.Unlock()
	if !s.view.cuts {
		return nil
	}
	if clean, err := s.relist(func(m *manifest) { m.cuts = false }); err != nil {
		return s.packError(clean, manifestName, err)
	}
	s.change(func(v *view) { v.cuts = false })
	return nil
}

// mindCuts has a read by position leave out what is below a floor, if there may be any.
func (r *reader) mindCuts() {
	if r.v.cuts || r.s.cutsAmong(r.v.segments) {
		r.above = map[string]standing{}
	}
}

// aboveMost is how many streams' standings a read by position keeps.
const aboveMost = 1 << 12

// handAbove is hand for a record that may be below its stream's floor: it is left out then.
func (r *reader) handAbove(q *backend.Query, yield func(backend.Record, error) bool) error {
	if r.above == nil {
		return r.hand(q, yield)
	}
	h, ok := r.above[r.record.Stream]
	if !ok {
		var err error
		if h, _, err = r.s.standing(r.v, r.record.Stream); err != nil {
			err = blame(err, r.record.Stream, r.record.Version)
			return corruptRecord("", -1, 0, &r.record, err) // at its place, behind which a reader can go on
		}
		if len(r.above) >= aboveMost {
			clear(r.above)
		}
		r.above[r.record.Stream] = h
	}
	if h.gone(r.record.Kind, r.record.Version, r.record.Position) {
		return nil
	}
	return r.hand(q, yield)
}
