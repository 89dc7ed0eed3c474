package conformance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/conformance"
)

func TestTheReferencePassesEveryRule(t *testing.T) {
	conformance.Run(t, new(variant).harness(), conformance.Strict())
}

func TestEveryRuleHasAMutant(t *testing.T) {
	all := mutants()
	for _, r := range conformance.Rules() {
		t.Run(string(r.ID)+" "+r.Name, func(t *testing.T) {
			if !slices.ContainsFunc(all, func(m mutant) bool { return m.target == r.ID }) {
				t.Errorf("no mutant fails %s: it may be a rule that cannot fail", r.ID)
			}
		})
	}
}

// TestEachMutantFailsExactlyItsRule is the suite's proof: a backend with one defect
// fails the rule that names it, and no other. With -short, and under the race
// detector, which makes it ten times slower, a mutant meets only the rules of its
// target's group and those that they require.
func TestEachMutantFailsExactlyItsRule(t *testing.T) {
	for _, m := range mutants() {
		t.Run(string(m.target)+" "+m.name, func(t *testing.T) {
			opts := []conformance.Option{conformance.Budget(10 * time.Second)}
			if testing.Short() || raceDetector {
				opts = append(opts, conformance.Only(m.target.Group()+"-*"))
			}
			report, err := conformance.Check(t.Context(), m.harness(), opts...)
			if err != nil {
				t.Fatal(err)
			}
			allowed := append(conformance.Blocks(m.target), m.target)
			for _, res := range report.Results {
				switch {
				case res.ID == m.target && res.Verdict != conformance.Fail:
					t.Errorf("%s: %s: the mutant survives: %s %v", res.ID, res.Verdict, res.Seen, res.BlockedBy)
				case res.ID == m.target, res.Verdict == conformance.Pass:
				case res.Verdict == conformance.Blocked && slices.Contains(allowed, res.ID):
				case res.Verdict == conformance.Unsupported && m.target.Group() == "CLAIM": // it claims something else
				default:
					t.Errorf("%s: %s: the mutant breaks more than its rule: seen %s; wanted %s\n%s\n%s", res.ID, res.Verdict, res.Seen, res.Wanted, strings.Join(res.Done, "\n"), res.Dump)
				}
			}
			if report.Verdict != conformance.NotConformant {
				t.Errorf("the report says %q", report.Verdict)
			}
		})
	}
}

func TestTheTableIsWellFormed(t *testing.T) {
	seen := map[conformance.ID]bool{}
	rules := conformance.Rules()
	for _, r := range rules {
		if seen[r.ID] || r.Name == "" || !strings.HasSuffix(r.Sentence, ".") || r.Check == nil || r.Since == "" {
			t.Errorf("%s is incomplete, or stands twice", r.ID)
		}
		seen[r.ID] = true
		if slices.Contains(conformance.Blocks(r.ID), r.ID) {
			t.Errorf("%s requires itself", r.ID)
		}
	}
	for _, r := range rules {
		for _, id := range r.Requires {
			if !seen[id] {
				t.Errorf("%s requires %s, which is not there", r.ID, id)
			}
		}
		if n := fmt.Sprint(r.ID.Group(), "-"); !strings.HasPrefix(string(r.ID), n) {
			t.Errorf("%s is not in its group", r.ID)
		}
	}
	for _, g := range conformance.Groups() {
		for _, r := range g.Rules {
			if r.ID.Group() != g.Name {
				t.Errorf("%s stands in group %s", r.ID, g.Name)
			}
		}
	}
}
