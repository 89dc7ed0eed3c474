package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/lines"
	"github.com/papyra-go/papyra/internal/transfer"
)

// showShape is what quarantine show says.
type showShape struct {
	header
	extent
	Intact  *bool           `json:"intact,omitempty"` // as it was saved; not of a file that was moved whole
	Records []salvagedShape `json:"records"`
	Out     string          `json:"out,omitempty"`
	Error   *errorShape     `json:"error,omitempty"` // why records could not be looked for
}

// salvagedShape is a whole record in quarantine.
type salvagedShape struct {
	Offset   int64            `json:"file_offset"`
	Length   int64            `json:"file_length"`
	Position backend.Position `json:"position"`
	Stream   string           `json:"stream"`
	Version  backend.Version  `json:"version"`
	Kind     string           `json:"kind"`
	Type     string           `json:"type"`
	State    string           `json:"state"`
}

func (a *app) quarantineShowCommand(f *quarantineFlags) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:     "show FILE",
		Short:   "What one file in quarantine is, and which records stand in it",
		Long:    quarantineShowLong,
		Example: "  papyra quarantine show 00000006-4096-300-1a2b3c4d.bytes --store file:///var/lib/app\n  papyra quarantine show 00000006-4096-300-1a2b3c4d.bytes --out piece.bin",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%s takes the name of one file, as papyra quarantine list prints it", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			q, err := a.openQuarantine(c.Context(), f)
			if err != nil {
				return err
			}
			defer q.close()
			return q.show(c.Context(), args[0], out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "write the bytes to this `file`, outside the store")
	return c
}

func (q *quarantine) show(ctx context.Context, name, out string) error {
	x, err := q.named(name)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(x.path)
	if err != nil {
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, reason(err))
	}
	shape := showShape{header: header{"papyra.quarantined/1", q.place.String(), q.engine}, extent: *x, Records: []salvagedShape{}}
	if x.saved.Sum != "" {
		intact := int64(len(data)) == x.Length && fmt.Sprintf("%08x", crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))) == x.saved.Sum
		shape.Intact = &intact
	}
	found, err := q.records(ctx, x, data)
	if err != nil && !errors.Is(err, backend.ErrCorrupt) {
		return err
	}
	shape.Error = shapeOf(err)
	for _, f := range found {
		r := &f.Record
		shape.Records = append(shape.Records, salvagedShape{f.Offset, f.Length, r.Position, r.Stream, r.Version, r.Kind.String(), r.Type, f.state})
	}
	if out != "" {
		if shape.Out, err = q.copyOut(out, data); err != nil {
			return err
		}
	}
	return q.printShow(&shape)
}

// outputPath is where --out goes: outside the store, and outside the directory of --dir,
// in which nothing is written over.
func (q *quarantine) outputPath(out string) (string, error) {
	target, err := outputPath(out, q.place.dir())
	if err == nil && inside(target, q.dir) {
		err = usagef("--out %s lies in the quarantine: give a place outside it", value(out))
	}
	return target, err
}

