package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

var update = flag.Bool("update", false, "write docs/conformance.md anew")

const docsFile = "../docs/conformance.md"

// The page is made from the tables of rules and mutants, so that it can't drift.
func TestTheDocsAreCurrent(t *testing.T) {
	want := docs()
	if *update {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/conformance.md does not say what the tables do: go test ./conformance -run Docs -update")
	}
}

const docsIntro = `# The conformance suite

Made from the tables in package conformance by ` + "`go test ./conformance -run Docs -update`" + `; do not edit.

A backend of yours that keeps a store in a directory, or in a file, is judged by this test:

` + "```go" + `
package mine_test

import (
	"context"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"

	"example.com/mine"
)

// For each rule path names something in a fresh directory that is not there yet, and the
// same again when the rule opens its store again.
func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Dir("mine", func(ctx context.Context, path string, o *backend.Options) (*backend.Backend, error) {
		return mine.Open(ctx, path, o)
	}))
}
` + "```" + `

` + "```" + `
go test -run TestConformance .                  # every rule
go test -run TestConformance -v . | tail -n 9   # and how much a green one is worth: its profile, and what was left out
go test -run 'TestConformance/OCC-02' .         # one rule, and those that it requires
PAPYRA_CONFORMANCE_REPORT=report.txt go test -run TestConformance .
` + "```" + `

That is all. Stores of ` + "`Dir`" + ` can also rot, be compared byte for byte, and be asked what they do about a place that holds something else; what more a harness can offer is said under [Seams](#seams), and how to write the backend in [custom-backend.md](custom-backend.md).

` + "`conformance.Dir`" + ` is for stores in directories, ` + "`Make`" + ` for stores in any other place, ` + "`Volatile`" + ` for stores without one.
Programs call ` + "`conformance.Check`" + ` and get a report, or ` + "`conformance.Main`" + `, which is a whole program: see [Programs](#programs).

Each rule is judged on a fresh store, within a deadline (30 s unless ` + "`Budget`" + ` says otherwise).

| verdict | means | conformant? |
|---|---|---|
| pass | the rule holds | yes |
| fail | it does not; the report says what was done, seen and wanted | no |
| blocked | a rule that it requires did not pass | can't be told |
| unsupported | the backend does not claim what the rule is about | yes |
| waived | it does not hold, and a waiver says why and until when | can't be told |
| unavailable | the environment can't do what the check needs | can't be told; no with ` + "`Strict`" + ` |
| inconclusive | the check ran and could not tell, such as too few calls that overlapped | can't be told; no with ` + "`Strict`" + ` |

A report of fewer rules than there are, or than its [profile](#profiles) asks for, is never conformant. Rules that are new in this version do not count yet: see [Stability](#stability).

## Seams

What machines do to stores (rot, full disks, power cuts, SIGKILL) the suite can do to yours if the harness lets it: each *seam* is a small interface that the harness's ` + "`Store`" + ` may implement, found by type assertion. A rule whose seam is missing is unavailable, never passed, and the report lists the seams. ` + "`Strict`" + ` makes that a failure, but for the seams named in ` + "`Without`" + `. A seam is no asset if it does nothing: the suite looks whether a flipped byte changes the digest, whether the digest sees an append, whether a fault is met, and whether a power cut ever loses what was not synced. What rests on one that does not is unavailable, inconclusive, or a failure.

%s
A ` + "`Store`" + ` with a seam, here over a file system that can fail:

` + "```go" + `
type store struct {
	fs *failingFS // below the engine
}

func (s *store) Open(ctx context.Context, o backend.Options) (conformance.Subject, error) { return mine.OpenOn(ctx, s.fs, o) }
func (s *store) Destroy(context.Context) error                                              { return nil }

func (s *store) Fail(f conformance.Fault) (hits func() int, heal func(), err error) {
	fault := s.fs.Inject(string(f.Op), f.Skip, f.Times, f.Err, f.Short)
	return fault.Hits, fault.Heal, nil
}
` + "```" + `

` + "`conformance.Hang`" + `, embedded, is a ` + "`Staller`" + `: the store calls its ` + "`Pass`" + ` before each write. A ` + "`Killer`" + ` lets the test binary run itself: ` + "`Spawn`" + ` starts it with the place in its environment and hands the command to ` + "`conformance.Exec`" + `; a test that finds the place there calls ` + "`conformance.Child`" + `. backend/file's conformance_test.go has every seam; backend/memory/memorytest is the shortest example.

Rules about rot make 250 bytes wrong, one after the other; those that judge what reads make of it, SCAN-08 and SCAN-11, go on up to 1,000 for a tenth of their time. Half of the places are spread over all bytes. The others are spread over regions, of which each gets as many however small it is, so that a table of ten heads rots as often as a megabyte of payloads: files, and what stands between runs of zeros in them. ` + "`Dir`" + ` knows them; a ` + "`Corrupter`" + ` of your own tells them with ` + "`Chart`" + `.

How much of the table papyra's engines exercise, where all that is exercised passes:

%s
*Unsupported* is about durability, repair, quarantine or reopening, where the engine does not claim it; file claims all there is to claim, so that CLAIM-01 does not concern it. What the two rows of file leave out each has the other.

## Rules

Every rule has at least one *mutant*: the memory backend with one defect, which must fail exactly that rule. A rule without one fails the build.
`

