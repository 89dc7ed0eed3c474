package main

import (
	"errors"

	"github.com/papyra-go/papyra/actorsys"
)

// stage is where a transfer stands. It goes one of three ways:
//
//	pending ─ taken ─ done                   both steps taken
//	pending ─ refused                        nothing was taken
//	pending ─ taken ─ returning ─ refused    taken, not accepted, given back
type stage string

const (
	pending   stage = "pending"   // opened; the money may or may not have been taken
	taken     stage = "taken"     // out of the first account, perhaps in the second
	returning stage = "returning" // the second account refused it
	done      stage = "done"
	refused   stage = "refused"
)

func (s stage) finished() bool { return s == done || s == refused }

// public is the stage as clients see it: pending, done or refused.
func (s stage) public() stage {
	if s.finished() {
		return s
	}
	return pending
}

// Transfer is the state of one transfer. It is what the courier needs to go on with it
// at any time, in any process.
type Transfer struct {
	Stage stage  `json:"stage"`
	From  string `json:"from"`
	To    string `json:"to"`
	Cents int64  `json:"cents"`
	// FromVersion and ToVersion are versions of the accounts from before the transfer.
	FromVersion uint64 `json:"from_version"`
	ToVersion   uint64 `json:"to_version"`
	Reason      string `json:"reason,omitempty"` // the code why it was refused
}

// The names under which a transfer's events are stored.
const (
	typeTransferOpened  = "transfer-opened"
	typeMoneyTaken      = "money-taken"
	typeMoneyReturning  = "money-returning"
	typeTransferDone    = "transfer-done"
	typeTransferRefused = "transfer-refused"
)

func transferEvents() actorsys.Events[Transfer] {
	return actorsys.Events[Transfer]{
		actorsys.On[TransferOpened](typeTransferOpened, schema),
		actorsys.On[MoneyTaken](typeMoneyTaken, schema),
		actorsys.On[MoneyReturning](typeMoneyReturning, schema),
		actorsys.On[TransferDone](typeTransferDone, schema),
		actorsys.On[TransferRefused](typeTransferRefused, schema),
	}
}

// TransferOpened says that money is to be moved.
type TransferOpened struct {
	From        string `json:"from"`
	To          string `json:"to"`
	Cents       int64  `json:"cents"`
	FromVersion uint64 `json:"from_version"`
	ToVersion   uint64 `json:"to_version"`
}

// Evolve makes the transfer pending.
func (e TransferOpened) Evolve(Transfer) Transfer {
	return Transfer{pending, e.From, e.To, e.Cents, e.FromVersion, e.ToVersion, ""}
}

// MoneyTaken says that the money is out of the first account.
type MoneyTaken struct{}

// Evolve notes it.
func (MoneyTaken) Evolve(t Transfer) Transfer { t.Stage = taken; return t }

// MoneyReturning says that the second account refused the money, and why.
type MoneyReturning struct {
	Reason string `json:"reason"`
}

// Evolve notes it.
func (e MoneyReturning) Evolve(t Transfer) Transfer {
	t.Stage, t.Reason = returning, e.Reason
	return t
}

// TransferDone says that the money is in the second account.
type TransferDone struct{}

// Evolve ends the transfer.
func (TransferDone) Evolve(t Transfer) Transfer { t.Stage = done; return t }

// TransferRefused says that the money is in the first account, still or again.
type TransferRefused struct {
	Reason string `json:"reason"`
}

// Evolve ends the transfer.
func (e TransferRefused) Evolve(t Transfer) Transfer {
	t.Stage, t.Reason = refused, e.Reason
	return t
}

var errUnknownTransfer = errors.New("no such transfer")

// begin opens the transfer, once.
type begin struct{ TransferOpened }

func (c begin) Decide(_ *actorsys.Turn, t Transfer) ([]actorsys.Event[Transfer], error) {
	switch {
	case t.Stage == "":
		return []actorsys.Event[Transfer]{c.TransferOpened}, nil
	case t.From != c.From || t.To != c.To || t.Cents != c.Cents:
		return nil, errReused
	}
	return nil, nil
}

func (begin) Reply(t Transfer) Transfer { return t }

// follow reads the transfer.
type follow struct{}

func (follow) Decide(_ *actorsys.Turn, t Transfer) ([]actorsys.Event[Transfer], error) {
	if t.Stage == "" {
		return nil, errUnknownTransfer
	}
	return nil, nil
}

func (follow) Reply(t Transfer) Transfer { return t }

// advance adds Then if the transfer is at the stage When. Else it changes nothing: the
// step was noted before.
type advance struct {
	When stage
	Then actorsys.Event[Transfer]
}

func (c advance) Decide(_ *actorsys.Turn, t Transfer) ([]actorsys.Event[Transfer], error) {
	if t.Stage != c.When {
		return nil, nil
	}
	return []actorsys.Event[Transfer]{c.Then}, nil
}

func (advance) Reply(t Transfer) Transfer { return t }
