package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// event is one line of an account's history, as the bank tells it.
type event struct {
	Version uint64
	Type    string
	ID      string
	Cents   int64
	Balance int64
}

// delta is what the event adds to the balance.
func (e *event) delta() int64 {
	if e.Type == "withdrawn" {
		return -e.Cents
	}
	return e.Cents
}

// settleTimeout is how long transfers may take to end after the load.
const settleTimeout = 20 * time.Second

// settle waits until every accepted transfer is finished, and enters how.
func settle(ctx context.Context, t *target, clients []*client) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	var wait sync.WaitGroup
	for _, c := range clients {
		wait.Go(func() {
			for i := range c.ledger {
				e := &c.ledger[i]
				if e.kind == transfer && e.outcome == acked && e.state == "" {
					c.follow(ctx, e)
				}
			}
		})
	}
	wait.Wait()
}

// read returns the histories of all accounts, and checks that each holds together and
// agrees with what the account says of itself.
func read(ctx context.Context, t *target, accounts []string, workers int) (map[string][]event, trouble, error) {
	var (
		mu        sync.Mutex
		wait      sync.WaitGroup
		histories = map[string][]event{}
		found     trouble
		failure   error
		next      = make(chan string)
	)
	for range workers {
		wait.Go(func() {
			for account := range next {
				events, wrong, err := readOne(ctx, t, account)
				mu.Lock()
				histories[account] = events
				found.wrong.add(wrong)
				failure = firstOf(failure, err)
				mu.Unlock()
			}
		})
	}
	for _, a := range accounts {
		next <- a
	}
	close(next)
	wait.Wait()
	return histories, found, failure
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func readOne(ctx context.Context, t *target, account string) (events []event, wrong tally, err error) {
	for from := uint64(1); from != 0; {
		var page struct {
			Events []event
			Next   uint64
		}
		if err := t.get(ctx, fmt.Sprintf("/accounts/%s/history?from=%d&limit=5000", account, from), &page); err != nil {
			return nil, wrong, err
		}
		events = append(events, page.Events...)
		from = page.Next
	}
	var said answer
	if err := t.get(ctx, "/accounts/"+account, &said); err != nil {
		return nil, wrong, err
	}
	return events, chain(account, events, said), nil
}

// chain checks that a history has no gap, that each balance follows from the one
// before and is not below zero, and that the account stands where its history ends.
func chain(account string, events []event, said answer) (wrong tally) {
	var at answer
	for i := range events {
		e := &events[i]
		want := answer{at.Balance + e.delta(), at.Version + 1}
		if e.Version != want.Version || e.Balance != want.Balance || e.Balance < 0 {
			wrong.note("account %s: after version %d and balance %d the history goes on with %+v", account, at.Version, at.Balance, *e)
		}
		if opened := e.Type == "account-opened"; opened != (i == 0) {
			wrong.note("account %s: version %d is %q", account, e.Version, e.Type)
		}
		at = answer{e.Balance, e.Version}
	}
	if said != at {
		wrong.note("account %s says %+v, its history ends with %+v", account, said, at)
	}
	return wrong
}

// place is where an operation stands: ids are per account.
type place struct{ account, id string }

// books are the histories, to be ticked off against the ledgers.
type books struct {
	at    map[place][]event
	known map[place]bool
	trouble
}

// compare holds the histories against the ledgers.
func compare(histories map[string][]event, ledger []entry) trouble {
	b := &books{at: map[place][]event{}, known: map[place]bool{}}
	for account, events := range histories {
		for _, e := range events {
			if e.Type != "account-opened" {
				p := place{account, e.ID}
				b.at[p] = append(b.at[p], e)
			}
		}
	}
	for i := range ledger {
		b.tick(&ledger[i])
	}
	for p, events := range b.at {
		if !b.known[p] {
			b.invented.note("account %s holds %q (version %d), which nobody sent", p.account, p.id, events[0].Version)
		}
	}
	return b.trouble
}

// tick checks one operation.
func (b *books) tick(e *entry) {
	if e.kind == transfer {
		b.tickTransfer(e)
		return
	}
	sign := int64(1)
	if e.kind == withdrawal {
		sign = -1
	}
	events := b.once(e.account(), e.id, sign*e.cents)
	switch {
	case e.outcome == acked && len(events) == 0:
		b.lost.note("account %s: %s was acknowledged and is not in the history", e.account(), e.id)
	case e.outcome == acked && (events[0].Version != e.version || events[0].Balance != e.balance):
		b.lost.note("account %s: %s was acknowledged as version %d, balance %d; the history has %+v", e.account(), e.id, e.version, e.balance, events[0])
	case e.outcome == declined && len(events) > 0:
		b.invented.note("account %s: %s was refused and is in the history as version %d", e.account(), e.id, events[0].Version)
	}
}

// once returns the events of an operation, of which there should be one at most.
func (b *books) once(account, id string, delta int64) []event {
	p := place{account, id}
	b.known[p] = true
	events := b.at[p]
	if len(events) > 1 {
		b.invented.note("account %s: %s is in the history %d times, as versions %d and %d", account, id, len(events), events[0].Version, events[1].Version)
	}
	if len(events) > 0 && events[0].delta() != delta {
		b.invented.note("account %s: %s is in the history with %d cents, sent were %d", account, id, events[0].delta(), delta)
	}
	return events
}

// tickTransfer checks a transfer's steps: out and in if it is done; none, or out and
// back, if it was refused.
func (b *books) tickTransfer(e *entry) {
	step := "transfer/" + e.id + "/"
	out := len(b.once(e.from, step+"out", -e.cents)) > 0
	in := len(b.once(e.to, step+"in", e.cents)) > 0
	back := len(b.once(e.from, step+"back", e.cents)) > 0
	switch {
	case e.outcome != acked:
	case e.state == "done" && !(out && in):
		b.lost.note("transfer %s is done, but its steps are %s", e.id, steps(out, in, back))
	case e.state == "done" && back, e.state == "refused" && (in || out != back):
		b.invented.note("transfer %s is %s, but its steps are %s", e.id, e.state, steps(out, in, back))
	case e.state == "":
		b.stuck.note("transfer %s is neither done nor refused; its steps are %s", e.id, steps(out, in, back))
	}
}

func steps(out, in, back bool) string {
	var s []string
	for _, step := range []struct {
		taken bool
		name  string
	}{{out, "out"}, {in, "in"}, {back, "back"}} {
		if step.taken {
			s = append(s, step.name)
		}
	}
	return "[" + strings.Join(s, " ") + "]"
}

// money is what came in from outside, less what went out, by the ledgers; and what is
// in the accounts.
func money(histories map[string][]event, ledger []entry) (in, held int64) {
	for i := range ledger {
		switch e := &ledger[i]; {
		case e.outcome != acked:
		case e.kind == deposit:
			in += e.cents
		case e.kind == withdrawal:
			in -= e.cents
		}
	}
	for _, events := range histories {
		if n := len(events); n > 0 {
			held += events[n-1].Balance
		}
	}
	return in, held
}
