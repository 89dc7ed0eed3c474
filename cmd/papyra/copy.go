package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/transfer"
)

const copyLong = `copy puts all that one store holds into another, whatever their engines: an export of
the one is then an export of the other. The first is only read; the second is made if it
is not there.

A store that holds something is left alone, unless that is what the first begins with:
a copy that was interrupted goes on when it is run again. With --verify both stores are
read again, side by side, when it is done; the exit code is 2 if they differ.`

// copyShape is what copy says.
type copyShape struct {
	Schema   string           `json:"schema"`
	From     endShape         `json:"from"`
	To       endShape         `json:"to"`
	Created  bool             `json:"created"`
	Records  uint64           `json:"records"`
	Bytes    uint64           `json:"bytes"`
	Gone     uint64           `json:"gone"`
	Known    uint64           `json:"known"`
	Last     backend.Position `json:"last_position"`
	Verified bool             `json:"verified"`
	Error    *errorShape      `json:"error,omitempty"`
}

type endShape struct {
	Place  string `json:"place"`
	Engine string `json:"engine"`
}

// copier is one copy.
type copier struct {
	*app
	from, to string
	verify   bool
	done     copyShape
	progress *progress
}

func (a *app) copyCommand() *cobra.Command {
	x := &copier{app: a}
	c := &cobra.Command{
		Use:     "copy",
		Short:   "Put all of one store into another",
		Long:    copyLong,
		Example: "  papyra copy --from file:///var/lib/app --to file:///mnt/new/app --verify",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return x.run(c.Context()) },
	}
	c.Flags().StringVar(&x.from, "from", "", "the `URL` of the store to copy")
	c.Flags().StringVar(&x.to, "to", "", "the `URL` of the store to copy it into")
	c.Flags().BoolVar(&x.verify, "verify", false, "compare the two when it is done")
	return c
}

func (x *copier) run(ctx context.Context) error {
	from, err := x.placeOf(x.from, "--from")
	if err != nil {
		return err
	}
	to, err := x.placeOf(x.to, "--to")
	if err != nil {
		return err
	}
	if from.String() == to.String() || from.dir() != "" && to.dir() != "" && followed(from.dir()) == followed(to.dir()) {
		return usagef("--from and --to are the same store: %s", from)
	}
	if inside(to.dir(), from.dir()) && to.dir() != "" {
		return usagef("--to %s lies inside the store that is copied: give a place outside it", to)
	}
	a, err := from.open(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	b, made, err := to.openToFill(ctx)
	if err != nil {
		return err
	}
	x.done = copyShape{Schema: "papyra.copy/1", From: endShape{from.String(), a.Engine()}, To: endShape{to.String(), b.Engine()}, Created: made}
	err = x.carry(ctx, a, b)
	if closeErr := b.Close(); err == nil {
		err = closeErr
	}
	x.progress.end()
	x.done.Error = shapeOf(err)
	if printErr := x.print(); err == nil {
		err = printErr
	}
	return err
}

// carry copies, and compares.
func (x *copier) carry(ctx context.Context, a, b *backend.Backend) error {
	last, err := a.Last(ctx)
	if err != nil {
		return err
	}
	r, err := transfer.NewRestorer(ctx, b, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	x.progress = x.app.progress("copying", "")
	err = r.Restore(transfer.Items(ctx, a), func() backend.Position { return last }, func(s transfer.Stats) {
		x.progress.set(int64(s.Last), int64(last))
	})
	x.done.Records, x.done.Bytes, x.done.Gone, x.done.Known, x.done.Last = r.Records, r.Bytes, r.Gone, r.Known, r.Last
	if err != nil {
		return x.stopped(err)
	}
	if !x.verify {
		return nil
	}
	x.progress.end()
	x.progress = x.app.progress("comparing", "")
	_, err = transfer.Compare(ctx, a, b, func(at backend.Position) { x.progress.set(int64(at), int64(last)) })
	if errors.As(err, new(*transfer.DiffersError)) {
		return &coded{exitAnomalies, &during{"the copy is not the same", err}}
	}
	x.done.Verified = err == nil
	return err
}

// stopped says how far a copy came before err.
func (x *copier) stopped(err error) error {
	var other *transfer.DiffersError
	if errors.Is(err, errInterrupted) {
		err = errInterrupted
	}
	if errors.As(err, &other) {
		return &hinted{"copy into an empty place", err}
	}
	if x.done.Records+x.done.Gone == 0 {
		return &during{"nothing was copied", err}
	}
	again := "; run it again to go on there"
	if errors.Is(err, backend.ErrCorrupt) {
		again = ""
	}
	return &during{fmt.Sprintf("copy stopped after position %d%s", x.done.Last, again), err}
}

func (x *copier) print() error {
	d := &x.done
	if x.format == formatJSON {
		return x.document(d)
	}
	if d.Error != nil && d.Records+d.Gone == 0 && !d.Created {
		return nil
	}
	made := ""
	if d.Created {
		made = "created; "
	}
	fmt.Fprintf(x.out, "%s: %s%s (%s) copied from %s, up to position %d\n", d.To.Place, made, count(int(d.Records), "record"), count(int(d.Bytes), "byte"), d.From.Place, d.Last)
	if d.Gone > 0 {
		fmt.Fprintf(x.out, "%s of which nothing is left\n", count(int(d.Gone), "stream"))
	}
	if d.Known > 0 {
		fmt.Fprintf(x.out, "%s there already\n", count(int(d.Known), "record"))
	}
	if d.Verified {
		fmt.Fprintf(x.out, "compared: both hold the same\n")
	}
	return nil
}
