package conformance_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

func TestMainsExitCodesAreThoseOfEveryCommand(t *testing.T) {
	sound, unsound := selftest.Reference(), find(t, "OCC-02")
	for _, c := range []struct {
		h        conformance.Harness
		args     string
		code     int
		out, err string
	}{
		{sound, "-rules OCC-02", 0, "INCOMPLETE (profile durable)", ""},
		{sound, "-strict", 0, "variant: CONFORMANT (profile durable)", ""},
		{sound, "-rules OCC-02 -profile shared", 2, "does not claim: shared", ""},
		{sound, "-rules OCC-* -skip OCC-01", 2, "blocked", ""},
		{unsound, "-rules OCC-02 -seed 0x5f", 2, "again:   prog -rules OCC-02 -seed 0x5f\n", ""},
		{unsound, "-rules OCC-02 -format json", 2, `"verdict": "not conformant"`, ""},
		{unsound, "-rules OCC-02 -waive OCC-02:2999-01-01:issue", 2, "waived until 2999-01-01: issue", ""},
		{unsound, "-rules OCC-02 -repeat 3 -seed 1", 2, "OCC-02  100.00%          3 fail    [0x1 0x2 0x3]", ""},
		{unsound, "-rules OCC-02 -repeat 2 -format json", 2, `"schema": "papyra.flakiness/1"`, ""},
		{unsound, "-list", 0, "OCC-02", ""},
		{unsound, "-list -rules OCC-*,READ-01 -skip OCC-02", 0, "\n10 rules, suite", ""},
		{unsound, "-list -strict", 64, "", "list runs nothing: strict does not go with it"},
		{unsound, "-list -seed 1", 64, "", "list runs nothing: seed does not go with it"},
		{unsound, "-explain OCC-02", 0, "docs/conformance.md#occ-02", ""},
		{unsound, "-explain OCC-02 -format json", 0, `"blocks": [`, ""},
		{unsound, "-explain OCC-02 -format junit", 64, "", "a rule has no format"},
		{unsound, "-explain OCC-02 -rules OCC-02", 64, "", "explain runs nothing: rules does not go with it"},
		{unsound, "-explain OCC-99", 64, "", `no rule "OCC-99": did you mean OCC-09?`},
		{unsound, "-explain READS", 64, "", `no rule "READS": the flag list shows all`},
		{unsound, "-explain read", 64, "", `did you mean READ-01 to READ-27?`},
		{sound, "-help", 0, "", "-waive ID:YYYY-MM-DD:reason"},
		{sound, "-rules NONE", 64, "", `prog: conformance: no rule matches "NONE"`},
		{sound, "-nonsense", 64, "", "flag provided but not defined"},
		{sound, "-format yaml", 64, "", "want text, json, junit, markdown"},
		{sound, "-repeat 2 -format junit -rules OPEN-01", 64, "", "want text or json"},
		{sound, "now", 64, "", `takes no argument, got "now"`},
	} {
		var out, err bytes.Buffer
		code := conformance.MainWith(t.Context(), c.h, append([]string{"bin/prog"}, strings.Fields(c.args)...), &out, &err, nil)
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(err.String(), c.err) || c.err == "" && err.Len() > 0 {
			t.Errorf("%s: exit code %d, want %d; out, want %q:\n%s\nerr, want %q:\n%s", c.args, code, c.code, c.out, &out, c.err, &err)
		}
	}
}

func TestAnInterruptedMainReportsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"prog"}, {"prog", "-repeat", "2"}} {
		var out, err bytes.Buffer
		if code := conformance.MainWith(ctx, selftest.Reference(), args, &out, &err, nil); code != 130 || out.Len() > 0 || err.String() != "prog: interrupted\n" {
			t.Errorf("%v: exit code %d, out %q, err %q", args, code, &out, &err)
		}
	}
}

func TestMainCanNotWriteIsAFailure(t *testing.T) {
	var err bytes.Buffer
	if code := conformance.MainWith(t.Context(), selftest.Reference(), []string{"prog", "-rules", "OPEN-01"}, fullDisk{}, &err, nil); code != 1 || err.Len() == 0 {
		t.Errorf("exit code %d, err %q", code, &err)
	}
}
