package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// bars are what a chart has of one workload: a bar for each engine that has a value.
type bars struct {
	title string
	bar   map[string]bar
}

type bar struct{ value, lo, hi float64 }

// colours of the engines in a chart: papyra's stands out, the others keep back. Each
// engine keeps its colour whichever others are drawn.
var colours = map[string]string{
	"file": "#d9480f", "pebble": "#1f6f8b", "raft-wal": "#6a994e", "tidwall-wal": "#a7c957", "etcd-wal": "#3d5a80",
	"rosedb-wal": "#98c1d9", "bbolt": "#7b5ea7", "badger": "#b8a1d9", "sqlite": "#9c8f7a",
}

// drawRates draws all rates of a run.
func drawRates(w io.Writer, r *results, a about) error {
	var all []bars
	for _, row := range r.rows {
		if (row.group == appends || row.group == batches || row.group == replays) && !strings.HasPrefix(row.name, "fill-") {
			title := row.title
			if row.group == replays {
				title = "replay"
			}
			b := bars{title, map[string]bar{}}
			for _, e := range r.engines {
				if s := r.of(row.name, e.name); len(s) > 0 {
					lo, hi := s.span()
					b.bar[e.name] = bar{s.value(), lo, hi}
				}
			}
			all = append(all, b)
		}
	}
	var engines []string
	for _, e := range r.engines {
		engines = append(engines, e.name)
	}
	return draw(w, "Events per second: durable appends, and replay", []string{a.Machine + ". The axis is logarithmic; whiskers: lowest and highest.", upper(a.Method) + "."}, engines, all)
}

// The chart's measures, in pixels.
const (
	barWide    = 15
	groupGap   = 34
	plotHigh   = 340
	plotTop    = 104
	plotLeft   = 64
	legendItem = 112
)

// draw draws a chart of grouped bars over a logarithmic axis.
func draw(w io.Writer, title string, subtitle []string, engines []string, all []bars) error {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, g := range all {
		for _, b := range g.bar {
			if b.value > 0 {
				lo, hi = min(lo, b.value), max(hi, b.value, b.hi)
			}
		}
	}
	if hi < lo {
		lo, hi = 1, 10
	}
	bottom, top := math.Floor(math.Log10(lo)), math.Log10(hi)+0.45 // room for the highest bar's label
	y := func(v float64) float64 {
		return plotTop + plotHigh*(1-min(max((math.Log10(v)-bottom)/(top-bottom), 0), 1))
	}
	groupWide := len(engines)*barWide + groupGap
	wide := max(plotLeft+len(all)*groupWide+groupGap/2, 760)
	right, floor := wide-groupGap/2, plotTop+plotHigh
	high := floor + 48

	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif">`, wide, high, wide, high)
	p(`<rect width="%d" height="%d" fill="#fdfdfb"/>`, wide, high)
	p(`<text x="20" y="30" font-size="18" font-weight="bold" fill="#222">%s</text>`, escape(title))
	for i, line := range subtitle {
		p(`<text x="20" y="%d" font-size="11" fill="#666">%s</text>`, 48+i*14, escape(line))
	}
	for i, e := range engines {
		x := 20 + i*min(legendItem, (wide-40)/len(engines))
		p(`<rect x="%d" y="76" width="11" height="11" rx="2" fill="%s"/><text x="%d" y="86" font-size="12" fill="#333">%s</text>`, x, colour(e), x+16, escape(e))
	}
	for exp := bottom; exp <= top; exp++ {
		at := y(math.Pow(10, exp))
		p(`<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#e3e3de"/><text x="%d" y="%.1f" font-size="11" text-anchor="end" fill="#666">%s</text>`,
			plotLeft-6, at, right, at, plotLeft-10, at+4, strings.Replace(brief(math.Pow(10, exp)), ".0", "", 1))
	}
	for i, g := range all {
		left := plotLeft + groupGap/2 + i*groupWide
		p(`<text x="%.1f" y="%d" font-size="13" text-anchor="middle" fill="#222">%s</text>`, float64(left)+float64(len(engines)*barWide)/2, floor+22, escape(g.title))
		for j, e := range engines {
			b, ok := g.bar[e]
			if !ok || b.value <= 0 {
				continue
			}
			x, at := left+j*barWide, y(b.value)
			middle := float64(x) + barWide/2.0 - 1
			p(`<rect x="%d" y="%.1f" width="%d" height="%.1f" rx="1.5" fill="%s"><title>%s, %s: %s</title></rect>`,
				x, at, barWide-2, float64(floor)-at, colour(e), escape(e), escape(g.title), thousands(b.value))
			p(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#222" stroke-opacity="0.55"/>`, middle, y(b.lo), middle, y(b.hi))
			p(`<text transform="translate(%.1f %.1f) rotate(-90)" font-size="10" fill="#333" stroke="#fdfdfb" stroke-width="3" paint-order="stroke">%s</text>`, middle+3.5, y(b.hi)-5, brief(b.value))
		}
	}
	p(`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#888"/>`, plotLeft-6, floor, right, floor)
	p(`</svg>`)
	_, err := io.WriteString(w, b.String())
	return err
}

func colour(engine string) string {
	if c, ok := colours[engine]; ok {
		return c
	}
	return "#888"
}

// brief is x in two or three digits and a letter.
func brief(x float64) string {
	for _, unit := range []struct {
		size   float64
		letter string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if y := x / unit.size; y >= 0.9995 {
			if y < 10 {
				return fixed(y, 1) + unit.letter
			}
			return fixed(y, 0) + unit.letter
		}
	}
	return fixed(x, 0)
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
