package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// Of a hundred operations so many are …
const (
	transfersIn100 = 20
	depositsIn100  = 45 // the rest are withdrawals
	repeatsIn100   = 2  // sent again although they were answered, to be answered alike
)

// maxCents is the most that one operation moves. Withdrawals are as large as deposits,
// and now and then an account does not hold enough.
const maxCents = 10_000

// client is one of many that work at the same time, each with a ledger of its own.
type client struct {
	target   *target
	rand     *rand.Rand
	name     string // begins the ids of its operations
	accounts []string
	ledger   []entry
	trouble  trouble
	acked    *atomic.Int64 // of all clients
}

// work sends operations until the time is up. ctx bounds how long it insists on the
// outcome of the last.
func (c *client) work(ctx context.Context, until time.Time) {
	for n := 0; time.Now().Before(until) && ctx.Err() == nil; n++ {
		e := c.choose(n)
		c.carryOut(ctx, &e)
		c.ledger = append(c.ledger, e)
		if e.outcome == acked {
			c.acked.Add(1)
		}
	}
}

func (c *client) choose(n int) entry {
	e := entry{id: fmt.Sprintf("%s-%d", c.name, n), cents: 1 + c.rand.Int64N(maxCents)}
	a, b := c.rand.IntN(len(c.accounts)), c.rand.IntN(len(c.accounts)-1)
	if b >= a {
		b++
	}
	switch p := c.rand.IntN(100); {
	case p < transfersIn100:
		e.kind, e.from, e.to = transfer, c.accounts[a], c.accounts[b]
	case p < transfersIn100+depositsIn100:
		e.kind, e.to = deposit, c.accounts[a]
	default:
		e.kind, e.from = withdrawal, c.accounts[a]
	}
	return e
}

// request is how an operation is sent.
func (e *entry) request() (path string, body any) {
	simple := map[string]any{"id": e.id, "cents": e.cents}
	switch e.kind {
	case deposit:
		return "/accounts/" + e.to + "/deposits", simple
	case withdrawal:
		return "/accounts/" + e.from + "/withdrawals", simple
	}
	return "/transfers", map[string]any{"id": e.id, "from": e.from, "to": e.to, "cents": e.cents}
}

// carryOut sends an operation until its outcome is known, and enters it.
func (c *client) carryOut(ctx context.Context, e *entry) {
	path, body := e.request()
	r, tries, err := c.target.insist(ctx, http.MethodPost, path, body)
	e.retried = tries > 1
	if err != nil {
		c.trouble.stuck.note("%v", err)
		return
	}
	switch {
	case r.status == http.StatusConflict && r.code() == "insufficient_funds" && e.kind == withdrawal:
		e.outcome = declined
	case r.status == http.StatusOK || r.status == http.StatusAccepted && e.kind == transfer:
		e.outcome = acked
		c.enter(ctx, e, r)
	default:
		c.trouble.wrong.note("POST %s of %s: status %d %.200s", path, e.id, r.status, bytes.TrimSpace(r.body))
	}
}

// answer is what a deposit or withdrawal is answered.
type answer struct {
	Balance int64
	Version uint64
}

// enter notes the answer. Some operations are sent once more: the answer must be the
// same. Half of the transfers are followed to their end.
func (c *client) enter(ctx context.Context, e *entry, r *reply) {
	if e.kind == transfer {
		if c.rand.IntN(2) == 0 {
			c.follow(ctx, e)
		}
		return
	}
	var first answer
	if err := json.Unmarshal(r.body, &first); err != nil {
		c.trouble.wrong.note("%s: the answer is no JSON: %v", e.id, err)
	}
	e.balance, e.version = first.Balance, first.Version
	if c.rand.IntN(100) < repeatsIn100 {
		c.repeat(ctx, e, first)
	}
}

func (c *client) repeat(ctx context.Context, e *entry, first answer) {
	path, body := e.request()
	r, _, err := c.target.insist(ctx, http.MethodPost, path, body)
	if err != nil {
		c.trouble.stuck.note("%v", err)
		return
	}
	e.retried = true
	var again answer
	if err := json.Unmarshal(r.body, &again); err != nil || again != first {
		c.trouble.wrong.note("%s, sent again: status %d %.200s: want the first answer, %+v", e.id, r.status, bytes.TrimSpace(r.body), first)
	}
}

// follow waits until a transfer is finished.
func (c *client) follow(ctx context.Context, e *entry) {
	for pause := time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 100*time.Millisecond) {
		r, _, err := c.target.insist(ctx, http.MethodGet, "/transfers/"+e.id, nil)
		if err != nil {
			c.trouble.stuck.note("%v", err)
			return
		}
		if r.status == http.StatusNotFound {
			c.trouble.lost.note("transfer %s was accepted and is not known any more", e.id)
			e.state = "gone"
			return
		}
		var t struct{ State string }
		if err := json.Unmarshal(r.body, &t); err != nil || r.status != http.StatusOK {
			c.trouble.wrong.note("GET /transfers/%s: status %d %.200s", e.id, r.status, bytes.TrimSpace(r.body))
			return
		}
		if t.State == "done" || t.State == "refused" {
			e.state = t.State
			return
		}
		time.Sleep(pause)
	}
}
