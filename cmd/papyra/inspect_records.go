package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/papyra-go/papyra/backend"
)

// defaultLimit is how many records are shown if --limit does not say.
const defaultLimit = 100

// recordsFlags are the flags of inspect stream and inspect events.
type recordsFlags struct {
	query   backend.Query
	kinds   []string
	payload bool
}

func (f *recordsFlags) add(flags *pflag.FlagSet, place string) {
	flags.Uint64Var(&f.query.From, "from", 0, "from this "+place+" on (0: the first there is)")
	flags.Uint64Var(&f.query.To, "to", 0, "up to and with this "+place+" (0: the last)")
	flags.IntVar(&f.query.Limit, "limit", defaultLimit, "at most so many (0: all)")
	flags.BoolVar(&f.query.Reverse, "reverse", false, "newest first")
	flags.StringSliceVar(&f.kinds, "kind", nil, "only these `kinds`: event, snapshot, lifecycle, audit, deadletter (default all but snapshot)")
	flags.BoolVar(&f.payload, "payload", false, "show payloads whole")
}

func (a *app) streamCommand() *cobra.Command {
	var f recordsFlags
	c := &cobra.Command{
		Use:   "stream NAME",
		Short: "Show one stream's records",
		Long: `stream shows the records of one stream in the order of their versions. A
payload is shown as JSON if it is JSON, as quoted text if it is text, else in
hexadecimal. A stream's snapshots have an order of their own, and are
asked for alone: --kind snapshot.`,
		Example: "  papyra inspect stream order-17 --store file:///var/lib/app\n  papyra inspect stream order-17 --reverse --limit 1 --payload\n  papyra inspect stream order-17 --kind snapshot",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%s takes one stream's name, got %d arguments", c.CommandPath(), len(args))
			}
			return backend.CheckStream(args[0])
		},
		RunE: func(c *cobra.Command, args []string) error {
			f.query.Stream = args[0]
			return a.records(c.Context(), f)
		},
	}
	f.add(c.Flags(), "version")
	return c
}

func (a *app) eventsCommand() *cobra.Command {
	var f recordsFlags
	c := &cobra.Command{
		Use:   "events",
		Short: "Show all records, in commit order",
		Long: `events shows the records of all streams in the order of their positions, which
is the order in which they were committed.`,
		Example: "  papyra inspect events --store file:///var/lib/app --reverse --limit 20\n  papyra inspect events --kind lifecycle,deadletter",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.records(c.Context(), f) },
	}
	f.add(c.Flags(), "position")
	return c
}

// recordsHeader begins the document of a list of records.
type recordsHeader struct {
	header
	Stream string `json:"stream,omitempty"`
}

func (a *app) records(ctx context.Context, f recordsFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	b, p, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	head := recordsHeader{headerOf("papyra.records/1", p, b), f.query.Stream}
	list, err := a.beginRows(head, "records", f.query.Limit)
	if err != nil {
		return err
	}
	return list.end(list.records(ctx, b, f))
}

// check turns --kind into the query's kinds.
func (f *recordsFlags) check() error {
	for _, name := range f.kinds {
		k, err := backend.ParseKind(name)
		if err != nil {
			return usagef("--kind: %w", err)
		}
		f.query.Kinds |= backend.KindSet(k)
	}
	if q := f.query; q.Stream != "" && q.Kinds.Has(backend.Snapshot) && q.Kinds != backend.KindSet(backend.Snapshot) {
		return usagef("--kind: of a stream, ask for its snapshots alone or not at all")
	}
	return notNegative(f.query.Limit)
}

// textRow lays out a record for people: numbers to the right, what may be long at
// the end.
const textRow = "%10v %9v  %-30v  %-10v  %-14v  %-20v  %v%v\n"

func (r *rows) records(ctx context.Context, b *backend.Backend, f recordsFlags) error {
	if r.format == formatText {
		fmt.Fprintf(r.out, textRow, "POSITION", "VERSION", "TIME", "KIND", "TYPE", "STREAM", "PAYLOAD", "")
	}
	q := f.query
	q.Limit = limitOf(q.Limit)
	for record, err := range b.Read(ctx, q) {
		if err != nil {
			return err
		}
		if r.full() {
			return r.note("more: a higher --limit shows it (0: all)")
		}
		if err := r.record(&record, f.payload); err != nil {
			return err
		}
	}
	return r.unknown(ctx, b, q.Stream)
}

// unknown tells people that a stream with nothing to show does not exist at all.
func (r *rows) unknown(ctx context.Context, b *backend.Backend, stream string) error {
	if r.n > 0 || stream == "" {
		return nil
	}
	h, err := b.Head(ctx, stream)
	if err == nil && h == (backend.Head{}) {
		return r.note("there is no stream %s: papyra inspect streams lists them", show(stream))
	}
	return err
}

func (r *rows) record(record *backend.Record, whole bool) error {
	if r.format == formatJSON {
		return r.json(inspected(record, whole))
	}
	limit := previewBytes
	if whole {
		limit = 0
	}
	return r.line(textRow, record.Position, record.Version,
		record.Time.UTC().Format(time.RFC3339Nano), record.Kind, show(record.Type), show(record.Stream),
		preview(record.Payload, limit), metaText(record.Meta))
}

// metaText is the pairs of a record as people read them.
func metaText(m backend.Meta) string {
	text := ""
	for k, v := range m.All() {
		short, cut := clip(v, previewBytes)
		text += "  " + show(k) + "=" + show(short)
		if cut {
			text += "…"
		}
	}
	return text
}

// inspected is a record as one JSON object: with its payload, or with the
// beginning of it for people and its size.
func inspected(r *backend.Record, whole bool) []byte {
	if whole {
		if isJSON(r.Payload) {
			row := bytes.NewBuffer(append(appendNumbers(nil, r), `,"payload":`...))
			_ = json.Compact(row, r.Payload) // it is valid
			return append(row.Bytes(), '}')
		}
		return appendRecord(nil, r)
	}
	row := append(appendNumbers(nil, r), `,"payload_bytes":`...)
	row = fmt.Appendf(row, "%d", len(r.Payload))
	row = appendString(append(row, `,"preview":`...), preview(r.Payload, previewBytes))
	return append(row, '}')
}
