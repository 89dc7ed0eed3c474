package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// Profile is what a kind of backend must do to be called conformant. Whatever a
// backend claims besides is judged too; a profile says what it may not leave out.
type Profile struct {
	Name  string
	About string // one sentence
	// Needs are the capabilities whose rules must be judged: none of them may be
	// unsupported. Rules that ask for no capability must always be.
	Needs []Capability
	// Claims are what the backend must claim, by the names of [ClaimInfo.Names].
	Claims []string
}

// Profiles returns the profiles there are.
func Profiles() []Profile {
	return []Profile{
		{"volatile", "What every backend does, also one whose stores end with it.", nil, nil},
		{"durable", "What is acknowledged outlives the backend, and one writes at a time.", []Capability{Reopens, Exclusive, Durable}, []string{"durable"}},
		{"shared", "What is acknowledged outlives the backend, and several may write at a time.", []Capability{Reopens, Durable}, []string{"durable", "shared"}},
		{"full", "Durable, with compaction, repair and quarantine.", []Capability{Reopens, Exclusive, Durable, Compacts, Repairs, Quarantines}, []string{"durable", "repair", "quarantine", "compact"}},
	}
}

// Attainment is how a backend stands to its profile.
type Attainment struct {
	Name string `json:"name"`
	// Asked is false if the profile was not named with [WithProfile] and follows from
	// the claims.
	Asked bool `json:"asked"`
	// Asks is how many rules the profile asks for, and Exercised how many of them
	// have a verdict: pass, fail, or verified not to concern this backend.
	Asks      int `json:"asks"`
	Exercised int `json:"exercised"`
	// Lacks is what the profile asks for and the backend does not do. It is never
	// conformant then.
	Lacks []string `json:"lacks,omitempty"`
}

// WithProfile is the profile that the backend must keep, by name. Default: the one
// that follows from its claims: shared, durable or volatile.
func WithProfile(name string) Option { return func(s *settings) { s.profileName = name } }

// findProfile returns the profile of the name; the zero Profile if it is empty.
func findProfile(name string) (Profile, error) {
	if name == "" {
		return Profile{}, nil
	}
	var names []string
	for _, p := range Profiles() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("conformance: no profile %q: want %s", name, strings.Join(names, ", "))
}

// implied is the name of the profile that the claims amount to.
func (rep *Report) implied() string {
	switch {
	case !rep.Claims.Durable || rep.Backend.Volatile:
		return "volatile"
	case rep.Claims.Shared:
		return "shared"
	}
	return "durable"
}

// attain compares the results with the profile p, or with the implied one.
func (rep *Report) attain(p Profile, rules []Rule) Attainment {
	a := Attainment{Asked: p.Name != ""}
	if !a.Asked {
		p, _ = findProfile(rep.implied())
	}
	a.Name = p.Name
	if rep.Engine != "" { // else nothing is known of its claims
		a.Lacks = rep.unclaimed(p)
	}
	capabilities := capabilitiesOf(rules)
	for i := range rules {
		r := &rules[i]
		needs := capabilities[r.ID]
		if newer(r.Since, rep.Suite.Counted) && !rep.Strict || !within(needs, p.Needs) {
			continue
		}
		a.Asks++
		switch res := rep.result(r.ID); {
		case res == nil:
		case res.Verdict == Pass, res.Verdict == Fail, res.Verdict == Waived:
			a.Exercised++
		case res.Verdict == Unsupported && !slices.ContainsFunc(needs, rep.lacks): // such as: it claims all there is to claim
			a.Exercised++
		case res.Verdict == Unsupported:
			a.Lacks = append(a.Lacks, fmt.Sprintf("%s is unsupported (%s)", r.ID, res.Seen))
		}
	}
	return a
}

// lacks reports whether the backend says that it can't.
func (rep *Report) lacks(c Capability) bool {
	can := rep.Claims
	switch c {
	case Reopens:
		return rep.Backend.Volatile
	case Exclusive:
		return rep.Backend.Volatile || can.Shared
	}
	return !c.claimed(backend.Capabilities{Durable: can.Durable, Compact: can.Compact, Repair: can.Repair, Quarantine: can.Quarantine})
}

// unclaimed returns the claims that p asks for and the backend does not make, and the
// one that contradicts itself.
func (rep *Report) unclaimed(p Profile) (lacks []string) {
	claims := rep.Claims.Names()
	for _, name := range p.Claims {
		if !slices.Contains(claims, name) {
			lacks = append(lacks, "it does not claim: "+name)
		}
	}
	if rep.Claims.Durable && rep.Backend.Volatile {
		lacks = append(lacks, "it claims durable, and its harness says that its stores end with it")
	}
	return lacks
}

func (rep *Report) result(id ID) *Result {
	i := slices.IndexFunc(rep.Results, func(r Result) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return &rep.Results[i]
}

// capabilitiesOf returns what each rule asks for, itself or through what it requires.
func capabilitiesOf(rules []Rule) map[ID][]Capability {
	byID := map[ID]*Rule{}
	for i := range rules {
		byID[rules[i].ID] = &rules[i]
	}
	out := map[ID][]Capability{}
	var visit func(r *Rule) []Capability
	visit = func(r *Rule) []Capability {
		if known, ok := out[r.ID]; ok {
			return known
		}
		var all []Capability
		if r.Capability != "" {
			all = append(all, r.Capability)
		}
		for _, id := range r.Requires {
			for _, c := range visit(byID[id]) {
				if !slices.Contains(all, c) {
					all = append(all, c)
				}
			}
		}
		out[r.ID] = all
		return all
	}
	for i := range rules {
		visit(&rules[i])
	}
	return out
}

func within(some, all []Capability) bool {
	return !slices.ContainsFunc(some, func(c Capability) bool { return !slices.Contains(all, c) })
}
