package file

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/internal/sorted"
)

// Head returns where the stream stands. If the store is damaged so that this can't be
// told, it is ErrCorrupt.
func (s *store) Head(_ context.Context, name string) (backend.Head, error) {
	v := s.pin()
	defer s.unpin(v)
	h, last, err := s.standing(v, name)
	if err != nil {
		return backend.Head{}, err
	}
	hole := v.holes.above(last)
	if hole == nil {
		hole = s.unsureBegin(v, name, &h)
	}
	if hole != nil {
		return h.Head, doubtful(name, hole)
	}
	return h.Head, nil
}

// Last returns the newest position.
func (s *store) Last(context.Context) (backend.Position, error) { return s.end().last, nil }

// Streams lists the streams by name: those of the heads merged with those of the log. If
// the store is damaged so that streams may be missing from the list, or stand elsewhere
// than it says, it ends with ErrCorrupt.
func (s *store) Streams(ctx context.Context, q backend.StreamQuery) iter.Seq2[backend.StreamInfo, error] {
	return func(yield func(backend.StreamInfo, error) bool) {
		v := s.pin()
		defer s.unpin(v)
		n := 0
		err := s.names(ctx, v, max(q.Prefix, q.After), func(name string) error {
			switch {
			case name == q.After:
				return nil
			case !strings.HasPrefix(name, q.Prefix):
				return errStop
			}
			h, _, err := s.standing(v, name)
			if err != nil {
				return err
			}
			if n++; !yield(backend.StreamInfo{Name: name, Head: h.Head}, nil) || n == q.Limit {
				return errLeft
			}
			return nil
		})
		if err == errLeft {
			return
		}
		if hole := v.holes.above(0); hole != nil && (err == nil || err == errStop) {
			err = doubtful("", hole)
		}
		if err != nil && err != errStop {
			yield(backend.StreamInfo{}, err)
		}
	}
}

// errLeft ends a listing that was left.
var errLeft = errors.New("left")

// names calls f with each stream's name from one on, in order, until it returns an error.
// Where heads turn out to be damaged it goes on with what the spans say.
func (s *store) names(ctx context.Context, v *view, from string, f func(string) error) error {
	told := false
	once := func(name string) error {
		if told && name == from {
			return nil
		}
		from, told = name, true
		return f(name)
	}
	err := s.namesOf(ctx, v, v.heads, from, once)
	if errors.Is(err, errHeads) {
		err = s.namesOf(ctx, v, nil, from, once)
	}
	return err
}

// errHeads says that a file of heads can't be read.
var errHeads = errors.New("the heads can't be read")

// namesOf is names by some heads, or by the spans if there are none.
func (s *store) namesOf(ctx context.Context, v *view, heads []*heads, from string, f func(string) error) error {
	tables, err := v.tables(heads, from)
	if err != nil {
		return err
	}
	var lists [][]string
	for _, sg := range v.segments {
		s.mu.RLock()
		streams := sg.table.order
		s.mu.RUnlock()
		list := sg.table.list(streams)
		at, _ := slices.BinarySearch(list, from)
		lists = append(lists, list[at:])
	}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var least []byte
		for _, t := range tables {
			if t.more && (least == nil || bytes.Compare(t.rows.Name(), least) < 0) {
				least = t.rows.Name()
			}
			if err := t.rows.Err(); err != nil {
				if len(heads) > 0 {
					return errHeads
				}
				return err
			}
		}
		name, any := string(least), least != nil
		for _, l := range lists {
			if len(l) > 0 && (!any || l[0] < name) {
				name, any = l[0], true
			}
		}
		if !any {
			return nil
		}
		if err := f(name); err != nil {
			return err
		}
		for _, t := range tables {
			if t.more && string(t.rows.Name()) == name {
				t.advance()
			}
		}
		for i, l := range lists {
			if len(l) > 0 && l[0] == name {
				lists[i] = l[1:]
			}
		}
	}
}

// tables returns the tables that together have all streams of the spans: the heads, or if
// there are none, the spans' own.
func (v *view) tables(heads []*heads, from string) (list []*tableRows, err error) {
	add := func(t *sorted.Table) {
		rows := &tableRows{rows: t.Seek(from)}
		rows.advance()
		list = append(list, rows)
	}
	for _, h := range heads {
		t, err := h.open()
		if err != nil {
			return nil, errHeads
		}
		add(t)
	}
	if len(heads) > 0 {
		return list, nil
	}
	for _, sp := range v.spans {
		add(sp.table)
	}
	return list, nil
}
