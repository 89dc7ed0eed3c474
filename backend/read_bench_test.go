package backend_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

// A replay of 100,000 records of 256 bytes in 1,000 streams, in the order of the log. The
// memory engine copies the records that a page asks for: those allocations are its own.
func BenchmarkReplay(b *testing.B) {
	store, err := memory.Open(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	const records, streams = 100_000, 1_000
	batches := make([]backend.Batch, streams)
	for i := range batches {
		batches[i] = backend.Batch{Stream: "account/" + strconv.Itoa(i*7919%streams), Expected: backend.Any,
			Records: []backend.Record{{Type: "deposited", Time: time.Now(), Payload: make([]byte, 256)}}}
	}
	for range records / streams {
		if _, err := store.AppendAll(context.Background(), batches); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for r, err := range store.Read(context.Background(), backend.Query{}) {
			if err != nil || len(r.Payload) != 256 {
				b.Fatal(err)
			}
			n++
		}
		if n != records {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(b.N*records)/b.Elapsed().Seconds(), "records/s")
}
