package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Case is one rule being judged on its store. Its methods may end the check, with
// a verdict; they belong to the check's own goroutine, except where they say
// otherwise.
type Case struct {
	ctx      context.Context
	env      *Env
	store    Store
	volatile bool // a store ends with its backend
	rule     ID
	session  *session
	opened   []Subject
	cleanups []func() // run when the check has ended, the newest first

	mu      sync.Mutex
	steps   []string // what was done, newest last
	outcome outcome  // the zero outcome until the check has ended
}

// outcome is how a check ended.
type outcome struct {
	verdict Verdict
	seen    string
	wanted  string
	done    []string
	dump    string // goroutines, where the check hung or panicked
	missing []Seam // that the rule needs and the harness has not got
}

// stepsKept is how many of the newest steps a failure shows.
const stepsKept = 8

// note adds a step to what was done. Any goroutine may call it.
func (c *Case) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps = append(c.steps, fmt.Sprintf(format, args...))
	if len(c.steps) > stepsKept {
		c.steps = c.steps[1:]
	}
}

// end ends the check with a verdict. The first verdict stays.
func (c *Case) end(v Verdict, wanted, seen, dump string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcome.verdict == "" {
		c.outcome = outcome{verdict: v, wanted: wanted, seen: seen, dump: dump, done: append([]string(nil), c.steps...)}
	}
}

// failf ends the check: the rule does not hold.
func (c *Case) failf(wanted, seen string, args ...any) {
	c.end(Fail, wanted, fmt.Sprintf(seen, args...), "")
	runtime.Goexit()
}

// check fails the rule unless ok.
func (c *Case) check(ok bool, wanted, seen string, args ...any) {
	if !ok {
		c.failf(wanted, seen, args...)
	}
}

// noError fails the rule if err is not nil.
func (c *Case) noError(what string, err error) {
	if err != nil {
		c.failed("no error", what, err)
	}
}

// wantError fails the rule unless err wraps sentinel.
func (c *Case) wantError(what string, err, sentinel error) {
	if !errors.Is(err, sentinel) {
		c.failed("an error that wraps "+goName(sentinel), what, err)
	}
}

// failed ends the check: what came of something is not what is wanted.
func (c *Case) failed(wanted, what string, err error) {
	c.end(Fail, wanted, doing(what, err), stackOf(err))
	runtime.Goexit()
}

// doing is what was done and what came of it. An error of a Backend begins with its call,
// which is not said twice.
func doing(what string, err error) string {
	call, _, _ := strings.Cut(what, " ")
	return what + ": " + strings.TrimPrefix(errText(err), strings.ToLower(call)+": ")
}

func errText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// inconclusive ends the check: it can't be told whether the rule holds.
func (c *Case) inconclusive(format string, args ...any) {
	c.end(Inconclusive, "", fmt.Sprintf(format, args...), "")
	runtime.Goexit()
}

// unsupported ends the check: the rule does not concern what this backend claims.
func (c *Case) unsupported(why string) {
	c.end(Unsupported, "", why, "")
	runtime.Goexit()
}

// unavailable ends the check: the environment can't do what it needs.
func (c *Case) unavailable(why string, args ...any) {
	c.end(Unavailable, "", fmt.Sprintf(why, args...), "")
	runtime.Goexit()
}

// run runs the check to its end, in its own goroutine. A panic in it, which may
// come out of the subject, is the rule's failure.
func (c *Case) run(check func(*Case)) {
	defer c.closeAll()
	defer func() {
		if p := recover(); p != nil {
			c.end(Fail, "no panic", fmt.Sprintf("panic: %v", p), string(debug.Stack()))
		}
		c.end(Fail, "a check that comes to its end", errGoexit.Error(), "") // unless it was ended, by whatever verdict
	}()
	check(c)
	c.end(Pass, "", "", "")
}

// closeAll closes what the check opened. Close is idempotent: see OPEN-06. A panic in it is
// a failure, also where the check had passed.
func (c *Case) closeAll() {
	defer func() {
		if p := recover(); p != nil {
			c.mu.Lock()
			if c.outcome.verdict == Pass {
				c.outcome.verdict = ""
			}
			c.mu.Unlock()
			c.end(Fail, "no panic", fmt.Sprintf("panic in Close: %v", p), string(debug.Stack()))
		}
	}()
	for i := range c.cleanups {
		c.cleanups[len(c.cleanups)-1-i]()
	}
	for _, s := range c.opened {
		_ = s.Close()
	}
}

// together runs the functions at the same time and returns when all have. A panic
// in one is its error. The functions must not end the check.
func (c *Case) together(functions ...func() error) []error {
	errs := make([]error, len(functions))
	var wg sync.WaitGroup
	for i, f := range functions {
		wg.Go(func() { errs[i] = guarded(f) })
	}
	wg.Wait()
	return errs
}

// allTogether is together; the first error fails the rule.
func (c *Case) allTogether(what string, functions ...func() error) {
	for _, err := range c.together(functions...) {
		c.noError(what, err)
	}
}

// open opens the store, and closes it when the check ends.
func (c *Case) open(changes ...func(*backend.Options)) Subject {
	s, err := c.tryOpen(c.ctx, changes...)
	c.noError("open", err)
	return s
}

func (c *Case) tryOpen(ctx context.Context, changes ...func(*backend.Options)) (Subject, error) {
	return c.tryOpenAt(ctx, c.store, changes...)
}

// tryOpenAt opens another store than the rule's own.
func (c *Case) tryOpenAt(ctx context.Context, store Store, changes ...func(*backend.Options)) (Subject, error) {
	var opts backend.Options
	for _, change := range changes {
		change(&opts)
	}
	s, err := store.Open(ctx, opts)
	c.note("%s", doing("open"+optionsText(opts), err))
	if err != nil {
		return nil, err
	}
	c.opened = append(c.opened, s)
	return s, nil
}

// openAt opens another store than the rule's own, which must work.
func (c *Case) openAt(store Store, changes ...func(*backend.Options)) Subject {
	s, err := c.tryOpenAt(c.ctx, store, changes...)
	c.noError("open", err)
	return s
}

func optionsText(o backend.Options) string {
	if o.ReadOnly {
		return " read-only"
	}
	return ""
}

// close closes s, which must work.
func (c *Case) close(s Subject) {
	err := s.Close()
	c.note("%s", doing("close", err))
	c.noError("close", err)
}

// reopen closes s and opens the store again.
func (c *Case) reopen(s Subject, changes ...func(*backend.Options)) Subject {
	c.close(s)
	return c.open(changes...)
}

// patience is how long to wait for what should come at once.
func patience(c *Case) time.Duration { return time.Until(c.half()) / 5 }
