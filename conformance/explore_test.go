package conformance_test

import (
	"context"
	"errors"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/filetest"
	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

func mutantCalled(t *testing.T, name string) conformance.Harness {
	t.Helper()
	for _, m := range selftest.Mutants() {
		if m.Name == name {
			return m.Harness()
		}
	}
	t.Fatalf("no mutant %q", name)
	return nil
}

// explore plays random histories until one differs from the reference.
func explore(t *testing.T, h conformance.Harness, histories, length int) *conformance.Divergence {
	t.Helper()
	f, err := conformance.FeaturesOf(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(histories) {
		ops := conformance.RandomOps(rand.New(rand.NewPCG(seed, 1)), length, f)
		d, err := conformance.Replay(t.Context(), h, ops)
		if err != nil {
			t.Fatal(err)
		}
		if d != nil {
			return d
		}
	}
	return nil
}

func TestRandomHistoriesAreWhatTheReferenceSays(t *testing.T) {
	if d := explore(t, selftest.Reference(), 300, 60); d != nil {
		t.Errorf("memory: %v\n%s", d, conformance.TestSource(d.Ops))
	}
	if d := explore(t, filetest.Harness(), 5, 60); d != nil {
		t.Errorf("file: %v\n%s", d, conformance.TestSource(d.Ops))
	}
}

// Each of these is broken in a way that its rule was written for; random histories, which
// know no rule, must find it too, and trace it back.
func TestBrokenBackendsAreFoundByRandomHistoriesAndTracedToTheirRule(t *testing.T) {
	for name, group := range map[string]string{
		"every third record is lost":                "APPEND",
		"payloads are lost":                         "APPEND",
		"positions begin again after opening":       "OPEN",
		"a stream of which all was cut begins anew": "COMPACT",
		"MaxRecords keeps one more":                 "RET",
		"a cut forgets the epoch":                   "COMPACT",
		"the last record was not synced":            "OPEN",
	} {
		h := mutantCalled(t, name)
		d := explore(t, h, 200, 60)
		if d == nil {
			t.Errorf("%s: no history shows it", name)
			continue
		}
		failed, err := conformance.Attribute(t.Context(), h, d)
		if err != nil || len(failed) == 0 || failed[0].ID.Group() != group {
			t.Errorf("%s: traced to %v, %v; want %s\n%v", name, failed, err, group, d)
		}
	}
}

func TestASoundBackendIsTracedToNothing(t *testing.T) {
	d := &conformance.Divergence{Ops: []conformance.Op{{Do: conformance.DoList}}}
	if failed, err := conformance.Attribute(t.Context(), selftest.Reference(), d); err != nil || failed != nil {
		t.Errorf("%v, %v", failed, err)
	}
}

func TestBackendsAreComparedByOneHistory(t *testing.T) {
	same, err := conformance.Compare(t.Context(), 7, 200, selftest.Reference(), filetest.Harness())
	if err != nil || same.Differ >= 0 || !strings.Contains(same.String(), "file: the same answers to 200 operations") {
		t.Errorf("%v, %v", err, same)
	}
	c, err := conformance.Compare(t.Context(), 7, 300, selftest.Reference(), mutantCalled(t, "the last record was not synced"))
	if err != nil || c.Differ < 0 {
		t.Fatalf("%v, %v", err, c)
	}
	// A record, an opening, and a look: that is all it takes.
	if len(c.Fewest) != 3 || c.Fewest[1].Do != conformance.DoReopen {
		t.Errorf("shortened to %v", c.Fewest)
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+conformance.TestSource(c.Fewest), 0); err != nil {
		t.Errorf("%v:\n%v", err, c)
	}
	down := conformance.Make("down", func(context.Context, *conformance.Env) (conformance.OpenFunc, error) {
		return nil, errors.New("no server")
	})
	if _, err := conformance.Compare(t.Context(), 7, 10, selftest.Reference(), down); err == nil || !strings.Contains(err.Error(), "down: ") {
		t.Errorf("a store that can't be made: %v", err)
	}
	if _, err := conformance.Compare(t.Context(), 7, 10, down); err == nil {
		t.Error("one backend is no error")
	}
}

func TestAReplayOfWhatWasFoundFindsIt(t *testing.T) {
	ops := []conformance.Op{{Do: conformance.DoAppend, Stream: "a", Expected: backend.Any, N: 3}, {Do: conformance.DoReopen}, {Do: conformance.DoRead, Stream: "a"}}
	d, err := conformance.Replay(t.Context(), mutantCalled(t, "the last record was not synced"), ops)
	if err != nil || d == nil || d.At != 2 || d.Got != "a/1 op0.0, a/2 op0.1" || d.Want != "a/1 op0.0, a/2 op0.1, a/3 op0.2" {
		t.Errorf("%v, %v", d, err)
	}
	if d, err := conformance.Replay(t.Context(), selftest.Reference(), ops); d != nil || err != nil {
		t.Errorf("%v, %v", d, err)
	}
}
