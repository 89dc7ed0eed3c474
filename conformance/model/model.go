// Package model explores a backend with random histories, and shrinks what it finds: a
// handful of operations after which the backend does something else than a reference
// that is a map of slices.
//
//	func TestModel(t *testing.T) { model.Run(t, mine.Harness()) }
//
// pgregory.net/rapid draws and shrinks. It imports package testing and defines flags
// (-rapid.checks, -rapid.seed, -rapid.steps), and is why this stands apart from package
// conformance, which programs link. A failure that rapid has found is kept in testdata,
// and played first the next time.
//
// What it is not: a test of concurrency (package linearize) or of crashes.
//
// Where to read next: conformance/op.go for the operations, reference.go for what they
// must come to.
package model

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/papyra-go/papyra/conformance"
)

// mostOps is how long a history gets.
const mostOps = 60

// Run plays random histories, one hundred unless -rapid.checks says otherwise, and fails
// with the shortest that it can find, as a Go test, and with the rules that fail too.
func Run(t *testing.T, h conformance.Harness) {
	t.Helper()
	f, err := conformance.FeaturesOf(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	var found *conformance.Divergence // the last, which is the shortest
	defer func() {
		if found != nil {
			t.Log(Report(context.WithoutCancel(t.Context()), h, found))
		}
	}()
	rapid.Check(t, property(t.Context(), h, f, func(d *conformance.Divergence) { found = d }))
}

// Fuzz is Run for go test -fuzz: the fuzzer's bytes are what histories are drawn from.
func Fuzz(f *testing.F, h conformance.Harness) {
	f.Helper()
	features, err := conformance.FeaturesOf(f.Context(), h)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(rapid.MakeFuzz(property(context.WithoutCancel(f.Context()), h, features, func(*conformance.Divergence) {})))
}

// property fails where a drawn history differs from the reference, and tells where.
func property(ctx context.Context, h conformance.Harness, f conformance.Features, found func(*conformance.Divergence)) func(*rapid.T) {
	operation := operations(f)
	return func(t *rapid.T) {
		ops := rapid.SliceOfN(operation, 1, mostOps).Draw(t, "operations")
		d, err := conformance.Replay(ctx, h, ops)
		if err != nil {
			t.Fatal(err)
		}
		if d != nil {
			found(d)
			t.Fatalf("%v", d)
		}
	}
}

// operations draws operations that a backend with these features can be asked.
func operations(f conformance.Features) *rapid.Generator[conformance.Op] {
	actions := f.Actions()
	return rapid.Custom(func(t *rapid.T) conformance.Op {
		o := conformance.Op{Do: rapid.SampledFrom(actions).Draw(t, "do")}
		return o.Filled(func(most int) int { return rapid.IntRange(0, most).Draw(t, "n") })
	})
}

// Report is a divergence with all that helps to find its cause: where it is, the
// history as a Go test, and the rules that fail too.
func Report(ctx context.Context, h conformance.Harness, d *conformance.Divergence) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n\n%s\n", d, conformance.TestSource(d.Ops))
	failed, err := conformance.Attribute(ctx, h, d)
	switch {
	case err != nil:
		fmt.Fprintf(&b, "the rules could not be judged: %v\n", err)
	case len(failed) == 0:
		b.WriteString("no rule fails that speaks of these operations: the table lacks one\n")
	}
	for _, r := range failed {
		fmt.Fprintf(&b, "%s %s: seen %s; wanted %s (%s)\n", r.ID, r.Name, r.Seen, r.Wanted, r.ID.URL())
	}
	return b.String()
}