// copyOut writes bytes to a file outside the store.
func (q *quarantine) copyOut(out string, data []byte) (string, error) {
	target, err := q.outputPath(out)
	if err != nil {
		return "", err
	}
	return printable(out), replaceFile(target, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// records finds the whole records of an extent, and what the store says of them.
func (q *quarantine) records(ctx context.Context, x *extent, data []byte) ([]salvaged, error) {
	if q.store == nil {
		return nil, q.err
	}
	whole, err := q.place.directory().Salvage(q.place.dir(), x.saved, data, x.marks)
	if err != nil {
		return nil, err
	}
	found := make([]salvaged, len(whole))
	for i := range whole {
		found[i].Salvaged = whole[i]
	}
	return found, q.judge(ctx, found)
}

func (q *quarantine) printShow(s *showShape) error {
	if q.format == formatJSON {
		return q.document(s)
	}
	fmt.Fprintf(q.out, "%s: %s, %s, since %s\n", show(s.File), s.saved.Text, bytesText(uint64(s.Bytes)), s.Since.Format("2006-01-02T15:04:05Z"))
	if s.Intact != nil && !*s.Intact {
		fmt.Fprintln(q.out, "NOT as it was saved: length or checksum differ from what its name says")
	}
	q.printHoles(s.Holes)
	q.list("whole records", len(s.Records), func(i int) string {
		r := &s.Records[i]
		return fmt.Sprintf("%-6s offset %d length %d: position %d: %s version %d %s %s", r.State, r.Offset, r.Length, r.Position, show(r.Stream), r.Version, r.Kind, show(r.Type))
	})
	var err error
	switch {
	case s.Error != nil:
		_, err = fmt.Fprintf(q.out, "records can't be looked for: %s\n", s.Error.Message)
	case len(s.Records) == 0:
		_, err = fmt.Fprintln(q.out, "no whole record stands in it")
	}
	if s.Out != "" {
		_, err = fmt.Fprintf(q.out, "%s written to %s\n", count(int(s.Bytes), "byte"), s.Out)
	}
	return err
}

func (a *app) quarantineExportCommand(f *quarantineFlags) *cobra.Command {
	var out string
	var all bool
	c := &cobra.Command{
		Use:        "export [FILE...]",
		Short:      "Write whole records whose places were given up as lines of JSON",
		Long:       quarantineExportLong,
		Example:    "  papyra quarantine export --store file:///var/lib/app --out given-up.ndjson\n  papyra quarantine export 00000006-4096-300-1a2b3c4d.bytes",
		SuggestFor: []string{"restore"},
		RunE: func(c *cobra.Command, args []string) error {
			q, err := a.openQuarantine(c.Context(), f)
			if err != nil {
				return err
			}
			defer q.close()
			return q.export(c.Context(), args, out, all)
		},
	}
	c.Flags().StringVar(&out, "out", "", "write to this `file` (default, and -: standard output)")
	c.Flags().BoolVar(&all, "all", false, "also whole records that the store did not give up, and has not")
	return c
}

func (q *quarantine) export(ctx context.Context, names []string, out string, all bool) error {
	if q.err != nil { // without the store nothing says what it has given up
		return q.err
	}
	found, err := q.wanted(ctx, names, all)
	if err != nil {
		return err
	}
	done := exportShape{header: header{"papyra.export/1", q.place.String(), q.engine}, Out: printable(out)}
	write := func(w io.Writer) error {
		if len(found) == 0 {
			return nil
		}
		buf := bufio.NewWriter(w)
		x, err := transfer.NewWriter(buf, lines.Head{SkipsDamage: true})
		for i := 0; i < len(found) && err == nil; i++ {
			err = x.Put(lines.Line{Record: &found[i].Record})
		}
		if err == nil {
			err = x.Finish(0)
		}
		if err != nil {
			return err
		}
		done.Records, done.Bytes, done.First, done.Last = x.Records, x.Bytes, x.First, x.Last
		return buf.Flush()
	}
	if out == "" || out == "-" {
		err = write(q.out)
	} else {
		var target string
		if target, err = q.outputPath(out); err == nil {
			err = replaceFile(target, write)
		}
	}
	if err != nil {
		return err
	}
	guessed := 0
	for _, f := range found {
		if !f.Timed {
			guessed++
		}
	}
	fmt.Fprintf(q.app.err, "papyra: %s found whole; the times of %d are those of the records before\n", count(len(found), "record"), guessed)
	if out == "" || out == "-" {
		return nil
	}
	return (&exporter{app: q.app, done: done}).print()
}

// wanted are the records to be exported, in the order of their positions, each once.
func (q *quarantine) wanted(ctx context.Context, names []string, all bool) (list []salvaged, err error) {
	extents := q.extents
	if len(names) > 0 {
		extents = nil
		for _, name := range names {
			x, err := q.named(name)
			if err != nil {
				return nil, err
			}
			extents = append(extents, *x)
		}
	}
	for i := range extents {
		data, err := os.ReadFile(extents[i].path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", backend.ErrUnavailable, reason(err))
		}
		found, err := q.records(ctx, &extents[i], data)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if f.state == stateLost || all && f.state == stateOther {
				list = append(list, f)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b salvaged) int { return cmp.Compare(a.Record.Position, b.Record.Position) })
	return slices.CompactFunc(list, func(a, b salvaged) bool { return a.Record.Position == b.Record.Position }), nil
}
