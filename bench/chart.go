package main

import (
	"io"
	"strings"

	"github.com/papyra-go/papyra/internal/chart"
)

// colours of the engines in a chart: papyra's stands out, the others keep back. Each
// engine keeps its colour whichever others are drawn.
var colours = map[string]string{
	"file": "#d9480f", "bolt": "#e8890c", "papyra-pebble": "#c92a2a", "pebble": "#1f6f8b", "raft-wal": "#6a994e", "tidwall-wal": "#a7c957", "etcd-wal": "#3d5a80",
	"rosedb-wal": "#98c1d9", "bbolt": "#7b5ea7", "badger": "#b8a1d9", "sqlite": "#9c8f7a",
}

// drawRates draws all rates of a run.
func drawRates(w io.Writer, r *results, a about) error {
	var all []chart.Group
	for _, row := range r.rows {
		if (row.group == appends || row.group == batches || row.group == replays) && !strings.HasPrefix(row.name, "fill-") {
			title := row.title
			if row.group == replays {
				title = "replay"
			}
			b := chart.Group{Title: title, Bars: map[string]chart.Bar{}}
			for _, e := range r.engines {
				if s := r.of(row.name, e.name); len(s) > 0 {
					lo, hi := s.span()
					b.Bars[e.name] = chart.Bar{Value: s.value(), Low: lo, High: hi}
				}
			}
			all = append(all, b)
		}
	}
	var engines []string
	for _, e := range r.engines {
		engines = append(engines, e.name)
	}
	c := chart.Chart{
		Title:    "Events per second: durable appends, and replay",
		Subtitle: []string{a.Machine + ". The axis is logarithmic; whiskers: lowest and highest.", upper(a.Method) + "."},
		Series:   engines, Colours: colours, Groups: all,
	}
	return c.Draw(w)
}
