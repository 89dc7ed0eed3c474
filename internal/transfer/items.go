package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/lines"
)

// Items yields all that a store holds in the order of positions: its records, and a Gone
// for each stream that could not be told to stand where it does from the records that
// are left of it. Equal stores yield equal items. What an item holds is good until the
// loop goes on.
//
// A Gone has a position of its own, which is free, because something that is gone had
// it: below all that is left of its stream, so that whoever restores can put something
// there, and take it away, before the rest of the stream comes. If the newest position
// that the store has given is free, one of the streams that left nothing has it.
func Items(ctx context.Context, b *backend.Backend) iter.Seq2[lines.Line, error] {
	return func(yield func(lines.Line, error) bool) {
		w := &walk{ctx: ctx, b: b, yield: yield}
		if err := w.run(); err != nil && !errors.Is(err, errEnough) {
			yield(lines.Line{}, err)
		}
	}
}

// errEnough: whoever ranges over the items has ended the loop.
var errEnough = errors.New("enough")

// walk is one pass over a store.
type walk struct {
	ctx   context.Context
	b     *backend.Backend
	yield func(lines.Line, error) bool

	last backend.Position
	open bool // last is free
	odd  []oddStream

	// Streams of which nothing at all is left may be many. They are listed a second
	// time, while the records are read, two ahead.
	pull      func() (lines.Gone, error, bool)
	next      lines.Gone
	after     lines.Gone
	one, more bool // next, and after, are there
}

// oddStream is a stream that has something left and stands elsewhere than that tells.
type oddStream struct {
	gone  lines.Gone
	below backend.Position // of the first that is left of it
}

func (w *walk) run() (err error) {
	if w.last, err = w.b.Last(w.ctx); err != nil || w.last == 0 {
		return err
	}
	if err := w.survey(); err != nil {
		return err
	}
	next, stop := iter.Pull2(w.empties)
	defer stop()
	w.pull = next
	for range 2 {
		if err := w.advance(); err != nil {
			return err
		}
	}
	if err := w.records(); err != nil {
		return err
	}
	return w.unplaced(w.last + 1)
}

// advance goes on by one among the streams of which nothing is left.
func (w *walk) advance() error {
	g, err, ok := w.pull()
	w.next, w.one = w.after, w.more
	w.after, w.more = g, ok
	return err
}

// unplaced is the error of a stream that has no position below one, where it must have.
func (w *walk) unplaced(at backend.Position) error {
	stream := ""
	switch {
	case len(w.odd) > 0 && w.odd[0].below <= at:
		stream = w.odd[0].gone.Stream
	case w.one && at > w.last:
		stream = w.next.Stream
	default:
		return nil
	}
	return fmt.Errorf("%w: stream %.80q has lost records, and no position below %d is free for them", backend.ErrCorrupt, stream, at)
}

// survey finds the streams with something left that stand elsewhere than it tells, in
// the order in which they must be told of, and whether the last position is free.
func (w *walk) survey() error {
	w.open = true
	for _, err := range w.b.Read(w.ctx, backend.Query{From: uint64(w.last), Kinds: backend.AllKinds, Limit: 1}) {
		if err != nil {
			return err
		}
		w.open = false
	}
	for s, err := range w.b.Streams(w.ctx, backend.StreamQuery{}) {
		if err != nil {
			return err
		}
		if s.Head.Floor <= 1 {
			continue // nothing was ever taken away
		}
		odd, below, err := w.judge(s)
		if err != nil {
			return err
		}
		if odd && below > 0 {
			w.odd = append(w.odd, oddStream{w.gone(s), below})
		}
	}
	slices.SortFunc(w.odd, func(a, b oddStream) int { return cmp.Compare(a.below, b.below) })
	return nil
}

// gone is what is to be told of a stream: where it stood before what is left of it.
func (w *walk) gone(s backend.StreamInfo) lines.Gone {
	return lines.Gone{Stream: s.Name, Version: s.Head.Floor - 1, Epoch: s.Head.Epoch}
}

// judge reports whether a stream of which something was taken away stands elsewhere than
// what is left tells, and the position of the first that is left; zero if nothing is.
// What [backend.Head.After] makes of the records is the same but for an epoch that only
// records had which are gone, and for a stream whose last snapshot covers less than all.
func (w *walk) judge(s backend.StreamInfo) (odd bool, below backend.Position, err error) {
	note := func(r *backend.Record) {
		if below == 0 || r.Position < below {
			below = r.Position
		}
	}
	h, epoch := s.Head, false // epoch: something that is left has the newest
	if !h.Unreadable() {
		q := backend.Query{Stream: s.Name, From: uint64(h.Version)}
		err = w.each(q, func(r *backend.Record) { epoch = r.Epoch == h.Epoch })
		if err != nil || epoch {
			return false, 0, err
		}
		q.From = uint64(h.Floor) // it is rare that it gets here: they are all looked at
		err = w.each(q, func(r *backend.Record) {
			note(r)
			epoch = epoch || r.Epoch == h.Epoch
		})
		if err != nil {
			return false, 0, err
		}
	}
	covered := !h.Unreadable()
	if backend.KindOf(s.Name) == backend.Event {
		err = w.each(backend.Query{Stream: s.Name, Kinds: backend.KindSet(backend.Snapshot)}, func(r *backend.Record) {
			note(r)
			epoch = epoch || r.Epoch == h.Epoch
			covered = covered || r.Version == h.Version
		})
	}
	return !epoch || !covered, below, err
}

func (w *walk) each(q backend.Query, f func(*backend.Record)) error {
	for r, err := range w.b.Read(w.ctx, q) {
		if err != nil {
			return err
		}
		f(&r)
	}
	return nil
}

// empties yields the streams of which nothing is left, by name.
func (w *walk) empties(yield func(lines.Gone, error) bool) {
	for s, err := range w.b.Streams(w.ctx, backend.StreamQuery{}) {
		if err != nil {
			yield(lines.Gone{}, err)
			return
		}
		if s.Head.Floor <= 1 || !s.Head.Unreadable() {
			continue
		}
		odd, below, err := w.judge(s)
		if err != nil {
			yield(lines.Gone{}, err)
			return
		}
		if odd && below == 0 && !yield(w.gone(s), nil) {
			return
		}
	}
}

// records yields the records, and in the gaps between their positions what is gone.
func (w *walk) records() error {
	free := backend.Position(1) // the first position that nothing was yielded for
	for r, err := range w.b.Read(w.ctx, backend.Query{Kinds: backend.AllKinds, To: uint64(w.last)}) {
		if err != nil {
			return err
		}
		if err := w.fill(free, r.Position-1); err != nil {
			return err
		}
		if err := w.unplaced(r.Position); err != nil {
			return err
		}
		if !w.yield(lines.Line{Record: &r}, nil) {
			return errEnough
		}
		free = r.Position + 1
	}
	return w.fill(free, w.last)
}

// fill gives the free positions from one up to another to streams that are gone.
func (w *walk) fill(from, to backend.Position) error {
	for at := from; at <= to && (len(w.odd) > 0 || w.one); at++ {
		g := w.next
		switch {
		case len(w.odd) > 0:
			g = w.odd[0].gone
			w.odd = w.odd[1:]
		case w.open && !w.more && at < w.last: // it is for the last position
			if to < w.last {
				return nil
			}
			at = w.last
			fallthrough
		default:
			if err := w.advance(); err != nil {
				return err
			}
		}
		g.Position = at
		if !w.yield(lines.Line{Gone: &g}, nil) {
			return errEnough
		}
	}
	return nil
}
