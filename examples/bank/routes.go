package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Bounds of the service.
const (
	maxRequests    = 1024             // at a time
	requestTimeout = 10 * time.Second // of what the actors are asked
)

// service is the bank's HTTP side.
type service struct {
	bank *bank
	busy chan struct{} // one token for each request that is being answered
}

// handle answers one request with a value, whose status is 200 unless it says another.
type handle func(w http.ResponseWriter, r *http.Request) (any, error)

// accepted is an answer whose status is 202: there is more to come.
type accepted struct{ body any }

// newHandler returns the bank's HTTP handler.
func newHandler(b *bank) http.Handler {
	s := &service{bank: b, busy: make(chan struct{}, maxRequests)}
	mux := http.NewServeMux()
	for path, methods := range map[string]map[string]handle{
		"/accounts/{id}":             {"PUT": s.openAccount, "GET": s.getAccount},
		"/accounts/{id}/deposits":    {"POST": s.deposit},
		"/accounts/{id}/withdrawals": {"POST": s.withdraw},
		"/accounts/{id}/history":     {"GET": s.getHistory},
		"/transfers":                 {"POST": s.postTransfer},
		"/transfers/{id}":            {"GET": s.getTransfer},
		"/metrics.json":              {"GET": s.getMetrics},
		"/healthz":                   {"GET": s.getHealth},
	} {
		mux.HandleFunc(path, s.dispatch(methods))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, 0, nil, bad(http.StatusNotFound, "not_found", "there is nothing here: examples/bank/README.md lists the requests"))
	})
	return mux
}

// dispatch chooses by method, and bounds time and number of what runs.
func (s *service) dispatch(methods map[string]handle) http.HandlerFunc {
	var allow []string
	for m := range methods {
		allow = append(allow, m)
	}
	slices.Sort(allow)
	return func(w http.ResponseWriter, r *http.Request) {
		f := methods[r.Method]
		if f == nil {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			s.answer(w, 0, nil, bad(http.StatusMethodNotAllowed, "method_not_allowed", "here goes "+strings.Join(allow, " or ")))
			return
		}
		select {
		case s.busy <- struct{}{}:
			defer func() { <-s.busy }()
		default:
			s.answer(w, 0, nil, bad(http.StatusServiceUnavailable, "busy", "too many requests at a time: "+nothingDone))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		s.run(w, r.WithContext(ctx), f)
	}
}

func (s *service) run(w http.ResponseWriter, r *http.Request, f handle) {
	v, err := f(w, r)
	status := http.StatusOK
	if more, is := v.(accepted); is {
		status, v = http.StatusAccepted, more.body
	}
	s.answer(w, status, v, err)
}
