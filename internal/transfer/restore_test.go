package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/memory"
	"github.com/papyra-go/papyra/internal/lines"
)

// live is a store with a history: appends, snapshots of new and old states, writers that
// fence, retention, deleted streams, gaps between positions.
func live(t *testing.T, b *backend.Backend, rng *rand.Rand, steps int) {
	t.Helper()
	ctx := t.Context()
	epochs := map[string]uint64{}
	for range steps {
		stream := fmt.Sprintf("s%d", rng.IntN(6))
		if rng.IntN(5) == 0 {
			stream = backend.SystemStream("shop", []backend.Kind{backend.Lifecycle, backend.Audit, backend.DeadLetter}[rng.IntN(3)])
		}
		h, err := b.Head(ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		epochs[stream] = max(epochs[stream], h.Epoch)
		if rng.IntN(12) == 0 {
			epochs[stream]++
		}
		last, err := b.Last(ctx)
		if err != nil {
			t.Fatal(err)
		}
		switch n := rng.IntN(20); {
		case n < 9:
			batch := backend.Batch{Stream: stream, Expected: h.Version, Epoch: epochs[stream]}
			if rng.IntN(2) == 0 {
				batch.ID = backend.BatchID{1: byte(rng.IntN(256)), 2: 1}
			}
			for range 1 + rng.IntN(3) {
				batch.Records = append(batch.Records, backend.Record{Type: "t", Payload: []byte(strings.Repeat("x", rng.IntN(40)))})
			}
			must(t, b, batch)
		case n < 10:
			must(t, b, backend.Batch{Stream: stream, Restore: true, Records: []backend.Record{
				{Position: last + 1 + backend.Position(rng.IntN(5)), Version: h.Version + 1, Kind: backend.KindOf(stream), Time: placeholder(&lines.Gone{}).Time, Epoch: uint64(rng.IntN(5))},
			}})
		case n < 15:
			if h.Version > 0 && backend.KindOf(stream) == backend.Event {
				v := h.Version
				if rng.IntN(3) == 0 {
					v = 1 + backend.Version(rng.IntN(int(v)))
				}
				if _, err := b.SaveSnapshot(ctx, backend.Record{Stream: stream, Version: v, Epoch: epochs[stream], Payload: []byte(`{"s":1}`)}); err != nil {
					t.Fatal(err)
				}
			}
		case n < 18:
			floor := backend.StreamFloor{Stream: stream, Floor: 1 + backend.Version(rng.IntN(int(h.Version)+1))}
			if _, err := b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{floor}}); err != nil && !errors.Is(err, backend.ErrInvalid) {
				t.Fatal(err)
			}
		default:
			if _, err := b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: stream, Delete: true}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func must(t *testing.T, b *backend.Backend, batch backend.Batch) {
	t.Helper()
	if _, err := b.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

// engines are the places that a test makes stores in.
var engines = map[string]func(t *testing.T) func() *backend.Backend{
	"memory": func(t *testing.T) func() *backend.Backend {
		s := memory.New()
		return func() *backend.Backend { return opened(t)(s.Open(t.Context(), nil)) }
	},
	"file": func(t *testing.T) func() *backend.Backend {
		dir := filepath.Join(t.TempDir(), "store")
		return func() *backend.Backend { return opened(t)(file.Open(t.Context(), dir, nil)) }
	},
}

func opened(t *testing.T) func(*backend.Backend, error) *backend.Backend {
	return func(b *backend.Backend, err error) *backend.Backend {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// exported is a store's export.
func exported(t *testing.T, b *backend.Backend) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewWriter(&buf, lines.Head{})
	if err != nil {
		t.Fatal(err)
	}
	for item, err := range Items(t.Context(), b) {
		if err == nil {
			err = w.Put(item)
		}
		if err != nil {
			t.Fatalf("%v, after\n%s", err, buf.Bytes())
		}
	}
	last, err := b.Last(t.Context())
	if err == nil {
		err = w.Finish(last)
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// restore puts an export into a store.
func restore(ctx context.Context, b *backend.Backend, export []byte, told func(Stats)) error {
	in, err := lines.NewReader(bytes.NewReader(export), false)
	if err != nil {
		return err
	}
	defer in.Close()
	x, err := ReadExport(in, "export")
	if err != nil {
		return err
	}
	r, err := NewRestorer(ctx, b, x.Head.From)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Restore(x.Items(), func() backend.Position { return x.End.Last }, told)
}

func nothing(Stats) {}

// sameStanding checks that every stream stands where it stood.
func sameStanding(t *testing.T, a, b *backend.Backend) {
	t.Helper()
	heads := func(b *backend.Backend) map[string]backend.Head {
		m := map[string]backend.Head{}
		for s, err := range b.Streams(t.Context(), backend.StreamQuery{}) {
			if err != nil {
				t.Fatal(err)
			}
			m[s.Name] = s.Head
		}
		return m
	}
	want, got := heads(a), heads(b)
	for name, h := range want {
		if got[name] != h {
			t.Errorf("stream %s: %+v, want %+v", name, got[name], h)
		}
	}
	delete(got, backend.SystemStream(MarkerSystem, backend.Audit))
	if len(got) != len(want) {
		t.Errorf("%d streams, want %d", len(got), len(want))
	}
	la, _ := a.Last(t.Context())
	lb, _ := b.Last(t.Context())
	if la != lb {
		t.Errorf("last position %d, want %d", lb, la)
	}
}

func TestAnImportOfAnExportIsTheSameStore(t *testing.T) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			runs, marked, gone := 150, 0, 0
			if name == "file" {
				runs = 20
			}
			for seed := range runs {
				rng := rand.New(rand.NewPCG(uint64(seed), 7))
				a := memory.New()
				from := opened(t)(a.Open(t.Context(), nil))
				live(t, from, rng, 10+rng.IntN(120))
				export := exported(t, from)
				to := engine(t)()
				if err := restore(t.Context(), to, export, nothing); err != nil {
					t.Fatalf("seed %d: %v\n%s", seed, err, export)
				}
				sameStanding(t, from, to)
				again := exported(t, to)
				if bytes.Contains(export, []byte(`"gone":{`)) {
					gone++
				}
				if bytes.Contains(again, []byte(MarkerSystem)) {
					marked++
				} else if !bytes.Equal(again, export) {
					t.Fatalf("seed %d: another export:\n%s\nwant\n%s", seed, again, export)
				}
				if t.Failed() {
					t.Fatalf("seed %d\n%s", seed, export)
				}
				to.Close()
				from.Close()
			}
			t.Logf("of %d histories %d had streams that are gone, and %d a marker", runs, gone, marked)
			if gone < runs/4 || marked > runs/4 {
				t.Errorf("of %d histories %d had streams that are gone, and %d a marker", runs, gone, marked)
			}
		})
	}
}

func TestARestoreThatWasKilledGoesOn(t *testing.T) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			runs := 60
			if name == "file" {
				runs = 12
			}
			for seed := range runs {
				rng := rand.New(rand.NewPCG(uint64(seed), 8))
				from := opened(t)(memory.New().Open(t.Context(), nil))
				live(t, from, rng, 100)
				export := exported(t, from)
				open := engine(t)
				killed := 0
				for step := 1; ; step++ {
					to := open()
					err := killedRestore(t, to, export, step*(1+rng.IntN(9)))
					to.Close()
					if err == nil {
						break
					}
					killed++
				}
				to := open()
				sameStanding(t, from, to)
				again := exported(t, to)
				if !bytes.Contains(again, []byte(MarkerSystem)) && !bytes.Equal(again, export) {
					t.Fatalf("seed %d: after %d kills another export:\n%s\nwant\n%s", seed, killed, again, export)
				}
				if killed == 0 || t.Failed() {
					t.Fatalf("seed %d: killed %d times\n%s", seed, killed, export)
				}
				to.Close()
			}
		})
	}
}

