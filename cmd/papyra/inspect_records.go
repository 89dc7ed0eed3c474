package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

func (a *app) streamCommand() *cobra.Command {
	var f recordsFlags
	c := &cobra.Command{
		Use:   "stream NAME",
		Short: "Show one stream's records",
		Long: `stream shows the records of one stream in the order of their versions. A
payload is shown as JSON if it is JSON, as quoted text if it is text, else in
hexadecimal. A stream's snapshots have an order of their own, and are
asked for alone: --kind snapshot.

` + filtersLong,
		Example: "  papyra inspect stream order-17 --store file:///var/lib/app\n  papyra inspect stream order-17 --reverse --limit 1 --payload\n  papyra inspect stream order-17 --type paid --type refunded --since 2026-01-02\n  papyra inspect stream order-17 --kind snapshot",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%s takes one stream's name, got %s", c.CommandPath(), count(len(args), "argument"))
			}
			return backend.CheckStream(args[0])
		},
		ValidArgsFunction: a.completeStream,
		RunE: func(c *cobra.Command, args []string) error {
			f.query.Stream = args[0]
			return a.records(c.Context(), f)
		},
	}
	f.add(c, "version")
	f.addKinds(c)
	return c
}

func (a *app) eventsCommand() *cobra.Command {
	var f recordsFlags
	c := &cobra.Command{
		Use:   "events",
		Short: "Show all records, in commit order",
		Long: `events shows the records of all streams in the order of their positions, which
is the order in which they were committed: all kinds but snapshots, unless --kind
says otherwise.

` + filtersLong,
		Example: "  papyra inspect events --store file:///var/lib/app --reverse --limit 20\n  papyra inspect events --prefix order- --type paid --since 2026-01-02 --until 2026-01-03\n  papyra inspect events --kind lifecycle,deadletter --since 90m",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.records(c.Context(), f) },
	}
	f.add(c, "position")
	f.addPrefix(c)
	f.addKinds(c)
	return c
}

// ofKind are the commands that show all records of one kind.
var ofKind = []struct {
	use, what string
	kind      backend.Kind
}{
	{"snapshots", "snapshots: the states that actors have saved", backend.Snapshot},
	{"dead-letters", "dead letters: the messages that reached nobody", backend.DeadLetter},
	{"audits", "audits: the reports that actor systems made of themselves", backend.Audit},
	{"lifecycle", "lifecycle events: which actors started, stopped, crashed", backend.Lifecycle},
}

func (a *app) kindCommands() (list []*cobra.Command) {
	for _, k := range ofKind {
		var f recordsFlags
		f.query.Kinds = backend.KindSet(k.kind)
		c := &cobra.Command{
			Use:     k.use,
			Short:   "Show the " + k.what,
			Long:    k.use + " shows the " + k.what + ",\nof all streams, in commit order. It is inspect events --kind " + k.kind.String() + ".\n\n" + filtersLong,
			Example: "  papyra inspect " + k.use + " --store file:///var/lib/app --reverse --limit 10\n  papyra inspect " + k.use + " --since 24h --payload --format json",
			Args:    noArguments,
			RunE:    func(c *cobra.Command, _ []string) error { return a.records(c.Context(), f) },
		}
		f.add(c, "position")
		f.addPrefix(c)
		list = append(list, c)
	}
	return list
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

// textRow lays out a record for people: numbers to the right, what may be long at
// the end.
const textRow = "%10v %9v  %-30v  %-10v  %-14v  %-20v  %v%v\n"

func (r *rows) records(ctx context.Context, b *backend.Backend, f recordsFlags) error {
	if r.format == formatText {
		r.heading(textRow, "POSITION", "VERSION", "TIME", "KIND", "TYPE", "STREAM", "PAYLOAD", "")
	}
	q, some := systemStream(ctx, b, f.query)
	if !some {
		return r.none(ctx, b, f.query.Stream)
	}
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
	return r.none(ctx, b, f.query.Stream)
}

// systemStream is q turned into a read of one stream where that holds all that q can
// yield; some is false if none holds any of it. An actor system keeps the facts of a kind
// in one stream: in a store of one system nobody has to read a million events to find ten
// dead letters.
func systemStream(ctx context.Context, b *backend.Backend, q backend.Query) (_ backend.Query, some bool) {
	if q.Stream != "" || q.From != 0 || q.To != 0 || q.Kinds == 0 || q.Kinds.Has(backend.Event) || q.Kinds.Has(backend.Snapshot) {
		return q, true
	}
	only := ""
	for s, err := range b.Streams(ctx, backend.StreamQuery{Prefix: backend.SystemPrefix}) {
		switch {
		case err != nil: // what can be read in commit order is still shown
			return q, true
		case !q.Kinds.Has(backend.KindOf(s.Name)) || !strings.HasPrefix(s.Name, q.Prefix):
		case only != "":
			return q, true
		default:
			only = s.Name
		}
	}
	q.Stream, q.Prefix = only, ""
	return q, only != ""
}

// none tells people that there is nothing to show, and that a stream does not exist at
// all.
func (r *rows) none(ctx context.Context, b *backend.Backend, stream string) error {
	if r.n > 0 {
		return nil
	}
	if stream != "" {
		h, err := b.Head(ctx, stream)
		if err != nil {
			return err
		}
		if h == (backend.Head{}) {
			return r.note("there is no stream %s: papyra inspect streams lists them", value(stream))
		}
	}
	return r.note("there is no such record")
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
