package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

const exportLong = `export writes every record, snapshots too, as one line of JSON each, in commit
order, to standard output or to a file. Equal stores give equal bytes.

A payload that is JSON without white space between its tokens stands in "payload"
with its own bytes; any other payload stands in "payload_base64". A file is written
beside its place, synced, and renamed when it is complete: what was there before
stays until then, and stays for good if the export fails.

Damage ends the export with exit code 2, and the message says at which position.
With --skip-damage the export goes on behind it: it writes every record that can be
read, says on standard error what was left out and where that was, and still exits
with 2. --from and --to bound it.`

// exportShape is what export says about a file that it wrote.
type exportShape struct {
	header
	Out     string           `json:"out"`
	Records uint64           `json:"records"`
	Bytes   int64            `json:"bytes"`
	First   backend.Position `json:"first_position"`
	Last    backend.Position `json:"last_position"`
	LeftOut uint64           `json:"left_out"` // positions; 0 unless --skip-damage was given
}

func (a *app) exportCommand() *cobra.Command {
	var out string
	var skip bool
	q := backend.Query{Kinds: backend.AllKinds}
	c := &cobra.Command{
		Use:     "export",
		Short:   "Write all records as lines of JSON",
		Long:    exportLong,
		Example: "  papyra export --store file:///var/lib/app --out app.ndjson\n  papyra export | zstd > app.ndjson.zst\n  papyra export --from 1001\n  papyra export --skip-damage --out rescued.ndjson",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			x := &exporter{app: a, query: q, skip: skip}
			if out == "" || out == "-" {
				return x.here(c.Context())
			}
			return x.to(c.Context(), out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "write to this `file` (default, and -: standard output)")
	c.Flags().Uint64Var(&q.From, "from", 0, "from this position on (0: the first there is)")
	c.Flags().Uint64Var(&q.To, "to", 0, "up to and with this position (0: the last)")
	c.Flags().BoolVar(&skip, "skip-damage", false, "leave out what can't be read, and go on behind it")
	return c
}

// exporter is one export.
type exporter struct {
	*app
	query    backend.Query
	skip     bool // damage is left out instead of ending the export
	w        io.Writer
	progress *progress
	last     backend.Position // in the store
	line     []byte
	done     exportShape
	left     leftOut
}

// here writes the records to standard output, and nothing else.
func (x *exporter) here(ctx context.Context) error {
	b, _, err := x.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	x.w, x.progress = x.out, new(progress)
	if err := x.records(ctx, b); err != nil {
		return err
	}
	return x.left.verdict()
}

// to writes the records to a file and says how many.
func (x *exporter) to(ctx context.Context, path string) error {
	p, err := x.place()
	if err != nil {
		return err
	}
	target, err := outputPath(path, p.dir())
	if err != nil {
		return err
	}
	b, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	x.progress = x.app.progress("exporting", "")
	defer x.progress.end()
	err = replaceFile(target, func(w io.Writer) error {
		buf := bufio.NewWriterSize(w, 1<<20)
		x.w = buf
		if err := x.records(ctx, b); err != nil {
			return err
		}
		return buf.Flush()
	})
	if err != nil {
		return err
	}
	x.done.header, x.done.Out, x.done.LeftOut = headerOf("papyra.export/1", p, b), path, x.left.positions
	x.progress.end()
	if err := x.print(); err != nil {
		return err
	}
	return x.left.verdict()
}

func (x *exporter) print() error {
	e := &x.done
	if x.format == formatJSON {
		return x.document(e)
	}
	_, err := fmt.Fprintf(x.out, "%s: %s (%s), positions %d to %d, to %s\n",
		e.Place, count(int(e.Records), "record"), count(int(e.Bytes), "byte"), e.First, e.Last, show(e.Out))
	return err
}

// records writes what the query asks for as lines.
func (x *exporter) records(ctx context.Context, b *backend.Backend) (err error) {
	if x.last, err = b.Last(ctx); err != nil {
		return err
	}
	if x.skip {
		return x.around(ctx, b)
	}
	if err := x.read(ctx, b, &x.query); err != nil {
		return x.stopped(err)
	}
	return nil
}

// read writes what q asks for until the end or an error, and moves q.From behind what
// it wrote.
func (x *exporter) read(ctx context.Context, b *backend.Backend, q *backend.Query) error {
	for r, err := range b.Read(ctx, *q) {
		if err != nil {
			return err
		}
		x.line = append(appendRecord(x.line[:0], &r), '\n')
		n, err := x.w.Write(x.line)
		if err != nil {
			return fmt.Errorf("writing the export: %w", err)
		}
		x.done.count(r.Position, n)
		x.progress.set(int64(r.Position), int64(x.last))
		q.From = uint64(r.Position) + 1
	}
	return nil
}

func (e *exportShape) count(at backend.Position, n int) {
	if e.Records == 0 {
		e.First = at
	}
	e.Records++
	e.Bytes += int64(n)
	e.Last = at
}

// stopped says how far an export came before err, and what to do about damage.
func (x *exporter) stopped(err error) error {
	if errors.Is(err, backend.ErrCorrupt) {
		err = &hinted{"--skip-damage leaves it out and exports the rest; papyra scan says what else to do", err}
	}
	if x.done.Records == 0 {
		return err
	}
	return &during{fmt.Sprintf("export stopped after position %d", x.done.Last), err}
}
