package conformance

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"slices"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// DefaultBudget is how long one rule may take, unless [Budget] says otherwise.
const DefaultBudget = 30 * time.Second

// graceAfterBudget is how long a check may take to end once its context has.
const graceAfterBudget = time.Second

// Option changes how the suite is run.
type Option func(*settings)

type settings struct {
	only   []string
	skip   []string
	seed   uint64
	budget time.Duration
	strict bool
	spared []Seam
	log    io.Writer

	counted     string // the newest version whose rules count: see [Pin]
	waivers     []Waiver
	profileName string
	profile     Profile // the one asked for; zero: what the claims amount to
	again       func(ID, uint64) string
	began       func(ID) // told each rule before it is judged
}

// Only judges the rules whose ID matches one of the globs, such as "OCC-*"
// ([path.Match]), and those that they require.
func Only(globs ...string) Option { return func(s *settings) { s.only = append(s.only, globs...) } }

// Skip leaves out the rules whose ID matches one of the globs. What requires them
// is blocked. A report with skipped rules is never conformant.
func Skip(globs ...string) Option { return func(s *settings) { s.skip = append(s.skip, globs...) } }

// Seed fixes what the rules draw at random. Default: another one each time, said
// in the report.
func Seed(seed uint64) Option { return func(s *settings) { s.seed = seed } }

// Budget is how long one rule may take: one that takes longer has failed, and the
// report shows where its goroutines stood. Default: [DefaultBudget].
func Budget(d time.Duration) Option { return func(s *settings) { s.budget = d } }

// Strict makes what could not be judged (unavailable, inconclusive) as bad as a
// failure, and provisional rules count (see [Pin]): for builds that have all that is
// needed.
func Strict() Option { return func(s *settings) { s.strict = true } }

// Without says that the harness has not got these seams, for good reason: with [Strict],
// rules that are unavailable for want of them alone are no failure. The report says that
// they are unavailable all the same.
func Without(seams ...Seam) Option {
	return func(s *settings) { s.spared = append(s.spared, seams...) }
}

// Log is where harnesses write lines for whoever runs the suite. Default: nowhere.
func Log(w io.Writer) Option { return func(s *settings) { s.log = w } }

// Again says how the reader of a report judges one rule again with the report's seed:
// a command line. Default: the call of [Check].
func Again(command func(rule ID, seed uint64) string) Option {
	return func(s *settings) { s.again = command }
}

// began is told each rule when its check begins.
func began(f func(ID)) Option { return func(s *settings) { s.began = f } }

func newSettings(opts []Option) (settings, error) {
	s := settings{seed: rand.Uint64(), budget: DefaultBudget, log: io.Discard}
	for _, o := range opts {
		o(&s)
	}
	rules := Rules()
	for _, glob := range slices.Concat(s.only, s.skip) {
		if _, err := path.Match(glob, ""); err != nil {
			return s, fmt.Errorf("conformance: glob %q: %w", glob, err)
		}
		if !slices.ContainsFunc(rules, func(r Rule) bool { return matches([]string{glob}, r.ID) }) {
			return s, fmt.Errorf("conformance: no rule matches %q%s", glob, near(glob))
		}
	}
	var err error
	if s.profile, err = findProfile(s.profileName); err != nil {
		return s, err
	}
	return s, s.checkStability(rules)
}

func matches(globs []string, id ID) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		ok, err := path.Match(glob, string(id))
		return ok && err == nil
	})
}

// selected reports whether the rule was asked for by itself.
func (s *settings) selected(id ID) bool {
	return (len(s.only) == 0 || matches(s.only, id)) && !matches(s.skip, id)
}

// session is one run of the suite: it judges rules when asked to, each once.
type session struct {
	settings
	harness Harness
	info    Info
	engine  string
	claims  *backend.Capabilities // nil: no backend was opened yet
	limits  LimitInfo
	store   Store  // the first that the harness made
	first   saying // of the first backend that was opened
	other   saying // the first that was not the same
	rules   []Rule
	judged  map[ID]*Result
	started time.Time
}

func newSession(h Harness, opts []Option) (*session, error) {
	s, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	info, err := watched(context.Background(), s.budget, func() (Info, error) { return h.Info(), nil })
	if err != nil {
		return nil, fmt.Errorf("the harness's Info: %w", err)
	}
	return &session{settings: s, harness: h, info: info, rules: Rules(), judged: map[ID]*Result{}, started: time.Now()}, nil
}

// Check judges every rule and reports. An error means that the suite could not be
// run as asked (a glob matches nothing, ctx has ended); what the backend does wrong
// stands in the report, with what was judged until then.
func Check(ctx context.Context, h Harness, opts ...Option) (*Report, error) {
	s, err := newSession(h, opts)
	if err != nil {
		return nil, err
	}
	for i := range s.rules {
		if err := ctx.Err(); err != nil {
			return s.report(), err
		}
		if s.selected(s.rules[i].ID) {
			s.judge(ctx, &s.rules[i])
		}
	}
	return s.report(), nil
}

