package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/build"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, h conformance.Harness, opts ...conformance.Option) *conformance.Report {
	t.Helper()
	r, err := conformance.Check(t.Context(), h, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func result(t *testing.T, r *conformance.Report, id conformance.ID) conformance.Result {
	t.Helper()
	for _, res := range r.Results {
		if res.ID == id {
			return res
		}
	}
	t.Fatalf("no result for %s", id)
	return conformance.Result{}
}

// find returns the first mutant of a rule.
func find(t *testing.T, id conformance.ID) conformance.Harness {
	t.Helper()
	all := selftest.Mutants()
	i := slices.IndexFunc(all, func(m selftest.Mutant) bool { return m.Target == id })
	if i < 0 {
		t.Fatalf("no mutant for %s", id)
	}
	return all[i].Harness()
}

func TestAFailureExplainsItself(t *testing.T) {
	r := check(t, find(t, "OCC-02"), conformance.Only("OCC-02"), conformance.Seed(0x5f2a))
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"OCC-02 (MUST, since 0.1): A batch that expects version 0 is refused",
		`done:    open: no error`, `append "a", expected 0, 1 records: version 3`,
		`seen:    append "a", expected 0, 1 records: no error`, `wanted:  an error that wraps backend.ErrConflict ("version conflict")`,
		"verdict: fail\n", "seed:    0x5f2a\n",
		`again:   conformance.Check(ctx, harness, conformance.Only("OCC-02"), conformance.Seed(0x5f2a))`, "blocks:  APPEND-18 OCC-03 OCC-05", "help:    https://github.com/papyra-go/papyra/blob/main/docs/conformance.md#occ-02",
		"NOT CONFORMANT",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &text)
		}
	}
}

// Of the many rules that rest on a basic one the text names a few.
func TestAFailureThatBlocksManyNamesAFew(t *testing.T) {
	r := check(t, find(t, "APPEND-02"), conformance.Only("APPEND-02"), conformance.Seed(1))
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	all := conformance.Blocks("APPEND-02")
	want := fmt.Sprintf("blocks:  %s and %d more: mend this one first\n", strings.Trim(fmt.Sprint(all[:12]), "[]"), len(all)-12)
	if !strings.Contains(text.String(), want) {
		t.Errorf("the text lacks %q:\n%s", want, &text)
	}
}

// Numbers were once padded with zeros to the width at which text is cut.
func TestAFailureShowsNumbersAsTheyAre(t *testing.T) {
	h := wrap(func(s conformance.Subject, opens int) conformance.Subject { return &shifting{s, opens > 1} })
	res := result(t, check(t, h, conformance.Only("OPEN-02")), "OPEN-02")
	if !strings.HasSuffix(res.Seen, "Position is 8, want 1") {
		t.Errorf("%s: %s", res.Verdict, res.Seen)
	}
}

