package main

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

// defaultLimit is how many records are shown if --limit does not say.
const defaultLimit = 100

// filtersLong explains the flags of recordsFlags.
const filtersLong = `A record is shown if it lies between --from and --to and passes every other flag;
--limit counts what is shown. Times select and order nothing. --since and --until
take a time (2026-01-02T15:04:05Z, or without the Z, which is UTC too), a day
(2026-01-02: its first moment, in UTC), or how long ago (90m, 36h, 7d); what is at
--until is not shown.`

// kindNames are the kinds that --kind takes.
func kindNames() (names []string) {
	for k := backend.Event; k.Valid(); k++ {
		names = append(names, k.String())
	}
	return names
}

// recordsFlags are the flags of the commands that list records.
type recordsFlags struct {
	query   backend.Query
	since   moment
	until   moment
	kinds   []string
	payload bool
}

// add adds the flags that all of them have. The order of their records is by place.
func (f *recordsFlags) add(c *cobra.Command, place string) {
	flags := c.Flags()
	flags.Uint64Var(&f.query.From, "from", 0, "from this "+place+" on (0: the first there is)")
	flags.Uint64Var(&f.query.To, "to", 0, "up to and with this "+place+" (0: the last)")
	flags.StringArrayVar(&f.query.Types, "type", nil, "only records of this `type`; given again: of these ('': those without one)")
	flags.Var(&f.since, "since", "only records from this `time` on")
	flags.Var(&f.until, "until", "only records before this `time`")
	flags.IntVar(&f.query.Limit, "limit", defaultLimit, "at most so many (0: all)")
	flags.BoolVar(&f.query.Reverse, "reverse", false, "newest first")
	flags.BoolVar(&f.payload, "payload", false, "show payloads whole")
}

// addPrefix adds the flag for reads of the whole store.
func (f *recordsFlags) addPrefix(c *cobra.Command) {
	c.Flags().StringVar(&f.query.Prefix, "prefix", "", "only streams whose `name` begins so")
}

// addKinds adds the flag of the commands that are not of one kind.
func (f *recordsFlags) addKinds(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.kinds, "kind", nil, "only these `kinds`: "+strings.Join(kindNames(), ", ")+" (default all but snapshot)")
	completes(c, "kind", kindNames()...)
}

// check finishes the query, and says what makes no sense in it before any store is
// opened.
func (f *recordsFlags) check() error {
	if f.kinds != nil && len(f.kinds) == 0 {
		f.kinds = []string{""}
	}
	for _, name := range f.kinds {
		k, err := backend.ParseKind(name)
		if err != nil {
			return usagef("--kind %s: want %s or %s", value(name), strings.Join(kindNames()[:4], ", "), kindNames()[4])
		}
		f.query.Kinds |= backend.KindSet(k)
	}
	f.query.Since, f.query.Until = f.since.Time, f.until.Time
	q := f.query
	switch {
	case q.Stream != "" && q.Kinds.Has(backend.Snapshot) && q.Kinds != backend.KindSet(backend.Snapshot):
		return usagef("--kind: of a stream, ask for its snapshots alone or not at all")
	case !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until):
		return usagef("--since %v is not before --until %v: nothing lies between them", &f.since, &f.until)
	}
	if err := nameLike("prefix", q.Prefix, backend.MaxStreamBytes); err != nil {
		return err
	}
	for _, name := range q.Types {
		if err := nameLike("type", name, backend.MaxTypeBytes); err != nil {
			return err
		}
	}
	if err := upwards(q.From, q.To); err != nil {
		return err
	}
	return notNegative(q.Limit)
}

// nameLike is the check of a flag that stands for a name, or for its beginning.
func nameLike(flag, value string, limit int) error {
	switch {
	case len(value) > limit:
		return usagef("--%s of %d bytes: want at most %d", flag, len(value), limit)
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return usagef("--%s %s: want UTF-8 without NUL bytes", flag, quoted(value))
	}
	return nil
}

// upwards is the check of --from and --to.
func upwards(from, to uint64) error {
	if to != 0 && from > to {
		return usagef("--from %d is above --to %d: nothing lies between them", from, to)
	}
	return nil
}

// notNegative is the check of a --limit.
func notNegative(limit int) error {
	if limit < 0 {
		return usagef("--limit %d: want 0 (no limit) or more", limit)
	}
	return nil
}

// limitOf is the limit to ask the store for: one more than shown, to know whether
// there is more.
func limitOf(limit int) int {
	if limit > 0 && limit < math.MaxInt {
		return limit + 1
	}
	return limit
}

// heading prints the names of the columns.
func (r *rows) heading(format string, names ...any) {
	line := strings.TrimSuffix(fmt.Sprintf(format, names...), "\n")
	fmt.Fprintln(r.out, r.paint(dim, line))
}
