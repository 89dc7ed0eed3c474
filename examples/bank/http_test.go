package main

import (
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend/memory"
)

func TestMoneyGoesInAndOutAndTheHistoryTellsIt(t *testing.T) {
	c := newTeller(t, memory.New())
	c.must("PUT", "/accounts/ada", "", 200, "id", "ada", "balance", "0", "version", "1")
	c.must("PUT", "/accounts/ada", "{}", 200, "balance", "0", "version", "1")
	c.must("POST", "/accounts/ada/deposits", `{"id":"d1","cents":250}`, 200, "balance", "250", "version", "2")
	c.must("POST", "/accounts/ada/withdrawals", `{"id":"w1","cents":100}`, 200, "balance", "150", "version", "3")
	c.must("GET", "/accounts/ada", "", 200, "id", "ada", "balance", "150", "version", "3")

	events := c.must("GET", "/accounts/ada/history", "", 200)["events"].([]any)
	want := []string{"1 account-opened <nil> 0 0", "2 deposited d1 250 250", "3 withdrawn w1 100 150"}
	for i, e := range events {
		m := e.(map[string]any)
		got := strings.Join([]string{text(m["version"]), text(m["type"]), text(m["id"]), text(m["cents"]), text(m["balance"])}, " ")
		if i >= len(want) || got != want[i] {
			t.Errorf("event %d is %q, want %q", i, got, want)
		}
		if m["time"] == nil {
			t.Errorf("event %d has no time", i)
		}
	}
	if len(events) != len(want) {
		t.Errorf("%d events, want %d", len(events), len(want))
	}
}

func TestAHistoryComesInPages(t *testing.T) {
	c := newTeller(t, memory.New())
	c.with("ada", 1)
	c.must("GET", "/accounts/ada/history?limit=1", "", 200, "next", "2")
	c.must("GET", "/accounts/ada/history?from=2&limit=1", "", 200, "next", "<nil>")
	c.must("GET", "/accounts/ada/history?from=3", "", 200, "events", "[]")
}

func TestARetryIsHarmless(t *testing.T) {
	place := memory.New()
	c := newTeller(t, place)
	c.with("ada", 100)
	for _, path := range []string{"deposits", "withdrawals"} {
		body := `{"id":"` + path + `","cents":10}`
		first := c.must("POST", "/accounts/ada/"+path, body, 200)
		c.must("POST", "/accounts/ada/deposits", `{"id":"between-`+path+`","cents":1}`, 200)
		c.must("POST", "/accounts/ada/"+path, body, 200, "balance", text(first["balance"]), "version", text(first["version"]))
	}
	c.must("GET", "/accounts/ada", "", 200, "balance", "102", "version", "6")
	c.must("POST", "/accounts/ada/deposits", `{"id":"deposits","cents":11}`, 409, "code", "id_reused")
	c.must("POST", "/accounts/ada/withdrawals", `{"id":"deposits","cents":10}`, 409, "code", "id_reused")

	c.close() // and after a restart
	c = newTeller(t, place)
	c.must("POST", "/accounts/ada/deposits", `{"id":"deposits","cents":10}`, 200, "balance", "110", "version", "3")
	c.must("GET", "/accounts/ada", "", 200, "balance", "102", "version", "6")
}

