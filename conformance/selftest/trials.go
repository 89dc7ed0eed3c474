package selftest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
	"github.com/papyra-go/papyra/conformance"
)

// budget is how long a rule may take on a mutant: some of them hang.
const budget = 10 * time.Second

// Mutant is the reference with one defect.
type Mutant struct {
	Target conformance.ID // the one rule that it must fail
	Name   string
	variant
}

// Harness makes stores of the broken backend.
func (m Mutant) Harness() conformance.Harness { return m.harness() }

// Mutants returns the broken backends, in the order of the rules' groups.
func Mutants() []Mutant {
	var out []Mutant
	for _, m := range mutants() {
		out = append(out, Mutant{m.target, m.name, m.variant})
	}
	return out
}

// Reference makes stores of the reference: the memory backend, over places that outlive
// it. It keeps every rule.
func Reference() conformance.Harness { return new(variant).harness() }

// trials returns all that is tried.
func (s *settings) trials() []trial {
	mutants := func(r *Report) *Count { return &r.Mutants }
	oddities := func(r *Report) *Count { return &r.Oddities }
	claims := func(r *Report) *Count { return &r.Claims }
	lies := func(r *Report) *Count { return &r.Lies }
	out := []trial{{"the reference", oddities, func(ctx context.Context) ([]string, error) { return sound(ctx, Reference()) }}}
	for _, o := range Oddities() {
		out = append(out, trial{"odd: " + o.Name, oddities, func(ctx context.Context) ([]string, error) { return sound(ctx, o.Harness()) }})
	}
	for _, c := range claimSets() {
		out = append(out, trial{"claims: " + c.name, claims, func(ctx context.Context) ([]string, error) { return sound(ctx, c.harness()) }})
	}
	for _, l := range liars() {
		out = append(out, trial{"lie: " + l.name, lies, l.caught})
	}
	for _, m := range Mutants() {
		out = append(out, trial{string(m.Target) + " " + m.Name, mutants, func(ctx context.Context) ([]string, error) { return m.exact(ctx, s.quick) }})
	}
	return out
}

// sound returns what the suite holds against a backend that is all right.
func sound(ctx context.Context, h conformance.Harness) (wrong []string, err error) {
	rep, err := conformance.Check(ctx, h, conformance.Strict())
	if err != nil || rep.Verdict == conformance.Conformant {
		return nil, err
	}
	for i := range rep.Results {
		if r := &rep.Results[i]; r.Verdict != conformance.Pass && r.Verdict != conformance.Unsupported {
			wrong = append(wrong, describe(r))
		}
	}
	return append(wrong, "it is allowed, and the suite says: "+rep.Summary()), nil
}

func describe(r *conformance.Result) string {
	lines := []string{fmt.Sprintf("%s: %s: seen %s; wanted %s", r.ID, r.Verdict, r.Seen, r.Wanted)}
	return strings.Join(append(append(lines, r.Done...), r.Dump), "\n")
}

// exact returns how the mutant does other than fail exactly its rule. What requires that
// rule may be blocked.
func (m *Mutant) exact(ctx context.Context, quick bool) (wrong []string, err error) {
	opts := []conformance.Option{conformance.Budget(budget), conformance.Strict()}
	if quick {
		opts = append(opts, conformance.Only(m.Target.Group()+"-*"))
	}
	rep, err := conformance.Check(ctx, m.Harness(), opts...)
	if err != nil {
		return nil, err
	}
	blocks := conformance.Blocks(m.Target)
	for i := range rep.Results {
		r := &rep.Results[i]
		switch {
		case r.ID == m.Target && r.Verdict != conformance.Fail:
			wrong = append(wrong, "the mutant survives: "+describe(r))
		case r.ID == m.Target, r.Verdict == conformance.Pass:
		case r.Verdict == conformance.Blocked && slices.Contains(blocks, r.ID):
		case r.Verdict == conformance.Unsupported && m.Target.Group() == "CLAIM": // it claims something else
		case r.Verdict == conformance.Unsupported && r.ID == "CLAIM-01": // the reference claims all there is to claim
		default:
			wrong = append(wrong, "the mutant breaks more than its rule: "+describe(r))
		}
	}
	should := slices.ContainsFunc(conformance.Rules(), func(r conformance.Rule) bool { return r.ID == m.Target && r.Level == conformance.Should })
	if !should && rep.Verdict != conformance.NotConformant {
		wrong = append(wrong, "the report says "+string(rep.Verdict))
	}
	return wrong, nil
}

