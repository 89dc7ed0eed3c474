package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// WriteJUnit writes the report as JUnit XML: a suite for each group, a case for each
// rule, and one more case for the whole, because a report in which no rule failed may
// still not be conformant. What is fatal is a failure; what neither passed nor is
// fatal is skipped, and says why.
func (rep *Report) WriteJUnit(w io.Writer) error {
	doc := junitSuites{Name: "papyra conformance: " + rep.Backend.title(), Time: seconds(rep.Took)}
	why := map[ID]string{}
	for _, e := range rep.explained() {
		why[e.res.ID] = e.res.explain(e.rule, rep.Seed, rep.againText(e.res.ID))
	}
	for _, g := range Groups() {
		suite := junitSuite{Name: g.Name}
		_, took := rep.tally(g.Name)
		suite.Time = seconds(took)
		for i := range rep.Results {
			if res := &rep.Results[i]; res.ID.Group() == g.Name {
				suite.add(rep.junitCase(res, why[res.ID]))
			}
		}
		for _, r := range g.Rules {
			if slices.Contains(rep.NotJudged, r.ID) {
				suite.add(junitCase{Class: "conformance." + g.Name, Name: junitName(r.ID, r.Name), Time: seconds(0), Skipped: &junitText{Message: "not judged: it was not asked for"}})
			}
		}
		if suite.Tests > 0 {
			doc.add(suite)
		}
	}
	doc.add(rep.junitVerdict())
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// junitName is a case's name, judged or not: histories of builds go by it.
func junitName(id ID, name string) string { return string(id) + " " + name }

func (rep *Report) junitCase(res *Result, why string) junitCase {
	c := junitCase{Class: "conformance." + res.ID.Group(), Name: junitName(res.ID, res.Name), Time: seconds(res.Took)}
	short, _, _ := strings.Cut(strings.TrimSuffix(res.verdictText()+": "+res.Seen, ": "), "\n")
	switch {
	case res.fatal(rep.Strict):
		c.Failure = &junitText{Message: short, Type: string(res.Verdict), Text: why}
	case res.Verdict != Pass:
		c.Skipped = &junitText{Message: short, Text: why}
	}
	return c
}

// junitVerdict is the suite that stands for the conclusion.
func (rep *Report) junitVerdict() junitSuite {
	c := junitCase{Class: "conformance", Name: "profile " + rep.Profile.Name, Time: seconds(0)}
	switch rep.Verdict {
	case NotConformant:
		c.Failure = &junitText{Message: string(rep.Verdict), Type: "verdict", Text: rep.Summary()}
	case Incomplete:
		c.Skipped = &junitText{Message: string(rep.Verdict), Text: rep.Summary()}
	}
	s := junitSuite{Name: "VERDICT", Time: seconds(0), Properties: &junitProperties{[]junitProperty{
		{"schema", rep.Schema}, {"backend", rep.Backend.title()}, {"engine", rep.Engine}, {"suite", rep.Suite.Version},
		{"rules_sha256", rep.Suite.Digest}, {"seed", fmt.Sprintf("%#x", rep.Seed)}, {"profile", rep.Profile.Name},
		{"claims", strings.Join(rep.Claims.Names(), " ")}, {"seams", joinWords(rep.Seams)}, {"verdict", string(rep.Verdict)},
	}}}
	s.add(c)
	return s
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

type junitSuites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Skipped  int      `xml:"skipped,attr"`
	Time     string   `xml:"time,attr"`
	Suites   []junitSuite
}

func (d *junitSuites) add(s junitSuite) {
	d.Tests, d.Failures, d.Skipped = d.Tests+s.Tests, d.Failures+s.Failures, d.Skipped+s.Skipped
	d.Suites = append(d.Suites, s)
}

type junitSuite struct {
	XMLName    xml.Name         `xml:"testsuite"`
	Name       string           `xml:"name,attr"`
	Tests      int              `xml:"tests,attr"`
	Failures   int              `xml:"failures,attr"`
	Skipped    int              `xml:"skipped,attr"`
	Time       string           `xml:"time,attr"`
	Properties *junitProperties `xml:"properties"`
	Cases      []junitCase
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

type junitProperties struct {
	Properties []junitProperty `xml:"property"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	XMLName xml.Name   `xml:"testcase"`
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Time    string     `xml:"time,attr"`
	Failure *junitText `xml:"failure"`
	Skipped *junitText `xml:"skipped"`
}

type junitText struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}
