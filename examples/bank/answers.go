package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// problem is the body of every answer that is not 2xx: a code for programs and a
// sentence for people. It is an error, so that whatever finds the problem can say it.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	status  int
	cause   error
}

func (p *problem) Error() string { return p.Code + ": " + p.Message }

// bad is a request that the bank does not accept as it is.
func bad(status int, code, message string) *problem {
	return &problem{Code: code, Message: message, status: status}
}

// meaning says what an error is to a client.
type meaning struct {
	err     error
	status  int
	code    string
	message string // empty: the error's own words
}

const (
	nothingDone = "nothing was changed; send it again"
	notKnown    = "it is not known whether this was carried out: send it again with the same id to find out"
)

// meanings are judged from the top: what is not known goes before what failed.
var meanings = []meaning{
	{errUnknownAccount, http.StatusNotFound, "unknown_account", ""},
	{errUnknownTransfer, http.StatusNotFound, "unknown_transfer", ""},
	{errInsufficient, http.StatusConflict, "insufficient_funds", ""},
	{errBalanceLimit, http.StatusConflict, "balance_limit", ""},
	{errReused, http.StatusConflict, "id_reused", ""},
	{backend.ErrUnknownOutcome, http.StatusServiceUnavailable, "unknown_outcome", notKnown},
	{actorsys.ErrStopped, http.StatusServiceUnavailable, "stopping", "the bank is shutting down: " + nothingDone + " later"},
	{backend.ErrClosed, http.StatusServiceUnavailable, "stopping", "the bank is shutting down: " + nothingDone + " later"},
	{backend.ErrNoSpace, http.StatusServiceUnavailable, "no_space", "the store is full: " + nothingDone + " when there is space"},
	{backend.ErrPoisoned, http.StatusServiceUnavailable, "store_failed", "the store does not take writes: " + nothingDone + " later"},
	{backend.ErrCorrupt, http.StatusServiceUnavailable, "store_damaged", "the store is damaged here: nothing was changed; scan it with papyra scan"},
	{backend.ErrFenced, http.StatusServiceUnavailable, "taken_over", "another process writes this account: " + nothingDone + " there"},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "timeout", "the bank is too slow: " + nothingDone + " later"},
	{context.Canceled, http.StatusServiceUnavailable, "canceled", "the request ended early: " + nothingDone},
	{actorsys.ErrNotPersisted, http.StatusServiceUnavailable, "not_stored", "the store did not take it: " + nothingDone + " later"},
}

// problemOf says what an error means to a client. One that nobody foresaw is an
// internal error, whose words stay in the log.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	for _, m := range meanings {
		if errors.Is(err, m.err) {
			if m.message == "" {
				m.message = m.err.Error()
			}
			return &problem{m.code, m.message, m.status, err}
		}
	}
	var oe *backend.OpError
	if errors.As(err, &oe) {
		return &problem{"store_failed", "the store could not be used: send it again later", http.StatusServiceUnavailable, err}
	}
	return &problem{"internal", "something is wrong in the bank; its log says what", http.StatusInternalServerError, err}
}

// answer writes v, or the problem that err is.
func (s *service) answer(w http.ResponseWriter, status int, v any, err error) {
	if err != nil {
		p := problemOf(err)
		if p.cause != nil && p.status >= 500 {
			s.bank.log.Error("a request failed", "code", p.Code, "error", p.cause)
		}
		if p.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		status, v = p.status, p
	}
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"code":"internal","message":"the answer can't be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // who has gone does not read it
}
