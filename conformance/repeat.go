package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// FlakinessSchema names the shape of [Flakiness] in JSON.
const FlakinessSchema = "papyra.flakiness/1"

// Flakiness is what came of running the suite again and again.
type Flakiness struct {
	Schema  string        `json:"schema"`
	Suite   string        `json:"suite"`
	Backend Info          `json:"backend"`
	Runs    int           `json:"runs"`
	Seed    uint64        `json:"seed"` // of the first run; each next one has the next number
	Took    time.Duration `json:"took_ns"`
	Rules   []RuleRuns    `json:"rules"` // in the order of the table
}

// RuleRuns is one rule's verdicts.
type RuleRuns struct {
	ID       ID              `json:"id"`
	Verdicts map[Verdict]int `json:"verdicts"`
	// Seeds are those of the first runs that neither passed nor were unsupported, and
	// Seen what the first of them saw.
	Seeds []uint64 `json:"seeds,omitempty"`
	Seen  string   `json:"seen,omitempty"`
}

const seedsKept = 5

// Repeat runs the suite n times, each with the next seed, and counts the verdicts: a rule
// that fails now and then is a race in the backend, or a rule that wants mending.
func Repeat(ctx context.Context, h Harness, n int, opts ...Option) (*Flakiness, error) {
	if n < 1 {
		return nil, fmt.Errorf("conformance: repeat %d times: want 1 or more", n)
	}
	s, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	f := &Flakiness{Schema: FlakinessSchema, Suite: Version, Backend: h.Info(), Seed: s.seed}
	start := time.Now()
	runs := map[ID]*RuleRuns{}
	for i := range n {
		seed := s.seed + uint64(i)
		rep, err := Check(ctx, h, append(slices.Clone(opts), Seed(seed))...)
		if err != nil {
			return nil, err
		}
		for j := range rep.Results {
			res := &rep.Results[j]
			if runs[res.ID] == nil {
				runs[res.ID] = &RuleRuns{ID: res.ID, Verdicts: map[Verdict]int{}}
			}
			runs[res.ID].add(res, seed)
		}
		f.Runs++
	}
	f.Took = time.Since(start)
	for _, r := range Rules() {
		if runs[r.ID] != nil {
			f.Rules = append(f.Rules, *runs[r.ID])
		}
	}
	return f, nil
}

func (r *RuleRuns) add(res *Result, seed uint64) {
	r.Verdicts[res.Verdict]++
	if res.Verdict == Pass || res.Verdict == Unsupported {
		return
	}
	if len(r.Seeds) == 0 {
		r.Seen = strings.TrimSpace(res.Seen + " " + joinWords(res.BlockedBy))
	}
	if len(r.Seeds) < seedsKept {
		r.Seeds = append(r.Seeds, seed)
	}
}

// steady reports whether the rule came out the same each time, and not ill.
func (r *RuleRuns) steady() bool {
	return len(r.Verdicts) == 1 && r.Verdicts[Fail]+r.Verdicts[Waived]+r.Verdicts[Inconclusive] == 0
}

// Steady reports whether every rule passed, or could not be judged, each time.
func (f *Flakiness) Steady() bool {
	return !slices.ContainsFunc(f.Rules, func(r RuleRuns) bool { return !r.steady() })
}

// Write writes the counts as text or JSON.
func (f *Flakiness) Write(w io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(f)
	case "text":
		return f.writeText(w)
	}
	return fmt.Errorf("conformance: counts have no format %q: want text or json", format)
}

func (f *Flakiness) writeText(w io.Writer) error {
	out := &printer{w: w}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	unsteady := 0
	for i := range f.Rules {
		if r := &f.Rules[i]; !r.steady() {
			if unsteady++; unsteady == 1 {
				fmt.Fprintln(t, "RULE\tOTHER THAN PASS\tVERDICTS\tSEEDS\tSEEN")
			}
			fmt.Fprintf(t, "%s\t%.2f%%\t%s\t%#x\t%s\n", r.ID, 100-100*float64(r.Verdicts[Pass])/float64(f.Runs), verdictCounts(r.Verdicts), r.Seeds, firstLine(printable(r.Seen)))
		}
	}
	t.Flush()
	out.printf("%s: %d runs of %d rules in %v, seeds from %#x: %d rules failed or flaked\n", f.Backend.title(), f.Runs, len(f.Rules), f.Took.Round(time.Second), f.Seed, unsteady)
	return out.err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func verdictCounts(n map[Verdict]int) string {
	var parts []string
	for _, v := range verdicts {
		if n[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[v], v))
		}
	}
	return strings.Join(parts, ", ")
}
