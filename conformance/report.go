package conformance

import (
	"fmt"
	"slices"
	"strings"
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
	Waived       Verdict = "waived"       // it does not hold, and a waiver that has not expired says why: see [Waive]
	Unavailable  Verdict = "unavailable"  // the environment can't do what the check needs
	Inconclusive Verdict = "inconclusive" // the check ran and could not tell
)

var verdicts = []Verdict{Pass, Fail, Blocked, Unsupported, Waived, Unavailable, Inconclusive}

// Result is the verdict on one rule.
type Result struct {
	ID    ID     `json:"id"`
	Name  string `json:"name"`
	Level Level  `json:"level"`
	Since string `json:"since"`
	// Provisional: the rule is newer than what is counted, see [Pin].
	Provisional bool          `json:"provisional,omitempty"`
	Verdict     Verdict       `json:"verdict"`
	Took        time.Duration `json:"took_ns"`
	// Seen says what was seen, and Wanted what the rule wants instead; or Seen says
	// why there is no verdict.
	Seen   string `json:"seen,omitempty"`
	Wanted string `json:"wanted,omitempty"`
	// Done is the last that was done before that.
	Done []string `json:"done,omitempty"`
	// BlockedBy are the required rules that did not pass.
	BlockedBy []ID `json:"blocked_by,omitempty"`
	// Waiver is what was said about this rule with [Waive], expired or not.
	Waiver *Waiver `json:"waiver,omitempty"`
	// Missing are the seams that the rule needs and the harness has not got.
	Missing []Seam `json:"missing_seams,omitempty"`
	// Dump is where the goroutines stood, if the check hung or panicked.
	Dump string `json:"dump,omitempty"`

	spared bool // for want of seams that [Without] names
}

// counts reports whether the verdict has a say in the conclusion.
func (res *Result) counts(strict bool) bool { return strict || !res.Provisional }

// fatal reports whether the verdict alone makes the backend not conformant.
func (res *Result) fatal(strict bool) bool {
	switch res.Verdict {
	case Fail:
		return res.Level == Must && res.counts(strict)
	case Unavailable, Inconclusive:
		return strict && !res.spared
	}
	return false
}

// ReportSchema names the shape of the report's JSON. The number is raised when a
// field changes its meaning or goes; fields may be added.
const ReportSchema = "papyra.conformance/1"

// Report is what came of one run of the suite.
type Report struct {
	Schema  string     `json:"schema"`
	Suite   SuiteInfo  `json:"suite"`
	Backend Info       `json:"backend"`
	Engine  string     `json:"engine"`
	Env     EnvInfo    `json:"env"`
	Claims  ClaimInfo  `json:"claims"`
	Limits  LimitInfo  `json:"limits"`
	Seams   []Seam     `json:"seams"`         // that the harness's stores have
	Missing []Seam     `json:"missing_seams"` // and those that they have not
	Seed    uint64     `json:"seed"`
	Strict  bool       `json:"strict"`
	Profile Attainment `json:"profile"`
	Results []Result   `json:"results"` // in the order of the table
	// NotJudged are the rules that were not asked for.
	NotJudged []ID            `json:"not_judged"`
	Totals    map[Verdict]int `json:"totals"` // every verdict has its key
	Took      time.Duration   `json:"took_ns"`
	Verdict   Conclusion      `json:"verdict"`

	again func(ID, uint64) string
}

// Conclusion is what the verdicts come to.
type Conclusion string

// The conclusions. Conformant: every rule of the table that counts passed, was
// verified not to concern this backend, or is a SHOULD, and the backend does what the
// profile asks. Incomplete: nothing failed, but rules were left out, blocked, waived,
// unavailable or inconclusive.
const (
	Conformant    Conclusion = "conformant"
	NotConformant Conclusion = "not conformant"
	Incomplete    Conclusion = "incomplete"
)

