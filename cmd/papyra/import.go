package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/transfer"
)

const importLong = `import puts what files hold into a store, and makes the store if it is not there.
Files compressed with zstd are read as they are; - is standard input.

Without --from, or with --from papyra, the files are exports of papyra. The store is
then the one that was exported: versions, positions, times, batches, snapshots, epochs,
and where streams stand that were cut or deleted. Files are checked to the end before
anything is written. A store that holds something is left alone, unless that is what the
export begins with: an import that was interrupted goes on when it is run again.

--from papyra-python reads what the Python library Papyra writes. Events, audits and dead
letters go to the streams $sys/<system>/lifecycle, audit and deadletter; each line stays
as it is, as the payload. Of rotated files, name them all: they are put in order.

--from ndjson reads any lines of JSON, each of which becomes the payload of an event:
--stream-field, --type-field and --time-field name the fields (a.b: inside an object)
that its stream, type and time are taken from; --stream names one stream for all.

Of these two, a line that is no good is told, with its file and number, and left out; the
exit code is then 2. With --strict nothing is written if any line is no good. The store
must be empty, or hold an earlier import of the same files, which goes on behind what it
has; --beside puts the records behind whatever there is, each time it is run.`

// importShape is what import says.
type importShape struct {
	header
	From     string           `json:"from"`
	Created  bool             `json:"created"`
	Files    []string         `json:"files"`
	Records  uint64           `json:"records"`
	Bytes    uint64           `json:"bytes"` // of the records, as they count in a store
	Gone     uint64           `json:"gone"`
	Known    uint64           `json:"known"`
	Last     backend.Position `json:"last_position"`
	Bad      int              `json:"bad"`
	BadLines []badLine        `json:"bad_lines"`
	Complete bool             `json:"complete"`
	Error    *errorShape      `json:"error,omitempty"`
}

type badLine struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

// badListed bounds how many bad lines are listed; all are counted.
const badListed = 1000

const (
	fromPapyra = "papyra"
	fromPython = "papyra-python"
	fromNDJSON = "ndjson"
)

// importer is one import.
type importer struct {
	*app
	done     importShape
	files    []*input
	kind     string
	ndjson   transfer.NDJSON
	strict   bool
	beside   bool
	progress *progress
	before   int64 // bytes of the files that are through
	total    int64 // of all files; 0: not known
}

func (a *app) importCommand() *cobra.Command {
	i := &importer{app: a}
	c := &cobra.Command{
		Use:   "import FILE...",
		Short: "Put exports, or other lines of JSON, into a store",
		Long:  importLong,
		Example: "  papyra import --store file:///var/lib/app app.ndjson.zst\n" +
			"  papyra export --store file:///a | papyra import --store file:///b -\n" +
			"  papyra import --from papyra-python --store file:///var/lib/app events.ndjson events.ndjson.*\n" +
			"  papyra import --from ndjson --stream-field user.id --type-field kind --time-field at --store file:///var/lib/app log.ndjson",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("import needs a file, or - for standard input")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return i.run(c, args) },
	}
	f := c.Flags()
	f.StringVar(&i.done.From, "from", fromPapyra, "what the files hold: papyra, papyra-python or ndjson")
	f.StringVar(&i.ndjson.Stream, "stream", "", "ndjson: the `stream` of all records")
	f.StringVar(&i.ndjson.StreamField, "stream-field", "", "ndjson: the `field` that names a record's stream")
	f.StringVar(&i.ndjson.TypeField, "type-field", "", "ndjson: the `field` that names a record's type")
	f.StringVar(&i.ndjson.TimeField, "time-field", "", "ndjson: the `field` with a record's time, RFC 3339 or a number since 1970")
	f.StringVar(&i.kind, "kind", backend.Event.String(), "ndjson: event, lifecycle, audit or deadletter; but for events, the stream is the system's name")
	f.BoolVar(&i.strict, "strict", false, "write nothing if any line is no good")
	f.BoolVar(&i.beside, "beside", false, "papyra-python, ndjson: put the records behind what the store holds")
	return c
}

func (i *importer) run(c *cobra.Command, args []string) (err error) {
	if err := i.checkFlags(c); err != nil {
		return err
	}
	p, err := i.place()
	if err != nil {
		return err
	}
	if i.done.From == fromPython {
		args = transfer.InOrder(args)
	}
	if i.files, err = inputs(args); err != nil {
		return err
	}
	if i.done.From != fromPapyra && !i.beside {
		if err := toldApart(i.files); err != nil {
			return err
		}
	}
	i.done.Files, i.done.BadLines = []string{}, []badLine{}
	for _, in := range i.files {
		i.done.Files = append(i.done.Files, in.name)
		i.total += in.size
		if i.strict && !in.twice && i.done.From != fromPapyra {
			return usagef("--strict reads the lines twice, which %s does not allow: give a file", in.name)
		}
	}
	err = i.into(c.Context(), p)
	i.progress.end()
	if i.done.Schema == "" { // the store was not opened
		return err
	}
	i.done.Complete, i.done.Error = err == nil, shapeOf(err)
	if printErr := i.print(); err == nil {
		err = printErr
	}
	if err == nil && i.done.Bad > 0 {
		err = &coded{exitAnomalies, fmt.Errorf("%s left out, which were no good; all others are in the store", count(i.done.Bad, "line"))}
	}
	return err
}

