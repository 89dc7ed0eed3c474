package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

const quarantineLong = `A store in a directory keeps in quarantine/ what was cut from it, mended or given up, and files
that did not belong there. Nothing is ever deleted from there, and nothing is put back:
bytes that lie there failed their checksums, or were never acknowledged, or their positions
have been given up; to write them into a live store would be to guess.

What can be had of them: the bytes themselves (show --out), and those records that are
whole although their place was given up (export), as lines that can be imported elsewhere,
for instance into a new store together with an export of this one.

The commands here change nothing. With --dir they look into a directory that was given to
papyra recover as --quarantine-dir.`

const quarantineListLong = `list says what lies in quarantine: each file, how large it is, since when it lies
there, which bytes of what it was, and which marked holes of the store
belong to it: the positions, and streams and versions where they are known. It also works
where the store can't be opened; holes are not told then.`

const quarantineShowLong = `show says what one file in quarantine is, whether it is as it was saved, and which
records stand in it. Of a record it says whether the store

  lost      has given up its position (a marked hole): papyra quarantine export writes it
  stored    has it, as it stands here
  other     has another record there, or none: it was never acknowledged, as in a torn tail,
            or it is of a file that did not belong to the store

--out FILE writes the bytes to a file outside the store.`

const quarantineExportLong = `export writes the records that are whole in quarantine, and whose positions the store
has given up, as lines of JSON: those of papyra export, in the order of positions. Without
a FILE it looks at all that lies there.

Each of them is proven by its checksum, which binds its bytes to the store and its
position, but for its time: that counts from a time in the header of its group, and it is
the header that is damaged. What the header says is taken where it lies between the times
of the records before and behind; else the time of the record before is given. A line on
standard error says how many records were found.

--all also writes whole records that the store has not and did not give up: see "other" in
papyra quarantine show --help.`

// quarantineFlags are what the commands share.
type quarantineFlags struct{ dir string }

func (a *app) quarantineCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "quarantine",
		Short:   "Look at what repairs have set aside, and get it out",
		Long:    quarantineLong,
		Example: "  papyra quarantine list --store file:///var/lib/app\n  papyra quarantine export --store file:///var/lib/app --out given-up.ndjson",
		Args:    unknownCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SuggestionsMinimumDistance = 2
	f := new(quarantineFlags)
	c.PersistentFlags().StringVar(&f.dir, "dir", "", "the `directory` (default: the store's own quarantine)")
	c.AddCommand(a.quarantineListCommand(f), a.quarantineShowCommand(f), a.quarantineExportCommand(f))
	return c
}

// extent is a file in quarantine, and what its name says of it.
type extent struct {
	File  string    `json:"file"`
	Bytes int64     `json:"bytes"`
	Since time.Time `json:"since"` // the file's time
	// Of what it was; a file that was moved whole has no place.
	Source string        `json:"source"` // what the engine calls it; "file": a whole one
	ID     uint64        `json:"id,omitempty"`
	Offset int64         `json:"offset"` // -1: a whole file
	Length int64         `json:"length,omitempty"`
	Holes  []holeOfStore `json:"holes"`
	path   string        // where it lies
	saved  backend.Saved
	marks  []backend.Anomaly // of which Holes tell
}

// holeOfStore is a marked hole, as a scan tells of it.
type holeOfStore struct {
	Position backend.Position `json:"position"`
	Stream   string           `json:"stream,omitempty"`
	Version  backend.Version  `json:"version,omitempty"`
	Offset   int64            `json:"offset"`
	Length   int64            `json:"length,omitempty"`
	Detail   string           `json:"detail"`
}

// listShape is what quarantine list says.
type listShape struct {
	header
	Dir        string        `json:"dir"`
	Files      []extent      `json:"files"`
	Bytes      int64         `json:"bytes"`
	OtherHoles []holeOfStore `json:"other_holes"` // marked holes that no file here is of
	HolesError *errorShape   `json:"holes_error,omitempty"`
}

func (a *app) quarantineListCommand(f *quarantineFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "What lies in quarantine, and what it was",
		Long:    quarantineListLong,
		Example: "  papyra quarantine list --store file:///var/lib/app",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := a.openQuarantine(c.Context(), f)
			if err != nil {
				return err
			}
			defer q.close()
			return q.printList()
		},
	}
}

// quarantine is what lies in quarantine, and the store that it was of, if that can be
// opened.
type quarantine struct {
	*app
	place   place
	engine  string
	dir     string
	extents []extent
	others  []holeOfStore
	store   *backend.Backend // nil: it can't be opened, for the reason in err
	err     error
}