func TestTheJSONReportIsStable(t *testing.T) {
	r := check(t, find(t, "OCC-02"))
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var back conformance.Report
	if err := json.Unmarshal(text.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	rules := conformance.Rules()
	if back.Schema != conformance.ReportSchema || back.Engine != "memory" || back.Suite.Rules != len(rules) || len(back.Results) != len(rules) {
		t.Errorf("%+v", back.Suite)
	}
	total := 0
	for _, n := range back.Totals {
		total += n
	}
	if len(back.Totals) != 7 || total != len(rules) || back.Verdict != conformance.NotConformant {
		t.Errorf("totals %v, verdict %s", back.Totals, back.Verdict)
	}
	for i := range back.Results {
		if back.Results[i].ID != rules[i].ID {
			t.Errorf("result %d is %s, want %s: the table's order", i, back.Results[i].ID, rules[i].ID)
		}
	}
}

func TestFewerRulesAreNeverConformant(t *testing.T) {
	h := selftest.Reference()
	if r := check(t, h, conformance.Only("APPEND-01")); r.Verdict != conformance.Incomplete || len(r.Results) != 2 || r.Totals[conformance.Pass] != 2 {
		t.Errorf("only APPEND-01, which requires OPEN-01: %s", r.Summary())
	}
	r := check(t, h, conformance.Only("OCC-0[13]"), conformance.Skip("OCC-01"))
	if res := result(t, r, "OCC-03"); res.Verdict != conformance.Blocked || r.Verdict != conformance.Incomplete {
		t.Errorf("OCC-03 without OCC-01: %s; %s", res.Verdict, r.Summary())
	}
	if _, err := conformance.Check(t.Context(), h, conformance.Only("NONE-*")); err == nil {
		t.Error("a glob that matches no rule is no error")
	}
	if _, err := conformance.Check(t.Context(), h, conformance.Only("[")); err == nil {
		t.Error("a bad glob is no error")
	}
}

func TestAHangFailsItsRuleAndShowsWhere(t *testing.T) {
	h := wrap(func(s conformance.Subject, _ int) conformance.Subject {
		return &heads{s, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	})
	r := check(t, h, conformance.Only("OPEN-01"), conformance.Budget(50*time.Millisecond))
	if res := result(t, r, "OPEN-01"); res.Verdict != conformance.Fail || !strings.Contains(res.Dump, "open01") {
		t.Errorf("%s: %s, dump of %d bytes", res.Verdict, res.Seen, len(res.Dump))
	}
}

func TestAPanicFailsItsRule(t *testing.T) {
	h := wrap(func(s conformance.Subject, _ int) conformance.Subject {
		return &heads{s, func(context.Context) error { panic("broken engine") }}
	})
	if res := result(t, check(t, h, conformance.Only("OPEN-01")), "OPEN-01"); res.Verdict != conformance.Fail || !strings.Contains(res.Seen, "broken engine") {
		t.Errorf("%s: %s", res.Verdict, res.Seen)
	}
}

// Where it was stands in the dump, whichever goroutine of the check the panic was on.
func TestAPanicBesideOthersShowsWhereItWas(t *testing.T) {
	h := wrap(func(s conformance.Subject, opens int) conformance.Subject {
		if opens == 2 {
			return &panicsAt{panicking{s}, 3, new(atomic.Int32)}
		}
		return s
	})
	res := result(t, check(t, h, conformance.Only("OPEN-06"), conformance.Pin("all")), "OPEN-06")
	if res.Verdict != conformance.Fail || !strings.Contains(res.Seen, "panic: broken engine") || strings.Contains(res.Seen, "goroutine ") || !strings.Contains(res.Dump, "panicking.Close") {
		t.Errorf("%s: %s\n%s", res.Verdict, res.Seen, res.Dump)
	}
}

// A backend that panics when all is done has not passed.
func TestAPanicInTheLastCloseIsAFailure(t *testing.T) {
	h := wrap(func(s conformance.Subject, _ int) conformance.Subject { return panicking{s} })
	if res := result(t, check(t, h, conformance.Only("OPEN-01")), "OPEN-01"); res.Verdict != conformance.Fail || !strings.Contains(res.Dump, "panicking.Close") {
		t.Errorf("%s: %s", res.Verdict, res.Seen)
	}
}

// panicsAt panics when it is closed for the n-th time.
type panicsAt struct {
	panicking
	n     int32
	times *atomic.Int32
}

func (p *panicsAt) Close() error {
	if p.times.Add(1) == p.n {
		return p.panicking.Close()
	}
	return p.Subject.Close()
}

type panicking struct{ conformance.Subject }

func (p panicking) Close() error {
	_ = p.Subject.Close()
	panic("broken engine")
}

// Every sentinel of package backend is called by its name in Go.
func TestSentinelsAreCalledByTheirNames(t *testing.T) {
	source, err := os.ReadFile("../backend/errors.go")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("sentinel.go")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^\t(Err\w+) += errors\.New`).FindAllStringSubmatch(string(source), -1)
	if len(names) < 16 {
		t.Fatalf("only %d sentinels", len(names))
	}
	for _, name := range names {
		if want := fmt.Sprintf("{\"backend.%[1]s\", backend.%[1]s}", name[1]); !strings.Contains(string(table), want) {
			t.Errorf("sentinel.go lacks %s", want)
		}
	}
}

// The one line says which failures have no say, and why.
func TestTheSummarySaysWhichFailuresDoNotCount(t *testing.T) {
	r := &conformance.Report{Results: []conformance.Result{
		{ID: "COMPACT-18", Level: conformance.Should, Since: "0.4", Verdict: conformance.Fail},
		{ID: "OPEN-16", Level: conformance.Must, Since: "0.4", Provisional: true, Verdict: conformance.Fail},
		{ID: "OCC-02", Level: conformance.Must, Since: "0.1", Verdict: conformance.Fail},
	}}
	want := "failures that do not count: COMPACT-18 (a SHOULD), OPEN-16 (new in suite 0.4, counts from the next one on, or if strict)"
	if got := r.Summary(); !strings.HasSuffix(got, want) {
		t.Errorf("%s\nwant at its end: %s", got, want)
	}
	if r.Strict = true; !strings.HasSuffix(r.Summary(), "COMPACT-18 (a SHOULD)") {
		t.Error(r.Summary())
	}
}

func TestWhatCannotBeJudgedIsSaid(t *testing.T) {
	down := conformance.Make("down", func(context.Context, *conformance.Env) (conformance.OpenFunc, error) {
		return nil, errors.New("no server")
	})
	r := check(t, down)
	if r.Totals[conformance.Unavailable] != 1 || r.Verdict != conformance.Incomplete || r.Totals[conformance.Pass] != 0 {
		t.Error(r.Summary())
	}
	if r := check(t, down, conformance.Strict()); r.Verdict != conformance.NotConformant {
		t.Error(r.Summary())
	}
}

func TestTheEngineImportsNeitherTestingNorAnEngine(t *testing.T) {
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pkg.Imports {
		if path == "testing" || strings.Contains(path, ".") && path != "github.com/papyra-go/papyra/backend" && path != "github.com/papyra-go/papyra/metrics" {
			t.Errorf("package conformance imports %s", path)
		}
	}
}

// seamless hides the seams of a harness's stores.
type seamless struct{ conformance.Harness }

func (h seamless) NewStore(ctx context.Context, env *conformance.Env) (conformance.Store, error) {
	s, err := h.Harness.NewStore(ctx, env)
	return struct{ conformance.Store }{s}, err
}

func TestAMissingSeamIsUnavailableAndSaid(t *testing.T) {
	h := seamless{selftest.Reference()}
	r := check(t, h, conformance.Strict())
	for _, rule := range conformance.Rules() {
		res := result(t, r, rule.ID)
		if len(rule.Seams) > 0 && res.Verdict != conformance.Unavailable && res.Verdict != conformance.Blocked {
			t.Errorf("%s, which needs %v: %s", rule.ID, rule.Seams, res.Verdict)
		}
		if len(rule.Seams) > 0 && res.Verdict == conformance.Unavailable && !slices.Equal(res.Missing, rule.Seams) {
			t.Errorf("%s: missing %v, want %v", rule.ID, res.Missing, rule.Seams)
		}
	}
	if len(r.Seams) > 0 || !slices.Equal(r.Missing, conformance.Seams()) || r.Verdict != conformance.NotConformant {
		t.Errorf("seams %v, missing %v: %s", r.Seams, r.Missing, r.Summary())
	}
	if r := check(t, h, conformance.Strict(), conformance.Without(conformance.Seams()...)); r.Verdict != conformance.Incomplete {
		t.Error(r.Summary())
	}
	if r := check(t, h, conformance.Strict(), conformance.Without(conformance.SeamKiller)); r.Verdict != conformance.NotConformant {
		t.Error(r.Summary())
	}
}

func TestAProvisionalRuleCountsWithStrictOnly(t *testing.T) {
	rules := conformance.Rules()
	i := slices.IndexFunc(rules, func(r conformance.Rule) bool {
		return r.Provisional && !slices.ContainsFunc(rules, func(other conformance.Rule) bool { return slices.Contains(other.Requires, r.ID) })
	})
	if i < 0 {
		t.Skip("this version of the suite has no provisional rule")
	}
	id := rules[i].ID
	if r := check(t, find(t, id)); r.Totals[conformance.Fail] != 1 || r.Verdict != conformance.Conformant {
		t.Errorf("%s: %s", id, r.Summary())
	}
	if r := check(t, find(t, id), conformance.Strict()); r.Verdict != conformance.NotConformant {
		t.Errorf("%s, strict: %s", id, r.Summary())
	}
	if r := check(t, find(t, "OCC-02")); r.Verdict != conformance.NotConformant {
		t.Error(r.Summary())
	}
}
