package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Verdict is what came of a rule. Verdicts are never merged.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "pass"         // the rule holds
	Fail         Verdict = "fail"         // it does not
	Blocked      Verdict = "blocked"      // a rule that it rests on did not pass
	Unsupported  Verdict = "unsupported"  // the backend does not claim what the rule is about
	Unavailable  Verdict = "unavailable"  // the environment can't do what the check needs
	Inconclusive Verdict = "inconclusive" // the check ran and could not tell
)

var verdicts = []Verdict{Pass, Fail, Blocked, Unsupported, Unavailable, Inconclusive}

// Result is the verdict on one rule.
type Result struct {
	ID      ID            `json:"id"`
	Name    string        `json:"name"`
	Level   Level         `json:"level"`
	Since   string        `json:"since"`
	Verdict Verdict       `json:"verdict"`
	Took    time.Duration `json:"took_ns"`
	// Seen says what was seen, and Wanted what the rule wants instead; or Seen says
	// why there is no verdict.
	Seen   string `json:"seen,omitempty"`
	Wanted string `json:"wanted,omitempty"`
	// Done is the last that was done before that.
	Done []string `json:"done,omitempty"`
	// BlockedBy are the required rules that did not pass.
	BlockedBy []ID `json:"blocked_by,omitempty"`
	// Dump is where the goroutines stood, if the check hung or panicked.
	Dump string `json:"dump,omitempty"`
}

// explain is the verdict for people.
func (res *Result) explain(r *Rule, seed uint64, again string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, since %s): %s\n", r.ID, r.Level, r.Since, r.Sentence)
	line := func(name, text string) {
		if name != "" {
			name += ":"
		}
		if text != "" {
			fmt.Fprintf(&b, "    %-8s %s\n", name, text)
		}
	}
	line(string(res.Verdict), blockedText(res.BlockedBy))
	for i, step := range res.Done {
		line([]string{"done", ""}[min(i, 1)], step)
	}
	line("seen", res.Seen)
	line("wanted", res.Wanted)
	if res.Verdict == Fail || res.Verdict == Inconclusive {
		line("again", fmt.Sprintf("%s  (seed %#x)", again, seed))
		line("blocks", blocksText(Blocks(r.ID)))
	}
	line("help", r.ID.Anchor())
	if res.Dump != "" {
		b.WriteString(res.Dump + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func blockedText(by []ID) string {
	if len(by) == 0 {
		return ""
	}
	return "by " + joinIDs(by) + ", which did not pass"
}

// blocksShown is how many of the rules that rest on a failed one are named.
const blocksShown = 12

// blocksText names the rules that rest on a failed one, the first of them if they are many.
func blocksText(ids []ID) string {
	if len(ids) <= blocksShown {
		return joinIDs(ids)
	}
	return fmt.Sprintf("%s and %d more: mend this one first", joinIDs(ids[:blocksShown]), len(ids)-blocksShown)
}

func joinIDs(ids []ID) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = string(id)
	}
	return strings.Join(parts, " ")
}

// ReportSchema is the version of the report's JSON: raised when a field changes
// its meaning or goes. Fields may be added.
const ReportSchema = 1

// Report is what came of one run of the suite.
type Report struct {
	Schema    int             `json:"schema"`
	Suite     SuiteInfo       `json:"suite"`
	Backend   Info            `json:"backend"`
	Engine    string          `json:"engine"`
	Env       EnvInfo         `json:"env"`
	Seed      uint64          `json:"seed"`
	Strict    bool            `json:"strict"`
	Results   []Result        `json:"results"`    // in the order of the table
	NotJudged []ID            `json:"not_judged"` // rules that were not asked for
	Totals    map[Verdict]int `json:"totals"`     // every verdict has its key
	Took      time.Duration   `json:"took_ns"`
	Verdict   Conclusion      `json:"verdict"`
}

// SuiteInfo says which rules there were.
type SuiteInfo struct {
	Version string `json:"version"`
	Rules   int    `json:"rules"`
	Digest  string `json:"rules_sha256"`
}