func docs() string {
	var b strings.Builder
	all := selftest.Mutants()
	groups := conformance.Groups()
	fmt.Fprintf(&b, docsIntro+"%s\n## The rules\n\nSuite %s: %d rules, %d mutants.\n\n| group | about | rules |\n|---|---|---|\n", seamTable(), coverageTable(), docsProduct(), conformance.Version, len(conformance.Rules()), len(all))
	for _, g := range groups {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %d |\n", g.Name, strings.ToLower(g.Name), g.About, len(g.Rules))
	}
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", g.Name, g.About)
		for i := range g.Rules {
			b.WriteString(docsOf(&g.Rules[i], all))
		}
	}
	return b.String()
}

func docsOf(r *conformance.Rule, all []selftest.Mutant) string {
	var b strings.Builder
	provisional := ""
	if r.Provisional {
		provisional = ", provisional"
	}
	fmt.Fprintf(&b, "\n### %s\n\n**%s.** %s\n\n%s, since %s%s.", r.ID, strings.ToUpper(r.Name[:1])+r.Name[1:], r.Sentence, r.Level, r.Since, provisional)
	if r.Capability != "" {
		fmt.Fprintf(&b, " For backends that have: %s.", r.Capability)
	}
	for i, seam := range r.Seams {
		fmt.Fprintf(&b, "%s%s", []string{" Needs the [seam](#seams) ", " and "}[min(i, 1)], seam)
	}
	if len(r.Seams) > 0 {
		b.WriteString(".")
	}
	for i, id := range r.Requires {
		fmt.Fprintf(&b, "%s[%s](#%s)", []string{" Requires ", ", "}[min(i, 1)], id, strings.ToLower(string(id)))
	}
	if len(r.Requires) > 0 {
		b.WriteString(".")
	}
	b.WriteString(" Mutants: ")
	first := true
	for _, m := range all {
		if m.Target == r.ID {
			if !first {
				b.WriteString("; ")
			}
			b.WriteString(m.Name)
			first = false
		}
	}
	b.WriteString(".\n")
	return b.String()
}

// What each seam asks of a harness, and who has it.
var seamNotes = map[conformance.Seam][2]string{
	conformance.SeamDigester:  {"`Digest`: a hash of all that is stored", "`Dir` has it"},
	conformance.SeamCorrupter: {"`Bytes`, `Flip`: change one stored byte", "`Dir` has it"},
	conformance.SeamFaulter:   {"`Fail`: let reads, writes or syncs fail, the n-th or all", "a file system or proxy below the engine"},
	conformance.SeamStaller:   {"`Stall`: let writes wait", "the same"},
	conformance.SeamCrasher:   {"`Crash`, `Changing`: the store as a power cut leaves it, at any change", "a file system in memory that knows what was synced; a disk image"},
	conformance.SeamKiller:    {"`Spawn`: another process over the same store, to be killed", "`Exec` and `Child`"},
	conformance.SeamFixturer:  {"`Fixtures`: stores that older versions wrote, and one of a newer format", "golden stores, with what `Listing` said of them"},
	conformance.SeamOccupier:  {"`Occupied`: places that hold what is no store", "`Dir` has it"},
}

