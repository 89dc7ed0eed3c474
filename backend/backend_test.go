package backend_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

func open(t *testing.T, opts *backend.Options) *backend.Backend {
	t.Helper()
	b, err := memory.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func event(typ, payload string) backend.Record {
	return backend.Record{Type: typ, Payload: []byte(payload)}
}

func TestAppendedRecordsAreReadBackInOrder(t *testing.T) {
	b := open(t, nil)
	for i := range 1000 {
		res, err := b.Append(t.Context(), backend.Batch{Stream: "a", Expected: backend.Version(i), Records: []backend.Record{event("x", fmt.Sprint(i))}})
		if err != nil || res.Version != backend.Version(i+1) || res.Position != backend.Position(i+1) {
			t.Fatalf("append %d: %+v, %v", i, res, err)
		}
	}
	for _, reverse := range []bool{false, true} {
		for _, stream := range []string{"a", ""} {
			n := 0
			for r, err := range b.Read(t.Context(), backend.Query{Stream: stream, Reverse: reverse}) {
				if err != nil {
					t.Fatal(err)
				}
				want := n
				if reverse {
					want = 999 - n
				}
				if string(r.Payload) != fmt.Sprint(want) {
					t.Fatalf("record %d holds %q", n, r.Payload)
				}
				n++
			}
			if n != 1000 {
				t.Errorf("stream %q, reverse %v: %d records", stream, reverse, n)
			}
		}
	}
}

func TestConcurrentAppendsAllGetThrough(t *testing.T) {
	b := open(t, nil)
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			ctx := context.Background()
			if w%2 == 0 {
				var cancel func()
				ctx, cancel = context.WithCancel(ctx)
				defer cancel()
			}
			for i := range 100 {
				if _, err := b.Append(ctx, backend.Batch{Stream: fmt.Sprint("s", w), Expected: backend.Version(i), Records: []backend.Record{event("x", "y")}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if s := b.Metrics().Snapshot(); s.WritesTotal != 6400 {
		t.Errorf("writes_total = %d", s.WritesTotal)
	}
}

func TestRetryWithTheSameIDIsTheSameBatch(t *testing.T) {
	b := open(t, nil)
	batch := backend.Batch{Stream: "a", ID: backend.BatchID{1}, Records: []backend.Record{event("x", "1"), event("x", "2")}}
	first, err := b.Append(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Append(t.Context(), batch)
	if err != nil || again.Version != first.Version || again.Position != first.Position || !again.Repeated {
		t.Errorf("again: %+v, %v; first %+v", again, err, first)
	}
	batch.Stream = "b"
	res, err := b.AppendAll(t.Context(), []backend.Batch{batch, batch, {Stream: "b", Records: batch.Records}})
	if err != nil || res[0].Err != nil || !res[1].Repeated || res[1].Position != res[0].Position || !errors.Is(res[2].Err, backend.ErrConflict) {
		t.Errorf("in one group: %+v, %v", res, err)
	}
}
