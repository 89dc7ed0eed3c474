package main

import "github.com/papyra-go/papyra/actorsys"

// Account is the state of one account. It is a value: an Evolve returns a new one and
// changes nothing that an older one can see.
type Account struct {
	Opened  bool   `json:"opened"`
	Balance int64  `json:"balance"` // cents, never below zero
	Version uint64 `json:"version"` // of the last event: the stream's version
	// Recent are the newest operations, oldest first: see recent.
	Recent recent `json:"recent,omitempty"`
	// Forgotten is the version up to which operations are no longer in Recent.
	Forgotten uint64 `json:"forgotten,omitempty"`
}

// The names and the schema number under which events are stored. They are the format
// of every bank's store and never change.
const (
	typeOpened    = "account-opened"
	typeDeposited = "deposited"
	typeWithdrawn = "withdrawn"
	schema        = 1
)

func accountEvents() actorsys.Events[Account] {
	return actorsys.Events[Account]{
		actorsys.On[Opened](typeOpened, schema),
		actorsys.On[Deposited](typeDeposited, schema),
		actorsys.On[Withdrawn](typeWithdrawn, schema),
	}
}

// Opened says that the account exists from now on, with nothing in it.
type Opened struct{}

// Evolve opens the account.
func (e Opened) Evolve(a Account) Account {
	a.Opened = true
	a.Version++
	return a
}

// Deposited says that money came in. Balance is what the account held afterwards; it
// is there for whoever reads the history, and for them only.
type Deposited struct {
	ID      string `json:"id"`
	Cents   int64  `json:"cents"`
	Balance int64  `json:"balance"`
}

// Evolve adds the money.
func (e Deposited) Evolve(a Account) Account { return a.moved(e.ID, e.Cents) }

// Withdrawn says that money went out.
type Withdrawn struct {
	ID      string `json:"id"`
	Cents   int64  `json:"cents"`
	Balance int64  `json:"balance"`
}

// Evolve takes the money.
func (e Withdrawn) Evolve(a Account) Account { return a.moved(e.ID, -e.Cents) }

// moved returns the account after the operation id, whose cents are below zero if
// they went out.
func (a Account) moved(id string, cents int64) Account {
	a.Version++
	a.Balance += cents
	a.Recent, a.Forgotten = a.Recent.add(applied{id, cents, a.Balance, a.Version}, a.Forgotten)
	return a
}

// applied is an operation that an account has carried out, and what it answered.
type applied struct {
	ID      string `json:"id"`
	Cents   int64  `json:"cents"` // below zero: a withdrawal
	Balance int64  `json:"balance"`
	Version uint64 `json:"version"`
}

// remembered is how many of its newest operations an account knows by their ids, at
// least: up to twice as many, because they are forgotten in halves.
const remembered = 1024

// recent is what makes a retry harmless: an operation whose id is in it is not carried
// out again but answered as it was the first time. It is bounded, so that an account
// may live for ever. The price: a client that sends an operation again after 1,024
// others on the same account have been carried out has it carried out twice. Retry at
// once, or look into the history first, as transfers do (see settle).
type recent []applied

// find looks for an operation, the newest first.
func (m recent) find(id string) (applied, bool) {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i].ID == id {
			return m[i], true
		}
	}
	return applied{}, false
}

// add returns the memory with op in it, and the version up to which it has forgotten.
// Older memories stay as they are: they may share the bytes in front, and never see
// what is behind their own end.
func (m recent) add(op applied, forgotten uint64) (recent, uint64) {
	if len(m) >= 2*remembered {
		cut := len(m) - remembered
		forgotten = m[cut-1].Version
		m = append(make(recent, 0, 2*remembered), m[cut:]...)
	}
	return append(m, op), forgotten
}
