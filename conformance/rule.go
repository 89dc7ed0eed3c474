package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// Version is the version of the suite. It changes when a rule is added or its
// meaning does.
const Version = "0.4"

// ID names a rule for ever: a group and a number, such as "OCC-02". Numbers are
// not reused, and need not be dense.
type ID string

// Group returns the ID's group, such as "OCC".
func (id ID) Group() string {
	group, _, _ := strings.Cut(string(id), "-")
	return group
}

// Docs is where the rules are explained: docs/conformance.md of this repository.
const Docs = "https://github.com/papyra-go/papyra/blob/main/docs/conformance.md"

// URL returns where the rule is explained.
func (id ID) URL() string { return Docs + "#" + strings.ToLower(string(id)) }

// Level says how much a rule weighs.
type Level string

// The levels. A backend that fails a Should rule is conformant; the report says
// that it fails.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
)

// Capability is what a backend must be able to do for a rule to concern it. The
// zero Capability is what all can.
type Capability string

// The capabilities that rules ask for.
const (
	// Reopens: what is stored outlives the backend that was closed over it. All
	// have it but those with [Info.Volatile].
	Reopens Capability = "reopens"
	// Exclusive: a store is open for writing once at a time. All that reopen have it
	// but those that claim Shared.
	Exclusive Capability = "one writer at a time"
	// Compacts: the backend's Capabilities claim Compact.
	Compacts Capability = "compaction"
	// Durable, Repairs and Quarantines: the backend's Capabilities claim it.
	Durable     Capability = "durability"
	Repairs     Capability = "repair"
	Quarantines Capability = "quarantine"
)

// claimed reports whether the capability is one that a backend claims, and does.
func (c Capability) claimed(can backend.Capabilities) bool {
	switch c {
	case Compacts:
		return can.Compact
	case Durable:
		return can.Durable
	case Repairs:
		return can.Repair
	case Quarantines:
		return can.Quarantine
	}
	return true
}

// Rule is one thing that a backend has to keep.
type Rule struct {
	ID ID
	// Name is the rule in a few words, for tables and subtests.
	Name string
	// Sentence is the rule, whole.
	Sentence string
	Level    Level
	// Capability is what the backend must be able to do, or the rule is unsupported.
	Capability Capability
	// Seams are what the harness's Store must implement, or the rule is unavailable.
	Seams []Seam
	// Requires are the rules that must hold before this one can be judged. If one
	// does not pass, this one is blocked; if one is unsupported, so is this one.
	Requires []ID
	// Since is the version of the suite that brought the rule.
	Since string
	// Provisional rules are judged and reported, and count only with [Strict]: each new
	// rule is one until the next version, so that no backend is broken by an update.
	Provisional bool
	// Check judges the rule on a fresh store. It returns if the rule holds; the
	// Case's methods end it otherwise.
	Check func(*Case)
}

// Group is rules about one subject.
type Group struct {
	Name  string // as in the IDs
	About string // one sentence
	Rules []Rule // in the order in which they are judged
}

// Groups returns the table of all rules. The caller owns the slices.
func Groups() []Group {
	groups := []Group{openGroup(), appendGroup(), occGroup(), idemGroup(), readGroup(), metricGroup(), lockGroup(), claimGroup(), compactGroup(), retentionGroup(), errorGroup(),
		batchGroup(), kindGroup(), snapGroup(), dataGroup(), ctxGroup(), concGroup(), leakGroup(),
		scanGroup(), recoverGroup(), faultGroup(), crashGroup(), formatGroup(), wholeGroup()}
	for g := range groups {
		for i := range groups[g].Rules {
			r := &groups[g].Rules[i]
			r.Level, r.Since = orElse(r.Level, Must), orElse(r.Since, "0.1")
			r.Provisional = r.Since == Version
		}
	}
	return groups
}

// Rules returns all rules, in order.
func Rules() []Rule {
	var rules []Rule
	for _, g := range Groups() {
		rules = append(rules, g.Rules...)
	}
	return rules
}

// Blocks returns the rules that can't be judged while id does not pass, directly
// or through others, in order.
func Blocks(id ID) []ID {
	rules := Rules()
	blocked := []ID{id}
	for range rules { // rules may require later ones: repeat until nothing is added
		before := len(blocked)
		for _, r := range rules {
			rests := slices.ContainsFunc(r.Requires, func(q ID) bool { return slices.Contains(blocked, q) })
			if rests && !slices.Contains(blocked, r.ID) {
				blocked = append(blocked, r.ID)
			}
		}
		if len(blocked) == before {
			break
		}
	}
	blocked = blocked[1:]
	order := func(id ID) int { return slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id }) }
	slices.SortFunc(blocked, func(a, b ID) int { return order(a) - order(b) })
	return blocked
}

// digest identifies the table: the rules' words, levels and prerequisites.
func digest(rules []Rule) string {
	h := sha256.New()
	for _, r := range rules {
		fmt.Fprintf(h, "%s\x00%s\x00%s\x00%s\x00%v\x00%v\n", r.ID, r.Sentence, r.Level, r.Capability, r.Seams, r.Requires)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// needs joins prerequisites.
func needs(lists ...[]ID) []ID { return slices.Concat(lists...) }

func orElse[T ~string](v, otherwise T) T {
	if v == "" {
		return otherwise
	}
	return v
}
