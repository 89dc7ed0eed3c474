package conformance_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

// making is the reference with its own way to make stores, and to remove them.
type making struct {
	conformance.Harness
	store   func(context.Context, *conformance.Env) (conformance.Store, error)
	destroy func()
}

func (m making) NewStore(ctx context.Context, env *conformance.Env) (conformance.Store, error) {
	if m.store != nil {
		return m.store(ctx, env)
	}
	s, err := m.Harness.NewStore(ctx, env)
	return destroying{s, m.destroy}, err
}

type destroying struct {
	conformance.Store
	first func()
}

func (d destroying) Destroy(ctx context.Context) error {
	d.first()
	return d.Store.Destroy(ctx)
}

// A harness or a backend that panics, hangs, ends its caller's goroutine or makes nothing
// neither ends the run nor leaves a rule without a verdict.
func TestWhateverTheHarnessDoesEachRuleHasAVerdict(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	stores := func(f func()) conformance.Harness {
		return making{Harness: selftest.Reference(), store: func(context.Context, *conformance.Env) (conformance.Store, error) { f(); return nil, nil }}
	}
	destroys := func(f func()) conformance.Harness { return making{Harness: selftest.Reference(), destroy: f} }
	for _, c := range []struct {
		what    string
		h       conformance.Harness
		verdict conformance.Verdict
		says    string
	}{
		{"NewStore makes nothing", stores(func() {}), conformance.Unavailable, "NewStore returned nil"},
		{"NewStore panics", stores(func() { panic("boom") }), conformance.Unavailable, "boom"},
		{"NewStore hangs", stores(func() { <-hang }), conformance.Unavailable, "not returned within"},
		{"NewStore ends its goroutine", stores(runtime.Goexit), conformance.Unavailable, "Goexit"},
		{"Destroy panics", destroys(func() { panic("boom") }), conformance.Pass, ""},
		{"Destroy hangs", destroys(func() { <-hang }), conformance.Pass, ""},
		{"Destroy ends its goroutine", destroys(runtime.Goexit), conformance.Pass, ""},
		{"Head ends its goroutine", wrap(func(s conformance.Subject, _ int) conformance.Subject {
			return &heads{s, func(context.Context) error { runtime.Goexit(); return nil }}
		}), conformance.Fail, "Goexit"},
	} {
		report, err := conformance.Check(t.Context(), c.h, conformance.Only("OPEN-01", "OCC-01"), conformance.Budget(200*time.Millisecond))
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		met := false
		for _, res := range report.Results {
			if res.Verdict == "" {
				t.Errorf("%s: %s has no verdict", c.what, res.ID)
			}
			met = met || res.Verdict == c.verdict && strings.Contains(res.Seen, c.says)
		}
		if !met {
			t.Errorf("%s: no rule is %s with %q: %+v", c.what, c.verdict, c.says, report.Results)
		}
	}
}

func TestARunThatIsEndedDoesNotWaitForACheckThatHangs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hang := make(chan struct{})
	defer close(hang)
	h := wrap(func(s conformance.Subject, _ int) conformance.Subject {
		return &heads{s, func(context.Context) error { cancel(); <-hang; return nil }}
	})
	start := time.Now()
	report, err := conformance.Check(ctx, h, conformance.Only("OPEN-01", "OCC-01", "APPEND-*"), conformance.Budget(time.Minute))
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	if err == nil || report == nil {
		t.Errorf("%v, %v: want what was judged, and why that is not all", report, err)
	}
}
