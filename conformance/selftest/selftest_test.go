package selftest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/conformance"
)

// TestTheSuiteProvesItself is the suite's proof. With -short, and under the race detector,
// which makes it ten times slower, a mutant meets only the rules of its target's group
// and those that they require.
func TestTheSuiteProvesItself(t *testing.T) {
	var opts []Option
	if testing.Short() || raceDetector {
		opts = append(opts, Quick())
	}
	Run(t, opts...)
}

// The self-test must itself be able to fail.
func TestASuiteThatDoesNotBiteIsFoundOut(t *testing.T) {
	mutant := func(target conformance.ID, like conformance.ID) *Mutant {
		for _, m := range Mutants() {
			if m.Target == like {
				return &Mutant{target, m.Name, m.variant}
			}
		}
		t.Fatalf("no mutant for %s", like)
		return nil
	}
	for _, c := range []struct {
		name string
		try  func(context.Context) ([]string, error)
		says string
	}{
		{"a mutant that nothing is wrong with", func(ctx context.Context) ([]string, error) {
			return (&Mutant{Target: "OCC-02"}).exact(ctx, true)
		}, "the mutant survives: OCC-02: pass"},
		{"a mutant of another rule", func(ctx context.Context) ([]string, error) { return mutant("OCC-01", "OCC-02").exact(ctx, true) }, "the mutant breaks more than its rule: OCC-02: fail"},
		{"an oddity that is broken", func(ctx context.Context) ([]string, error) { return sound(ctx, mutant("OCC-02", "OCC-02").Harness()) }, "OCC-02: fail"},
		{"a liar that is honest", func(ctx context.Context) ([]string, error) { return (&liar{h: Reference(), says: "x"}).caught(ctx) }, "want NOT CONFORMANT"},
	} {
		wrong, err := c.try(t.Context())
		if err != nil || !strings.Contains(strings.Join(wrong, "\n"), c.says) {
			t.Errorf("%s: %v: %q", c.name, err, wrong)
		}
	}
}

func TestTheReportSaysWhatIsWrong(t *testing.T) {
	rep := &Report{Schema: Schema, Suite: "9.1", Findings: []Finding{}}
	count := func(r *Report) *Count { return &r.Mutants }
	rep.add(trial{what: "one", count: count}, nil)
	if !rep.Proven() {
		t.Error("proven is not")
	}
	rep.add(trial{what: "two", count: count}, []string{"it\nsurvives"})
	var text, doc bytes.Buffer
	if err := errors.Join(rep.Write(&text, "text"), rep.Write(&doc, "json")); err != nil {
		t.Fatal(err)
	}
	want := "two\n    it\n    survives\n\nsuite 9.1: NOT PROVEN: 1 of 2 mutants fail exactly their rule"
	if rep.Proven() || !strings.HasPrefix(text.String(), want) || !strings.Contains(doc.String(), `"what": "two"`) {
		t.Errorf("%s\n%s", &text, &doc)
	}
	if rep.Write(&text, "junit") == nil {
		t.Error("a format that is not there is no error")
	}
}

func TestCheckStopsWhenItIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var told []string
	_, err := Check(ctx, Progress(func(_, of int, what string) {
		if told = append(told, what); len(told) == 2 || of < 100 {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) || len(told) != 2 || told[0] != "the reference" {
		t.Errorf("%v after %q", err, told)
	}
}

func TestThereAreEnoughOfEach(t *testing.T) {
	if n := len(Oddities()); n < 10 {
		t.Errorf("%d odd backends", n)
	}
	if n := len(liars()); n < 5 {
		t.Errorf("%d liars", n)
	}
}
