// Package linearize asks whether a backend, with many clients at a time, behaves as if
// every call took effect at one moment between its beginning and its end: each stream is
// a register of its version and its newest record, appends expect versions or not, and
// reads must see the newest. An append whose outcome is not known may take effect at any
// time from then on, or never.
//
//	func TestLinearizability(t *testing.T) { linearize.Run(t, mine.Harness(), nil) }
//
// github.com/anishathalye/porcupine judges. It is a package of its own so that who runs
// the rules does not link it.
//
// What it is not: a proof. It judges the histories that came about, and [Report] says how
// many calls there were, and how many of them ran beside another of their stream.
package linearize

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
)

// The defaults of [Options].
const (
	DefaultClients  = 8
	DefaultStreams  = 4
	DefaultCalls    = 250
	DefaultPatience = 30 * time.Second
)

// Options say how much is done. Nil and zero mean the defaults.
type Options struct {
	Clients  int           // how many at a time; default [DefaultClients]
	Streams  int           // how many streams they share; default [DefaultStreams]
	Calls    int           // how many calls each client makes; default [DefaultCalls]
	Seed     uint64        // what is drawn follows from it; the interleaving does not
	Patience time.Duration // how long to look for an order; default [DefaultPatience]
	// WriteTimeout is [backend.Options.WriteTimeout]: a short one makes outcomes unknown.
	WriteTimeout time.Duration
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	orElse := func(n *int, otherwise int) {
		if *n <= 0 {
			*n = otherwise
		}
	}
	orElse(&out.Clients, DefaultClients)
	orElse(&out.Streams, DefaultStreams)
	orElse(&out.Calls, DefaultCalls)
	if out.Patience <= 0 {
		out.Patience = DefaultPatience
	}
	return out
}

// Report is what came of one run.
type Report struct {
	Calls      int // that are judged
	Overlapped int // that ran beside another of the same stream, of which one wrote
	Unknown    int // appends whose outcome is not known
	// Linearizable is "ok", "illegal", or "unknown" if no answer was found in time.
	Linearizable string
	Took         time.Duration

	info porcupine.LinearizationInfo
}

// OK reports whether an order was found in which every call makes sense.
func (r *Report) OK() bool { return r.Linearizable == "ok" }

func (r *Report) String() string {
	return fmt.Sprintf("linearizable: %s: %d calls, %d beside another of their stream, %d unknown outcomes, judged in %v", r.Linearizable, r.Calls, r.Overlapped, r.Unknown, r.Took.Round(time.Millisecond))
}

// Draw writes the history as a page of HTML, with what can't be put in order.
func (r *Report) Draw(w io.Writer) error { return porcupine.Visualize(register, r.info, w) }

// Run fails unless a run on a fresh store is linearizable, and keeps the picture of one
// that is not in the test's artifacts.
func Run[T interface {
	conformance.TB[T]
	ArtifactDir() string
}](t T, h conformance.Harness, opts *Options) {
	t.Helper()
	rep, err := Check(t.Context(), h, opts)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if rep.OK() {
		t.Logf("%s", rep)
		return
	}
	path := t.ArtifactDir() + "/linearize.html"
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(rep.Draw(f), f.Close())
	}
	t.Errorf("%s: %s (go test -artifacts keeps it) %v", rep, path, err)
}

// Check runs the clients on a fresh store and judges what they saw. An error means that
// there was no store, or that a read failed.
func Check(ctx context.Context, h conformance.Harness, opts *Options) (*Report, error) {
	o := opts.withDefaults()
	dir, err := os.MkdirTemp("", "papyra-linearize-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	store, err := h.NewStore(ctx, &conformance.Env{Dir: dir, Rand: rand.New(rand.NewPCG(o.Seed, 0)), Log: io.Discard})
	if err != nil {
		return nil, fmt.Errorf("linearize: the harness makes no store: %w", err)
	}
	defer func() { _ = store.Destroy(context.WithoutCancel(ctx)) }()
	s, err := store.Open(ctx, backend.Options{WriteTimeout: o.WriteTimeout})
	if err != nil {
		return nil, fmt.Errorf("linearize: the store does not open: %w", err)
	}
	history, err := clients(ctx, s, &o)
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	return judge(history, o.Patience), nil
}

// clients runs them, and returns all their calls.
func clients(ctx context.Context, s conformance.Subject, o *Options) ([]porcupine.Operation, error) {
	histories, errs := make([][]porcupine.Operation, o.Clients), make([]error, o.Clients)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range o.Clients {
		wg.Go(func() {
			c := &client{s: s, number: i, start: start, rand: rand.New(rand.NewPCG(o.Seed, uint64(i))), known: map[string]backend.Version{}}
			for n := 0; n < o.Calls && errs[i] == nil; n++ {
				errs[i] = c.call(ctx, n, fmt.Sprintf("s%d", c.rand.IntN(o.Streams)))
			}
			histories[i] = c.history
		})
	}
	wg.Wait()
	var all []porcupine.Operation
	for _, h := range histories {
		all = append(all, h...)
	}
	return all, errors.Join(errs...)
}

// client makes one call after the other.
type client struct {
	s       conformance.Subject
	number  int
	start   time.Time
	rand    *rand.Rand
	known   map[string]backend.Version // the version that it last saw of each stream
	history []porcupine.Operation
}

// call makes one call, an append that expects a version, one that does not, or a read.
func (c *client) call(ctx context.Context, n int, stream string) error {
	in := input{stream: stream, expected: backend.Any}
	switch c.rand.IntN(4) {
	case 0, 1:
		in.read = true
	case 2:
		in.expected = c.known[stream]
	}
	in.label = fmt.Sprintf("%d.%d", c.number, n)
	op := porcupine.Operation{ClientId: c.number, Input: in, Call: int64(time.Since(c.start))}
	out, err := c.do(ctx, &in)
	op.Return = int64(time.Since(c.start))
	switch {
	case err != nil:
		return err
	case out.refused:
		return nil // it says that nothing was written: if that is a lie, others see what was
	case out.unknown:
		op.Return = 1<<62 + op.Call // it may yet take effect, at any time
	}
	if !out.unknown {
		c.known[stream] = out.version
	}
	op.Output = out
	c.history = append(c.history, op)
	return nil
}

func (c *client) do(ctx context.Context, in *input) (output, error) {
	if in.read {
		for r, err := range c.s.Read(ctx, backend.Query{Stream: in.stream, Limit: 1, Reverse: true}) {
			return output{version: r.Version, label: r.Type}, err
		}
		return output{}, nil
	}
	res, err := c.s.Append(ctx, backend.Batch{Stream: in.stream, Expected: in.expected, Records: []backend.Record{{Type: in.label}}})
	var conflict *backend.ConflictError
	switch {
	case err == nil:
		return output{version: res.Version}, nil
	case errors.As(err, &conflict):
		return output{conflict: true, version: conflict.Actual}, nil
	case errors.Is(err, backend.ErrUnknownOutcome):
		return output{unknown: true}, nil
	}
	return output{refused: true}, nil
}
