// Package chart draws grouped bars over a logarithmic axis as SVG: what papyra's
// measurements look like, in its own bench and in what the command papyra measures on a
// user's machine.
package chart

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Chart is one chart. Every series has a bar in each group that has a value of it.
type Chart struct {
	Title    string
	Subtitle []string
	Series   []string          // in the order of the bars
	Colours  map[string]string // by series; others are grey
	Groups   []Group
}

// Group is what stands side by side.
type Group struct {
	Title string
	Bars  map[string]Bar // by series
}

// Bar is one value, above zero, and the lowest and highest that it was made of.
type Bar struct{ Value, Low, High float64 }

// The chart's measures, in pixels.
const (
	barWide    = 15
	groupGap   = 34
	plotHigh   = 340
	plotTop    = 104
	plotLeft   = 64
	legendItem = 112
)

// Draw writes the chart as an SVG document.
func (c *Chart) Draw(w io.Writer) error {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, g := range c.Groups {
		for _, b := range g.Bars {
			if b.Value > 0 {
				lo, hi = min(lo, b.Value), max(hi, b.Value, b.High)
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
	groupWide := len(c.Series)*barWide + groupGap
	wide := max(plotLeft+len(c.Groups)*groupWide+groupGap/2, 760)
	right, floor := wide-groupGap/2, plotTop+plotHigh
	high := floor + 48

	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif">`, wide, high, wide, high)
	p(`<rect width="%d" height="%d" fill="#fdfdfb"/>`, wide, high)
	p(`<text x="20" y="30" font-size="18" font-weight="bold" fill="#222">%s</text>`, escape(c.Title))
	for i, line := range c.Subtitle {
		p(`<text x="20" y="%d" font-size="11" fill="#666">%s</text>`, 48+i*14, escape(line))
	}
	for i, e := range c.Series {
		x := 20 + i*min(legendItem, (wide-40)/len(c.Series))
		p(`<rect x="%d" y="76" width="11" height="11" rx="2" fill="%s"/><text x="%d" y="86" font-size="12" fill="#333">%s</text>`, x, c.colour(e), x+16, escape(e))
	}
	for exp := bottom; exp <= top; exp++ {
		at := y(math.Pow(10, exp))
		p(`<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#e3e3de"/><text x="%d" y="%.1f" font-size="11" text-anchor="end" fill="#666">%s</text>`,
			plotLeft-6, at, right, at, plotLeft-10, at+4, strings.Replace(Brief(math.Pow(10, exp)), ".0", "", 1))
	}
	for i, g := range c.Groups {
		left := plotLeft + groupGap/2 + i*groupWide
		p(`<text x="%.1f" y="%d" font-size="13" text-anchor="middle" fill="#222">%s</text>`, float64(left)+float64(len(c.Series)*barWide)/2, floor+22, escape(g.Title))
		for j, e := range c.Series {
			b, ok := g.Bars[e]
			if !ok || b.Value <= 0 {
				continue
			}
			x, at := left+j*barWide, y(b.Value)
			middle := float64(x) + barWide/2.0 - 1
			p(`<rect x="%d" y="%.1f" width="%d" height="%.1f" rx="1.5" fill="%s"><title>%s, %s: %s</title></rect>`,
				x, at, barWide-2, float64(floor)-at, c.colour(e), escape(e), escape(g.Title), Thousands(b.Value))
			p(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#222" stroke-opacity="0.55"/>`, middle, y(b.Low), middle, y(b.High))
			p(`<text transform="translate(%.1f %.1f) rotate(-90)" font-size="10" fill="#333" stroke="#fdfdfb" stroke-width="3" paint-order="stroke">%s</text>`, middle+3.5, y(b.High)-5, Brief(b.Value))
		}
	}
	p(`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#888"/>`, plotLeft-6, floor, right, floor)
	p(`</svg>`)
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *Chart) colour(series string) string {
	if colour, ok := c.Colours[series]; ok {
		return colour
	}
	return "#888"
}

// Brief is x in two or three digits and a letter.
func Brief(x float64) string {
	for _, unit := range []struct {
		size   float64
		letter string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if y := x / unit.size; y >= 0.9995 {
			if y < 10 {
				return strconv.FormatFloat(y, 'f', 1, 64) + unit.letter
			}
			return strconv.FormatFloat(y, 'f', 0, 64) + unit.letter
		}
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

// Thousands is x without decimals, its digits in groups of three.
func Thousands(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "n/a"
	}
	digits := strconv.FormatFloat(math.Abs(x), 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if x < 0 {
		digits = "-" + digits
	}
	return digits
}