// checkFlags checks the flags that belong to one format.
func (i *importer) checkFlags(c *cobra.Command) (err error) {
	switch i.done.From {
	case fromPapyra, fromPython, fromNDJSON:
	default:
		return usagef("--from %s: want papyra, papyra-python or ndjson", value(i.done.From))
	}
	for _, name := range []string{"stream", "stream-field", "type-field", "time-field", "kind"} {
		if c.Flags().Changed(name) && i.done.From != fromNDJSON {
			return usagef("--%s is for --from ndjson", name)
		}
	}
	if i.beside && i.done.From == fromPapyra {
		return usagef("--beside is for --from papyra-python and ndjson: an export has positions of its own")
	}
	if i.done.From != fromNDJSON {
		return nil
	}
	n := &i.ndjson
	if (n.Stream == "") == (n.StreamField == "") {
		return usagef("--from ndjson needs one of --stream-field and --stream")
	}
	if n.Kind, err = backend.ParseKind(i.kind); err != nil || n.Kind == backend.Snapshot {
		return usagef("--kind %s: want event, lifecycle, audit or deadletter", value(i.kind))
	}
	if n.Stream == "" {
		return nil
	}
	stream := n.Stream
	if n.Kind != backend.Event {
		stream = backend.SystemStream(stream, n.Kind)
	} else if backend.KindOf(stream) != backend.Event {
		return usagef("--stream %s is an actor system's: events can't stand there (see --kind)", value(stream))
	}
	return backend.CheckStream(stream)
}

// into imports the files into the store at p.
func (i *importer) into(ctx context.Context, p place) (err error) {
	i.progress = i.app.progress("checking", "bytes")
	if err := i.check(ctx); err != nil {
		return err
	}
	i.progress.end()
	b, made, err := p.openToFill(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := b.Close(); err == nil {
			err = closeErr
		}
	}()
	i.done.header, i.done.Created = headerOf("papyra.import/1", p, b), made
	i.progress, i.before = i.app.progress("importing", "bytes"), 0
	if i.done.From == fromPapyra {
		err = i.exports(ctx, b)
	} else {
		err = i.foreign(ctx, b)
	}
	return i.stopped(err)
}

// told moves the progress on, within one file.
func (i *importer) told(n int64) {
	if i.total > 0 {
		i.progress.set(i.before+n, i.total)
	}
}

// each opens one file after the other.
func (i *importer) each(f func(*input) error) error {
	i.before = 0
	for _, in := range i.files {
		if err := f(in); err != nil {
			return err
		}
		i.before += in.size
	}
	return nil
}

// stopped says how far an import came before err.
func (i *importer) stopped(err error) error {
	var other *transfer.DiffersError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errInterrupted):
		err = errInterrupted
	case errors.As(err, &other):
		return &hinted{"import into an empty place", err}
	case errors.Is(err, transfer.ErrNotEmpty):
		return &hinted{"import into an empty place, or, if the records are to stand behind those, with --beside", err}
	}
	again := "; run it again to go on there"
	if errors.As(err, new(*transfer.LineError)) {
		err, again = badExport(err), ""
	}
	if i.done.Records+i.done.Gone == 0 {
		return &during{"nothing was imported", err}
	}
	return &during{fmt.Sprintf("import stopped after position %d%s", i.done.Last, again), err}
}

func (i *importer) print() error {
	d := &i.done
	if i.format == formatJSON {
		return i.document(d)
	}
	if d.Error != nil && d.Records+d.Gone == 0 && !d.Created {
		return nil
	}
	made := ""
	if d.Created {
		made = "created; "
	}
	fmt.Fprintf(i.out, "%s: %s%s (%s) imported, up to position %d\n", d.Place, made, count(int(d.Records), "record"), count(int(d.Bytes), "byte"), d.Last)
	if d.Gone > 0 {
		fmt.Fprintf(i.out, "%s of which nothing is left\n", count(int(d.Gone), "stream"))
	}
	if d.Known > 0 {
		fmt.Fprintf(i.out, "%s there already\n", count(int(d.Known), "line"))
	}
	return nil
}