var errKilled = errors.New("killed")

// killedRestore restores with a flush after each item, as if groups were small, and ends
// after so many items without any tidying up.
func killedRestore(t *testing.T, b *backend.Backend, export []byte, after int) error {
	t.Helper()
	in, err := lines.NewReader(bytes.NewReader(export), false)
	if err != nil {
		return err
	}
	x, err := ReadExport(in, "export")
	if err != nil {
		return err
	}
	r, err := NewRestorer(t.Context(), b, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for item, err := range x.Items() {
		if after--; after < 0 {
			return errKilled
		}
		if err == nil {
			err = r.Put(item)
		}
		if err == nil {
			err = r.Flush()
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, export)
		}
	}
	if err := r.Finish(x.End.Last); err != nil {
		t.Fatal(err)
	}
	return nil
}

// TestAStoreThatIsAnotherIsLeftAsItIs changes one line of an export after the other.
func TestAStoreThatIsAnotherIsLeftAsItIs(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	b := opened(t)(memory.New().Open(t.Context(), nil))
	defer b.Close()
	live(t, b, rng, 60)
	export := exported(t, b)
	if err := restore(t.Context(), b, export, nothing); err != nil {
		t.Fatalf("the store's own export: %v", err)
	}
	all := bytes.SplitAfter(export, []byte("\n"))
	differ := 0
	for i := 1; i < len(all)-2; i++ {
		var other []byte
		for j, line := range all {
			if j != i {
				other = append(other, line...)
			}
		}
		err := restore(t.Context(), b, other, nothing)
		var d *DiffersError
		if errors.As(err, &d) {
			differ++
		} else if err == nil {
			t.Errorf("without line %d: no error", i+1)
		}
		if !bytes.Equal(exported(t, b), export) {
			t.Fatalf("without line %d: the store was changed", i+1)
		}
	}
	if differ < 10 {
		t.Errorf("only %d lines were missed as the store's", differ)
	}
}

