package conformance_test

import (
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

// idle is the reference, of whose seams one does nothing.
type idle struct {
	conformance.Harness
	seam conformance.Seam
}

func (h idle) NewStore(ctx context.Context, env *conformance.Env) (conformance.Store, error) {
	s, err := h.Harness.NewStore(ctx, env)
	return idling(s, h.seam), err
}

func idling(s conformance.Store, seam conformance.Seam) conformance.Store {
	type digested struct {
		conformance.Store
		conformance.Digester
	}
	d := digested{s, s.(conformance.Digester)}
	switch seam {
	case conformance.SeamDigester:
		return struct {
			conformance.Store
			idleDigester
		}{Store: s}
	case conformance.SeamCorrupter:
		return struct {
			digested
			idleCorrupter
		}{digested: d}
	case conformance.SeamFaulter:
		return struct {
			digested
			idleFaulter
		}{digested: d}
	case conformance.SeamStaller:
		return struct {
			digested
			idleStaller
		}{digested: d}
	case conformance.SeamCrasher:
		return &struct {
			digested
			idleCrasher
		}{d, idleCrasher{s.(conformance.Crasher)}}
	case conformance.SeamKiller:
		return struct {
			digested
			idleKiller
		}{digested: d}
	case conformance.SeamFixturer:
		return struct {
			digested
			idleFixturer
		}{digested: d}
	}
	return struct {
		digested
		idleOccupier
	}{digested: d}
}

type idleDigester struct{}

func (idleDigester) Digest(context.Context) (sum [32]byte, err error) { return sum, nil }

type idleCorrupter struct{}

func (idleCorrupter) Bytes(context.Context) (int64, error)          { return 1000, nil }
func (idleCorrupter) Flip(context.Context, int64, byte) error       { return nil }
func (idleCorrupter) Chart(context.Context) (ends []int64, _ error) { return []int64{1000}, nil }

type idleFaulter struct{}

func (idleFaulter) Fail(conformance.Fault) (func() int, func(), error) {
	return func() int { return 0 }, func() {}, nil
}

type idleStaller struct{}

func (idleStaller) Stall() (<-chan struct{}, func()) { return make(chan struct{}), func() {} }

// idleCrasher copies the store as it is: nothing is lost that was not synced.
type idleCrasher struct{ crasher conformance.Crasher }

func (c idleCrasher) Changing(f func()) { c.crasher.Changing(f) }

func (c idleCrasher) Crash(ctx context.Context, _ int, rng *rand.Rand) (conformance.Store, error) {
	s, err := c.crasher.Crash(ctx, 100, rng)
	return idling(s, conformance.SeamCrasher), err
}

type idleKiller struct{}

func (idleKiller) Spawn(context.Context) (*conformance.Process, error) {
	r, w := io.Pipe()
	r.Close()
	return &conformance.Process{Stdin: w, Stdout: strings.NewReader(""), Kill: func() error { return nil }}, nil
}

type idleFixturer struct{}

func (idleFixturer) Fixtures(context.Context, *conformance.Env) ([]conformance.Fixture, error) {
	return nil, nil
}

type idleOccupier struct{}

func (idleOccupier) Occupied(context.Context, *conformance.Env) ([]conformance.Occupied, error) {
	return nil, nil
}

// A seam that does nothing lets no rule pass that rests on it: what it brings can't be told.
func TestASeamThatDoesNothingLetsNothingPass(t *testing.T) {
	for _, seam := range conformance.Seams() {
		t.Run(string(seam), func(t *testing.T) {
			var globs []string
			for _, r := range conformance.Rules() {
				if slices.Contains(r.Seams, seam) {
					globs = append(globs, string(r.ID))
				}
			}
			r := check(t, idle{selftest.Reference(), seam}, conformance.Only(globs...), conformance.Strict())
			for _, id := range globs {
				if res := result(t, r, conformance.ID(id)); res.Verdict == conformance.Pass || res.Verdict == conformance.Unsupported {
					t.Errorf("%s: %s", id, res.Verdict)
				} else {
					t.Logf("%s: %s: %s", id, res.Verdict, res.Seen)
				}
			}
			if r.Held() {
				t.Error(r.Summary())
			}
		})
	}
}

// A chart parts files, and what is zeros in them from what is not.
func TestTheChartOfADirectory(t *testing.T) {
	dir := t.TempDir()
	s := conformance.DirStore(dir, func(context.Context, string, *backend.Options) (*backend.Backend, error) { return nil, nil })
	put := func(name string, parts ...string) { write(t, dir, name, strings.Join(parts, "")) }
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	put("a", "head", zeros(100), "tail")
	put("b", zeros(63), "x")
	put("c", zeros(64))
	put("d", "end", zeros(64))
	put("e", "")
	ends, err := s.Chart(t.Context())
	size, sizeErr := s.Bytes(t.Context())
	if want := []int64{4, 104, 108, 172, 236, 239, 303}; err != nil || sizeErr != nil || !slices.Equal(ends, want) || size != 303 {
		t.Errorf("%v, %v of %d bytes, %v: want %v", ends, err, size, sizeErr, want)
	}
}