func seamTable() string {
	var b strings.Builder
	b.WriteString("| seam | what it does | how to have it | brings |\n|---|---|---|---|\n")
	for _, seam := range conformance.Seams() {
		var rules []string
		for _, r := range conformance.Rules() {
			if slices.Contains(r.Seams, seam) {
				rules = append(rules, fmt.Sprintf("[%s](#%s)", r.ID, strings.ToLower(string(r.ID))))
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", seam, seamNotes[seam][0], seamNotes[seam][1], strings.Join(rules, " "))
	}
	return b.String()
}

func coverageTable() string {
	memory := backend.Capabilities{Compact: true, CompactBeside: true}
	file := backend.Capabilities{Durable: true, Repair: true, Quarantine: true, Compact: true, CompactBeside: true}
	var b strings.Builder
	b.WriteString("| harness | exercised | blocked | unsupported | unavailable | without |\n|---|---|---|---|---|---|\n")
	for _, h := range []struct {
		name     string
		volatile bool
		can      backend.Capabilities
		without  []conformance.Seam
	}{
		{"memory, behind memorytest's gate", false, memory, []conformance.Seam{conformance.SeamCorrupter, conformance.SeamCrasher, conformance.SeamKiller, conformance.SeamFixturer, conformance.SeamOccupier}},
		{"memory, as it is", false, memory, conformance.Seams()},
		{"memory, without a place", true, memory, conformance.Seams()},
		{"file, in directories", false, file, []conformance.Seam{conformance.SeamFaulter, conformance.SeamStaller, conformance.SeamCrasher}},
		{"file, on a disk that fails", false, file, []conformance.Seam{conformance.SeamKiller, conformance.SeamOccupier}},
	} {
		n := foreseen(h.volatile, h.can, h.without)
		var without []string
		for _, seam := range h.without {
			without = append(without, string(seam))
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s |\n", h.name, n[conformance.Pass], n[conformance.Blocked], n[conformance.Unsupported], n[conformance.Unavailable], strings.Join(without, " "))
	}
	return b.String()
}

// foreseen are the verdicts on a backend that does all that it claims.
func foreseen(volatile bool, can backend.Capabilities, without []conformance.Seam) map[conformance.Verdict]int {
	verdicts := map[conformance.ID]conformance.Verdict{}
	lacks := map[conformance.Capability]bool{
		conformance.Reopens: volatile, conformance.Exclusive: volatile,
		conformance.Compacts: !can.Compact, conformance.Durable: !can.Durable,
		conformance.Repairs: !can.Repair, conformance.Quarantines: !can.Quarantine,
	}
	rules := conformance.Rules()
	var judge func(id conformance.ID) conformance.Verdict
	judge = func(id conformance.ID) conformance.Verdict {
		if v, ok := verdicts[id]; ok {
			return v
		}
		r := rules[slices.IndexFunc(rules, func(r conformance.Rule) bool { return r.ID == id })]
		v := conformance.Pass
		if slices.ContainsFunc(r.Seams, func(seam conformance.Seam) bool { return slices.Contains(without, seam) }) {
			v = conformance.Unavailable
		}
		for _, required := range r.Requires {
			switch judge(required) {
			case conformance.Unavailable, conformance.Blocked:
				v = conformance.Blocked
			case conformance.Unsupported:
				if v != conformance.Blocked {
					v = conformance.Unsupported
				}
			}
		}
		if lacks[r.Capability] || id == "CLAIM-01" && can.Repair && can.Quarantine && can.Compact {
			v = conformance.Unsupported
		}
		verdicts[id] = v
		return v
	}
	n := map[conformance.Verdict]int{}
	for _, r := range rules {
		n[judge(r.ID)]++
	}
	return n
}
