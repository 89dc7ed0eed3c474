package actorsys_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
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

// BenchmarkAlarmsAtAStart is the time from a kind's registration, over a store on disk
// with 100,000 alarms to come, until one that is due has rung and been stored.
func BenchmarkAlarmsAtAStart(b *testing.B) {
	const alarms = 100_000
	store, err := file.Open(b.Context(), b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	begin := func(rang actorsys.Command[Account]) (*actorsys.System, *actorsys.Kind[Account]) {
		sys := start(b, actorsys.Config{Backend: store, Facts: actorsys.FactsNone})
		return sys, register(b, sys, &actorsys.Options[Account]{Alarm: rang})
	}
	sys, accounts := begin(Balance)
	for i := range alarms {
		if err := accounts.Ref(fmt.Sprint(i)).Send(b.Context(), setAlarm(1000*time.Hour)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		b.StopTimer()
		must(b, accounts.Ref("due"), setAlarm(100*time.Millisecond))
		if err := sys.Shutdown(b.Context()); err != nil {
			b.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		b.StartTimer()
		rang := make(chan struct{})
		sys, accounts = begin(Do(func(t *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			t.After(func(context.Context) { close(rang) })
			return nil, nil
		}))
		<-rang
	}
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