func (a *app) openQuarantine(ctx context.Context, f *quarantineFlags) (*quarantine, error) {
	p, err := a.place()
	if err != nil {
		return nil, err
	}
	if p.dir() == "" {
		return nil, &openError{p, fmt.Errorf("%w: only stores in a directory have a quarantine", backend.ErrUnsupported)}
	}
	if err := p.missing(); err != nil {
		return nil, &openError{p, err}
	}
	q := &quarantine{app: a, place: p, engine: p.url.Scheme, dir: f.dir}
	if q.dir == "" {
		q.dir = filepath.Join(p.dir(), quarantineDir)
	} else if info, err := os.Stat(q.dir); err != nil || !info.IsDir() {
		return nil, usagef("--dir %s is no directory that can be read", value(q.dir))
	}
	if q.extents, err = extentsIn(p.directory(), q.dir); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", backend.ErrUnavailable, value(q.dir), reason(err))
	}
	if q.store, q.err = p.open(ctx); q.err != nil {
		if word, _ := outcome(q.err); word != "corrupt" {
			return nil, q.err
		}
		return q, nil
	}
	return q, q.findHoles(ctx)
}

func (q *quarantine) close() {
	if q.store != nil {
		q.store.Close()
	}
}

// extentsIn lists the regular files of a directory; none if it is not there.
func extentsIn(d backend.Directory, dir string) (list []extent, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		info, infoErr := e.Info()
		if infoErr != nil || !info.Mode().IsRegular() {
			continue
		}
		x := extent{File: e.Name(), Bytes: info.Size(), Since: info.ModTime().UTC(), Holes: []holeOfStore{}, path: filepath.Join(dir, e.Name())}
		x.tell(d.Saved(e.Name()))
		list = append(list, x)
	}
	return list, err
}

// tell takes over what the engine says that was saved.
func (x *extent) tell(s backend.Saved) {
	x.saved, x.Source, x.ID, x.Offset, x.Length = s, s.Of, s.ID, s.Offset, s.Length
}

// findHoles tells the extents of the store's marked holes.
func (q *quarantine) findHoles(ctx context.Context) error {
	report, err := q.store.Scan(ctx, &backend.ScanOptions{Quick: q.place.directory().QuickHoles()})
	if err != nil {
		return err
	}
	for i := range report.Anomalies {
		a := &report.Anomalies[i]
		if a.Code != backend.MarkedHole {
			continue
		}
		h := holeOfStore{a.Position, a.Stream, a.Version, a.Offset, a.Length, a.Detail}
		at := slices.IndexFunc(q.extents, func(x extent) bool { return q.place.directory().Holds(&x.saved, a) })
		if at < 0 {
			q.others = append(q.others, h)
			continue
		}
		x := &q.extents[at]
		x.Holes, x.marks = append(x.Holes, h), append(x.marks, *a)
		if q.place.directory().Holds(&x.saved, a) { // which may tell more of it
			x.tell(x.saved)
		}
	}
	return nil
}

func (q *quarantine) printList() error {
	shape := listShape{header: header{"papyra.quarantine/1", q.place.String(), q.engine}, Dir: printable(filepath.ToSlash(q.dir)), Files: q.extents, OtherHoles: q.others}
	if shape.Files == nil {
		shape.Files = []extent{}
	}
	if shape.OtherHoles == nil {
		shape.OtherHoles = []holeOfStore{}
	}
	for _, x := range q.extents {
		shape.Bytes += x.Bytes
	}
	shape.HolesError = shapeOf(q.err)
	if q.format == formatJSON {
		return q.document(shape)
	}
	for i := range q.extents {
		x := &q.extents[i]
		fmt.Fprintf(q.out, "%s  %s  %s  %s\n", x.Since.Format(time.RFC3339), bytesText(uint64(x.Bytes)), show(x.File), x.saved.Text)
		q.printHoles(x.Holes)
	}
	if len(q.others) > 0 {
		fmt.Fprintln(q.out, "marked holes of which no bytes lie here")
		q.printHoles(q.others)
	}
	if q.err != nil {
		fmt.Fprintf(q.out, "the store's holes are not known: %s\n", printable(plain(q.err)))
	}
	_, err := fmt.Fprintf(q.out, "%s: %s, %s\n", printable(q.dir), count(len(q.extents), "file"), bytesText(uint64(shape.Bytes)))
	return err
}

func (q *quarantine) printHoles(holes []holeOfStore) {
	for i, h := range holes {
		if i == maxLinesShown {
			fmt.Fprintf(q.out, "  … and %d more (--format json shows all)\n", len(holes)-i)
			return
		}
		what := "which records is not known"
		switch {
		case h.Stream != "" && h.Version > 0:
			what = fmt.Sprintf("%s version %d", show(h.Stream), h.Version)
		case h.Stream != "":
			what = "a snapshot of " + show(h.Stream)
		}
		fmt.Fprintf(q.out, "  hole at position %d: %s\n", h.Position, what)
	}
}

// named is the extent of that name.
func (q *quarantine) named(name string) (*extent, error) {
	i := slices.IndexFunc(q.extents, func(x extent) bool { return x.File == name })
	if i < 0 {
		return nil, usagef("%s does not lie in %s: papyra quarantine list says what does", value(name), show(q.dir))
	}
	return &q.extents[i], nil
}
