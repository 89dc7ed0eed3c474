package conformance

import "context"

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

// Run judges every rule in a subtest of its own, named after its ID: one rule, and
// what it requires, runs with -run 'TestX/OCC-02'. A rule that fails fails its
// subtest; one that is blocked, unsupported, unavailable or inconclusive skips
// it, saying why; with [Strict] the last two fail it.
func Run[T TB[T]](t T, h Harness, opts ...Option) {
	t.Helper()
	s, err := newSession(h, opts)
	if err != nil {
		t.Fatalf("%v", err)
	}
	for i := range s.rules {
		r := &s.rules[i]
		if s.selected(r.ID) {
			t.Run(string(r.ID)+" "+r.Name, func(t2 T) { runRule(t2, s, r, t.Name()) })
		}
	}
	t.Logf("%s", s.report().Summary())
}

func runRule[T TB[T]](t T, s *session, r *Rule, test string) {
	t.Helper()
	// Not t's context: the verdict may be one that other subtests wait for.
	res := s.judge(context.WithoutCancel(t.Context()), r)
	again := "go test -run '" + test + "/" + string(r.ID) + "'"
	text := res.explain(r, s.seed, again)
	switch {
	case res.Verdict == Pass:
	case res.Verdict == Fail && r.Level == Must, s.strict && (res.Verdict == Unavailable || res.Verdict == Inconclusive):
		t.Errorf("%s", text)
	default:
		t.Skipf("%s", text)
	}
}
