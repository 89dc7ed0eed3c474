package skeleton

import (
	"strings"
	"testing"

	"github.com/papyra-go/papyra/conformance"
)

// The suite names the first thing that is to be written, and what rests on it waits.
func TestTheFirstRuleIsRed(t *testing.T) {
	report, err := conformance.Check(t.Context(), conformance.Dir("mine", Open))
	if err != nil {
		t.Fatal(err)
	}
	n := report.Totals
	if first := report.Results[0]; first.ID != "OPEN-01" || first.Verdict != conformance.Fail || !strings.Contains(first.Seen, "not written yet") {
		t.Errorf("%+v: want OPEN-01 to fail", first)
	}
	if n[conformance.Fail] != 1 || n[conformance.Pass] > 0 || report.Verdict != conformance.NotConformant {
		t.Error(report.Summary())
	}
}
