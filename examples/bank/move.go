package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/papyra-go/papyra/actorsys"
)

// Bounds on money, in cents.
const (
	// maxCents is the most that one operation may move.
	maxCents = 1_000_000_000_000_000
	// maxBalance is the most that an account may hold. It stays so far below what an
	// int64 holds that money which comes back from a transfer finds room: as much as
	// 2,223 of the largest transfers together.
	maxBalance = 7_000_000_000_000_000_000
)

// The reasons why an account refuses an operation. Each means that nothing was changed.
var (
	errUnknownAccount = errors.New("no such account: open it with PUT /accounts/{id}")
	errInsufficient   = errors.New("not enough money in the account")
	errBalanceLimit   = fmt.Errorf("the account would hold more than %d cents", int64(maxBalance))
	errReused         = errors.New("this id was used for something else: every operation needs an id of its own")
	// errForgotten: the operation is not among those remembered, but was first sent so
	// long ago that it may be among those forgotten. Only the history can tell.
	errForgotten = errors.New("too old to be told from the account's memory")
)

// balance is the answer to every operation on an account.
type balance struct {
	Balance int64  `json:"balance"`
	Version uint64 `json:"version"`
}

// open opens the account, if it is not yet.
type open struct{}

func (open) Decide(_ *actorsys.Turn, a Account) ([]actorsys.Event[Account], error) {
	if a.Opened {
		return nil, nil
	}
	return []actorsys.Event[Account]{Opened{}}, nil
}

func (open) Reply(a Account) balance { return balance{a.Balance, a.Version} }

// look reads the account.
type look struct{}

func (look) Decide(_ *actorsys.Turn, a Account) ([]actorsys.Event[Account], error) {
	if !a.Opened {
		return nil, errUnknownAccount
	}
	return nil, nil
}

func (look) Reply(a Account) balance { return balance{a.Balance, a.Version} }

// move puts money in or takes it out, once for each id.
type move struct {
	ID    string
	Cents int64 // below zero: a withdrawal
	// Since is a version of the account at which this operation had certainly not been
	// carried out; zero if the sender takes the risk (see recent).
	Since uint64
	// Back marks money that returns to where it came from: it may exceed maxBalance,
	// but not what an int64 holds.
	Back bool
}

func (m move) Decide(_ *actorsys.Turn, a Account) ([]actorsys.Event[Account], error) {
	if !a.Opened {
		return nil, errUnknownAccount
	}
	if op, known := a.Recent.find(m.ID); known {
		if op.Cents != m.Cents {
			return nil, errReused
		}
		return nil, nil
	}
	if m.Since > 0 && a.Forgotten > m.Since {
		return nil, errForgotten
	}
	return m.carryOut(a)
}

func (m move) carryOut(a Account) ([]actorsys.Event[Account], error) {
	limit := int64(maxBalance)
	if m.Back {
		limit = math.MaxInt64
	}
	switch {
	case m.Cents < 0 && a.Balance < -m.Cents:
		return nil, errInsufficient
	case m.Cents < 0:
		return []actorsys.Event[Account]{Withdrawn{m.ID, -m.Cents, a.Balance + m.Cents}}, nil
	case a.Balance > limit-m.Cents:
		return nil, errBalanceLimit
	}
	return []actorsys.Event[Account]{Deposited{m.ID, m.Cents, a.Balance + m.Cents}}, nil
}

// Reply is the answer that the operation got the first time.
func (m move) Reply(a Account) balance {
	op, _ := a.Recent.find(m.ID)
	return balance{op.Balance, op.Version}
}
