package model

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/papyra-go/papyra/backend/file/filetest"
	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

func TestMemoryIsWhatTheReferenceSays(t *testing.T) { Run(t, selftest.Reference()) }

func TestFileIsWhatTheReferenceSays(t *testing.T) {
	if testing.Short() {
		t.Skip("a hundred stores on disk")
	}
	Run(t, filetest.Harness())
}

func FuzzMemory(f *testing.F) { Fuzz(f, selftest.Reference()) }

// catcher stands for a test that may fail.
type catcher struct {
	testing.TB
	failed bool
	said   []string
}

func (c *catcher) Helper()                   {}
func (c *catcher) Name() string              { return "caught" }
func (c *catcher) Failed() bool              { return c.failed }
func (c *catcher) Logf(f string, a ...any)   { c.said = append(c.said, fmt.Sprintf(f, a...)) }
func (c *catcher) Log(a ...any)              { c.said = append(c.said, fmt.Sprint(a...)) }
func (c *catcher) Errorf(f string, a ...any) { c.Logf(f, a...); c.failed = true }
func (c *catcher) Error(a ...any)            { c.Log(a...); c.failed = true }
func (c *catcher) Fatalf(f string, a ...any) { c.Errorf(f, a...) }
func (c *catcher) Fatal(a ...any)            { c.Error(a...) }
func (c *catcher) FailNow()                  { c.failed = true }
func (c *catcher) Fail()                     { c.failed = true }

// set sets flags of rapid for the test, which draws the same each time then.
func set(t *testing.T, flags map[string]string) {
	t.Helper()
	for name, value := range flags {
		f := flag.Lookup("rapid." + name)
		was := f.Value.String()
		if err := f.Value.Set(value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Value.Set(was) }) // it was good before
	}
}

// Each is found, and shrunk to what it takes.
func TestBrokenBackendsAreFoundAndShrunk(t *testing.T) {
	checks := "1500"
	if testing.Short() { // rapid does a fifth then
		checks = "7500"
	}
	set(t, map[string]string{"seed": "1", "checks": checks, "nofailfile": "true"})
	for name, want := range map[string]struct {
		most int
		rule string
	}{
		"the last record was not synced":               {3, "OPEN-02"},
		"payloads are lost":                            {3, "APPEND-02"},
		"MaxRecords keeps one more":                    {4, "RET-01"},
		"a cut that takes too much is done as nothing": {4, "COMPACT-06"},
	} {
		h := mutant(t, name)
		f, err := conformance.FeaturesOf(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		var found *conformance.Divergence
		c := &catcher{TB: t}
		rapid.Check(c, property(t.Context(), h, f, func(d *conformance.Divergence) { found = d }))
		if !c.failed || found == nil {
			t.Errorf("%s: not found\n%s", name, strings.Join(c.said, "\n"))
			continue
		}
		text := Report(t.Context(), h, found)
		if len(found.Ops) > want.most || !strings.Contains(text, "\n"+want.rule+" ") || !strings.Contains(text, "conformance.Replay(") {
			t.Errorf("%s: want at most %d operations and %s:\n%s", name, want.most, want.rule, text)
		}
	}
}

func mutant(t *testing.T, name string) conformance.Harness {
	t.Helper()
	for _, m := range selftest.Mutants() {
		if m.Name == name {
			return m.Harness()
		}
	}
	t.Fatalf("no mutant %q", name)
	return nil
}
