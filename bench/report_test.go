package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/internal/chart"
)

// allOfThem are results with a sample of every engine in every row that it can do.
func allOfThem() *results {
	s := settings{writers: []int{1, 64, 1024}, rows: groups, streams: 10_000, perStream: 100, long: true, growFrom: 100, growTo: 1000, crowd: 1000}
	r := &results{engines: engines, samples: map[string]map[string]samples{}, missing: map[string]map[string]string{}}
	for _, phase := range s.phases() {
		for _, row := range phase {
			r.rows = append(r.rows, row)
			r.samples[row.name] = map[string]samples{}
			for i, e := range engines {
				if row.can(e) {
					x := float64(1000 * (i + 1))
					r.samples[row.name][e.name] = samples{{Value: x, P50: 1, P99: 2, P999: 3, Probe: 500, Flush: 100, Events: 1, Disk: 300, Caller: 290, Twin: x}, {Value: 2 * x, Probe: 500, Flush: 100, Twin: x, Events: 1}}
				}
			}
		}
	}
	return r
}

func TestTablesAlignAndFlushFiguresRight(t *testing.T) {
	tab := table{head: []string{"engine", "µs"}, left: 1}
	tab.add("a", "1,000")
	tab.add("longer one", "9")
	want := `
| engine     |    µs |
| ---------- | ----: |
| a          | 1,000 |
| longer one |     9 |
`
	if got := "\n" + tab.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestFiguresRead(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{thousands(1234567.4), "1,234,567"}, {thousands(-1234), "-1,234"}, {thousands(12), "12"}, {thousands(math.NaN()), "n/a"},
		{short(123.4), "123"}, {short(12.34), "12.3"}, {short(1.234), "1.23"}, {short(0.1234), "0.123"}, {short(math.Inf(1)), "n/a"},
		{trim(2.50), "2.5"}, {trim(3), "3"}, {trim(100), "100"},
		{chart.Brief(950), "950"}, {chart.Brief(7834), "7.8k"}, {chart.Brief(101e3), "101k"}, {chart.Brief(999_999), "1.0M"}, {chart.Brief(1.26e6), "1.3M"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestReportHasEveryEngineInEveryTableOfAppends(t *testing.T) {
	text := report(allOfThem(), about{Machine: "here", Method: "somehow"})
	for _, heading := range []string{"## 1 writer\n", "## 64 writers", "## 1,024 writers", "## Batches of 100\n", "## Batches of 1,000", "## Replay", "## Disk", "## How each was used"} {
		_, part, ok := strings.Cut(text, heading)
		part, _, _ = strings.Cut(part, "\n## ")
		for _, e := range engines {
			if !ok || !strings.Contains(part, "| "+e.name+" ") && !strings.Contains(part, "| **"+e.name+"** ") {
				t.Errorf("%s: no %s in\n%s", heading, e.name, part)
			}
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "NaN") || strings.HasPrefix(line, "|") && !strings.HasSuffix(line, "|") {
			t.Errorf("line %q", line)
		}
	}
}

func TestReportWarnsOfADiskThatIsNotQuiet(t *testing.T) {
	r := &results{engines: engines, rows: []row{{group: appends, name: "a"}}, samples: map[string]map[string]samples{"a": {"file": {{Probe: 1000}, {Probe: 1900}}}}}
	if w := r.unquiet(); w != "" {
		t.Errorf("a warning of nothing: %s", w)
	}
	r.samples["a"]["pebble"] = samples{{Probe: 2100}}
	if w := r.unquiet(); !strings.Contains(w, "1,000 to 2,100") {
		t.Errorf("warning %q", w)
	}
}

func TestGoalsAreMetMissedOrNotMeasured(t *testing.T) {
	for _, c := range []struct {
		g    goal
		want string
	}{
		{goal{ratio: 2.5, bound: 2.5}, "met"},
		{goal{ratio: 2.49, bound: 2.5}, "MISSED"},
		{goal{ratio: 4, bound: 4, most: true}, "met"},
		{goal{ratio: 4.1, bound: 4, most: true}, "MISSED"},
		{goal{ratio: math.NaN(), bound: 1}, "n/a"},
	} {
		if got := c.g.verdict(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.g, got, c.want)
		}
	}
	judged := 0
	for _, g := range goals(allOfThem()) {
		if g.verdict() != "n/a" {
			judged++
		}
	}
	if all := len(goals(allOfThem())); judged != all {
		t.Errorf("%d of %d goals are judged", judged, all)
	}
	for _, g := range goals(&results{engines: engines}) {
		if g.verdict() != "n/a" {
			t.Errorf("without a measurement: %+v is %s", g, g.verdict())
		}
	}
}

func TestJSONHoldsEverySample(t *testing.T) {
	var b strings.Builder
	if err := writeJSON(&b, allOfThem(), about{}); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Rows []struct {
			Name    string
			Samples map[string]samples
		}
		Goals []struct{ Verdict string }
	}
	if err := json.Unmarshal([]byte(b.String()), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Rows) != len(allOfThem().rows) || len(doc.Rows[0].Samples) != len(engines) || len(doc.Goals) == 0 {
		t.Errorf("%d rows, %d engines, %d goals", len(doc.Rows), len(doc.Rows[0].Samples), len(doc.Goals))
	}
}

func TestChartIsXMLAndShowsEveryEngine(t *testing.T) {
	for name, r := range map[string]*results{"all": allOfThem(), "nothing": {engines: engines}} {
		var b strings.Builder
		if err := drawRates(&b, r, about{Machine: "a & b <c>", Method: "d"}); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		rects := 0
		for dec := xml.NewDecoder(strings.NewReader(b.String())); ; {
			token, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			switch token := token.(type) {
			case xml.CharData:
				text.Write(token)
			case xml.StartElement:
				if token.Name.Local == "rect" {
					rects++
				}
			}
		}
		for _, e := range engines {
			if !strings.Contains(text.String(), e.name) {
				t.Errorf("%s: no %s", name, e.name)
			}
			if colours[e.name] == "" {
				t.Errorf("%s has no colour", e.name)
			}
		}
		if want := 1 + len(engines) + 6*len(engines); name == "all" && rects != want {
			t.Errorf("%d rectangles, want %d", rects, want)
		}
		if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
			t.Errorf("%s: not a number in the chart", name)
		}
	}
}
