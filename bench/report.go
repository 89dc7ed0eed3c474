package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/papyra-go/papyra/internal/chart"
)

// about is what a reader must know of a run beside its figures.
type about struct {
	Machine  string            `json:"machine"`
	Method   string            `json:"method"`
	When     time.Time         `json:"when"`
	Took     time.Duration     `json:"took_ns"`
	Versions map[string]string `json:"versions"` // by module
}

func environment(s settings, took time.Duration) about {
	reps := "5 runs of appends, 3 of the rest"
	if s.runs > 0 {
		reps = title(s.runs, "run") + " of each row"
	}
	a := about{
		Machine:  fmt.Sprintf("%s/%s, %s × %s, %s", runtime.GOOS, runtime.GOARCH, title(runtime.GOMAXPROCS(0), "processor"), processor(), runtime.Version()),
		Method:   fmt.Sprintf("payloads of %d bytes, %s, durable; %s, %v each; engines in turn; medians", payloadBytes, title(s.streams, "stream"), reps, s.time),
		When:     time.Now().UTC().Truncate(time.Second),
		Took:     took.Round(time.Second),
		Versions: map[string]string{},
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			a.Versions[m.Path] = m.Version
		}
	}
	return a
}

// processor is the processor's name, where the system tells it.
func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, ok := strings.Cut(string(b), "model name\t: ")
	if !ok {
		return "unknown model"
	}
	name, _, _ := strings.Cut(rest, "\n")
	return name
}

// report is everything, in Markdown.
func report(r *results, a about) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Durable events, beside the peers\n\n%s. %s.\n", a.Machine, upper(a.Method))
	fmt.Fprintf(&b, "Measured %s in %v. *probe* is the raw disk: 4 KiB writes, each with its fdatasync, on written blocks.\n", a.When.Format("2006-01-02 15:04 MST"), a.Took)
	if warning := r.unquiet(); warning != "" {
		fmt.Fprintf(&b, "\n**%s**\n", warning)
	}
	for _, group := range groups {
		if part := groupReport(r, group); part != "" {
			fmt.Fprintf(&b, "\n%s", part)
		}
	}
	fmt.Fprintf(&b, "\n## Goals\n\n%s", goalTable(r))
	fmt.Fprintf(&b, "\n## How each was used\n\n")
	t := table{head: []string{"engine", "module", "version", "use"}, left: 4}
	for _, e := range r.engines {
		version := a.Versions[e.module]
		if version == "" || strings.HasPrefix(version, "v0.0.0-0001") || version == "(devel)" {
			version = "this checkout"
		}
		t.add(e.name, e.module, version, e.how)
	}
	b.WriteString(t.String())
	return b.String()
}

