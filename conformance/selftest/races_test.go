package selftest

import (
	"os"
	"strconv"
	"testing"

	"github.com/papyra-go/papyra/conformance"
)

// raceRules are the rules that call a backend from several goroutines, to see what only
// then goes wrong. Whether it does is up to the scheduler: docs/conformance.md says how often
// they caught their mutants.
var raceRules = []conformance.ID{"OPEN-07", "APPEND-12", "APPEND-21", "OCC-03", "OCC-06", "OCC-07", "IDEM-04", "READ-20", "READ-21", "METRIC-07", "METRIC-08",
	"COMPACT-12", "BATCH-02", "BATCH-03", "CTX-05", "CONC-01", "CONC-02", "CONC-03"}

// PAPYRA_RACES is how many times each is run: twenty is two minutes on two cores.
func TestRaceRulesCatchTheirMutantsAgainAndAgain(t *testing.T) {
	runs := 1
	if text := os.Getenv("PAPYRA_RACES"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	caught, all := 0, 0
	for _, m := range Mutants() {
		for _, id := range raceRules {
			if m.Target != id {
				continue
			}
			n := 0
			for range runs {
				rep, err := conformance.Check(t.Context(), m.Harness(), conformance.Only(string(id)), conformance.Budget(budget))
				if err != nil {
					t.Fatal(err)
				}
				for i := range rep.Results {
					if r := &rep.Results[i]; r.ID == id && r.Verdict == conformance.Fail {
						n++
					}
				}
			}
			caught, all = caught+n, all+runs
			t.Logf("%s %s: %d of %d", id, m.Name, n, runs)
			if 20*n < 19*runs {
				t.Errorf("%s catches %q in %d of %d runs: want 19 of 20", id, m.Name, n, runs)
			}
		}
	}
	t.Logf("%d of %d", caught, all)
}
