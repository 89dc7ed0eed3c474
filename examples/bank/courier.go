package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// Bounds of the courier.
const (
	maxPending   = 512                   // transfers beyond it are not accepted
	maxCarried   = 128                   // transfers worked on at a time
	courierGrace = 2 * time.Second       // for pending transfers at a graceful end
	stepTimeout  = 30 * time.Second      // of one attempt at a step
	pauseMin     = 10 * time.Millisecond // after a step that failed, doubled …
	pauseMax     = 2 * time.Second       // … up to this
)

// courier carries transfers from stage to stage. Nothing rests on its memory: each
// step is taken under an id of its own, which the accounts know, and noted in the
// transfer's stream, so that whoever carries the transfer next goes on where it stands.
type courier struct {
	bank   *bank
	ctx    context.Context
	cancel context.CancelFunc
	goes   sync.WaitGroup
	slots  chan struct{} // one token for each transfer that is worked on

	mu      sync.Mutex
	carried map[string]bool // by id; one goroutine each
	closed  bool
}

func newCourier(b *bank) *courier {
	c := &courier{bank: b, slots: make(chan struct{}, maxCarried), carried: map[string]bool{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// take carries a transfer to its end, in the background. Nothing happens if that is
// being done already, or if there is no such transfer.
func (c *courier) take(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.carried[id] {
		return
	}
	c.carried[id] = true
	c.goes.Go(func() {
		c.carry(id)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.carried, id)
	})
}

// load is how many transfers are in the courier's hands.
func (c *courier) load() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.carried)
}

// close waits a little for what is pending, and then lets go of the rest.
func (c *courier) close(grace time.Duration) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	t := time.AfterFunc(grace, c.cancel)
	c.goes.Wait()
	t.Stop()
	c.cancel()
}

// carry works on one transfer until it is finished or the bank closes.
func (c *courier) carry(id string) {
	for pause := pauseMin; c.ctx.Err() == nil; {
		finished, err := c.attempt(id)
		switch {
		case finished:
			return
		case err == nil:
			pause = pauseMin
			continue
		case pause == pauseMax:
			c.bank.log.Error("a transfer can't be carried on; trying again", "id", id, "error", err)
		}
		c.sleep(pause)
		pause = min(2*pause, pauseMax)
	}
}

// attempt takes one step.
func (c *courier) attempt(id string) (finished bool, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-c.ctx.Done():
		return false, c.ctx.Err()
	}
	ctx, cancel := context.WithTimeout(c.ctx, stepTimeout)
	defer cancel()
	to := c.bank.transfers.Ref(id)
	t, err := actorsys.Ask(ctx, to, follow{})
	if errors.Is(err, errUnknownTransfer) || errors.Is(err, actorsys.ErrStopped) || err == nil && t.Stage.finished() {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	then, err := c.bank.step(ctx, id, t)
	if err != nil {
		return false, err
	}
	t, err = actorsys.Ask(ctx, to, advance{t.Stage, then})
	return err == nil && t.Stage.finished(), err
}

// sleep waits so long, or until the courier closes.
func (c *courier) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.ctx.Done():
	}
}

// stepID names a step of a transfer on an account. Ids of clients hold no slash, so
// that nobody else can use it.
func stepID(transfer, step string) string { return transferKind + "/" + transfer + "/" + step }

// step does what the transfer's stage asks for, and returns what is to be noted then.
// An error means that it must be tried again.
func (b *bank) step(ctx context.Context, id string, t Transfer) (actorsys.Event[Transfer], error) {
	switch t.Stage {
	case pending:
		return after(
			b.settle(ctx, t.From, move{ID: stepID(id, "out"), Cents: -t.Cents, Since: t.FromVersion}),
			MoneyTaken{}, func(why string) actorsys.Event[Transfer] { return TransferRefused{why} })
	case taken:
		return after(
			b.settle(ctx, t.To, move{ID: stepID(id, "in"), Cents: t.Cents, Since: t.ToVersion}),
			TransferDone{}, func(why string) actorsys.Event[Transfer] { return MoneyReturning{why} })
	}
	err := b.settle(ctx, t.From, move{ID: stepID(id, "back"), Cents: t.Cents, Since: t.FromVersion, Back: true})
	return TransferRefused{t.Reason}, err
}

// after chooses between what follows a step that was taken and one that was refused.
func after(err error, good actorsys.Event[Transfer], bad func(why string) actorsys.Event[Transfer]) (actorsys.Event[Transfer], error) {
	for _, refusal := range []error{errInsufficient, errBalanceLimit, errUnknownAccount} {
		if errors.Is(err, refusal) {
			return bad(problemOf(err).Code), nil
		}
	}
	return good, err
}

// settle has an account carry out a step of a transfer exactly once, however long ago
// it was first asked for: where the account's memory does not reach, the history does.
func (b *bank) settle(ctx context.Context, account string, m move) error {
	for {
		_, err := actorsys.Ask(ctx, b.accounts.Ref(account), m)
		if !errors.Is(err, errForgotten) {
			return err
		}
		found, upTo, err := b.findInHistory(ctx, account, m.ID, m.Since)
		if found || err != nil {
			return err
		}
		m.Since = upTo
	}
}

// findInHistory looks for an operation above a version. If it is not there, it is not
// up to the version that comes back.
func (b *bank) findInHistory(ctx context.Context, account, id string, since uint64) (found bool, upTo uint64, err error) {
	const page = 1000
	for {
		events, err := b.history(ctx, account, since+1, page)
		if err != nil {
			return false, since, err
		}
		for _, e := range events {
			if e.ID == id {
				return true, e.Version, nil
			}
			since = e.Version
		}
		if len(events) < page {
			return false, since, nil
		}
	}
}

// takeUp gives the courier every transfer in the store that is not finished. It looks
// at the last event of each: a bank with very many finished transfers serves long
// before it is through.
func (c *courier) takeUp() {
	for pause, last := pauseMin, ""; ; pause = min(2*pause, pauseMax) {
		err := c.takeUpAfter(&last)
		if err == nil || c.ctx.Err() != nil {
			return
		}
		c.bank.log.Error("pending transfers can't be looked up; trying again", "after", last, "error", err)
		c.sleep(pause)
	}
}

func (c *courier) takeUpAfter(last *string) error {
	prefix := transferKind + "/"
	for s, err := range c.bank.store.Streams(c.ctx, backend.StreamQuery{Prefix: prefix, After: *last}) {
		if err != nil {
			return err
		}
		finished, err := c.finished(s.Name)
		switch {
		case errors.Is(err, backend.ErrCorrupt): // the others are not to wait for it
			c.bank.log.Error("a transfer's stream is damaged: it is not taken up", "stream", s.Name, "error", err)
		case err != nil:
			return err
		case !finished:
			c.take(s.Name[len(prefix):])
		}
		*last = s.Name
	}
	return nil
}

func (c *courier) finished(stream string) (yes bool, err error) {
	q := backend.Query{Stream: stream, Reverse: true, Limit: 1}
	for rec, err := range c.bank.store.Read(c.ctx, q) {
		if err != nil {
			return false, err
		}
		yes = rec.Type == typeTransferDone || rec.Type == typeTransferRefused
	}
	return yes, nil
}