// claimSet is the reference with other claims, which it keeps.
type claimSet struct {
	name string
	variant
}

// claimSets are the reference with each claim switched off alone, all off, and all on.
func claimSets() []claimSet {
	all := claiming{repair: true, quarantine: true, compact: true}
	with := func(name string, d claiming) claimSet {
		return claimSet{name, variant{driver: func(_ *world, inner backend.Driver) backend.Driver { d.Driver = inner; return d }}}
	}
	off := func(name string, change func(*claiming)) claimSet {
		d := all
		change(&d)
		return with(name, d)
	}
	return []claimSet{
		with("all", all),
		off("no repair", func(d *claiming) { d.repair = false }),
		off("no quarantine", func(d *claiming) { d.quarantine = false }),
		off("no compaction", func(d *claiming) { d.compact = false }),
		with("none", claiming{}),
	}
}

// liar is a backend that says of itself what is not so.
type liar struct {
	name string
	h    conformance.Harness
	opts []conformance.Option
	says string // what must stand in the report's summary
}

// liars returns them. Those that claim an operation and do not do it are mutants of
// CLAIM-02, those that claim one writer mutants of LOCK.
func liars() []liar {
	claim := func(change func(*backend.Capabilities)) *variant {
		return &variant{driver: func(_ *world, d backend.Driver) backend.Driver { return capable{d, change} }}
	}
	durable := claim(func(c *backend.Capabilities) { c.Durable = true })
	forgetful := claim(func(c *backend.Capabilities) { c.Durable = true })
	forgetful.subject = forgets
	asks := func(profile string) []conformance.Option {
		return []conformance.Option{conformance.WithProfile(profile)}
	}
	return []liar{
		{"durable, and gone when it is closed", ending{durable.harness()}, nil, "its harness says that its stores end with it"},
		{"ends with itself, and there again", ending{claim(func(c *backend.Capabilities) { c.Durable = false }).harness()}, nil, "NOT CONFORMANT"},
		{"durable, and empty when it is opened again", forgetful.harness(), nil, "NOT CONFORMANT"},
		{"reopens, and is asked to be durable", claim(func(c *backend.Capabilities) { c.Durable = false }).harness(), asks("durable"), "does not claim: durable"},
		{"ends with itself, and is asked to be durable", ending{durable.harness()}, asks("durable"), "OPEN-02 is unsupported"},
		{"one writes, and is asked to be shared", durable.harness(), asks("shared"), "does not claim: shared"},
		{"several write, and it is asked for one writer", claim(func(c *backend.Capabilities) { c.Durable, c.Shared = true, true }).harness(), asks("durable"), "LOCK-01 is unsupported"},
		{"no compaction, and is asked for all", claim(func(c *backend.Capabilities) { c.Durable, c.Compact = true, false }).harness(), asks("full"), "COMPACT-01 is unsupported"},
	}
}

// caught returns how the suite falls for the liar.
func (l *liar) caught(ctx context.Context) (wrong []string, err error) {
	rep, err := conformance.Check(ctx, l.h, append([]conformance.Option{conformance.Pin("all")}, l.opts...)...)
	if err != nil {
		return nil, err
	}
	if text := rep.Summary(); rep.Verdict != conformance.NotConformant || !strings.Contains(text, l.says) {
		wrong = append(wrong, fmt.Sprintf("want NOT CONFORMANT and %q: %s", l.says, text))
	}
	return wrong, nil
}

// capable is a driver with other claims.
type capable struct {
	backend.Driver
	change func(*backend.Capabilities)
}

func (d capable) Info() backend.Info {
	info := d.Driver.Info()
	d.change(&info.Capabilities)
	return info
}

// ending is a harness that says that its stores end with the backend.
type ending struct{ conformance.Harness }

func (h ending) Info() conformance.Info {
	info := h.Harness.Info()
	info.Volatile = true
	return info
}

// forgets empties the store when it is opened again.
func forgets(w *world, h *hooked) {
	if w.opens > 1 {
		w.store = memory.New()
		h.Subject.Close()
		b, _ := backend.New(context.Background(), w.openDriver, &w.opts)
		h.Subject = b
	}
}
