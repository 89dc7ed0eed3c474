package main

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// What the store has at the position of a record in quarantine.
const (
	stateLost   = "lost"
	stateStored = "stored"
	stateOther  = "other"
)

// salvaged is a whole record that was found in quarantine. Timed says that its time is
// proven, or possible at least.
type salvaged struct {
	backend.Salvaged
	state string
}

// judge finds out what the store has at the position of each record, and whether its time
// can be right.
func (q *quarantine) judge(ctx context.Context, found []salvaged) error {
	for i := range found {
		f := &found[i]
		stored, any, err := q.recordAt(ctx, f.Record.Position)
		switch {
		case errors.Is(err, backend.ErrCorrupt):
			f.state = stateLost
		case err != nil:
			return err
		case any && same(stored, &f.Record):
			f.state, f.Timed, f.Record.Time = stateStored, true, stored.Time
		default:
			f.state = stateOther
		}
		if f.state != stateStored && !f.Timed {
			if err := q.setTime(ctx, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// same reports whether two records are one, but for their times.
func same(a, b *backend.Record) bool {
	return a.Stream == b.Stream && a.Version == b.Version && a.Kind == b.Kind && a.Type == b.Type &&
		bytes.Equal(a.Payload, b.Payload) && bytes.Equal(a.Meta, b.Meta)
}

func (q *quarantine) recordAt(ctx context.Context, p backend.Position) (*backend.Record, bool, error) {
	for r, err := range q.store.Read(ctx, backend.Query{From: uint64(p), To: uint64(p), Kinds: backend.AllKinds}) {
		if err != nil {
			return nil, false, err
		}
		r.Payload, r.Meta = bytes.Clone(r.Payload), bytes.Clone(r.Meta)
		return &r, true, nil
	}
	return nil, false, nil
}

// setTime leaves a record its time if it lies between those of the records before and
// behind; else it gets the one before's.
func (q *quarantine) setTime(ctx context.Context, f *salvaged) error {
	before, err := q.neighbour(ctx, f.Record.Position, true)
	if err != nil {
		return err
	}
	behind, err := q.neighbour(ctx, f.Record.Position, false)
	if err != nil {
		return err
	}
	at := f.Record.Time
	switch {
	case !before.IsZero() && at.Before(before):
	case !behind.IsZero() && at.After(behind):
	case before.IsZero() && behind.IsZero():
	default:
		f.Timed = true
		return nil
	}
	if before.IsZero() {
		before = behind
	}
	if !before.IsZero() {
		f.Record.Time = before
	}
	return nil
}

// farthestNeighbour is how many positions that can't be read are stepped over.
const farthestNeighbour = 4096

// neighbour is the time of the nearest record that can be read before or behind a position;
// zero if there is none.
func (q *quarantine) neighbour(ctx context.Context, p backend.Position, before bool) (time.Time, error) {
	query := backend.Query{Limit: 1, Kinds: backend.AllKinds, Reverse: before}
	for range farthestNeighbour {
		if before {
			p--
			query.To = uint64(p)
		} else {
			p++
			query.From = uint64(p)
		}
		if p == 0 {
			return time.Time{}, nil
		}
		at, err := q.firstTime(ctx, query)
		if !errors.Is(err, backend.ErrCorrupt) {
			return at, err
		}
	}
	return time.Time{}, nil
}

func (q *quarantine) firstTime(ctx context.Context, query backend.Query) (time.Time, error) {
	for r, err := range q.store.Read(ctx, query) {
		return r.Time, err
	}
	return time.Time{}, nil
}
