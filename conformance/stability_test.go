package conformance_test

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

// newest is a broken backend whose rule is new in this version, as are those that rest on it.
func newest(t *testing.T) selftest.Mutant {
	t.Helper()
	since := map[conformance.ID]string{}
	for _, r := range conformance.Rules() {
		since[r.ID] = r.Since
	}
	for _, m := range selftest.Mutants() {
		old := func(id conformance.ID) bool { return since[id] != conformance.Version }
		if !old(m.Target) && !slices.ContainsFunc(conformance.Blocks(m.Target), old) {
			return m
		}
	}
	t.Skip("no rule is new in this version")
	return selftest.Mutant{}
}

func TestARuleThatIsNewIsReportedAndNotCounted(t *testing.T) {
	m := newest(t)
	r := check(t, m.Harness())
	if res := result(t, r, m.Target); res.Verdict != conformance.Fail || !res.Provisional || r.Verdict != conformance.Conformant {
		t.Errorf("%s, provisional %v; %s", res.Verdict, res.Provisional, r.Summary())
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "provisional, newer than what is counted") {
		t.Errorf("%v: the text does not say it:\n%s", err, &text)
	}
	for name, opt := range map[string]conformance.Option{"strict": conformance.Strict(), "pinned to this version": conformance.Pin(conformance.Version), "all": conformance.Pin("all")} {
		if r := check(t, m.Harness(), opt, conformance.Only(string(m.Target))); r.Verdict != conformance.NotConformant {
			t.Errorf("%s: %s", name, r.Summary())
		}
	}
}

// What breaks a rule that does not count yet must not hide what was found before there was
// such a rule.
func TestARuleThatDoesNotCountBlocksNoneThatDoes(t *testing.T) {
	r := check(t, find(t, "OPEN-14"), conformance.Pin("0.3"), conformance.Only("OPEN-06", "OPEN-14"))
	if new, old := result(t, r, "OPEN-14"), result(t, r, "OPEN-06"); new.Verdict != conformance.Fail || !new.Provisional || old.Verdict != conformance.Fail {
		t.Errorf("OPEN-14 %s, OPEN-06 %s: want both to fail", new.Verdict, old.Verdict)
	}
	if old := result(t, check(t, find(t, "OPEN-14"), conformance.Pin("all"), conformance.Only("OPEN-06")), "OPEN-06"); old.Verdict != conformance.Blocked {
		t.Errorf("OPEN-06 %s: want it blocked where OPEN-14 counts", old.Verdict)
	}
}

func TestAnOldPinCountsOldRulesOnly(t *testing.T) {
	h := find(t, "ERROR-01") // since 0.2
	for version, want := range map[string]conformance.Conclusion{"0.1": conformance.Conformant, "0.2": conformance.NotConformant} {
		r := check(t, h, conformance.Pin(version), conformance.Only("ERROR-*"))
		if r.Held() != (want == conformance.Conformant) || r.Suite.Counted != version {
			t.Errorf("pinned to %s: %s", version, r.Summary())
		}
	}
	for _, version := range []string{"9.9", "x", "0", "-1.2"} {
		if _, err := conformance.Check(t.Context(), h, conformance.Pin(version)); err == nil {
			t.Errorf("pinned to %q: no error", version)
		}
	}
}

