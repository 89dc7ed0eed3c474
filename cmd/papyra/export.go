package main

import (
	"bufio"
	"context"
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

Damage ends the export with exit code 2, and the message says at which position;
--from and --to export what lies around it.`

// exportShape is what export says about a file that it wrote.
type exportShape struct {
	header
	Out     string           `json:"out"`
	Records uint64           `json:"records"`
	Bytes   int64            `json:"bytes"`
	First   backend.Position `json:"first_position"`
	Last    backend.Position `json:"last_position"`
}

func (a *app) exportCommand() *cobra.Command {
	var out string
	q := backend.Query{Kinds: backend.AllKinds}
	c := &cobra.Command{
		Use:     "export",
		Short:   "Write all records as lines of JSON",
		Long:    exportLong,
		Example: "  papyra export --store file:///var/lib/app --out app.jsonl\n  papyra export | zstd > app.jsonl.zst\n  papyra export --from 1001",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" || out == "-" {
				return a.exportHere(c.Context(), q)
			}
			return a.exportTo(c.Context(), q, out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "write to this `file` (default, and -: standard output)")
	c.Flags().Uint64Var(&q.From, "from", 0, "from this position on (0: the first there is)")
	c.Flags().Uint64Var(&q.To, "to", 0, "up to and with this position (0: the last)")
	return c
}

// exportHere writes the records to standard output, and nothing else.
func (a *app) exportHere(ctx context.Context, q backend.Query) error {
	b, _, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	_, err = exportRecords(ctx, b, q, a.out, new(progress))
	return err
}

// exportTo writes the records to a file and says how many.
func (a *app) exportTo(ctx context.Context, q backend.Query, path string) error {
	p, err := a.place()
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
	progress := a.progress("exporting", "")
	defer progress.end()
	var e exportShape
	err = replaceFile(target, func(w io.Writer) (err error) {
		buf := bufio.NewWriterSize(w, 1<<20)
		if e, err = exportRecords(ctx, b, q, buf, progress); err != nil {
			return err
		}
		return buf.Flush()
	})
	if err != nil {
		return err
	}
	e.header, e.Out = headerOf("papyra.export/1", p, b), path
	progress.end()
	return a.printExport(e)
}

func (a *app) printExport(e exportShape) error {
	if a.format == formatJSON {
		return a.document(e)
	}
	_, err := fmt.Fprintf(a.out, "%s: %s (%d bytes), positions %d to %d, to %s\n",
		e.Place, count(int(e.Records), "record"), e.Bytes, e.First, e.Last, show(e.Out))
	return err
}

// exportRecords writes what q asks for as lines.
func exportRecords(ctx context.Context, b *backend.Backend, q backend.Query, w io.Writer, p *progress) (e exportShape, err error) {
	last, err := b.Last(ctx)
	if err != nil {
		return e, err
	}
	var line []byte
	for r, err := range b.Read(ctx, q) {
		if err != nil {
			return e, e.stopped(err)
		}
		line = append(appendRecord(line[:0], &r), '\n')
		n, err := w.Write(line)
		if err != nil {
			return e, fmt.Errorf("writing the export: %w", err)
		}
		e.count(r.Position, n)
		p.set(int64(r.Position), int64(last))
	}
	return e, nil
}

func (e *exportShape) count(at backend.Position, n int) {
	if e.Records == 0 {
		e.First = at
	}
	e.Records++
	e.Bytes += int64(n)
	e.Last = at
}

// stopped says how far an export came before err.
func (e *exportShape) stopped(err error) error {
	if e.Records == 0 {
		return err
	}
	return &during{fmt.Sprintf("export stopped after position %d", e.Last), err}
}
