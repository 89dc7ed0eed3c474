package conformance

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/papyra-go/papyra/backend"
)

func leakGroup() Group {
	return Group{"LEAK", "What is left of a backend that is closed, and of a loop that is broken off.", []Rule{
		{ID: "LEAK-01", Name: "Close leaves no goroutine", Requires: needs(intact, []ID{"OPEN-04", "OPEN-06", "OPEN-08", "READ-10"}), Since: "0.4",
			Sentence: "After Close no goroutine of the backend is left, whatever was done in between, also after openings that were refused.",
			Check:    leak01},
		{ID: "LEAK-02", Name: "Close leaves no file descriptor", Requires: []ID{"LEAK-01"}, Since: "0.4",
			Sentence: "After Close the process has as many file descriptors as before opening, also after openings that were refused.",
			Check:    leak02},
		{ID: "LEAK-05", Name: "loops that are broken off leave nothing", Requires: []ID{"LEAK-01"}, Since: "0.4",
			Sentence: "Hundreds of loops that were broken off leave no goroutine and no file descriptor behind while the backend is open.",
			Check:    leak05},
	}}
}

// settles waits until count is at most base again: what ends in the background may take a
// moment.
func (c *Case) settles(what string, base int, count func() int) {
	stop := time.Now().Add(patience(c))
	for {
		now := count()
		if now <= base {
			return
		}
		if time.Now().After(stop) {
			c.end(Fail, fmt.Sprintf("at most %d %s, as before", base, what), fmt.Sprintf("%d %s", now, what), goroutines())
			runtime.Goexit()
		}
		runtime.Gosched()
	}
}

// quiet is how many goroutines run once those that were ending have ended.
func quiet() int {
	fewest := runtime.NumGoroutine()
	for same := 0; same < 500; same++ {
		runtime.Gosched()
		if now := runtime.NumGoroutine(); now < fewest {
			fewest, same = now, 0
		}
	}
	return fewest
}

// leakOpenings is how often LEAK-01 opens the store: one goroutine left by each is told from
// what else may come and go in the process.
const leakOpenings = 8

func leak01(c *Case) {
	s := c.open() // what a process starts once and keeps is started now
	c.put(s, unchecked("first", 1))
	c.close(s)
	cancelled, cancel := context.WithCancel(c.ctx)
	cancel()
	base := quiet()
	for range leakOpenings {
		s = c.open()
		c.put(s, unchecked("first", 1))
		c.noError("Reopen", s.Reopen(c.ctx))
		c.scan(s, false)
		for range s.Read(c.ctx, backend.Query{}) {
			break
		}
		c.close(s)
		for _, ctx := range []context.Context{cancelled, c.ctx} {
			if t, err := c.tryOpen(ctx, func(o *backend.Options) { o.WriteTimeout = -1 }); err == nil {
				c.close(t)
			}
		}
	}
	c.settles("goroutines", base+leakOpenings/2, runtime.NumGoroutine)
}

// descriptors is how many file descriptors the process has; it ends the check where
// that can't be told.
func (c *Case) descriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		c.unavailable("file descriptors can't be counted here: %v", err)
	}
	return len(list)
}

func leak02(c *Case) {
	s := c.open()
	c.put(s, unchecked("first", 1))
	c.close(s)
	base := c.descriptors()
	for range 3 {
		s = c.open()
		c.put(s, unchecked("first", 1))
		c.image(s)
		c.noError("Reopen", s.Reopen(c.ctx))
		c.close(s)
		if t, err := c.tryOpen(c.ctx, func(o *backend.Options) { o.WriteTimeout = -1 }); err == nil {
			c.close(t)
		}
	}
	c.settles("file descriptors", base, c.descriptors)
}

func leak05(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 300))
	c.put(s, unchecked("b", 300))
	loops := func(n int) {
		for range n {
			for range s.Read(c.ctx, backend.Query{}) {
				break
			}
			for range s.Read(c.ctx, backend.Query{Stream: "a", Reverse: true}) {
				break
			}
			for range s.Streams(c.ctx, backend.StreamQuery{}) {
				break
			}
		}
	}
	loops(10)
	files := func() int {
		list, _ := os.ReadDir("/proc/self/fd") // where there is none, none are counted
		return len(list)
	}
	base, open := quiet(), files()
	loops(300)
	c.settles("goroutines", base+2, runtime.NumGoroutine) // the backend's own may come and go
	c.settles("file descriptors", open+2, files)
}
