package actorsys_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

// BenchmarkAsk measures durable commands on memory: clients, each with its own actor,
// that wait for each answer; and all on one actor.
func BenchmarkAsk(b *testing.B) {
	for _, c := range []struct{ clients, actors int }{{1, 1}, {64, 64}, {64, 1}, {64, 10000}} {
		b.Run(fmt.Sprintf("clients=%d/actors=%d", c.clients, c.actors), func(b *testing.B) {
			accounts := startAccounts(b, open(b))
			b.ReportAllocs()
			clients(b, c.clients, func(client, i int) error {
				_, err := actorsys.Ask(context.Background(), accounts.Ref(fmt.Sprint((client+i*c.clients)%c.actors)), Deposit{1})
				return err
			})
		})
	}
}

// BenchmarkAppend is what the backend does by itself for as many writers.
func BenchmarkAppend(b *testing.B) {
	store := open(b)
	clients(b, 64, func(client, i int) error {
		_, err := store.Append(context.Background(), backend.Batch{Stream: fmt.Sprint("account/", client), Expected: backend.Version(i), ID: backend.BatchID{1, byte(client), byte(i), byte(i >> 8), byte(i >> 16)},
			Records: []backend.Record{{Type: "deposited", Schema: 1, Payload: []byte(`{"Cents":1}`)}}})
		return err
	})
}

func clients(b *testing.B, n int, do func(client, i int) error) {
	b.ResetTimer()
	var wg sync.WaitGroup
	for client := range n {
		wg.Go(func() {
			for i := range b.N/n + 1 {
				if err := do(client, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func open(tb testing.TB) *backend.Backend {
	tb.Helper()
	store, err := memory.Open(context.Background(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}