func TestBadRequestsAreRefusedAndChangeNothing(t *testing.T) {
	c := newTeller(t, memory.New())
	c.with("ada", 100, "bob", 0)
	ok := `{"id":"x","cents":1}`
	long := strings.Repeat("a", 129)
	large := `{"id":"x","cents":1` + strings.Repeat(" ", 70_000) + `}`
	for _, row := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/accounts/ada/deposits", `nonsense`, 400, "invalid_json"},
		{"POST", "/accounts/ada/deposits", ``, 400, "invalid_json"},
		{"POST", "/accounts/ada/deposits", `{"id":"x",`, 400, "invalid_json"},
		{"POST", "/accounts/ada/deposits", `[]`, 400, "invalid_json"},
		{"POST", "/accounts/ada/deposits", `{"id":"x","cents":1,"note":"?"}`, 400, "invalid_json"},
		{"POST", "/accounts/ada/deposits", ok + `garbage`, 400, "invalid_json"},
		{"POST", "/accounts/ada/deposits", ok + ok, 400, "invalid_json"},
		{"POST", "/accounts/ada/deposits", `{"id":7,"cents":1}`, 400, "invalid_json"},
		{"POST", "/accounts/ada/deposits", large, 413, "body_too_large"},
		{"POST", "/accounts/ada/deposits", ok + strings.Repeat(" ", 70_000), 413, "body_too_large"},
		{"POST", "/accounts/ada/deposits", `{"id":"x"}`, 400, "invalid_cents"},
		{"POST", "/accounts/ada/deposits", `{"id":"x","cents":0}`, 400, "invalid_cents"},
		{"POST", "/accounts/ada/deposits", `{"id":"x","cents":-5}`, 400, "invalid_cents"},
		{"POST", "/accounts/ada/deposits", `{"id":"x","cents":1.5}`, 400, "invalid_cents"},
		{"POST", "/accounts/ada/deposits", `{"id":"x","cents":"5"}`, 400, "invalid_cents"},
		{"POST", "/accounts/ada/deposits", `{"id":"x","cents":1000000000000001}`, 400, "invalid_cents"},
		{"POST", "/accounts/ada/deposits", `{"id":"x","cents":99999999999999999999}`, 400, "invalid_cents"},
		{"POST", "/accounts/ada/withdrawals", `{"id":"x","cents":-5}`, 400, "invalid_cents"},
		{"POST", "/accounts/ada/withdrawals", `{"id":"x","cents":101}`, 409, "insufficient_funds"},
		{"POST", "/accounts/ada/deposits", `{"cents":1}`, 400, "invalid_id"},
		{"POST", "/accounts/ada/deposits", `{"id":"a/b","cents":1}`, 400, "invalid_id"},
		{"POST", "/accounts/ada/deposits", `{"id":"` + long + `","cents":1}`, 400, "invalid_id"},
		{"POST", "/accounts/nobody/deposits", ok, 404, "unknown_account"},
		{"POST", "/accounts/nobody/withdrawals", ok, 404, "unknown_account"},
		{"GET", "/accounts/nobody", "", 404, "unknown_account"},
		{"GET", "/accounts/nobody/history", "", 404, "unknown_account"},
		{"GET", "/accounts/a%2Fb", "", 400, "invalid_id"},
		{"GET", "/accounts/%00", "", 400, "invalid_id"},
		{"PUT", "/accounts/" + long, "", 400, "invalid_id"},
		{"PUT", "/accounts/eve", "nonsense", 400, "invalid_json"},
		{"GET", "/accounts/ada/history?from=0", "", 400, "invalid_query"},
		{"GET", "/accounts/ada/history?limit=10001", "", 400, "invalid_query"},
		{"GET", "/accounts/ada/history?limit=all", "", 400, "invalid_query"},
		{"POST", "/transfers", `{"id":"t","from":"ada","to":"ada","cents":1}`, 400, "same_account"},
		{"POST", "/transfers", `{"id":"t","from":"ada","to":"bob","cents":-1}`, 400, "invalid_cents"},
		{"POST", "/transfers", `{"id":"t","from":"ada","cents":1}`, 400, "invalid_id"},
		{"POST", "/transfers", `{"id":"t","from":"ada","to":"nobody","cents":1}`, 404, "unknown_account"},
		{"POST", "/transfers", `{"id":"t","from":"nobody","to":"ada","cents":1}`, 404, "unknown_account"},
		{"GET", "/transfers/t", "", 404, "unknown_transfer"},
		{"GET", "/nothing", "", 404, "not_found"},
		{"DELETE", "/accounts/ada", "", 405, "method_not_allowed"},
		{"GET", "/accounts/ada/deposits", "", 405, "method_not_allowed"},
	} {
		before, err := c.store.Last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		v := c.must(row.method, row.path, row.body, row.status, "code", row.code)
		if text(v["message"]) == "" || strings.Contains(text(v["message"]), "\n") {
			t.Errorf("%s %s %.40s: the message is %q", row.method, row.path, row.body, v["message"])
		}
		if after, _ := c.store.Last(t.Context()); after != before {
			t.Errorf("%s %s %.40s: something was stored", row.method, row.path, row.body)
		}
	}
	c.must("GET", "/accounts/ada", "", 200, "balance", "100", "version", "2")
}

func TestABalanceCannotOverflow(t *testing.T) {
	full := Account{Opened: true, Balance: maxBalance, Version: 1}
	for _, row := range []struct {
		move move
		err  error
	}{
		{move{ID: "x", Cents: 1}, errBalanceLimit},
		{move{ID: "x", Cents: maxCents}, errBalanceLimit},
		{move{ID: "x", Cents: maxCents, Back: true}, nil},
		{move{ID: "x", Cents: -1}, nil},
	} {
		if _, err := row.move.Decide(nil, full); err != row.err {
			t.Errorf("%+v on a full account: %v, want %v", row.move, err, row.err)
		}
	}
	bursting := Account{Opened: true, Balance: math.MaxInt64, Version: 1}
	if _, err := (move{ID: "x", Cents: 1, Back: true}).Decide(nil, bursting); err != errBalanceLimit {
		t.Errorf("money comes back to an account that has no room: %v", err)
	}
	if room := math.MaxInt64 - int64(maxBalance); room < (maxPending+maxRequests)*maxCents {
		t.Errorf("%d cents of room for all that can be pending", room)
	}
}

func TestAClosingBankSaysThatItIsUnavailable(t *testing.T) {
	c := newTeller(t, memory.New())
	c.with("ada", 100)
	if err := c.bank.sys.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	res, err := http.Get(c.http.URL + "/accounts/ada")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	c.must("GET", "/accounts/ada", "", 503, "code", "stopping")
}

func TestCountersAndHealth(t *testing.T) {
	c := newTeller(t, memory.New())
	c.with("ada", 100)
	c.must("GET", "/healthz", "", 200, "status", "ok")
	v := c.must("GET", "/metrics.json", "", 200, "alive_actors", "1", "registry_size", "1", "write_errors", "0", "transfers_pending", "0")
	if n := v["writes_total"].(float64); n < 2 {
		t.Errorf("writes_total is %v after two operations", n)
	}
}
