package conformance_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

// recorded is a test that may fail, with what its subtests came to.
type recorded struct {
	*testing.T
	name, ended, said string
	all               map[string]*recorded
	unmatched         bool // -run names none of its subtests
}

func (r *recorded) Name() string { return r.name }

func (r *recorded) Run(name string, f func(*recorded)) bool {
	if r.unmatched {
		return true
	}
	sub := &recorded{T: r.T, name: r.name + "/" + name}
	id, _, _ := strings.Cut(name, " ")
	r.all[id] = sub
	done := make(chan struct{})
	go func() { defer close(done); f(sub) }()
	<-done
	return sub.ended != "failed"
}

func (r *recorded) end(how, format string, args []any) {
	r.ended, r.said = how, r.said+fmt.Sprintf(format, args...)
}
func (r *recorded) Errorf(format string, args ...any) { r.end("failed", format, args) }
func (r *recorded) Logf(format string, args ...any)   { r.end(r.ended, format, args) }
func (r *recorded) Skipf(format string, args ...any) {
	r.end("skipped", format, args)
	runtime.Goexit()
}
func (r *recorded) Fatalf(format string, args ...any) {
	r.end("failed", format, args)
	runtime.Goexit()
}

func runRecorded(t *testing.T, h conformance.Harness, opts ...conformance.Option) *recorded {
	r := &recorded{T: t, name: "TestMine", all: map[string]*recorded{}}
	done := make(chan struct{})
	go func() { defer close(done); conformance.Run(r, h, opts...) }()
	<-done
	return r
}

func TestRunFailsWhatIsFatalAndSkipsTheRest(t *testing.T) {
	t.Setenv(conformance.SeedVariable, "0x5f2a")
	broken := find(t, "OCC-02")
	for _, c := range []struct {
		name  string
		h     conformance.Harness
		rule  string
		opts  []conformance.Option
		ended string // of the rule
		says  string
		whole string // of the test
	}{
		{"a failure", broken, "OCC-02", nil, "failed", "again:   PAPYRA_CONFORMANCE_SEED=0x5f2a go test -run 'TestMine/OCC-02'", ""},
		{"what it blocks", broken, "OCC-03", nil, "skipped", "blocked by OCC-02", ""},
		{"a waiver", broken, "OCC-02", []conformance.Option{conformance.Waive("OCC-02", "issue 7", time.Now().Add(time.Hour))}, "skipped", "issue 7", ""},
		{"a waiver that is not needed", selftest.Reference(), "OCC-02", []conformance.Option{conformance.Waive("OCC-02", "issue 7", time.Now().Add(time.Hour))}, "", "can go: issue 7", ""},
		{"a new rule", newest(t).Harness(), string(newest(t).Target), nil, "skipped", "provisional", ""},
		{"a new rule, strictly", newest(t).Harness(), string(newest(t).Target), []conformance.Option{conformance.Strict()}, "failed", "provisional", ""},
		{"a pass", selftest.Reference(), "OCC-02", nil, "", "", ""},
		{"a profile that is not kept", selftest.Reference(), "OCC-02", []conformance.Option{conformance.WithProfile("shared")}, "", "", "failed"},
		{"another profile", selftest.Reference(), "OCC-02", []conformance.Option{conformance.WithProfile("volatile")}, "", "", ""},
	} {
		r := runRecorded(t, c.h, append(c.opts, conformance.Only(c.rule))...)
		sub := r.all[c.rule]
		if sub == nil || sub.ended != c.ended || !strings.Contains(sub.said, c.says) || r.ended != c.whole || !strings.Contains(r.said, "seed 0x5f2a") {
			t.Errorf("%s: %+v; the test: %q %s", c.name, sub, r.ended, r.said)
		}
	}
	t.Setenv(conformance.SeedVariable, "many")
	if r := runRecorded(t, broken); r.ended != "failed" || !strings.Contains(r.said, "want a number") {
		t.Errorf("%q %s", r.ended, r.said)
	}
}

func TestRunKeepsItsReportWhereTheEnvironmentSays(t *testing.T) {
	dir := t.TempDir()
	only := conformance.Only("OPEN-01")
	for ending, begins := range map[string]string{".txt": "backend ", ".json": "{\n", ".xml": "<?xml", ".md": "|"} {
		t.Setenv(conformance.ReportVariable, filepath.Join(dir, "of *"+ending))
		if r := runRecorded(t, selftest.Reference(), only); r.ended == "failed" {
			t.Errorf("%s: %s", ending, r.said)
		}
		b, err := os.ReadFile(filepath.Join(dir, "of TestMine"+ending))
		if err != nil || !strings.HasPrefix(string(b), begins) || !strings.Contains(string(b), "variant") {
			t.Errorf("%s: %v: %.200s", ending, err, b)
		}
	}
	for _, bad := range []string{"report.yaml", "none/report.json"} {
		t.Setenv(conformance.ReportVariable, filepath.Join(dir, bad))
		if r := runRecorded(t, selftest.Reference(), only); r.ended != "failed" || !strings.Contains(r.said, conformance.ReportVariable) || len(r.all) > 0 {
			t.Errorf("%s: %s %q after %d rules: want a failure that names the variable, and no rule judged", bad, r.ended, r.said, len(r.all))
		}
	}
}

// go test says ok where nothing was run: a rule that is not there must not look like one
// that holds.
func TestARuleThatRunDoesNotKnowIsAnError(t *testing.T) {
	was := flag.Lookup("test.run").Value.String()
	defer flag.Set("test.run", was)
	for _, c := range []struct{ pattern, says string }{
		{"TestMine/OCC-99", `no rule matches "OCC-99": did you mean OCC-09?`},
		{"^TestMine$/^CRASH-42 ", "did you mean CRASH-02?"},
		{"TestMine/nothing like it", "the flag list shows all"},
		{"TestMine", ""},
		{"/OCC-99", ""},       // of whatever test has it
		{"TestOther/sub", ""}, // of another test
	} {
		flag.Set("test.run", c.pattern)
		r := &recorded{T: t, name: "TestMine", all: map[string]*recorded{}, unmatched: true}
		done := make(chan struct{})
		go func() { defer close(done); conformance.Run(r, selftest.Reference()) }()
		<-done
		if failed := r.ended == "failed"; failed != (c.says != "") || !strings.Contains(r.said, c.says) {
			t.Errorf("%s: %s %q: want %q", c.pattern, r.ended, r.said, c.says)
		}
	}
}

// An error that says itself what was done is not told twice.
func TestAFailureSaysOnceWhatWasDone(t *testing.T) {
	h := conformance.Make("locked", func(context.Context, *conformance.Env) (conformance.OpenFunc, error) {
		return func(context.Context, *backend.Options) (*backend.Backend, error) {
			return nil, &backend.OpError{Op: backend.OpOpen, Err: backend.ErrLocked}
		}, nil
	})
	rep, err := conformance.Check(t.Context(), h, conformance.Only("OPEN-01"))
	if err != nil || len(rep.Results) != 1 || rep.Results[0].Seen != "open: locked" || fmt.Sprint(rep.Results[0].Done) != "[open: locked]" {
		t.Errorf("%v: %+v: want open: locked, done and seen", err, rep.Results)
	}
}
