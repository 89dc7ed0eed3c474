package selftest

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
)

func filterMutants() []mutant {
	return []mutant{
		broken("READ-22", "a read's prefix is not looked at", eachQuery(func(_ *world, q *backend.Query) {
			if q.Stream == "" && backend.CheckStream(q.Prefix) == nil {
				q.Prefix = ""
			}
		})),
		broken("READ-22", "a read's prefix is a pattern", selecting(func(q *backend.Query, r *backend.Record) bool { // SQL
			rest := *q
			rest.Prefix = ""
			return like(r.Stream, q.Prefix) && rest.Selects(r)
		})),
		broken("READ-22", "a read's prefix is one in any case", selecting(func(q *backend.Query, r *backend.Record) bool {
			rest := *q
			rest.Prefix = ""
			return strings.HasPrefix(strings.ToLower(r.Stream), strings.ToLower(q.Prefix)) && rest.Selects(r)
		})),
		broken("READ-23", "types are equal in any case", selecting(func(q *backend.Query, r *backend.Record) bool {
			rest := *q
			rest.Types = nil
			typed := len(q.Types) == 0 || slices.ContainsFunc(q.Types, func(name string) bool { return strings.EqualFold(name, r.Type) })
			return typed && rest.Selects(r)
		})),
		broken("READ-23", "the empty type is no type to ask for", eachQuery(func(_ *world, q *backend.Query) {
			if len(q.Types) == 1 && q.Types[0] == "" {
				q.Types = nil
			}
		})),
		broken("READ-23", "the first of the types counts", eachQuery(func(_ *world, q *backend.Query) {
			if len(q.Types) > 1 && valid(q) {
				q.Types = q.Types[:1]
			}
		})),
		broken("READ-24", "Since is exclusive", eachQuery(func(_ *world, q *backend.Query) {
			if !q.Since.IsZero() && valid(q) {
				if q.Since = q.Since.Add(1); !q.Until.IsZero() && q.Until.Before(q.Since) {
					q.Until = q.Since
				}
			}
		})),
		broken("READ-24", "Until is inclusive", eachQuery(func(_ *world, q *backend.Query) {
			if !q.Until.IsZero() && valid(q) {
				q.Until = q.Until.Add(1)
			}
		})),
		broken("READ-24", "times are known to the microsecond", eachQuery(func(_ *world, q *backend.Query) { // PostgreSQL
			if valid(q) {
				q.Since, q.Until = q.Since.Truncate(time.Microsecond), q.Until.Truncate(time.Microsecond)
			}
		})),
		broken("READ-24", "a read ends at the first record that is too late", untilTheFirst),
		broken("READ-25", "Limit counts what is left out", limitFirst),
		broken("READ-25", "one filter is enough", selecting(func(q *backend.Query, r *backend.Record) bool {
			any, none := false, true
			for _, one := range []backend.Query{{Prefix: q.Prefix}, {Types: q.Types}, {Since: q.Since, Until: q.Until}} {
				if one.Kinds = backend.AllKinds; one.Prefix != "" || len(one.Types) > 0 || !one.Since.IsZero() || !one.Until.IsZero() {
					none = false
					any = any || one.Selects(r)
				}
			}
			return any || none
		})),
		broken("READ-26", "a Stream goes before a Prefix", eachQuery(func(_ *world, q *backend.Query) {
			if q.Stream != "" {
				q.Prefix = ""
			}
		})),
		broken("READ-26", "a time range that is none is empty", eachQuery(func(_ *world, q *backend.Query) {
			if !q.Since.IsZero() && !q.Until.IsZero() && q.Until.Before(q.Since) {
				q.Until = q.Since
			}
		})),
		broken("READ-27", "a page without a hit is the last", lastWithoutHit(func(q backend.Query) bool { return q.Stream == "" })),
		broken("READ-27", "a page of a stream without a hit is the last", lastWithoutHit(func(q backend.Query) bool { return q.Stream != "" && !snapshotsRead(q) })),
		broken("READ-27", "of one version's snapshots those that were left out are met again", againAt256),
	}
}

// valid reports whether the filters of q make sense.
func valid(q *backend.Query) bool {
	for _, name := range q.Types {
		if strings.Contains(name, "\x00") {
			return false
		}
	}
	return q.Since.IsZero() || q.Until.IsZero() || !q.Until.Before(q.Since)
}

// like reports whether s begins as a pattern of SQL's LIKE says.
func like(s, pattern string) bool {
	if pattern == "" {
		return true
	}
	if pattern[0] == '%' {
		for i := range len(s) + 1 {
			if like(s[i:], pattern[1:]) {
				return true
			}
		}
		return false
	}
	return s != "" && (pattern[0] == '_' || pattern[0] == s[0]) && like(s[1:], pattern[1:])
}

