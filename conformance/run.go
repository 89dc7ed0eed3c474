package conformance

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// TB is what [Run] uses of a *testing.T. It stands here, and Run is generic over
// it, so that a test says conformance.Run(t, harness) while the programs that use
// [Check] do not link package testing and its flags.
type TB[T any] interface {
	Context() context.Context
	Name() string
	Helper()
	Run(name string, f func(T)) bool
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// SeedVariable is the environment variable by which [Run] takes a seed: the one that
// a failure was reported with.
const SeedVariable = "PAPYRA_CONFORMANCE_SEED"

// ReportVariable is the environment variable by which [Run] is told a file for its report,
// whatever go test shows: with the ending .txt, .json, .xml (JUnit) or .md. A * in it stands
// for the test's name; where several tests write to one file the last one's report stays.
const ReportVariable = "PAPYRA_CONFORMANCE_REPORT"

// endings are the formats of reports by what the names of their files end in.
var endings = map[string]string{".txt": "text", ".json": "json", ".xml": "junit", ".md": "markdown"}

// keeping returns what writes a report to the file that the environment names, if it does.
// It finds out before the run whether that can be done, and a file that is there from before
// is removed.
func keeping(test string) (keep func(*Report) error, err error) {
	name := os.Getenv(ReportVariable)
	if name == "" {
		return func(*Report) error { return nil }, nil
	}
	format := endings[filepath.Ext(name)]
	if format == "" {
		return nil, fmt.Errorf("%s=%s: want a name that ends in .txt, .json, .xml or .md", ReportVariable, name)
	}
	name = strings.ReplaceAll(name, "*", strings.ReplaceAll(test, "/", "_"))
	keep = func(rep *Report) error {
		err := whole(name, func(w io.Writer) error { return rep.Write(w, format) })
		if err != nil {
			err = fmt.Errorf("%s: %w", ReportVariable, err)
		}
		return err
	}
	if err := whole(name, func(io.Writer) error { return nil }); err != nil {
		return nil, fmt.Errorf("%s: %w", ReportVariable, err)
	}
	return keep, os.Remove(name)
}

// unmatched returns an error if no rule was run because the pattern of go test -run, which
// names this test, has a part that matches none.
func unmatched(test string) error {
	f := flag.Lookup("test.run")
	if f == nil {
		return nil
	}
	parts := strings.Split(f.Value.String(), "/")
	depth := strings.Count(test, "/") + 1
	top, _, _ := strings.Cut(test, "/")
	literal := strings.Trim(parts[0], "^$")
	if len(parts) <= depth || literal == "" || !strings.Contains(top, literal) { // it may be about other tests
		return nil
	}
	return fmt.Errorf("-run %s: no rule matches %q%s", f.Value, parts[depth], near(strings.Trim(parts[depth], "^$ ")))
}

// Run judges every rule in a subtest of its own, named after its ID: one rule, and
// what it requires, runs with -run 'TestX/OCC-02'. A rule that fails fails its
// subtest; one that is blocked, waived, provisional, unsupported, unavailable or
// inconclusive skips it, saying why; with [Strict] provisional failures and the last
// two fail it. A profile that was asked for and not kept fails the test itself. What it
// comes to stands in the log, which go test shows with -v; see also [ReportVariable].
func Run[T TB[T]](t T, h Harness, opts ...Option) {
	t.Helper()
	if text := os.Getenv(SeedVariable); text != "" {
		seed, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			t.Fatalf("%s=%q: want a number", SeedVariable, text)
		}
		opts = append(slices.Clone(opts), Seed(seed))
	}
	keep, err := keeping(t.Name())
	if err != nil {
		t.Fatalf("%v", err)
	}
	s, err := newSession(h, opts)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if s.again == nil {
		test := t.Name()
		s.again = func(id ID, seed uint64) string {
			return fmt.Sprintf("%s=%#x go test -run '%s/%s'", SeedVariable, seed, test, id)
		}
	}
	for i := range s.rules {
		r := &s.rules[i]
		if s.selected(r.ID) {
			t.Run(string(r.ID)+" "+r.Name, func(t T) { runRule(t, s, r) })
		}
	}
	if len(s.judged) == 0 {
		if err := unmatched(t.Name()); err != nil {
			t.Fatalf("%v", err)
		}
	}
	rep := s.report()
	if rep.Profile.Asked && len(rep.Profile.Lacks) > 0 {
		t.Errorf("%s", rep.Summary())
	} else {
		t.Logf("%s", rep.Summary())
	}
	if err := keep(rep); err != nil {
		t.Errorf("%v", err)
	}
}

func runRule[T TB[T]](t T, s *session, r *Rule) {
	t.Helper()
	// Not t's context: the verdict may be one that other subtests wait for.
	res := s.judge(context.WithoutCancel(t.Context()), r)
	text := res.explain(r, s.seed, s.again(r.ID, s.seed))
	switch {
	case res.fatal(s.strict):
		t.Errorf("%s", text)
	case res.Verdict != Pass:
		t.Skipf("%s", text)
	case res.Waiver != nil:
		t.Logf("%s", text)
	}
}
