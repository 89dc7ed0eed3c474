package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/conformance"
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

Any backend, papyra's own or yours, is run against these rules:

` + "```go" + `
func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Dir("mine", func(ctx context.Context, dir string, o *backend.Options) (*backend.Backend, error) {
		return mine.Open(ctx, dir, o)
	}))
}
` + "```" + `

` + "`conformance.Dir`" + ` is for stores in directories, ` + "`Make`" + ` for stores in any other place, ` + "`Volatile`" + ` for stores without one.
Programs call ` + "`conformance.Check`" + ` and get a report, as text and JSON. ` + "`go test -run 'TestConformance/OCC-02'`" + ` judges one rule and those that it requires.

Each rule is judged on a fresh store, within a deadline (30 s unless ` + "`Budget`" + ` says otherwise).

| verdict | means | conformant? |
|---|---|---|
| pass | the rule holds | yes |
| fail | it does not; the report says what was done, seen and wanted | no |
| blocked | a rule that it requires did not pass | can't be told |
| unsupported | the backend does not claim what the rule is about | yes |
| unavailable | the environment can't do what the check needs | can't be told; no with ` + "`Strict`" + ` |
| inconclusive | the check ran and could not tell, such as too few calls that overlapped | can't be told; no with ` + "`Strict`" + ` |

A report of fewer rules than there are is never conformant.

The suite looks at a backend from outside. What it can't see from there, so far, is power loss, damage to what is stored, and full disks: conformant says nothing about them. They need seams that a later version adds, and their rules are not in the table until then.

Every rule has at least one *mutant*: the memory backend with one defect, which must fail exactly that rule. A rule without one fails the build.
`

func docs() string {
	var b strings.Builder
	all := mutants()
	groups := conformance.Groups()
	fmt.Fprintf(&b, "%s\nSuite %s: %d rules, %d mutants.\n\n| group | about | rules |\n|---|---|---|\n", docsIntro, conformance.Version, len(conformance.Rules()), len(all))
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

func docsOf(r *conformance.Rule, all []mutant) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n**%s.** %s\n\n%s, since %s.", r.ID, strings.ToUpper(r.Name[:1])+r.Name[1:], r.Sentence, r.Level, r.Since)
	if r.Capability != "" {
		fmt.Fprintf(&b, " For backends that have: %s.", r.Capability)
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
		if m.target == r.ID {
			if !first {
				b.WriteString("; ")
			}
			b.WriteString(m.name)
			first = false
		}
	}
	b.WriteString(".\n")
	return b.String()
}
