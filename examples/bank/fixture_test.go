package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

// teller is a bank with its HTTP side, and a client of it.
type teller struct {
	t     *testing.T
	store *backend.Backend
	bank  *bank
	http  *httptest.Server
}

// newTeller opens a bank over a store, which ends with the test if close is not called
// before.
func newTeller(t *testing.T, place *memory.Store) *teller {
	t.Helper()
	store, err := place.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBank(t.Context(), store, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c := &teller{t, store, b, httptest.NewServer(newHandler(b))}
	t.Cleanup(c.close)
	return c
}

func (c *teller) close() {
	c.http.Close()
	if err := c.bank.close(context.Background()); err != nil {
		c.t.Error(err)
	}
	if err := c.store.Close(); err != nil {
		c.t.Error(err)
	}
}

// send returns the status and the decoded body.
func (c *teller) send(method, path, body string) (int, map[string]any) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.http.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := c.http.Client().Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	var v map[string]any
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
		c.t.Fatalf("%s %s: status %d, and no JSON: %v", method, path, res.StatusCode, err)
	}
	return res.StatusCode, v
}

// must sends a request and wants a status and, in the answer, fields as fmt prints them.
func (c *teller) must(method, path, body string, status int, fields ...string) map[string]any {
	c.t.Helper()
	got, v := c.send(method, path, body)
	if got != status {
		c.t.Fatalf("%s %s %.80s: status %d %v, want %d", method, path, body, got, v, status)
	}
	for i := 0; i < len(fields); i += 2 {
		if have := text(v[fields[i]]); have != fields[i+1] {
			c.t.Fatalf("%s %s %.80s: %s is %s, want %s", method, path, body, fields[i], have, fields[i+1])
		}
	}
	return v
}

func text(v any) string {
	if f, ok := v.(float64); ok {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprint(v)
}

// with opens accounts and puts money in, in pairs of an id and cents.
func (c *teller) with(pairs ...any) {
	c.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		path := fmt.Sprintf("/accounts/%v", pairs[i])
		c.must("PUT", path, "", 200)
		if cents := pairs[i+1].(int); cents > 0 {
			c.must("POST", path+"/deposits", fmt.Sprintf(`{"id":"seed","cents":%d}`, cents), 200)
		}
	}
}

// ends waits for the end of a transfer and returns its state and reason.
func (c *teller) ends(id string) (state, reason string) {
	c.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		_, v := c.send("GET", "/transfers/"+id, "")
		if state := text(v["state"]); state != "pending" {
			reason, _ := v["reason"].(string)
			return state, reason
		}
	}
	c.t.Fatalf("transfer %s is pending for ever", id)
	return "", ""
}
