package linearize

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/filetest"
	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

func TestMemoryIsLinearizable(t *testing.T) { Run(t, selftest.Reference(), nil) }

func TestFileIsLinearizable(t *testing.T) { Run(t, filetest.Harness(), &Options{Calls: 60}) }

// A write timeout that is far too short makes many outcomes unknown; what is seen of them
// later must still make sense.
func TestUnknownOutcomesAreOpenIntervals(t *testing.T) {
	rep, err := Check(t.Context(), filetest.Harness(), &Options{Calls: 40, WriteTimeout: 50 * time.Microsecond})
	if err != nil || !rep.OK() || rep.Unknown == 0 {
		t.Errorf("%v, %v", err, rep)
	}
}

func TestARegisterIsJudgedAsOne(t *testing.T) {
	any := input{stream: "s", expected: backend.Any, label: "x"}
	at1 := input{stream: "s", expected: 1, label: "x"}
	read := input{stream: "s", read: true}
	for name, c := range map[string]struct {
		s    state
		in   input
		out  output
		ok   bool
		next state
	}{
		"an append":                    {state{1, "a"}, any, output{version: 2}, true, state{2, "x"}},
		"an append with a gap":         {state{1, "a"}, any, output{version: 3}, false, state{}},
		"an expectation met":           {state{1, "a"}, at1, output{version: 2}, true, state{2, "x"}},
		"an expectation not looked at": {state{3, "a"}, at1, output{version: 4}, false, state{}},
		"a conflict":                   {state{3, "a"}, at1, output{conflict: true, version: 3}, true, state{3, "a"}},
		"a conflict without cause":     {state{1, "a"}, at1, output{conflict: true, version: 1}, false, state{}},
		"a conflict at another":        {state{3, "a"}, at1, output{conflict: true, version: 2}, false, state{}},
		"a read":                       {state{3, "a"}, read, output{version: 3, label: "a"}, true, state{3, "a"}},
		"a stale read":                 {state{3, "a"}, read, output{version: 2, label: "b"}, false, state{}},
		"a read of another":            {state{3, "a"}, read, output{version: 3, label: "b"}, false, state{}},
		"not known":                    {state{1, "a"}, at1, output{unknown: true}, true, state{2, "x"}},
		"not known, and never":         {state{2, "a"}, at1, output{unknown: true}, true, state{2, "a"}},
	} {
		ok, next := step(c.s, c.in, c.out)
		if ok != c.ok || ok && next != c.next {
			t.Errorf("%s: %v, %v", name, ok, next)
		}
	}
}

// The broken stores of these are found in how many runs of ten? Fewer than nine is too few.
func TestBrokenStoresAreCaught(t *testing.T) {
	const runs, least = 10, 9
	for name, h := range map[string]conformance.Harness{
		"stale reads":              breaking(func(s conformance.Subject) conformance.Subject { return &stale{Subject: s} }),
		"acknowledged and lost":    breaking(func(s conformance.Subject) conformance.Subject { return &losing{Subject: s} }),
		"refused and written":      breaking(func(s conformance.Subject) conformance.Subject { return &lying{Subject: s} }),
		"check, then act (OCC-03)": mutant(t, "check, then act"),
	} {
		caught, overlapped := 0, 0
		for seed := range uint64(runs) {
			rep, err := Check(t.Context(), h, &Options{Seed: seed, Streams: 1})
			if err != nil {
				t.Fatal(err)
			}
			overlapped += rep.Overlapped
			if rep.Linearizable == "illegal" {
				caught++
			}
		}
		t.Logf("%s: caught in %d of %d runs; %d calls of %d overlapped", name, caught, runs, overlapped, runs*DefaultClients*DefaultCalls)
		if caught < least {
			t.Errorf("%s: caught in %d of %d runs, want %d", name, caught, runs, least)
		}
	}
}

func TestWhatIsIllegalCanBeDrawn(t *testing.T) {
	at := func(client int, from, to int64, in input, out output) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: in, Call: from, Output: out, Return: to}
	}
	in := input{stream: "s", expected: backend.Any, label: "x"}
	rep := judge([]porcupine.Operation{at(0, 1, 4, in, output{version: 1}), at(1, 2, 3, in, output{version: 1})}, time.Second)
	var page bytes.Buffer
	if err := rep.Draw(&page); err != nil || rep.OK() || rep.Overlapped != 2 || !strings.Contains(page.String(), "append x") {
		t.Errorf("%v, %v, %d bytes", err, rep, page.Len())
	}
}

func TestAStoreThatCanNotBeMadeIsAnError(t *testing.T) {
	h := conformance.Make("down", func(context.Context, *conformance.Env) (conformance.OpenFunc, error) {
		return nil, errors.New("no server")
	})
	if _, err := Check(t.Context(), h, nil); err == nil {
		t.Error("no error")
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

// breaking is the reference with each backend wrapped.
func breaking(with func(conformance.Subject) conformance.Subject) conformance.Harness {
	return broken{selftest.Reference(), with}
}

type broken struct {
	conformance.Harness
	with func(conformance.Subject) conformance.Subject
}

func (b broken) NewStore(ctx context.Context, env *conformance.Env) (conformance.Store, error) {
	s, err := b.Harness.NewStore(ctx, env)
	return brokenStore{s, b.with}, err
}

type brokenStore struct {
	conformance.Store
	with func(conformance.Subject) conformance.Subject
}

func (b brokenStore) Open(ctx context.Context, o backend.Options) (conformance.Subject, error) {
	s, err := b.Store.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return b.with(s), nil
}

// stale reads one record too early, now and then: as a follower that lags would.
type stale struct {
	conformance.Subject
	seldom
}

// seldom says when it is time to misbehave: once in so many calls.
type seldom struct {
	mu sync.Mutex
	n  int
}

func (s *seldom) now(every int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return s.n%every == 0
}

func (s *stale) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	if h, err := s.Head(ctx, q.Stream); err == nil && h.Version > 1 && s.now(20) {
		q.To = uint64(h.Version - 1)
	}
	return s.Subject.Read(ctx, q)
}

// losing acknowledges what it does not write.
type losing struct {
	conformance.Subject
	seldom
}

func (l *losing) Append(ctx context.Context, b backend.Batch) (backend.Result, error) {
	if h, err := l.Subject.Head(ctx, b.Stream); err == nil && b.Expected == backend.Any && l.now(20) {
		return backend.Result{Version: h.Version + 1}, nil
	}
	return l.Subject.Append(ctx, b)
}

// lying writes what it refuses.
type lying struct {
	conformance.Subject
	seldom
}

func (l *lying) Append(ctx context.Context, b backend.Batch) (backend.Result, error) {
	res, err := l.Subject.Append(ctx, b)
	if err == nil && l.now(20) {
		return backend.Result{}, backend.ErrNoSpace
	}
	return res, err
}