// groupReport is the part of one group of rows; empty if none of it was measured.
func groupReport(r *results, group string) string {
	var b strings.Builder
	var plain []row
	for _, row := range r.rows {
		if row.group != group || strings.HasPrefix(row.name, "fill-") {
			continue
		}
		switch group {
		case appends, batches, busy:
			fmt.Fprintf(&b, "## %s\n\n%s\n", upper(row.title), appendTable(r, row.name))
		case replays:
			fmt.Fprintf(&b, "## Replay: %s\n\n%s\n", row.title, replayTable(r, row.name))
		case streams:
			fmt.Fprintf(&b, "## Reading %s\n\n%s\n", row.title, streamTable(r, row.name))
		case opens:
			if row.name == "open-large" {
				fmt.Fprintf(&b, "## Opening\n\n%s\n", openTable(r))
			}
		case disk:
			if row.name == "disk" {
				fmt.Fprintf(&b, "## Disk\n\n%s\n", diskTable(r))
			}
		default:
			plain = append(plain, row)
		}
	}
	if len(plain) > 0 {
		fmt.Fprintf(&b, "## %s\n\n%s\n", upper(group), plainTable(r, plain))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// ranked returns the engines that have samples in a row, best first.
func (r *results) ranked(row string, best func(a, b float64) int) []string {
	var all []string
	for _, e := range r.engines {
		if len(r.of(row, e.name)) > 0 {
			all = append(all, e.name)
		}
	}
	slices.SortStableFunc(all, func(a, b string) int { return best(r.of(row, a).value(), r.of(row, b).value()) })
	return all
}

func highest(a, b float64) int { return -lowest(a, b) }

func lowest(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// probes are all probes of a row, whatever engine they surrounded, as samples of an
// engine of their own.
func (r *results) probes(row string) (all samples) {
	for _, e := range r.engines {
		for _, s := range r.of(row, e.name) {
			all = append(all, sample{Value: s.Probe, P50: s.Flush, Probe: s.Probe})
		}
	}
	return all
}

// quietSpan is how far the probes of a run may lie apart: a disk whose own speed changes by
// more says little about what is built on it.
const quietSpan = 2

// unquiet is a warning, if one is due.
func (r *results) unquiet() string {
	var all samples
	for _, row := range r.rows {
		if row.group != busy { // there the machine is meant to be busy
			all = append(all, r.probes(row.name)...)
		}
	}
	all = slices.DeleteFunc(all, func(s sample) bool { return s.Probe == 0 })
	if lo, hi := all.span(); hi > quietSpan*lo {
		return fmt.Sprintf("The disk was not quiet: the probe's rate went from %s to %s a second. Measure again before believing a ratio.", thousands(lo), thousands(hi))
	}
	return ""
}

func appendTable(r *results, row string) table {
	t := table{head: []string{"engine", "events/s", "min–max", "p50 µs", "p99 µs", "p99.9 µs", "allocs/event", "× probe", "× pebble"}, left: 1}
	pebble := r.of(row, "pebble").value()
	for _, name := range r.ranked(row, highest) {
		s := r.of(row, name)
		t.add(strong(name), thousands(s.value()), spanOf(s), thousands(s.median(p50)), thousands(s.median(p99)), thousands(s.median(p999)),
			fixed(s.median(allocs), 2), fixed(s.median(toProbe), 2), fixed(s.value()/pebble, 2))
	}
	if p := r.probes(row); len(p) > 0 {
		t.add("*probe*", thousands(p.value()), spanOf(p), thousands(p.median(p50)), "", "", "", "1.00", fixed(p.value()/pebble, 2))
	}
	return t
}

func replayTable(r *results, row string) table {
	t := table{head: []string{"engine", "records/s", "min–max", "payload MB/s", "allocs/record", "× cached reads of its files", "× pebble"}, left: 1}
	for _, name := range r.ranked(row, highest) {
		s := r.of(row, name)
		t.add(strong(name), thousands(s.value()), spanOf(s), thousands(s.value()*payloadBytes/1e6), fixed(s.median(allocs), 2),
			fixed(s.median(func(s sample) float64 { return s.Cached }), 3), fixed(s.value()/r.of(row, "pebble").value(), 2))
	}
	return t
}

func streamTable(r *results, row string) table {
	t := table{head: []string{"engine", "µs", "min–max", "p99 µs", "× bbolt's time"}, left: 1}
	for _, name := range r.ranked(row, lowest) {
		s := r.of(row, name)
		t.add(strong(name), short(s.value()), spanOf(s), short(s.median(p99)), fixed(s.value()/r.of(row, "bbolt").value(), 2))
	}
	return t
}

func openTable(r *results) table {
	t := table{head: []string{"engine", "ms", "min–max", "a tenth of the records, ms", "min–max", "ratio"}, left: 1}
	for _, name := range r.ranked("open-large", lowest) {
		large, small := r.of("open-large", name), r.of("open-small", name)
		t.add(strong(name), short(large.value()), spanOf(large), short(small.value()), spanOf(small), fixed(large.value()/small.value(), 2))
	}
	return t
}

func diskTable(r *results) table {
	t := table{head: []string{"engine", "bytes an event", "× the caller's bytes", "compacted", "groups of one record"}, left: 1}
	for _, name := range r.ranked("disk", lowest) {
		s := r.of("disk", name)
		each := func(s sample) float64 { return s.Disk / s.Events }
		t.add(strong(name), fixed(s.median(each), 1), fixed(s.value(), 3), r.cell("disk-compacted", name, 3), r.cell("disk-single", name, 3))
	}
	return t
}

// plainTable has rows of different workloads, for the engines that do them.
func plainTable(r *results, rows []row) table {
	t := table{head: []string{"what", "engine", "median", "min–max", "unit"}, left: 2}
	for _, row := range rows {
		for _, e := range r.engines {
			s := r.of(row.name, e.name)
			why, missing := r.missing[row.name][e.name]
			switch {
			case len(s) > 0:
				t.add(row.title, strong(e.name), short(s.value()), spanOf(s), row.unit)
			case missing:
				t.add(row.title, strong(e.name), "n/a", "", why)
			}
		}
	}
	return t
}

func (r *results) cell(row, engine string, decimals int) string {
	return fixed(r.of(row, engine).value(), decimals)
}

// table is a table in Markdown. Its first left columns are flush left.
type table struct {
	head []string
	rows [][]string
	left int
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// String aligns the columns, so that it can be read as it is too.
func (t table) String() string {
	wide := make([]int, len(t.head))
	for _, cells := range append(t.rows, t.head) {
		for i, cell := range cells {
			wide[i] = max(wide[i], utf8.RuneCountInString(cell), 3)
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		for i, cell := range cells {
			pad := strings.Repeat(" ", wide[i]-utf8.RuneCountInString(cell))
			if i >= t.left {
				cell = pad + cell
			} else {
				cell += pad
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
	line(t.head)
	for i := range t.head {
		dashes := strings.Repeat("-", wide[i])
		if i >= t.left {
			dashes = dashes[1:] + ":"
		}
		b.WriteString("| " + dashes + " ")
	}
	b.WriteString("|\n")
	for _, cells := range t.rows {
		line(cells)
	}
	return b.String()
}

// strong makes papyra's own engines stand out.
func strong(name string) string {
	if papyras(name) {
		return "**" + name + "**"
	}
	return name
}

func spanOf(s samples) string {
	lo, hi := s.span()
	return short(lo) + "–" + short(hi)
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func thousands(x float64) string { return chart.Thousands(x) }

// short is x with three digits at least, for figures of any size.
func short(x float64) string {
	switch y := math.Abs(x); {
	case math.IsNaN(x), math.IsInf(x, 0), y >= 100:
		return thousands(x)
	case y >= 10:
		return fixed(x, 1)
	case y >= 1:
		return fixed(x, 2)
	}
	return fixed(x, 3)
}

func fixed(x float64, decimals int) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "n/a"
	}
	return strconv.FormatFloat(x, 'f', decimals, 64)
}

// trim is x with at most three decimals and no zeros at its end.
func trim(x float64) string {
	s := fixed(x, 3)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// writeJSON writes every sample, for other programs.
func writeJSON(w io.Writer, r *results, a about) error {
	type jsonRow struct {
		Group   string             `json:"group"`
		Name    string             `json:"name"`
		Title   string             `json:"title"`
		Unit    string             `json:"unit"`
		Samples map[string]samples `json:"samples"`
		Missing map[string]string  `json:"missing,omitempty"`
	}
	type jsonGoal struct {
		What     string   `json:"what"`
		Wanted   string   `json:"wanted"`
		Measured *float64 `json:"measured"`
		Verdict  string   `json:"verdict"`
	}
	doc := struct {
		about
		Rows  []jsonRow  `json:"rows"`
		Goals []jsonGoal `json:"goals"`
	}{about: a}
	for _, row := range r.rows {
		doc.Rows = append(doc.Rows, jsonRow{row.group, row.name, row.title, row.unit, r.samples[row.name], r.missing[row.name]})
	}
	for _, g := range goals(r) {
		j := jsonGoal{What: g.what, Wanted: g.wanted(), Verdict: g.verdict()}
		if !math.IsNaN(g.ratio) && !math.IsInf(g.ratio, 0) {
			j.Measured = &g.ratio
		}
		doc.Goals = append(doc.Goals, j)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}
