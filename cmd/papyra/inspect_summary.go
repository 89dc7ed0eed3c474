package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

// summaryShape is what inspect summary says. What it counts, it counted by reading
// every record: it vouches for them.
type summaryShape struct {
	header
	Last     backend.Position `json:"last_position"`
	First    backend.Position `json:"first_position"`
	Streams  uint64           `json:"streams"`
	Records  uint64           `json:"records"`
	ByKind   kindCounts       `json:"records_by_kind"`
	Bytes    uint64           `json:"bytes"`
	Oldest   *time.Time       `json:"oldest,omitempty"`
	Newest   *time.Time       `json:"newest,omitempty"`
	Engines  []statShape      `json:"engine_stats"`
	Complete bool             `json:"complete"`
	// Unlisted is why streams may be missing from the count, Error what ended the
	// counting of the records or, if nothing did, Unlisted too.
	Unlisted *errorShape `json:"streams_error,omitempty"`
	Error    *errorShape `json:"error,omitempty"`
}

// kindCounts are records by kind, in the order of the kinds.
type kindCounts struct {
	Event      uint64 `json:"event"`
	Snapshot   uint64 `json:"snapshot"`
	Lifecycle  uint64 `json:"lifecycle"`
	Audit      uint64 `json:"audit"`
	DeadLetter uint64 `json:"deadletter"`
}

func (k *kindCounts) of(kind backend.Kind) *uint64 {
	return [...]*uint64{new(uint64), &k.Event, &k.Snapshot, &k.Lifecycle, &k.Audit, &k.DeadLetter}[kind]
}

// statShape is one figure of the engine's own.
type statShape struct {
	Name  string `json:"name"`
	Unit  string `json:"unit"`
	Value int64  `json:"value"`
}

func (a *app) summaryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "summary",
		Short: "Show how much of what a store holds (reads every record)",
		Long: `summary reads every record and counts them, by kind: what it counts could be read.
Where one can't be read it shows what it has counted until then, and says so.`,
		Example: "  papyra inspect summary --store file:///var/lib/app",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.summary(c.Context()) },
	}
}

func (a *app) summary(ctx context.Context) error {
	b, p, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	s := summaryShape{header: headerOf("papyra.summary/1", p, b)}
	err = a.summarize(ctx, b, &s)
	s.Complete, s.Error = err == nil, shapeOf(err)
	for _, stat := range b.Stats() {
		s.Engines = append(s.Engines, statShape{stat.Name, stat.Unit, stat.Value})
	}
	if a.format == formatJSON {
		if writeErr := a.document(s); writeErr != nil {
			return writeErr
		}
		return err
	}
	s.print(a)
	return err
}

// summarize counts until the end or until something can't be read. A list of streams
// that is not whole does not keep it from the records.
func (a *app) summarize(ctx context.Context, b *backend.Backend, s *summaryShape) (err error) {
	if s.Last, err = b.Last(ctx); err != nil {
		return err
	}
	unlisted := s.list(ctx, b)
	s.Unlisted = shapeOf(unlisted)
	progress := a.progress("reading", "")
	defer progress.end()
	for r, err := range b.Read(ctx, backend.Query{Kinds: backend.AllKinds}) {
		if err != nil {
			return err
		}
		s.count(&r)
		progress.set(int64(r.Position), int64(s.Last))
	}
	return unlisted
}

func (s *summaryShape) list(ctx context.Context, b *backend.Backend) error {
	for _, err := range b.Streams(ctx, backend.StreamQuery{}) {
		if err != nil {
			return err
		}
		s.Streams++
	}
	return nil
}

func (s *summaryShape) count(r *backend.Record) {
	if s.Records == 0 {
		s.First = r.Position
	}
	s.Records++
	*s.ByKind.of(r.Kind)++
	s.Bytes += uint64(r.Size())
	t := r.Time.UTC()
	if s.Oldest == nil || t.Before(*s.Oldest) {
		s.Oldest = &t
	}
	if s.Newest == nil || t.After(*s.Newest) {
		s.Newest = &t
	}
}

func (s *summaryShape) print(a *app) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(a.out, "%s %s\n", a.paint(dim, fmt.Sprintf("%-10s", name)), fmt.Sprintf(format, args...))
	}
	incomplete := func(why string) {
		fmt.Fprintf(a.out, "%s %s\n", a.judged(statusWarning, "incomplete"), why)
	}
	row("place", "%s", s.Place)
	row("engine", "%s", s.Engine)
	row("positions", "%d to %d", s.First, s.Last)
	row("streams", "%d", s.Streams)
	row("records", "%d%s", s.Records, s.ByKind.text())
	row("bytes", "%d (names, types, meta and payloads)", s.Bytes)
	if s.Oldest != nil {
		row("oldest", "%s", s.Oldest.Format(time.RFC3339Nano))
		row("newest", "%s", s.Newest.Format(time.RFC3339Nano))
	}
	for _, stat := range s.Engines {
		if stat.Value != 0 { // such as what only a handle that writes counts
			row(s.Engine, "%s", stat.text())
		}
	}
	if s.Unlisted != nil {
		incomplete("the streams could not all be listed: " + printable(s.Unlisted.Message))
	}
	if s.Error != nil && (s.Unlisted == nil || *s.Error != *s.Unlisted) {
		incomplete("the records were counted until one could not be read")
	}
}

// text is the figure in plain words: "1 segment", "12 bytes of log", "3 errors (mark
// errors)".
func (s statShape) text() string {
	name := strings.ReplaceAll(s.Name, "_", " ")
	of, isBytes := strings.CutSuffix(name, " bytes")
	unit := strings.Trim(s.Unit, "{}")
	switch {
	case s.Unit == "By" && isBytes:
		return count(int(s.Value), "byte") + " of " + of
	case s.Unit == "By":
		return count(int(s.Value), "byte") + " (" + name + ")"
	case unit == s.Unit: // not in braces: a unit of measure, or none
		return strings.Join(strings.Fields(fmt.Sprintf("%d %s (%s)", s.Value, unit, name)), " ")
	case name == unit+"s":
		return count(int(s.Value), unit)
	}
	return count(int(s.Value), unit) + " (" + name + ")"
}

// text is " (event 3, snapshot 1)", or nothing.
func (k *kindCounts) text() string {
	var parts []string
	for kind := backend.Event; kind.Valid(); kind++ {
		if n := *k.of(kind); n > 0 {
			parts = append(parts, fmt.Sprintf("%v %d", kind, n))
		}
	}
	if parts == nil {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
