package conformance_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

func BenchmarkReference(b *testing.B) { conformance.Benchmark(b, selftest.Reference()) }

// bench is a benchmark of a few turns, which may fail.
type bench struct {
	*testing.T
	name    string
	turns   int
	metrics map[string]float64
	failed  string
	all     *[]*bench
}

func (b *bench) Run(name string, f func(*bench)) bool {
	sub := &bench{T: b.T, name: name, turns: 20, metrics: map[string]float64{}, all: b.all}
	*b.all = append(*b.all, sub)
	done := make(chan struct{})
	go func() { defer close(done); f(sub) }()
	<-done
	return sub.failed == ""
}
func (b *bench) Loop() bool                          { b.turns--; return b.turns >= 0 }
func (b *bench) SetBytes(n int64)                    { b.metrics["bytes"] = float64(n) }
func (b *bench) ReportAllocs()                       {}
func (b *bench) ReportMetric(n float64, unit string) { b.metrics[unit] = n }
func (b *bench) Fatalf(format string, args ...any) {
	b.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func runBench(t *testing.T, h conformance.Harness) map[string]*bench {
	var all []*bench
	conformance.Benchmark(&bench{T: t, all: &all}, h)
	out := map[string]*bench{}
	for _, b := range all {
		out[b.name] = b
	}
	return out
}

func TestBenchmarksHaveNamesAndFigures(t *testing.T) {
	all := runBench(t, selftest.Reference())
	for name, b := range all {
		if b.failed != "" || b.turns != -1 {
			t.Errorf("%s: %s, %d turns left", name, b.failed, b.turns)
		}
		if strings.HasPrefix(name, "append/") && (b.metrics["records/s"] <= 0 || b.metrics["p99-ns"] <= 0) {
			t.Errorf("%s: %v", name, b.metrics)
		}
	}
	for _, name := range []string{"append/size=4096B/batch=100/writers=8", "replay", "stream/records=100", "page/limit=100", "scan", "reopen"} {
		if all[name] == nil {
			t.Errorf("no benchmark %s", name)
		}
	}
	if len(all) != 13 {
		t.Errorf("%d benchmarks", len(all))
	}
}

// A fast backend that loses or mixes records has no figures.
func TestABenchmarkOfABrokenBackendFails(t *testing.T) {
	for name, c := range map[string]struct {
		h          conformance.Harness
		sub, wants string
	}{
		"lost":        {mutantCalled(t, "every third record is lost"), "append/size=64B/batch=1/writers=1", "20 records of stream"},
		"empty":       {mutantCalled(t, "payloads are lost"), "append/size=64B/batch=1/writers=1", "not what was appended"},
		"mixed":       {wrap(func(s conformance.Subject, _ int) conformance.Subject { return mixing{s} }), "replay", "not what was appended"},
		"not durable": {mutantCalled(t, "an empty store after every opening"), "reopen", "the store has 0"},
	} {
		all := runBench(t, c.h)
		if b := all[c.sub]; b == nil || !strings.Contains(b.failed, c.wants) {
			t.Errorf("%s: %s: %+v", name, c.sub, b)
		}
	}
}

// mixing gives each record the payload of the one before it.
type mixing struct{ conformance.Subject }

func (m mixing) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		var before []byte
		for r, err := range m.Subject.Read(ctx, q) {
			own := append([]byte(nil), r.Payload...)
			if before != nil {
				r.Payload = before
			}
			if before = own; !yield(r, err) {
				return
			}
		}
	}
}