// selecting reads with another rule of what passes the filters. Queries that make no
// sense stay as they are.
func selecting(passes func(q *backend.Query, r *backend.Record) bool) breaking {
	return func(_ *world, h *hooked) {
		h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
			all := backend.Query{Stream: q.Stream, From: q.From, To: q.To, Reverse: q.Reverse, Kinds: q.Kinds}
			if q.Limit <= 0 && len(q.Types) == 0 && q.Prefix == "" && q.Since.IsZero() && q.Until.IsZero() || refused(ctx, q, next) {
				return next(ctx, q)
			}
			return func(yield func(backend.Record, error) bool) {
				left := q.Limit
				for r, err := range next(ctx, all) {
					if err == nil && !passes(&q, &r) {
						continue
					}
					if !yield(r, err) {
						return
					}
					if left--; left == 0 {
						return
					}
				}
			}
		}
	}
}

// refused reports whether a read ends at once, with an error.
func refused(ctx context.Context, q backend.Query, next readFunc) bool {
	for _, err := range next(ctx, q) {
		return err != nil
	}
	return false
}

// untilTheFirst takes the records to be in the order of their times.
func untilTheFirst(_ *world, h *hooked) {
	h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
		if q.Until.IsZero() || refused(ctx, q, next) {
			return next(ctx, q)
		}
		all := q
		all.Until = time.Time{}
		return func(yield func(backend.Record, error) bool) {
			for r, err := range next(ctx, all) {
				if err == nil && !q.Reverse && !r.Time.Before(q.Until) {
					return
				}
				if err == nil && !q.Selects(&r) {
					continue
				}
				if !yield(r, err) {
					return
				}
			}
		}
	}
}

// limitFirst takes the first Limit records, and of those what passes.
func limitFirst(_ *world, h *hooked) {
	h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
		if q.Limit <= 0 || refused(ctx, q, next) {
			return next(ctx, q)
		}
		plain := backend.Query{Stream: q.Stream, From: q.From, To: q.To, Limit: q.Limit, Reverse: q.Reverse, Kinds: q.Kinds}
		return func(yield func(backend.Record, error) bool) {
			for r, err := range next(ctx, plain) {
				if err == nil && !q.Selects(&r) {
					continue
				}
				if !yield(r, err) {
					return
				}
			}
		}
	}
}

// inPages is a filtered read whose pages are of 256 records; after each, ends says
// whether the read ends with it.
func inPages(h *hooked, of func(backend.Query) bool, ends func(hits int) bool) {
	h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
		if !of(q) || len(q.Types) == 0 || refused(ctx, q, next) {
			return next(ctx, q)
		}
		all := backend.Query{Stream: q.Stream, From: q.From, To: q.To, Reverse: q.Reverse, Kinds: q.Kinds}
		return func(yield func(backend.Record, error) bool) {
			n, hits, left := 0, 0, q.Limit
			for r, err := range next(ctx, all) {
				if n > 0 && n%256 == 0 {
					if ends(hits) {
						return
					}
					hits = 0
				}
				n++
				if err == nil && !q.Selects(&r) {
					continue
				}
				hits++
				if !yield(r, err) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
		}
	}
}

func lastWithoutHit(of func(backend.Query) bool) breaking {
	return func(_ *world, h *hooked) { inPages(h, of, func(hits int) bool { return hits == 0 }) }
}

// againAt256 yields, of a stream's snapshots, the hits of the first page again where the
// second begins.
func againAt256(_ *world, h *hooked) {
	h.read = func(ctx context.Context, q backend.Query, next readFunc) iter.Seq2[backend.Record, error] {
		if !snapshotsRead(q) || q.Stream == "" || len(q.Types) == 0 || q.Limit > 0 || refused(ctx, q, next) {
			return next(ctx, q)
		}
		all := backend.Query{Stream: q.Stream, From: q.From, To: q.To, Reverse: q.Reverse, Kinds: q.Kinds}
		return func(yield func(backend.Record, error) bool) {
			n := 0
			var first []backend.Record
			for r, err := range next(ctx, all) {
				hit := err != nil || q.Selects(&r)
				if hit && n < 256 {
					first = append(first, r.Clone())
				}
				if n++; n == 257 {
					for _, again := range first {
						if !yield(again, nil) {
							return
						}
					}
				}
				if hit && !yield(r, err) {
					return
				}
			}
		}
	}
}