func TestStoresAreCompared(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	a := opened(t)(memory.New().Open(t.Context(), nil))
	b := opened(t)(memory.New().Open(t.Context(), nil))
	live(t, a, rng, 50)
	if err := restore(t.Context(), b, exported(t, a), nothing); err != nil {
		t.Fatal(err)
	}
	n, err := Compare(t.Context(), a, b, func(backend.Position) {})
	if err != nil || n == 0 {
		t.Fatalf("%d items: %v", n, err)
	}
	must(t, b, backend.Batch{Stream: "more", Expected: backend.Any, Records: []backend.Record{{}}})
	if _, err := Compare(t.Context(), a, b, func(backend.Position) {}); !errors.As(err, new(*DiffersError)) {
		t.Errorf("one record more: %v", err)
	}
	if _, err := Compare(t.Context(), b, a, func(backend.Position) {}); !errors.As(err, new(*DiffersError)) {
		t.Errorf("one record less: %v", err)
	}
}

func TestWhatIsWrongWithAnExportIsToldWithItsLine(t *testing.T) {
	for _, c := range []struct{ rest, want string }{
		{strings.Repeat("x", lines.MaxLine+1) + "\n", "e line 2: the line is longer"},
		{`{"end":{"records":0,"gone":0,"last_position":0}}` + "\n" + strings.Repeat("x", lines.MaxLine+1), "e line 3: the line is longer"},
		{`{"end":{"records":0,"gone":0,"last_position":18446744073709551615}}` + "\n", "e line 2: last_position is 18446744073709551615: want at most 4611686018427387904"},
	} {
		r, err := lines.NewReader(strings.NewReader(`{"export":1}`+"\n"+c.rest), false)
		if err != nil {
			t.Fatal(err)
		}
		x, err := ReadExport(r, "e")
		if err != nil {
			t.Fatal(err)
		}
		for _, err = range x.Items() {
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
		r.Close()
	}
}
