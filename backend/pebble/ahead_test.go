package pebble

import (
	"context"
	"math/rand/v2"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// What one append writes may lie in many blocks of a log, of which a power cut leaves any: the
// first or the middle may be missing, and the last be there. Where zeros were laid ahead the
// file is as long as before.
func TestABatchOfManyBlocksMayBeTornAnywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	type moment struct {
		d *MemDisk
		h *history
	}
	d, h := NewMemDisk(t.TempDir()), newHistory()
	b, err := OpenOn(t.Context(), d, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var moments []moment
	d.Changing(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, percent := range []int{50, 95} {
			if rng.IntN(4) == 0 {
				moments = append(moments, moment{d.Crash(percent, rng), h.clone()})
			}
		}
	})
	for i := range 3 {
		for _, size := range []int{40 << 10, 100, 5 << 10, 150 << 10} {
			if err := h.add(b, [...]string{"a", "b", "c"}[i%3], 1+i%2, size); err != nil {
				t.Fatal(err)
			}
		}
	}
	d.Changing(nil)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for i, m := range moments {
		b, err := OpenOn(t.Context(), m.d, Options{})
		if err != nil {
			t.Fatalf("cut %d of %d: %v", i, len(moments), err)
		}
		if err := m.h.holds(b); err != nil {
			t.Fatalf("cut %d of %d: %v", i, len(moments), err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(moments) < 10 {
		t.Errorf("%d cuts are too few", len(moments))
	}
}

// Most syncs of small appends find a log as long as it was; a large one lays no zeros.
func TestZerosAreLaidAheadOfSmallAppends(t *testing.T) {
	d := NewMemDisk(t.TempDir())
	b, err := OpenOn(t.Context(), d, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	size := func() (n int) {
		for _, name := range d.Files() {
			if isLog(path.Base(name)) {
				n += len(d.Content(name))
			}
		}
		return n
	}
	grew, before := 0, size()
	for range 500 {
		if _, err := b.Append(context.Background(), backend.Batch{Stream: "s", Expected: backend.Any, Records: []backend.Record{{Payload: make([]byte, 300)}}}); err != nil {
			t.Fatal(err)
		}
		if now := size(); now != before {
			grew, before = grew+1, now
		}
	}
	if grew < 2 || grew > 5 {
		t.Errorf("a log grew at %d of 500 syncs, want 2 to 5", grew)
	}
	for range 2 {
		before = size()
		if _, err := b.Append(context.Background(), backend.Batch{Stream: "s", Expected: backend.Any, Records: []backend.Record{{Payload: make([]byte, 1<<20)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if now := size(); now < before+1<<20 || now > before+1<<20+4<<10 {
		t.Errorf("a large append made a log longer by %d bytes", now-before)
	}
}