func (s *session) report() *Report {
	rep := &Report{
		Schema: ReportSchema, Suite: SuiteInfo{Version, s.counted, len(s.rules), digest(s.rules)}, Backend: s.info, Engine: s.engine,
		Env: environment(), Claims: claimed(s.claims), Limits: s.limits, Seed: s.seed, Strict: s.strict,
		Results: []Result{}, NotJudged: []ID{}, Totals: map[Verdict]int{}, Took: time.Since(s.started), again: s.again,
	}
	rep.Seams, rep.Missing = []Seam{}, []Seam{}
	for _, seam := range Seams() {
		if s.store != nil && has(s.store, seam) {
			rep.Seams = append(rep.Seams, seam)
		} else {
			rep.Missing = append(rep.Missing, seam)
		}
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
	rep.Profile = rep.attain(s.profile, s.rules)
	rep.Verdict = rep.conclude()
	return rep
}

func (rep *Report) conclude() Conclusion {
	c := Conformant
	if len(rep.NotJudged) > 0 {
		c = Incomplete
	}
	for i := range rep.Results {
		r := &rep.Results[i]
		switch {
		case r.fatal(rep.Strict):
			return NotConformant
		case !r.counts(rep.Strict), r.Verdict == Pass, r.Verdict == Unsupported, r.Verdict == Fail:
		default:
			c = Incomplete
		}
	}
	if len(rep.Profile.Lacks) > 0 {
		return NotConformant
	}
	return c
}

// Held reports whether nothing stands against the backend among the rules that were
// asked for: each that counts passed, does not concern it, or is a SHOULD, and the
// profile is kept. Unlike [Conformant] it may be true of a part of the table.
func (rep *Report) Held() bool {
	whole := *rep
	whole.NotJudged = nil
	return whole.conclude() == Conformant
}

// borne are the rules that failed and have no say in the conclusion, each with why.
func (rep *Report) borne() (out []string) {
	for i := range rep.Results {
		switch res := &rep.Results[i]; {
		case res.Verdict != Fail:
		case res.Level == Should:
			out = append(out, string(res.ID)+" (a SHOULD)")
		case !res.counts(rep.Strict):
			out = append(out, fmt.Sprintf("%s (new in suite %s, counts from the next one on, or if strict)", res.ID, res.Since))
		}
	}
	return out
}

// Summary is the report in one line.
func (rep *Report) Summary() string {
	var counts []string
	for _, v := range verdicts {
		if n := rep.Totals[v]; n > 0 || v == Pass {
			counts = append(counts, fmt.Sprintf("%d %s", n, v))
		}
	}
	if n := len(rep.NotJudged); n > 0 {
		counts = append(counts, fmt.Sprintf("%d not judged", n))
	}
	p := &rep.Profile
	text := fmt.Sprintf("%s: %s (profile %s): %s; %d of the profile's %d rules exercised, suite %s of %d rules, seed %#x",
		rep.Backend.title(), strings.ToUpper(string(rep.Verdict)), p.Name, strings.Join(counts, ", "), p.Exercised, p.Asks, rep.Suite.Version, rep.Suite.Rules, rep.Seed)
	if borne := rep.borne(); len(borne) > 0 {
		text += "; failures that do not count: " + strings.Join(borne, ", ")
	}
	if len(p.Lacks) > 0 {
		text += "; the profile asks for more: " + strings.Join(p.Lacks, "; ")
	}
	return text
}

// title is the backend's name with its version.
func (i Info) title() string { return strings.TrimSpace(i.Name + " " + i.Version) }

// groups returns the groups of which at least one rule was judged.
func (rep *Report) groups() []Group {
	return slices.DeleteFunc(Groups(), func(g Group) bool {
		return !slices.ContainsFunc(rep.Results, func(r Result) bool { return r.ID.Group() == g.Name })
	})
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

// explained returns the results that need words, in order, each with its rule: what
// did not pass, and what passed under a waiver.
func (rep *Report) explained() (out []explanation) {
	rules := map[ID]*Rule{}
	table := Rules()
	for i := range table {
		rules[table[i].ID] = &table[i]
	}
	for i := range rep.Results {
		if res := &rep.Results[i]; res.Verdict != Pass || res.Waiver != nil {
			out = append(out, explanation{rules[res.ID], res})
		}
	}
	return out
}

type explanation struct {
	rule *Rule
	res  *Result
}
