package pebble

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// history is what a workload was told, stream by stream.
type history struct {
	mu    sync.Mutex
	acked map[string]int // versions
	tried map[string]int // with the batch under way
	floor map[string]int // acknowledged cuts
	cut   map[string]int // with the cut under way
}

func newHistory() *history {
	return &history{acked: map[string]int{}, tried: map[string]int{}, floor: map[string]int{}, cut: map[string]int{}}
}

func (h *history) clone() *history {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := newHistory()
	for _, m := range [][2]map[string]int{{c.acked, h.acked}, {c.tried, h.tried}, {c.floor, h.floor}, {c.cut, h.cut}} {
		for k, v := range m[1] {
			m[0][k] = v
		}
	}
	return c
}

// payload says which record it is of.
func payload(stream string, version, size int) []byte {
	b := fmt.Appendf(nil, "%s@%d:", stream, version)
	rng := rand.New(rand.NewPCG(uint64(version), uint64(len(stream))))
	for len(b) < size {
		b = append(b, byte(rng.IntN(256)))
	}
	return b
}

// add appends one batch.
func (h *history) add(b *backend.Backend, stream string, n, size int) error {
	batch := backend.Batch{Stream: stream, Expected: backend.Any}
	h.mu.Lock()
	at := h.acked[stream]
	for i := range n {
		batch.Records = append(batch.Records, backend.Record{Payload: payload(stream, at+i+1, size)})
	}
	h.tried[stream] = at + n
	h.mu.Unlock()
	_, err := b.Append(context.Background(), batch)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.acked[stream] = at + n
	case !errors.Is(err, backend.ErrUnknownOutcome):
		h.tried[stream] = at
	}
	return err
}

// cutStream is one that can be cut anywhere.
const cutStream = "$sys/s/audit"

// work is a bit of everything, and enough of it for several tables.
func (h *history) work(b *backend.Backend) error {
	for i := range 30 {
		if err := h.add(b, [...]string{"s0", cutStream, "s2", "s3"}[i%4], 1+i%3, 200+i*300); err != nil {
			return err
		}
		if i%10 != 9 {
			continue
		}
		h.mu.Lock()
		floor := h.acked[cutStream] - 1
		h.cut[cutStream] = floor
		h.mu.Unlock()
		if _, err := b.Compact(context.Background(), backend.Cut{Floors: []backend.StreamFloor{{Stream: cutStream, Floor: backend.Version(floor)}}}); err != nil {
			return err
		}
		h.mu.Lock()
		h.floor[cutStream] = floor
		h.mu.Unlock()
	}
	return nil
}

// holds looks that a store holds what was acknowledged, and besides it at most the batch that was
// under way, all of it; and takes what it finds for acknowledged.
func (h *history) holds(b *backend.Backend) error {
	for stream, tried := range h.tried {
		head, err := b.Head(context.Background(), stream)
		if err != nil {
			return err
		}
		v := int(head.Version)
		if v != h.acked[stream] && v != tried {
			return fmt.Errorf("%s is at %d, acknowledged is %d, tried %d", stream, v, h.acked[stream], tried)
		}
		floor := int(head.Floor)
		if floor < h.floor[stream] || floor > max(1, h.cut[stream]) {
			return fmt.Errorf("%s begins at %d, cut at %d, and %d was under way", stream, floor, h.floor[stream], h.cut[stream])
		}
		h.acked[stream], h.tried[stream] = v, v
		at := max(floor, 1)
		for r, err := range b.Read(context.Background(), backend.Query{Stream: stream}) {
			if err != nil {
				return err
			}
			want := fmt.Sprintf("%s@%d:", stream, at)
			if int(r.Version) != at || !strings.HasPrefix(string(r.Payload), want) || !slices.Equal(r.Payload, payload(stream, at, len(r.Payload))) {
				return fmt.Errorf("%s: %d holds %.20q", stream, r.Version, r.Payload)
			}
			at++
		}
		if at != v+1 && v > 0 {
			return fmt.Errorf("%s ends at %d of %d", stream, at-1, v)
		}
	}
	report, err := b.Scan(context.Background(), nil)
	if err == nil && !report.Clean() {
		err = fmt.Errorf("a scan finds %v", report.Anomalies)
	}
	return err
}

// goesOn opens a store, looks at it, and appends to it.
func (h *history) goesOn(t *testing.T, what string, d *MemDisk) *backend.Backend {
	t.Helper()
	b, err := OpenOn(t.Context(), d, small)
	if err != nil {
		t.Fatalf("%s: open: %v", what, err)
	}
	if err := h.holds(b); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for _, s := range []string{"s0", "new"} {
		if err := h.add(b, s, 2, 50); err != nil {
			t.Fatalf("%s: append: %v", what, err)
		}
	}
	return b
}

