package file

import (
	"errors"
	"sort"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
)

// view is what a store is made of at one time: the spans, and behind them the log. It is
// never changed, only replaced; the tables of its segments grow. Whoever reads pins one,
// so that no file goes away below him.
type view struct {
	spans    []*span
	heads    []*heads // newest first
	segments []*segment
	holes    holes
	cuts     bool     // a span may hold something below a floor
	start    logStart // what stands before segments
	readers  atomic.Int64
}

// usage counts the views that have a file.
type usage struct {
	views atomic.Int64
	dead  atomic.Bool // the manifest lists it no more: it is removed when no view has it
}

// pin returns the view as it is now, for as long as until unpin.
func (s *store) pin() *view {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.view.readers.Add(1)
	return s.view
}

// unpin lets go of a view. The last one closes what no other view has.
func (s *store) unpin(v *view) {
	if v.readers.Add(-1) > 0 {
		return
	}
	var errs []error
	for _, sp := range v.spans {
		if sp.use.views.Add(-1) == 0 {
			s.open.drop(sp)
			errs = append(errs, sp.close(), s.removeDead(&sp.use, sp.name))
		}
	}
	for _, h := range v.heads {
		if h.use.views.Add(-1) == 0 {
			errs = append(errs, h.close(), s.removeDead(&h.use, h.name))
		}
	}
	for _, sg := range v.segments {
		if sg.use.views.Add(-1) == 0 {
			if sg.file != nil {
				errs = append(errs, sg.file.Close())
			}
			errs = append(errs, s.removeDead(&sg.use, sg.name))
		}
	}
	if errors.Join(errs...) != nil {
		s.counts.closeErrors.Add(1) // the next writing open removes what is left
	}
}

// removeDead removes a file that the durable manifest does not list any more.
func (s *store) removeDead(u *usage, name string) error {
	if !u.dead.Load() {
		return nil
	}
	return s.dir.Remove(name)
}

// install makes a view the current one.
func (s *store) install(next *view) {
	next.readers.Store(1)
	for _, sp := range next.spans {
		sp.use.views.Add(1)
	}
	for _, h := range next.heads {
		h.use.views.Add(1)
	}
	for _, sg := range next.segments {
		sg.use.views.Add(1)
	}
	s.mu.Lock()
	was := s.view
	s.view = next
	s.mu.Unlock()
	if was != nil {
		s.unpin(was)
	}
}

// change installs a copy of the current view that f has changed. f gets lists of its own.
// The caller holds store.manifests, which keeps others from changing it.
func (s *store) change(f func(*view)) {
	next := s.view.copy()
	f(next)
	s.install(next)
}

// copy returns a view of the same, with lists of its own, that is to be installed.
func (v *view) copy() *view {
	next := &view{start: v.start, holes: v.holes, cuts: v.cuts}
	next.spans = append(next.spans, v.spans...)
	next.heads = append(next.heads, v.heads...)
	next.segments = append(next.segments, v.segments...)
	return next
}

// span returns the span that covers a segment that was packed; nil if it was not.
func (v *view) span(id uint64) *span {
	i := sort.Search(len(v.spans), func(i int) bool { return v.spans[i].last >= id })
	if i == len(v.spans) || v.spans[i].first > id {
		return nil
	}
	return v.spans[i]
}

// stream returns what a segment knows of a stream: a copy, whose slices stay good while
// others append; nil if it knows nothing.
func (s *store) stream(sg *segment, name string) *stream {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := sg.table.streams[name]
	if st == nil {
		return nil
	}
	c := *st
	return &c
}

// packed returns the newest position that stands in a span.
func (v *view) packed() backend.Position { return v.start.position }
