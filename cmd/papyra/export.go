package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/lines"
	"github.com/papyra-go/papyra/internal/transfer"
)

const exportLong = `export writes all that a store holds as lines of JSON, to standard output or to a
file: a head line, one line for each record, snapshots too, in commit order, one for
each stream whose records are all gone, and a last line with counts and a checksum, so
that an export that was cut off or changed is noticed. papyra import makes the same
store of it again. Equal stores give equal bytes. A file whose name ends in .zst is
compressed with zstd.

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
	Gone    uint64           `json:"gone"` // streams of which nothing is left
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
		Example: "  papyra export --store file:///var/lib/app --out app.ndjson\n  papyra export --out app.ndjson.zst\n  papyra export | zstd > app.ndjson.zst\n  papyra export --from 1001\n  papyra export --skip-damage --out rescued.ndjson",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := upwards(q.From, q.To); err != nil {
				return err
			}
			if most := max(q.From, q.To); most > backend.MaxNumber { // no import takes a head line with that
				return usagef("position %d: the highest there can be is %d", most, uint64(backend.MaxNumber))
			}
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
	w        *transfer.Writer
	progress *progress
	last     backend.Position // in the store
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
	x.progress = new(progress)
	if err := x.write(ctx, b, x.out); err != nil {
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
		if err := x.packed(ctx, b, buf, strings.HasSuffix(target, ".zst")); err != nil {
			return err
		}
		return buf.Flush()
	})
	if err != nil {
		return err
	}
	x.done = exportShape{headerOf("papyra.export/1", p, b), path, x.w.Records, x.w.Gone, x.w.Bytes, x.w.First, x.w.Last, x.left.positions}
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

// packed is write, compressed if zip is set. It compresses in one thread, so that equal
// stores give equal bytes on every machine.
func (x *exporter) packed(ctx context.Context, b *backend.Backend, w io.Writer, zip bool) error {
	if !zip {
		return x.write(ctx, b, w)
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return err
	}
	if err := x.write(ctx, b, z); err != nil {
		return err
	}
	return z.Close()
}

// write writes the lines of the export.
func (x *exporter) write(ctx context.Context, b *backend.Backend, w io.Writer) (err error) {
	head := lines.Head{From: backend.Position(x.query.From), To: backend.Position(x.query.To), SkipsDamage: x.skip}
	if x.last, err = b.Last(ctx); err != nil {
		return err
	}
	if x.w, err = transfer.NewWriter(w, head); err != nil {
		return err
	}
	last := x.last
	switch {
	case head.Whole():
		err = x.whole(ctx, b)
	case x.skip:
		err = x.around(ctx, b)
	default:
		if err = x.read(ctx, b, &x.query); err != nil {
			err = x.stopped(err)
		}
	}
	if x.query.To > 0 && x.query.To < uint64(last) {
		last = 0
	}
	if err != nil {
		return err
	}
	return x.w.Finish(last)
}

// whole writes all that the store holds.
func (x *exporter) whole(ctx context.Context, b *backend.Backend) error {
	for item, err := range transfer.Items(ctx, b) {
		if err != nil {
			return x.stopped(err)
		}
		if err := x.w.Put(item); err != nil {
			return err
		}
		x.progress.set(int64(x.w.Last), int64(x.last))
	}
	return nil
}

// read writes the records that q asks for until the end or an error, and moves q.From
// behind what it wrote.
func (x *exporter) read(ctx context.Context, b *backend.Backend, q *backend.Query) error {
	for r, err := range b.Read(ctx, *q) {
		if err != nil {
			return err
		}
		if err := x.w.Put(lines.Line{Record: &r}); err != nil {
			return err
		}
		x.progress.set(int64(r.Position), int64(x.last))
		q.From = uint64(r.Position) + 1
	}
	return nil
}

// stopped says how far an export came before err, and what to do about damage.
func (x *exporter) stopped(err error) error {
	if errors.Is(err, backend.ErrCorrupt) {
		err = &hinted{"--skip-damage leaves it out and exports the rest; papyra scan says what else to do", err}
	}
	if x.w.Records == 0 {
		return err
	}
	return &during{fmt.Sprintf("export stopped after position %d", x.w.Last), err}
}