// judge returns the verdict on a rule, and judges it and what it requires if that
// was not done yet.
func (s *session) judge(ctx context.Context, r *Rule) *Result {
	if done := s.judged[r.ID]; done != nil {
		return done
	}
	res := &Result{ID: r.ID, Name: r.Name, Level: r.Level, Since: r.Since, Provisional: newer(r.Since, s.counted)}
	s.judged[r.ID] = res
	defer func() {
		res.spared = s.sparing(res)
		s.waive(res)
	}()
	if s.info.Volatile && (r.Capability == Reopens || r.Capability == Exclusive) {
		res.Verdict, res.Seen = Unsupported, "a store ends with the backend that has it open"
		return res
	}
	var unclaimed *Result
	for _, id := range r.Requires {
		i := slices.IndexFunc(s.rules, func(r Rule) bool { return r.ID == id })
		if matches(s.skip, id) {
			res.BlockedBy = append(res.BlockedBy, id)
			continue
		}
		switch required := s.judge(ctx, &s.rules[i]); required.Verdict {
		case Pass:
		case Unsupported: // then this one is about what is not claimed, too
			unclaimed = required
		default: // what does not count keeps nothing that does from being judged
			if s.strict || !required.Provisional || res.Provisional {
				res.BlockedBy = append(res.BlockedBy, id)
			}
		}
	}
	switch {
	case s.claims != nil && !r.Capability.claimed(*s.claims):
		res.Verdict, res.Seen = Unsupported, "the engine does not claim "+string(r.Capability)
		return res
	case len(res.BlockedBy) > 0:
		res.Verdict = Blocked
		return res
	case unclaimed != nil:
		res.Verdict, res.Seen = Unsupported, unclaimed.Seen
		return res
	}
	if s.began != nil {
		s.began(r.ID)
	}
	start := time.Now()
	out := s.try(ctx, r)
	res.Took = time.Since(start)
	res.Verdict, res.Seen, res.Wanted, res.Done, res.Dump = out.verdict, out.seen, out.wanted, out.done, out.dump
	res.Missing = out.missing
	return res
}

// try runs the rule's check on a fresh store.
func (s *session) try(ctx context.Context, r *Rule) outcome {
	env, err := s.env(r.ID)
	if err != nil {
		return outcome{verdict: Unavailable, seen: err.Error()}
	}
	defer os.RemoveAll(env.Dir)
	store, err := watched(ctx, s.budget, func() (Store, error) { return s.harness.NewStore(ctx, env) })
	if err == nil && store == nil {
		err = errors.New("NewStore returned nil, and no error")
	}
	if err != nil {
		return outcome{verdict: Unavailable, seen: fmt.Sprintf("the harness makes no store: %v", err), dump: stackOf(err)}
	}
	if s.store == nil {
		s.store = store
	}
	if missing := lacking(store, r.Seams); len(missing) > 0 {
		return outcome{verdict: Unavailable, seen: fmt.Sprintf("the harness's store has not got the seams %v", missing), missing: missing}
	}
	ctx, cancel := context.WithTimeout(ctx, s.budget+graceAfterBudget/2) // after the watch, which shows where a check hangs
	defer cancel()
	c := &Case{ctx: ctx, env: env, store: store, volatile: s.info.Volatile, rule: r.ID, session: s}
	if !s.watch(c, r.Check) { // it still uses the store
		return c.outcome
	}
	destroy := func() (struct{}, error) { return struct{}{}, store.Destroy(context.WithoutCancel(ctx)) }
	if _, err := watched(context.WithoutCancel(ctx), s.budget, destroy); err != nil {
		fmt.Fprintf(s.log, "%s: destroying the store: %v\n", r.ID, err)
	}
	s.learn(c)
	return c.outcome
}

// lacking returns those of the seams that a store has not got.
func lacking(store Store, seams []Seam) (missing []Seam) {
	for _, seam := range seams {
		if !has(store, seam) {
			missing = append(missing, seam)
		}
	}
	return missing
}

// sparing reports whether a result that is unavailable was said to be.
func (s *settings) sparing(res *Result) bool {
	return len(res.Missing) > 0 && !slices.ContainsFunc(res.Missing, func(seam Seam) bool { return !slices.Contains(s.spared, seam) })
}

// watch runs the check, at most for its budget and the grace after it. It returns
// whether the check has ended.
func (s *session) watch(c *Case, check func(*Case)) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(check)
	}()
	timer := time.NewTimer(s.budget)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-c.ctx.Done():
		c.end(Unavailable, "", fmt.Sprintf("the run was ended: %v", context.Cause(c.ctx)), "")
	case <-timer.C:
	}
	c.end(Fail, fmt.Sprintf("an end within %v", s.budget), "the check has not come to an end; its goroutines are below", goroutines())
	timer.Reset(graceAfterBudget)
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func goroutines() string {
	buf := make([]byte, 64<<10)
	return string(buf[:runtime.Stack(buf, true)])
}

// env makes the rule's own directory and randomness.
func (s *session) env(id ID) (*Env, error) {
	dir, err := os.MkdirTemp("", "papyra-conformance-")
	if err != nil {
		return nil, err
	}
	h := fnv.New64a()
	io.WriteString(h, string(id))
	return &Env{Dir: dir, Rand: rand.New(rand.NewPCG(s.seed, h.Sum64())), Log: s.log}, nil
}
