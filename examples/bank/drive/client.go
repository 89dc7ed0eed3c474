package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a client.
const (
	requestTimeout = 15 * time.Second
	maxAnswer      = 64 << 20
	retryPause     = 10 * time.Millisecond
)

// target is the bank as the clients see it: the process that serves now. It changes
// with each restart.
type target struct {
	http *http.Client

	mu       sync.Mutex
	current  *serving      // nil: none, for the moment
	replaced chan struct{} // closed when current changes
}

var errDown = errors.New("the bank is down")

// serving is one process that serves.
type serving struct {
	url     string
	started time.Time
	healthy time.Duration // after the start: GET /healthz was answered 200
	acked   atomic.Int64  // nanoseconds after the start: the first operation was acknowledged
}

func newTarget(clients int) *target {
	transport := &http.Transport{MaxIdleConns: clients + 8, MaxIdleConnsPerHost: clients + 8, MaxConnsPerHost: 2*clients + 8}
	return &target{http: &http.Client{Transport: transport, Timeout: requestTimeout}, replaced: make(chan struct{})}
}

// serve tells the clients about a new process.
func (t *target) serve(c *child) *serving {
	s := &serving{url: c.url, started: c.started}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = s
	close(t.replaced)
	t.replaced = make(chan struct{})
	return s
}

// down tells the clients to wait for the next process.
func (t *target) down() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = nil
}

func (t *target) now() (*serving, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current, t.replaced
}

// reply is an answer: its status, and either what was asked for or a problem.
type reply struct {
	status int
	body   []byte
}

func (r *reply) code() string {
	var p struct{ Code string }
	if json.Unmarshal(r.body, &p) != nil {
		return ""
	}
	return p.Code
}

// settled reports whether the answer says what became of the request: anything but
// "try again".
func (r *reply) settled() bool { return r.status < 500 }

// send sends a request once, to the process that serves now.
func (t *target) send(ctx context.Context, method, path string, body any) (*reply, error) {
	s, _ := t.now()
	if s == nil {
		return nil, errDown
	}
	var encoded []byte
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	res, err := t.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	r := &reply{status: res.StatusCode}
	if r.body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer)); err != nil {
		return nil, err
	}
	if method != http.MethodGet && r.status < 300 {
		s.acked.CompareAndSwap(0, int64(time.Since(s.started)))
	}
	return r, nil
}

// insist sends a request until its outcome is known, however often the bank is killed
// meanwhile. tries is how often it was sent.
func (t *target) insist(ctx context.Context, method, path string, body any) (r *reply, tries int, err error) {
	for tries = 1; ; tries++ {
		_, replaced := t.now()
		r, err = t.send(ctx, method, path, body)
		if err == nil && r.settled() {
			return r, tries, nil
		}
		select {
		case <-replaced:
		case <-time.After(retryPause):
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("status %d %s", r.status, r.code())
			}
			return nil, tries, fmt.Errorf("%s %s: no outcome after %d tries: %w", method, path, tries, err)
		}
	}
}

// get reads a value, insisting.
func (t *target) get(ctx context.Context, path string, v any) error {
	r, _, err := t.insist(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if r.status != http.StatusOK {
		return fmt.Errorf("GET %s: status %d %s", path, r.status, r.code())
	}
	return json.Unmarshal(r.body, v)
}
