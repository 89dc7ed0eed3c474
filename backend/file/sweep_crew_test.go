package file

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

// sweepCrew runs cases on all processors, and ends at the first that fails.
type sweepCrew struct {
	t     *testing.T
	cases chan func() error
	wait  sync.WaitGroup
	begun time.Time

	mu      sync.Mutex
	n       int
	err     error
	running map[int]string
}

func newSweepCrew(t *testing.T) *sweepCrew {
	c := &sweepCrew{t: t, cases: make(chan func() error, 64), begun: time.Now(), running: map[int]string{}}
	for range runtime.GOMAXPROCS(0) {
		c.wait.Go(func() {
			for do := range c.cases {
				if c.failed() {
					continue
				}
				if err := do(); err != nil {
					c.mu.Lock()
					if c.err == nil {
						c.err = err
					}
					c.mu.Unlock()
				}
			}
		})
	}
	return c
}

func (c *sweepCrew) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// sweepHang is how long one case may take: it takes milliseconds.
const sweepHang = 60 * time.Second

// do runs a case. What it panics with fails the test, with the case's name.
func (c *sweepCrew) do(what string, f func() error) {
	c.n++
	c.cases <- func() (err error) {
		watch := time.AfterFunc(sweepHang, func() { panic("it hangs: " + what) })
		defer watch.Stop()
		defer func() {
			if p := recover(); p != nil {
				stack := make([]byte, 8<<10)
				err = fmt.Errorf("%s: panic: %v\n%s", what, p, stack[:runtime.Stack(stack, false)])
			}
		}()
		if err := f(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
}

// end waits for all cases and reports. What details says is asked afterwards.
func (c *sweepCrew) end(name string, details func() string) {
	c.t.Helper()
	close(c.cases)
	c.wait.Wait()
	if c.err != nil {
		c.t.Error(c.err)
	}
	sweepAttack(c.t, name, c.n, details(), time.Since(c.begun))
}

// sweepAttack prints the line that docs/durability.md takes its counts from.
func sweepAttack(t testing.TB, name string, n int, details string, took time.Duration) {
	t.Helper()
	t.Logf("attack: %s: %d states, %s, %.1f s, %.0f states/s", name, n, details, took.Seconds(), float64(n)/took.Seconds())
}

// sweepReach is how far a sweep goes: long, in every run, or short.
func sweepReach(longer, every, shorter int) int {
	switch {
	case long:
		return longer
	case slow || testing.Short():
		return shorter
	}
	return every
}
