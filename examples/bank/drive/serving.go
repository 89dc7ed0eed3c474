package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

const (
	// readmeAddr is where the README's curl lines go, and the bank serves by itself.
	readmeAddr = "127.0.0.1:8080"
	anyAddr    = "127.0.0.1:0"
)

// addr is where the bank shall listen: with -serve where the README's curl lines go, if
// that is free.
func (c *config) addr() string {
	if c.serve {
		return freeOr(readmeAddr, anyAddr)
	}
	return anyAddr
}

// freeOr is addr if nobody listens there, else the other.
func freeOr(addr, other string) string {
	l, err := net.Listen("tcp", addr)
	if err != nil || l.Close() != nil {
		return other
	}
	return addr
}

// leaveServing says where the bank is, and waits for SIGINT or SIGTERM.
func (r *run) leaveServing(ctx context.Context) error {
	url, account := r.child.url, r.accounts[0]
	note := ""
	if url != "http://"+readmeAddr {
		note = fmt.Sprintf("%s is taken: in the README's lines, write %s\n", readmeAddr, strings.TrimPrefix(url, "http://"))
	}
	fmt.Fprintf(r.out, `the bank serves %s, on %s, with %d accounts, such as
  curl %s/accounts/%s
  curl %s/accounts/%s/history
  curl -X PUT %s/accounts/ada
  curl -d '{"id":"d-1","cents":2500}' %s/accounts/ada/deposits
  curl %s/metrics.json
%sstop it with Ctrl-C (or SIGTERM to process %d); the check of its store follows then
`, url, r.store, len(r.accounts), url, account, url, account, url, url, url, note, os.Getpid())
	select {
	case <-ctx.Done():
		return nil
	case <-r.child.ended:
		if ctx.Err() != nil || r.child.result == nil { // Ctrl-C reaches the bank too
			return nil
		}
		return fmt.Errorf("the bank ended by itself: %v: %s", r.child.result, r.lastLog())
	}
}

// progress keeps one line on standard error up to date, if that is a terminal, until
// the function that it returns is called.
func (r *run) progress() (stop func()) {
	if info, err := os.Stderr.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func() {}
	}
	ended, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for began := time.Now(); ; {
			select {
			case <-tick.C:
				fmt.Fprintf(os.Stderr, "\r%5.1f s   %d acknowledged   killed %d of %d ", time.Since(began).Seconds(), r.acked.Load(), r.killed.Load(), r.kills)
			case <-ended:
				fmt.Fprint(os.Stderr, "\r\x1b[K")
				return
			}
		}
	}()
	return func() { close(ended); <-gone }
}
