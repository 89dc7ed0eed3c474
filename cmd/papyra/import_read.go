package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/lines"
	"github.com/papyra-go/papyra/internal/transfer"
)

// check reads the files to the end before anything is written, where that is called for:
// exports always, as far as they can be read twice, other lines with --strict.
func (i *importer) check(ctx context.Context) error {
	if i.done.From != fromPapyra && !i.strict {
		return nil
	}
	err := i.each(func(in *input) (err error) {
		if !in.twice {
			in.begun, in.closer, err = i.begin(in)
			return err
		}
		if i.done.From == fromPapyra {
			return i.withExport(in, func(x *transfer.Export) error {
				n := 0
				for _, err := range x.Items() {
					if n++; err == nil && n%1024 == 0 && ctx.Err() != nil {
						err = context.Cause(ctx)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		format := i.foreignFormat()
		limits := backend.Limits{RecordBytes: backend.DefaultMaxRecordBytes}
		return i.lines(ctx, in, func(n int, line []byte) error {
			if err := transfer.CheckForeign(format, limits, in.base(), n, line); err != nil {
				return fmt.Errorf("%w line: %w", backend.ErrInvalid, err)
			}
			return nil
		})
	})
	var line *transfer.LineError
	switch {
	case errors.As(err, &line):
		return &during{"nothing was imported", badExport(err)}
	case err == nil && i.done.Bad > 0:
		return &coded{exitAnomalies, fmt.Errorf("nothing was imported: %s no good", count(i.done.Bad, "line"))}
	}
	i.done.Bad = 0
	return err
}

// badExport is the error of a line of an export.
func badExport(err error) error {
	if errors.Is(err, backend.ErrFormat) {
		return &hinted{"a newer papyra has written it, and can read it", err}
	}
	bad := &coded{exitAnomalies, err}
	if line := (*transfer.LineError)(nil); errors.As(err, &line) && line.Line == 1 {
		return &hinted{"if it is no export, say what it is: --from papyra-python or --from ndjson", bad}
	}
	return bad
}

// begin reads an export's head line; of what can be read only once, when the files are
// checked.
func (i *importer) begin(in *input) (*transfer.Export, io.Closer, error) {
	if in.begun != nil {
		return in.begun, in.closer, nil
	}
	r, c, err := in.open(i.told)
	if err != nil {
		return nil, nil, err
	}
	x, err := transfer.ReadExport(r, in.name)
	if err != nil {
		_ = c.Close() // it was only read
		return nil, nil, badExport(err)
	}
	return x, c, nil
}

// withExport reads one file as an export.
func (i *importer) withExport(in *input, f func(*transfer.Export) error) error {
	x, c, err := i.begin(in)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(x)
}

// exports imports files that papyra has written.
func (i *importer) exports(ctx context.Context, b *backend.Backend) error {
	return i.each(func(in *input) error {
		return i.withExport(in, func(x *transfer.Export) error {
			r, err := transfer.NewRestorer(ctx, b, x.Head.From)
			if err != nil {
				return err
			}
			defer r.Close()
			before := i.done
			err = r.Import(x, func(transfer.Stats) {})
			i.done.Records, i.done.Bytes = before.Records+r.Records, before.Bytes+r.Bytes
			i.done.Gone, i.done.Known, i.done.Last = before.Gone+r.Gone, before.Known+r.Known, max(before.Last, r.Last)
			return err
		})
	})
}

func (i *importer) foreignFormat() transfer.Foreign {
	if i.done.From == fromPython {
		return transfer.Python{}
	}
	return i.ndjson
}

// foreign imports lines that papyra has not written.
func (i *importer) foreign(ctx context.Context, b *backend.Backend) error {
	a, err := transfer.NewAppender(ctx, b, i.foreignFormat(), i.beside)
	if err != nil {
		return err
	}
	err = i.each(func(in *input) error {
		return i.lines(ctx, in, func(n int, line []byte) error { return a.Line(in.base(), n, line) })
	})
	if err == nil {
		err = a.Finish()
	}
	i.done.Records, i.done.Bytes, i.done.Known = a.Records, a.Bytes, a.Known
	last, lastErr := b.Last(context.WithoutCancel(ctx))
	if i.done.Last = last; err == nil {
		err = lastErr
	}
	return err
}

// lines hands out one file's lines, and notes those that are no good.
func (i *importer) lines(ctx context.Context, in *input, f func(n int, line []byte) error) error {
	r, c, err := in.open(i.told)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		line, err := r.Next()
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, lines.ErrTooLong):
		case err != nil:
			return &during{fmt.Sprintf("%s after line %d", in.name, r.Number()), reason(err)}
		default:
			if n := len(line); n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			}
			err = f(r.Number(), line)
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, backend.ErrInvalid) && !errors.Is(err, lines.ErrTooLong) || ctx.Err() != nil {
			return err
		}
		i.note(in, r.Number(), err)
	}
}

// note lists a bad line.
func (i *importer) note(in *input, n int, err error) {
	why := err
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if all := joined.Unwrap(); len(all) == 2 && all[0] == backend.ErrInvalid {
			why = all[1]
		}
	}
	i.done.Bad++
	switch {
	case i.done.Bad <= badListed:
		i.progress.hide()
		i.done.BadLines = append(i.done.BadLines, badLine{in.name, n, printable(why.Error())})
		fmt.Fprintf(i.err, "papyra: %s line %d: %s\n", in.name, n, printable(why.Error()))
	case i.done.Bad == badListed+1:
		fmt.Fprintf(i.err, "papyra: more lines are no good; they are counted\n")
	}
}