// The power is cut at changes all over a life of a store, then again while it is opened and
// goes on, and again.
func TestWhatWasAcknowledgedSurvivesPowerCuts(t *testing.T) {
	type moment struct {
		d *MemDisk
		h *history
	}
	rng := rand.New(rand.NewPCG(5, uint64(time.Now().UnixNano())))
	every, lives := machine.Rounds(15, 6, 1), machine.Rounds(1, 2, 30)
	cuts, again := 0, 0
	for range lives {
		d, h := NewMemDisk(t.TempDir()), newHistory()
		var mu sync.Mutex
		var moments []moment
		n := 0
		d.Changing(func() {
			mu.Lock()
			defer mu.Unlock()
			if n++; rng.IntN(every) == 0 {
				moments = append(moments, moment{d.Crash([]int{0, 30, 60, 90, 100}[rng.IntN(5)], rng), h.clone()})
			}
		})
		b, err := OpenOn(t.Context(), d, small)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(h.work(b), b.Close()); err != nil {
			t.Fatal(err)
		}
		d.Changing(nil)
		for i, m := range moments {
			what := fmt.Sprintf("cut %d of %d", i, len(moments))
			cuts++
			if i%4 == 0 { // cut again while it opens and goes on
				second := m.d.Crash(100, rng)
				var inner []moment
				h2 := m.h.clone()
				second.Changing(func() {
					mu.Lock()
					defer mu.Unlock()
					if len(inner) < 3 && rng.IntN(12) == 0 {
						inner = append(inner, moment{second.Crash(50, rng), h2.clone()})
					}
				})
				b := h2.goesOn(t, what, second)
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				second.Changing(nil)
				for _, m := range inner {
					again++
					b := m.h.goesOn(t, what+", and cut again", m.d)
					if err := b.Close(); err != nil {
						t.Fatal(err)
					}
				}
				continue
			}
			b := m.h.goesOn(t, what, m.d)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if err := m.d.Left(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("attack: pebble, the power of a disk in memory: %d cuts, %d more while what they left was opened, all acknowledged records there", cuts, again)
	if cuts < 5 || again == 0 {
		t.Error("they are too few")
	}
}

// The n-th read, write, sync or change of a name fails, once or from then on. Whatever it is, the
// process lives, nothing hangs, nothing that was acknowledged is lost, and the store goes on
// when the medium does.
func TestAFailureOfAnyCallLosesNothing(t *testing.T) {
	step := machine.Rounds(60, 9, 1)
	cases, poisoned, full := 0, 0, 0
	for kind, name := range []string{"read", "write", "name", "sync"} {
		for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
			for _, many := range []int{1, 0} {
				if kind == int(OpRead) && cause == syscall.ENOSPC {
					continue
				}
				for n := 0; ; n += step {
					what := fmt.Sprintf("%s %d, %d times, %v", name, n, many, cause)
					d, h := NewMemDisk(t.TempDir()), newHistory()
					hits, heal := d.Fail(&Fault{When: func(op Op) bool { return op.Kind == OpKind(kind) }, Skip: n, Times: many, Err: cause, Full: IsFull(cause, many)})
					began := time.Now()
					b, err := OpenOn(t.Context(), d, small)
					if err == nil {
						err = h.work(b)
						switch {
						case err == nil:
						case errors.Is(err, backend.ErrPoisoned):
							poisoned++
							if _, err := b.Append(t.Context(), backend.Batch{Stream: "s3", Expected: backend.Any, Records: []backend.Record{{}}}); !errors.Is(err, backend.ErrPoisoned) {
								t.Fatalf("%s: after poison: %v", what, err)
							}
						case errors.Is(err, backend.ErrNoSpace):
							full++
						case !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, backend.ErrUnavailable):
							t.Fatalf("%s: %v", what, err)
						}
						if err := b.Close(); err != nil && !errors.Is(err, backend.ErrUnavailable) && !errors.Is(err, backend.ErrNoSpace) && !errors.Is(err, backend.ErrCorrupt) {
							t.Fatalf("%s: close: %v", what, err)
						}
					}
					if took := time.Since(began); took > 20*time.Second {
						t.Fatalf("%s: it took %v", what, took)
					}
					met := hits() > 0
					heal()
					cases++
					b = h.goesOn(t, fmt.Sprintf("%s (%v)", what, err), d)
					if err := b.Close(); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					if err := d.Left(); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					os.RemoveAll(d.Saves)
					if !met {
						break
					}
				}
			}
		}
	}
	t.Logf("attack: pebble, a failure of any call: %d cases, %d poisoned, %d found no space, all acknowledged records there", cases, poisoned, full)
	if poisoned == 0 || full == 0 {
		t.Error("some kind was not met")
	}
}

// Nobody waits for tables that pebble has no reason to write yet.
func TestAppendsDoNotWaitForNothing(t *testing.T) {
	b, err := OpenOn(t.Context(), NewMemDisk(t.TempDir()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	began, most := time.Now(), time.Duration(0)
	for range 3000 {
		before := time.Now()
		if _, err := b.Append(t.Context(), backend.Batch{Stream: "s", Expected: backend.Any, Records: []backend.Record{{Payload: make([]byte, 8000)}}}); err != nil {
			t.Fatal(err)
		}
		most = max(most, time.Since(before))
	}
	if most > stallWait/2 {
		t.Errorf("an append took %v, all %v", most, time.Since(began))
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
