package backend

import (
	"fmt"
	"slices"
	"strings"
)

// Selects reports whether a record passes what q selects by: Kinds, Prefix, Types, Since
// and Until. Neither Stream nor the bounds are looked at. It is the one rule by which
// reads leave records out.
func (q *Query) Selects(r *Record) bool {
	kinds := q.Kinds
	if kinds == 0 {
		kinds = Numbered
	}
	return kinds.Has(r.Kind) &&
		strings.HasPrefix(r.Stream, q.Prefix) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, r.Type)) &&
		(q.Since.IsZero() || !r.Time.Before(q.Since)) &&
		(q.Until.IsZero() || r.Time.Before(q.Until))
}

// filters reports whether q selects by more than kinds, which every driver does itself.
func (q *Query) filters() bool {
	return q.Prefix != "" || len(q.Types) > 0 || !q.Since.IsZero() || !q.Until.IsZero()
}

// plain is q without what drivers do not select by.
func (q *Query) plain() Query {
	return Query{Stream: q.Stream, From: q.From, To: q.To, Limit: q.Limit, Reverse: q.Reverse, Kinds: q.Kinds}
}

// check reports what is wrong with q, as ErrInvalid.
func (q *Query) check() error {
	switch {
	case q.Limit < 0:
		return fmt.Errorf("%w: Limit is %d: want 0 (no limit) or more", ErrInvalid, q.Limit)
	case q.Kinds&^AllKinds != 0:
		return fmt.Errorf("%w: Kinds %#x holds unknown kinds", ErrInvalid, uint32(q.Kinds))
	case q.Stream != "" && q.Kinds.Has(Snapshot) && q.Kinds != KindSet(Snapshot):
		return fmt.Errorf("%w: Kinds: of a stream, ask for its snapshots alone or not at all", ErrInvalid)
	case q.Stream != "" && q.Prefix != "":
		return fmt.Errorf("%w: Prefix %.80q is for reads of the whole store: Stream names one already", ErrInvalid, q.Prefix)
	case !q.Since.IsZero() && !q.Until.IsZero() && q.Until.Before(q.Since):
		return fmt.Errorf("%w: Until %v is before Since %v", ErrInvalid, q.Until.UTC(), q.Since.UTC())
	}
	if q.Stream != "" {
		if err := CheckStream(q.Stream); err != nil {
			return err
		}
	}
	for _, name := range q.Types {
		if err := checkName("type in Types", name, MaxTypeBytes); err != nil {
			return err
		}
	}
	return checkName("Prefix", q.Prefix, MaxStreamBytes)
}