func TestAWaiverHoldsUntilItsDay(t *testing.T) {
	h := find(t, "OCC-02")
	future, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	r := check(t, h, conformance.Waive("OCC-02", "issue 7", future))
	if res := result(t, r, "OCC-02"); res.Verdict != conformance.Waived || res.Seen == "" || r.Verdict != conformance.Incomplete {
		t.Errorf("waived: %s; %s", res.Verdict, r.Summary())
	}
	if res := result(t, r, "OCC-03"); res.Verdict != conformance.Blocked {
		t.Errorf("what requires it is %s", res.Verdict)
	}
	for _, c := range []struct {
		h       conformance.Harness
		id      conformance.ID
		until   time.Time
		verdict conformance.Conclusion
		says    string
	}{
		{h, "OCC-02", future, conformance.Incomplete, "waived until " + future.Format(time.DateOnly) + ": issue 7"},
		{h, "OCC-02", past, conformance.NotConformant, "the waiver ended " + past.Format(time.DateOnly) + ": issue 7"},
		{selftest.Reference(), "OCC-02", future, conformance.Conformant, "can go: issue 7"},
	} {
		r := check(t, c.h, conformance.Waive(c.id, "issue 7", c.until), conformance.Only(string(c.id)))
		var text strings.Builder
		if err := r.WriteText(&text); err != nil || r.Held() != (c.verdict == conformance.Conformant) || (r.Verdict == conformance.NotConformant) != (c.verdict == conformance.NotConformant) || !strings.Contains(text.String(), c.says) {
			t.Errorf("%v: %s, want %s and %q:\n%s", err, r.Summary(), c.verdict, c.says, &text)
		}
	}
	for name, bad := range map[string]conformance.Option{
		"no rule": conformance.Waive("OCC-99", "x", future), "no reason": conformance.Waive("OCC-02", " ", future), "no day": conformance.Waive("OCC-02", "x", time.Time{}),
	} {
		if _, err := conformance.Check(t.Context(), h, bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAProfileSaysWhatMayNotBeLeftOut(t *testing.T) {
	claims := func(make func(*backend.Capabilities)) conformance.Harness {
		return wrap(func(s conformance.Subject, _ int) conformance.Subject { return claimsOf{s, make} })
	}
	plain := func(c *backend.Capabilities) { c.Durable = false }
	durable := func(c *backend.Capabilities) { c.Durable = true }
	careless := func(c *backend.Capabilities) { c.Durable, c.Quarantine = true, false }
	shared := func(c *backend.Capabilities) { c.Durable, c.Shared = true, true }
	cutless := func(c *backend.Capabilities) { c.Durable, c.Compact = true, false }
	for _, c := range []struct {
		name, asked, profile string
		h                    conformance.Harness
		want                 conformance.Conclusion
		lacks                string
	}{
		{"claims nothing", "", "volatile", claims(plain), conformance.Conformant, ""},
		{"claims durable", "", "durable", claims(durable), conformance.Conformant, ""},
		{"claims shared", "", "shared", claims(shared), conformance.Conformant, ""},
		{"a weaker profile", "volatile", "volatile", claims(durable), conformance.Conformant, ""},
		{"not durable", "durable", "durable", claims(plain), conformance.NotConformant, "does not claim: durable"},
		{"shared is not one writer", "durable", "durable", claims(shared), conformance.NotConformant, "LOCK-01 is unsupported"},
		{"no quarantine", "full", "full", claims(careless), conformance.NotConformant, "does not claim: quarantine"},
		{"no compaction", "full", "full", claims(cutless), conformance.NotConformant, "COMPACT-01 is unsupported"},
		{"ends with it", "durable", "durable", ending{claims(durable)}, conformance.NotConformant, "OPEN-02 is unsupported"},
		{"a lie", "", "volatile", ending{claims(durable)}, conformance.NotConformant, "its harness says that its stores end with it"},
	} {
		var opts []conformance.Option
		if c.asked != "" {
			opts = append(opts, conformance.WithProfile(c.asked))
		}
		if c.want != conformance.Conformant { // the rules of the capabilities, and not all
			opts = append(opts, conformance.Only("OPEN-02", "LOCK-01", "COMPACT-01"))
		}
		r := check(t, c.h, append(opts, conformance.Pin("0.3"))...) // newer ones need seams, which a wrapped store has not
		if r.Verdict != c.want || r.Profile.Name != c.profile || !strings.Contains(strings.Join(r.Profile.Lacks, "\n"), c.lacks) {
			t.Errorf("%s: %s", c.name, r.Summary())
		}
		if r.Verdict == conformance.Conformant && (r.Profile.Exercised != r.Profile.Asks || r.Profile.Asks < 70) {
			t.Errorf("%s: conformant by %d of %d rules", c.name, r.Profile.Exercised, r.Profile.Asks)
		}
	}
	if _, err := conformance.Check(t.Context(), claims(plain), conformance.WithProfile("best")); err == nil {
		t.Error("a profile that is not there is no error")
	}
}

// claimsOf is a backend with other claims.
type claimsOf struct {
	conformance.Subject
	change func(*backend.Capabilities)
}

func (c claimsOf) Capabilities() backend.Capabilities {
	can := c.Subject.Capabilities()
	c.change(&can)
	return can
}

// ending is a harness that says that stores end with their backend.
type ending struct{ conformance.Harness }

func (h ending) Info() conformance.Info {
	info := h.Harness.Info()
	info.Volatile = true
	return info
}

const idsFile = "testdata/ids.txt"

// An ID is for ever: reports, waivers and issues name it. The list only grows. A rule
// that goes keeps its line, with the word withdrawn and the version that dropped it.
func TestRuleIDsAreNeverReused(t *testing.T) {
	listed := map[conformance.ID]string{}
	text, err := os.ReadFile(idsFile)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		id, rest, _ := strings.Cut(lines.Text(), " ")
		if _, twice := listed[conformance.ID(id)]; twice {
			t.Errorf("%s stands twice in %s", id, idsFile)
		}
		listed[conformance.ID(id)] = rest
	}
	var added strings.Builder
	for _, r := range conformance.Rules() {
		since, known := listed[r.ID]
		delete(listed, r.ID)
		switch {
		case !known:
			fmt.Fprintf(&added, "%s %s\n", r.ID, r.Since)
		case since != r.Since:
			t.Errorf("%s is since %s, and was listed as %q: a withdrawn or changed rule needs a new number", r.ID, r.Since, since)
		}
	}
	for id, rest := range listed {
		if !strings.Contains(rest, "withdrawn ") {
			t.Errorf("%s is gone from the table: say \"%s withdrawn VERSION\" in %s", id, rest, idsFile)
		}
	}
	switch {
	case added.Len() == 0:
	case *update:
		if err := os.WriteFile(idsFile, append(text, added.String()...), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("new rules are not in %s (go test ./conformance -run 'Docs|IDs' -update adds them):\n%s", idsFile, &added)
	}
}
