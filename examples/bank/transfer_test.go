package main

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

func TestATransferIsDone(t *testing.T) {
	c := newTeller(t, memory.New())
	c.with("ada", 100, "bob", 0)
	body := `{"id":"t1","from":"ada","to":"bob","cents":30}`
	c.must("POST", "/transfers", body, 202, "state", "pending", "id", "t1")
	if state, _ := c.ends("t1"); state != "done" {
		t.Fatalf("the transfer is %s", state)
	}
	c.must("GET", "/accounts/ada", "", 200, "balance", "70", "version", "3")
	c.must("GET", "/accounts/bob", "", 200, "balance", "30", "version", "2")

	c.must("POST", "/transfers", body, 200, "state", "done") // a retry
	c.must("POST", "/transfers", `{"id":"t1","from":"ada","to":"bob","cents":31}`, 409, "code", "id_reused")
	c.must("GET", "/accounts/bob", "", 200, "balance", "30", "version", "2")
}

func TestATransferWithoutMoneyIsRefused(t *testing.T) {
	c := newTeller(t, memory.New())
	c.with("ada", 10, "bob", 0)
	c.must("POST", "/transfers", `{"id":"t1","from":"ada","to":"bob","cents":30}`, 202)
	if state, reason := c.ends("t1"); state != "refused" || reason != "insufficient_funds" {
		t.Fatalf("the transfer is %s for %q", state, reason)
	}
	c.must("GET", "/accounts/ada", "", 200, "balance", "10", "version", "2")
	c.must("GET", "/accounts/bob", "", 200, "balance", "0", "version", "1")
}

// written puts events into a stream, as an earlier bank would have left them.
func written(t *testing.T, b *backend.Backend, stream string, events ...any) {
	t.Helper()
	names := map[string]string{
		"main.Opened": typeOpened, "main.Deposited": typeDeposited, "main.Withdrawn": typeWithdrawn,
		"main.TransferOpened": typeTransferOpened, "main.MoneyTaken": typeMoneyTaken,
	}
	batch := backend.Batch{Stream: stream, Expected: backend.Any}
	for _, e := range events {
		payload, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		batch.Records = append(batch.Records, backend.Record{Type: names[fmt.Sprintf("%T", e)], Schema: schema, Payload: payload})
	}
	if _, err := b.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func TestMoneyThatIsNotAcceptedComesBack(t *testing.T) {
	place := memory.New()
	store, err := place.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	written(t, store, "account/full", Opened{}, Deposited{"d", maxBalance - 5, maxBalance - 5})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	c := newTeller(t, place)
	c.with("ada", 100)
	c.must("POST", "/transfers", `{"id":"t1","from":"ada","to":"full","cents":30}`, 202)
	if state, reason := c.ends("t1"); state != "refused" || reason != "balance_limit" {
		t.Fatalf("the transfer is %s for %q", state, reason)
	}
	c.must("GET", "/accounts/ada", "", 200, "balance", "100", "version", "4")
	c.must("GET", "/accounts/full", "", 200, "version", "2")
	c.must("POST", "/accounts/full/deposits", `{"id":"x","cents":6}`, 409, "code", "balance_limit")
	c.must("POST", "/accounts/full/deposits", `{"id":"x","cents":5}`, 200)
}

// TestPendingTransfersAreTakenUpAtTheStart stops a bank at each place where a transfer
// can be left, by writing what it would have left, and starts another over it.
func TestPendingTransfersAreTakenUpAtTheStart(t *testing.T) {
	const more = 3 * remembered // operations after the step: enough to forget it
	opened := TransferOpened{"ada", "bob", 30, 2, 1}
	out := Withdrawn{stepID("t1", "out"), 30, 70}
	in := Deposited{stepID("t1", "in"), 30, 30}
	for _, row := range []struct {
		name     string
		ada, bob []any // beyond opening both, and 100 cents for ada
		transfer []any
		flood    bool
	}{
		{"before the first step", nil, nil, []any{opened}, false},
		{"after the first step", []any{out}, nil, []any{opened}, false},
		{"after the first step was noted", []any{out}, nil, []any{opened, MoneyTaken{}}, false},
		{"after the second step", []any{out}, []any{in}, []any{opened, MoneyTaken{}}, false},
		{"long before the first step", nil, nil, []any{opened}, true},
		{"long after the first step", []any{out}, nil, []any{opened}, true},
		{"long after the second step", []any{out}, []any{in}, []any{opened, MoneyTaken{}}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			place := memory.New()
			store, err := place.Open(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			written(t, store, "account/ada", append([]any{Opened{}, Deposited{"d", 100, 100}}, row.ada...)...)
			written(t, store, "account/bob", append([]any{Opened{}}, row.bob...)...)
			written(t, store, "transfer/t1", row.transfer...)
			ada, bob := 70, 30
			if row.flood {
				flood(t, store, "account/ada", more)
				flood(t, store, "account/bob", more)
				ada, bob = ada+more, bob+more
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			c := newTeller(t, place)
			if state, _ := c.ends("t1"); state != "done" {
				t.Fatalf("the transfer is %s", state)
			}
			c.must("GET", "/accounts/ada", "", 200, "balance", fmt.Sprint(ada))
			c.must("GET", "/accounts/bob", "", 200, "balance", fmt.Sprint(bob))
		})
	}
}

// flood deposits one cent so many times.
func flood(t *testing.T, store *backend.Backend, stream string, n int) {
	t.Helper()
	events := make([]any, n)
	for i := range events {
		events[i] = Deposited{fmt.Sprintf("flood-%d", i), 1, 0}
	}
	written(t, store, stream, events...)
}

func TestTheMemoryOfAnAccountIsBounded(t *testing.T) {
	a := Account{Opened: true}
	for i := range 5 * remembered {
		a = Deposited{ID: fmt.Sprint(i), Cents: 1}.Evolve(a)
		if n := len(a.Recent); n > 2*remembered || i >= remembered && n < remembered {
			t.Fatalf("after %d operations it remembers %d", i+1, n)
		}
		if oldest := a.Recent[0]; oldest.Version != a.Forgotten+1 {
			t.Fatalf("it remembers from version %d on and has forgotten up to %d", oldest.Version, a.Forgotten)
		}
	}
	if a.Balance != 5*remembered || a.Version != 5*remembered {
		t.Errorf("balance %d, version %d after %d deposits of 1", a.Balance, a.Version, 5*remembered)
	}
}

func TestASnapshotHoldsTheWholeAccount(t *testing.T) {
	place := memory.New()
	c := newTeller(t, place)
	c.with("ada", 0)
	for i := range snapshotEvery + 10 {
		c.must("POST", "/accounts/ada/deposits", fmt.Sprintf(`{"id":"d%d","cents":1}`, i), 200)
	}
	c.close()
	store, err := place.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Snapshot(context.Background(), "account/ada", 0); err != nil {
		t.Fatalf("no snapshot was taken: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	c = newTeller(t, place)
	c.must("GET", "/accounts/ada", "", 200, "balance", fmt.Sprint(snapshotEvery+10), "version", fmt.Sprint(snapshotEvery+11))
	c.must("POST", "/accounts/ada/deposits", fmt.Sprintf(`{"id":"d%d","cents":1}`, snapshotEvery-1), 200, "balance", fmt.Sprint(snapshotEvery))
}
