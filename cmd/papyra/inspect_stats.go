package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

// statsShape is what inspect stats says.
type statsShape struct {
	header
	Last         backend.Position `json:"last_position"`
	Capabilities []string         `json:"capabilities"`
	Limits       limitsShape      `json:"limits"`
	Engines      []figureShape    `json:"engine_stats"`
	Counters     []figureShape    `json:"counters"`
}

// limitsShape is what one append may carry.
type limitsShape struct {
	RecordBytes int `json:"record_bytes"`
	BatchBytes  int `json:"batch_bytes"`
}

// figureShape is a number with its name, its unit and what it counts.
type figureShape struct {
	Name  string `json:"name"`
	Unit  string `json:"unit"`
	Value int64  `json:"value"`
	Help  string `json:"help"`
}

func (a *app) statsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stats",
		Short: "Show the engine's own figures, and the counters with their names and units",
		Long: `stats shows what the engine can do, its limits, its own figures, and papyra's
counters with the names and units under which a monitoring system gets them. It
reads no records.

The counters are of this process, which has only opened the store to read it: an
application's own are served by the application.`,
		Example: "  papyra inspect stats --store file:///var/lib/app\n  papyra inspect stats --format json",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.stats(c.Context()) },
	}
}

func (a *app) stats(ctx context.Context) error {
	b, p, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	s := statsShape{header: headerOf("papyra.stats/1", p, b), Capabilities: abilities(b.Capabilities()), Engines: []figureShape{}}
	if s.Last, err = b.Last(ctx); err != nil {
		return err
	}
	s.Limits = limitsShape{b.Limits().RecordBytes, b.Limits().BatchBytes}
	for _, f := range b.Stats() {
		s.Engines = append(s.Engines, figureShape{f.Name, f.Unit, f.Value, f.Help})
	}
	for c, value := range b.Metrics().Snapshot().All() {
		s.Counters = append(s.Counters, figureShape{c.Name, c.Unit, int64(value), c.Help})
	}
	if a.format == formatJSON {
		return a.document(s)
	}
	return s.print(a)
}

// abilities are the names of what an engine can do.
func abilities(c backend.Capabilities) []string {
	list := []string{}
	for _, can := range []struct {
		name string
		it   bool
	}{
		{"durable", c.Durable}, {"shared", c.Shared}, {"repair", c.Repair}, {"quarantine", c.Quarantine},
		{"compact", c.Compact}, {"compact-beside", c.CompactBeside},
	} {
		if can.it {
			list = append(list, can.name)
		}
	}
	return list
}

func (s *statsShape) print(a *app) error {
	row := func(name, text string) { fmt.Fprintf(a.out, "%s %s\n", a.paint(dim, fmt.Sprintf("%-10s", name)), text) }
	row("place", s.Place)
	row("engine", s.Engine)
	can := strings.Join(s.Capabilities, ", ")
	if can == "" {
		can = "read and append"
	}
	row("can", can)
	row("limits", fmt.Sprintf("%d bytes a record, %d bytes a batch", s.Limits.RecordBytes, s.Limits.BatchBytes))
	row("position", fmt.Sprintf("%d is the last", s.Last))
	a.figures("the engine's figures", s.Engines)
	return a.figures("counters of this process", s.Counters)
}

// figures prints a table; what it is of stands above it.
func (a *app) figures(of string, list []figureShape) error {
	if len(list) == 0 {
		return nil
	}
	wide := 0
	for _, f := range list {
		wide = max(wide, len(f.Name))
	}
	_, err := fmt.Fprintf(a.out, "\n%s\n", a.paint(dim, of))
	for _, f := range list {
		_, err = fmt.Fprintf(a.out, "  %-*s %14d %-12s %s\n", wide, f.Name, f.Value, unitText(f.Unit), f.Help)
	}
	return err
}

// unitText is a unit (UCUM) for people.
func unitText(unit string) string {
	if unit == "By" {
		return "bytes"
	}
	return strings.Trim(unit, "{}")
}
