package actorsys

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Defaults of [Supervision].
const (
	DefaultMaxRestarts = 5
	DefaultWithin      = time.Minute
	DefaultBackoff     = 100 * time.Millisecond
	DefaultMaxBackoff  = 30 * time.Second
)

// jitter is by how much of itself a pause differs at most, so that actors that failed
// together don't come back together.
const jitter = 0.2

// Supervision says what becomes of a plain actor that fails: whose code panicked, that
// could not start, or whose child escalated. An error that Decide returns is an
// answer, and no failure. A Supervision is a value: what is counted for one actor is
// nobody else's, and changing a copy changes nothing that runs. The zero value
// restarts, with the defaults.
//
// To restart, the actor's children are stopped, [Plain.Stop] is called with the state
// as it is, and after a pause the start function makes a new one. The mailbox, the
// address and the watchers stay; the message in whose turn it failed does not.
type Supervision struct {
	// Decide says what to do about a failure. Default: Restart.
	Decide func(reason error) Directive
	// All has the actor's siblings share what is decided: they are restarted or stopped
	// too.
	All bool
	// MaxRestarts is how often the actor may be restarted within the time Within.
	// Default: [DefaultMaxRestarts]. Negative: without bound.
	MaxRestarts int
	// Within is the length of the window that slides over the restarts. Default:
	// [DefaultWithin].
	Within time.Duration
	// Backoff is the pause before the first restart in the window; each further one
	// doubles it, up to MaxBackoff, and each differs by a fifth at random. Default:
	// [DefaultBackoff]. Negative: none.
	Backoff time.Duration
	// MaxBackoff is the longest pause. Default: [DefaultMaxBackoff].
	MaxBackoff time.Duration
	// Exhausted says what happens instead of one restart too many: Stop or Escalate.
	// Default: Escalate.
	Exhausted Directive
}

// Directive is what a supervision decides.
type Directive uint8

const (
	// Restart makes the actor's state anew.
	Restart Directive = iota
	// Stop stops the actor; what waits in its mailbox is turned away.
	Stop
	// Escalate stops the actor and makes its failure the parent's. The system is
	// nobody's child: what is escalated to it ends with the actor that did.
	Escalate
)

var directives = [...]string{Restart: "restart", Stop: "stop", Escalate: "escalate"}

// String returns the directive in a word.
func (d Directive) String() string {
	if int(d) < len(directives) {
		return directives[d]
	}
	return fmt.Sprintf("Directive(%d)", uint8(d))
}

func (s Supervision) check() error {
	switch {
	case s.Within < 0:
		return fmt.Errorf("%w: Supervision.Within is %v: want 0 (%v) or more", backend.ErrInvalid, s.Within, DefaultWithin)
	case s.MaxBackoff < 0:
		return fmt.Errorf("%w: Supervision.MaxBackoff is %v: want 0 (%v) or more", backend.ErrInvalid, s.MaxBackoff, DefaultMaxBackoff)
	case s.Exhausted > Escalate:
		return fmt.Errorf("%w: Supervision.Exhausted is %v: want Stop or Escalate", backend.ErrInvalid, s.Exhausted)
	}
	return nil
}

func (s Supervision) withDefaults() Supervision {
	if s.MaxRestarts == 0 {
		s.MaxRestarts = DefaultMaxRestarts
	}
	if s.Within == 0 {
		s.Within = DefaultWithin
	}
	if s.Backoff == 0 {
		s.Backoff = DefaultBackoff
	}
	if s.MaxBackoff == 0 {
		s.MaxBackoff = DefaultMaxBackoff
	}
	if s.Exhausted == Restart {
		s.Exhausted = Escalate
	}
	return s
}

// decide asks the user. What panics, or answers what is none, escalates.
func (s *Supervision) decide(reason error) Directive {
	d := Restart
	err := guard(func() error {
		if s.Decide != nil {
			d = s.Decide(reason)
		}
		return nil
	})
	if err != nil || d > Escalate {
		return Escalate
	}
	return d
}

// spend takes one restart out of the budget of the window that ends now. It returns
// the restarts in the window, and whether there was one left.
func (s *Supervision) spend(restarts []time.Time, now time.Time) ([]time.Time, bool) {
	for len(restarts) > 0 && now.Sub(restarts[0]) >= s.Within {
		restarts = restarts[1:]
	}
	if s.MaxRestarts < 0 { // only the pause depends on how many they are
		restarts = restarts[max(0, len(restarts)-maxDoublings):]
	} else if len(restarts) >= s.MaxRestarts {
		return restarts, false
	}
	return append(restarts, now), true
}

// maxDoublings is more than take the shortest pause to the longest.
const maxDoublings = 62

// pause is the time to wait before the n-th restart in the window.
func (s *Supervision) pause(n int) time.Duration {
	if s.Backoff < 0 {
		return 0
	}
	d := s.Backoff
	for range n - 1 {
		if d >= s.MaxBackoff/2 {
			d = s.MaxBackoff
			break
		}
		d *= 2
	}
	d = min(d, s.MaxBackoff)
	return d + time.Duration((2*rand.Float64()-1)*jitter*float64(d))
}

// verdict is what becomes of a failed actor.
type verdict struct {
	directive Directive
	pause     time.Duration // before a restart
	bidden    bool          // a sibling's failure decided it
}

// judge asks the supervision what becomes of the failed actor, and sees to it.
func (a *actor[S]) judge() {
	p := a.plain
	a.mu.Lock()
	reason := p.failure
	v := verdict{Restart, p.pause, p.bidden}
	a.mu.Unlock()
	defer func() { a.judged(reason, v) }() // also if user code ends the goroutine
	if v.bidden {
		return
	}
	v.directive = Escalate
	v.directive = p.opts.Supervision.decide(reason)
	if v.directive == Restart {
		ok := false
		if p.restarts, ok = p.opts.Supervision.spend(p.restarts, time.Now()); ok {
			v.pause = p.opts.Supervision.pause(len(p.restarts))
		} else {
			v.directive = p.opts.Supervision.Exhausted
		}
	}
}

func (a *actor[S]) judged(reason error, v verdict) {
	p := a.plain
	a.mu.Lock()
	p.failure, p.bidden = nil, false
	if p.end == stays || v.directive != Restart {
		p.reason = reason
	}
	switch {
	case v.directive != Restart, p.end != stays:
		p.end = discards
	default:
		p.again, p.pause = true, v.pause
	}
	a.mu.Unlock()
	if v.bidden {
		return
	}
	done := a.sys.onSupervise(a.address, reason, v.directive)
	defer done(reason)
	a.sys.actorFailed(a.address, reason)
	if p.opts.Supervision.All && v.directive != Escalate {
		a.affect(reason, v)
	}
	if v.directive == Escalate {
		p.parent.childFailed(fmt.Errorf("child %q: %w", a.address, reason))
	}
}

// affect has the siblings share the verdict.
func (a *actor[S]) affect(reason error, v verdict) {
	reason = fmt.Errorf("sibling %q: %w", a.address, reason)
	for _, c := range a.plain.parent.children().all() {
		switch {
		case c == cell(a):
		case v.directive == Restart:
			c.startAgain(reason, v.pause)
		default:
			c.quit(discards, reason)
		}
	}
}