// EnvInfo says where the suite ran.
type EnvInfo struct {
	Go   string `json:"go"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
}

// Conclusion is what the verdicts come to.
type Conclusion string

// The conclusions. Conformant: every rule of the table passed, was verified not to
// concern this backend, or is a SHOULD. Incomplete: nothing failed, but rules were
// left out, blocked, unavailable or inconclusive.
const (
	Conformant    Conclusion = "conformant"
	NotConformant Conclusion = "not conformant"
	Incomplete    Conclusion = "incomplete"
)

func (s *session) report() *Report {
	rep := &Report{
		Schema: ReportSchema, Suite: SuiteInfo{Version, len(s.rules), digest(s.rules)}, Backend: s.info, Engine: s.engine,
		Env:  EnvInfo{runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU()},
		Seed: s.seed, Strict: s.strict, Results: []Result{}, NotJudged: []ID{}, Totals: map[Verdict]int{}, Took: time.Since(s.started),
	}
	for _, v := range verdicts {
		rep.Totals[v] = 0
	}
	for i := range s.rules {
		res := s.judged[s.rules[i].ID]
		if res == nil {
			rep.NotJudged = append(rep.NotJudged, s.rules[i].ID)
			continue
		}
		rep.Results = append(rep.Results, *res)
		rep.Totals[res.Verdict]++
	}
	rep.Verdict = rep.conclude()
	return rep
}

func (rep *Report) conclude() Conclusion {
	c := Conformant
	if len(rep.NotJudged) > 0 {
		c = Incomplete
	}
	for i := range rep.Results {
		switch r := &rep.Results[i]; r.Verdict {
		case Pass, Unsupported:
		case Fail:
			if r.Level == Must {
				return NotConformant
			}
		case Blocked:
			c = Incomplete
		default:
			if rep.Strict {
				return NotConformant
			}
			c = Incomplete
		}
	}
	return c
}

// Summary is the report in one line.
func (rep *Report) Summary() string {
	var counts []string
	for _, v := range verdicts {
		if n := rep.Totals[v]; n > 0 || v == Pass {
			counts = append(counts, fmt.Sprintf("%d %s", n, v))
		}
	}
	return fmt.Sprintf("%s: %s: %s; %d of %d rules exercised, suite %s, seed %#x",
		rep.Backend.Name, strings.ToUpper(string(rep.Verdict)), strings.Join(counts, ", "),
		rep.Totals[Pass]+rep.Totals[Fail]+rep.Totals[Unsupported], rep.Suite.Rules, rep.Suite.Version, rep.Seed)
}

// WriteText writes the report for people: a table of the groups, then what did not
// pass, then the summary.
func (rep *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "GROUP\t")
	for _, v := range verdicts {
		fmt.Fprintf(t, "%s\t", v)
	}
	fmt.Fprintln(t, "time\t")
	for _, g := range Groups() {
		fmt.Fprintf(t, "%s\t", g.Name)
		n, took := rep.tally(g.Name)
		for _, v := range verdicts {
			fmt.Fprintf(t, "%d\t", n[v])
		}
		fmt.Fprintf(t, "%v\t\n", took.Round(time.Millisecond))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	rules := Rules()
	for i := range rules {
		for j := range rep.Results {
			if res := &rep.Results[j]; res.ID == rules[i].ID && res.Verdict != Pass {
				fmt.Fprintf(w, "\n%s\n", res.explain(&rules[i], rep.Seed, "--rules '"+string(res.ID)+"'"))
			}
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", rep.Summary())
	return err
}

func (rep *Report) tally(group string) (n map[Verdict]int, took time.Duration) {
	n = map[Verdict]int{}
	for i := range rep.Results {
		if r := &rep.Results[i]; r.ID.Group() == group {
			n[r.Verdict]++
			took += r.Took
		}
	}
	return n, took
}

// WriteJSON writes the report for programs: see [ReportSchema].
func (rep *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(rep)
}
