// Package conformance is the suite that a papyra backend is run against: papyra's
// own, and yours. It names the rule that was broken, says what was done, seen and
// wanted, and proves itself on deliberately broken backends.
//
// In a test, with a [Harness] that says how to make a store:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Dir("mine", func(ctx context.Context, dir string, o *backend.Options) (*backend.Backend, error) {
//			return mine.Open(ctx, dir, o)
//		}))
//	}
//
// [Dir] is for stores in directories and files, [Make] for those in any other place, such
// as a server's database, [Volatile] for those without one.
//
// In a program, [Check] returns a [Report], as text, JSON, JUnit XML and Markdown, and
// [Main] is a whole program.
//
// # Rules
//
// Rules are data: see [Rule] and [Rules]. Each is judged on a fresh store, with a
// deadline. A rule that fails blocks those that rest on it, so that one defect
// reddens one rule and not thirty. Verdicts are never merged: a rule that could
// not be judged is not a rule that passed. docs/conformance.md lists them all.
//
// # What this is not
//
// It imports neither package testing nor any engine, starts nothing that outlives
// a rule unless the backend hangs. [Benchmark] measures, and judges nothing. What it can't
// do to a store from outside (rot, full disks, power cuts, SIGKILL) a harness lets it do
// through seams: see [Seam]. Without them those rules are unavailable, never passed.
//
// Where to read next: docs/custom-backend.md for a backend and its run; rule.go for what
// a rule is, append.go for a group of rules, seams.go for what a harness may offer,
// selftest/mutants.go for how each is shown to bite, profile.go and stability.go for
// what a report comes to, op.go for random histories.
package conformance
