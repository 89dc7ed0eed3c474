package main

import (
	"context"
	"errors"
	"math"
	"net/http"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// accountView is an account as clients see it.
type accountView struct {
	ID string `json:"id"`
	balance
}

// accountOf returns the id in the path, checked.
func accountOf(r *http.Request) (string, error) {
	id := r.PathValue("id")
	return id, checkID("the account's id", id)
}

func (s *service) openAccount(w http.ResponseWriter, r *http.Request) (any, error) {
	id, err := accountOf(r)
	if err != nil {
		return nil, err
	}
	if err := empty(w, r); err != nil {
		return nil, err
	}
	b, err := actorsys.Ask(r.Context(), s.bank.accounts.Ref(id), open{})
	return accountView{id, b}, err
}

func (s *service) getAccount(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := accountOf(r)
	if err != nil {
		return nil, err
	}
	b, err := actorsys.Ask(r.Context(), s.bank.accounts.Ref(id), look{})
	return accountView{id, b}, err
}

func (s *service) deposit(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.move(w, r, +1)
}

func (s *service) withdraw(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.move(w, r, -1)
}

func (s *service) move(w http.ResponseWriter, r *http.Request, sign int64) (any, error) {
	id, err := accountOf(r)
	if err != nil {
		return nil, err
	}
	var o operation
	if err := decode(w, r, &o); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return actorsys.Ask(r.Context(), s.bank.accounts.Ref(id), move{ID: o.ID, Cents: sign * o.Cents})
}

// historyView is a part of an account's history. Next is where the next part begins;
// absent at the end.
type historyView struct {
	ID     string      `json:"id"`
	Events []happening `json:"events"`
	Next   uint64      `json:"next,omitempty"`
}

func (s *service) getHistory(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := accountOf(r)
	if err != nil {
		return nil, err
	}
	from, err := number(r, "from", 1, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	limit, err := number(r, "limit", defaultHistory, maxHistory)
	if err != nil {
		return nil, err
	}
	return s.historyFrom(r.Context(), id, from, int(limit))
}

func (s *service) historyFrom(ctx context.Context, id string, from uint64, limit int) (any, error) {
	head, err := s.bank.store.Head(ctx, accountKind+"/"+id)
	if err != nil {
		return nil, err
	}
	if head == (backend.Head{}) {
		return nil, errUnknownAccount
	}
	events, err := s.bank.history(ctx, id, from, limit)
	v := historyView{ID: id, Events: events}
	if n := len(events); n == limit && events[n-1].Version < uint64(head.Version) {
		v.Next = events[n-1].Version + 1
	}
	return v, err
}

// transferView is a transfer as clients see it.
type transferView struct {
	ID     string `json:"id"`
	From   string `json:"from"`
	To     string `json:"to"`
	Cents  int64  `json:"cents"`
	State  stage  `json:"state"` // pending, done or refused
	Reason string `json:"reason,omitempty"`
}

func viewOf(id string, t Transfer) transferView {
	return transferView{id, t.From, t.To, t.Cents, t.Stage.public(), t.Reason}
}

func (s *service) postTransfer(w http.ResponseWriter, r *http.Request) (any, error) {
	var o order
	if err := decode(w, r, &o); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	t, err := s.begin(r.Context(), o)
	if err == nil && !t.Stage.finished() {
		return accepted{viewOf(o.ID, t)}, nil
	}
	return viewOf(o.ID, t), err
}

// begin opens the transfer and gives it to the courier. If it is not known whether it
// was opened, the courier finds out.
func (s *service) begin(ctx context.Context, o order) (none Transfer, err error) {
	if s.bank.courier.load() >= maxPending {
		return none, bad(http.StatusServiceUnavailable, "busy", "too many transfers are pending: "+nothingDone)
	}
	from, err := actorsys.Ask(ctx, s.bank.accounts.Ref(o.From), look{})
	if err != nil {
		return none, err
	}
	to, err := actorsys.Ask(ctx, s.bank.accounts.Ref(o.To), look{})
	if err != nil {
		return none, err
	}
	opened := TransferOpened{o.From, o.To, o.Cents, from.Version, to.Version}
	t, err := actorsys.Ask(ctx, s.bank.transfers.Ref(o.ID), begin{opened})
	if err == nil && !t.Stage.finished() || errors.Is(err, backend.ErrUnknownOutcome) {
		s.bank.courier.take(o.ID)
	}
	return t, err
}

func (s *service) getTransfer(_ http.ResponseWriter, r *http.Request) (any, error) {
	id := r.PathValue("id")
	if err := checkID("the transfer's id", id); err != nil {
		return nil, err
	}
	t, err := actorsys.Ask(r.Context(), s.bank.transfers.Ref(id), follow{})
	return viewOf(id, t), err
}

// getMetrics answers the counters of the store since the start, and what the actor
// system and the courier hold at the moment.
func (s *service) getMetrics(http.ResponseWriter, *http.Request) (any, error) {
	m := map[string]uint64{
		"alive_actors":      uint64(s.bank.sys.AliveActors()),
		"registry_size":     uint64(s.bank.sys.RegistrySize()),
		"transfers_pending": uint64(s.bank.courier.load()),
	}
	for c, n := range s.bank.store.Metrics().Snapshot().All() {
		m[c.Name] = n
	}
	return m, nil
}

func (s *service) getHealth(http.ResponseWriter, *http.Request) (any, error) {
	return map[string]string{"status": "ok"}, s.bank.store.Poisoned()
}
