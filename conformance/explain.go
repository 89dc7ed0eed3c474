package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// RulesSchema names the shape of the list of rules in JSON.
const RulesSchema = "papyra.rules/1"

// listedRule is a rule in the list.
type listedRule struct {
	ID         ID         `json:"id"`
	Name       string     `json:"name"`
	Sentence   string     `json:"sentence"`
	Level      Level      `json:"level"`
	Since      string     `json:"since"`
	Capability Capability `json:"capability,omitempty"`
	Requires   []ID       `json:"requires,omitempty"`
	Help       string     `json:"help"`
}

// WriteRules writes the table of rules, as text, JSON or Markdown.
func WriteRules(w io.Writer, format string) error {
	out := &printer{w: w}
	rules := Rules()
	switch format {
	case "json":
		list := make([]listedRule, len(rules))
		for i, r := range rules {
			list[i] = listedRule{r.ID, r.Name, r.Sentence, r.Level, r.Since, r.Capability, r.Requires, r.ID.URL()}
		}
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"schema": RulesSchema, "version": Version, "rules_sha256": digest(rules), "rules": list})
	case "markdown":
		out.printf("| rule | level | since | |\n|---|---|---|---|\n")
		for _, r := range rules {
			out.printf("| %s | %s | %s | %s |\n", r.ID, r.Level, r.Since, cell(r.Sentence))
		}
	case "text":
		t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, r := range rules {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.ID, r.Level, r.Since, r.Name)
		}
		t.Flush()
		out.printf("\n%d rules, suite %s\n", len(rules), Version)
	default:
		return fmt.Errorf("conformance: the rules have no format %q: want text, json or markdown", format)
	}
	return out.err
}

// Explain says all that the table says about one rule.
func Explain(id ID) (string, error) {
	var b strings.Builder
	for _, r := range Rules() {
		if r.ID != id {
			continue
		}
		fmt.Fprintf(&b, "%s: %s (%s, since %s)\n\n%s\n\n", r.ID, r.Name, r.Level, r.Since, r.Sentence)
		who := "every backend"
		if r.Capability != "" {
			who = "backends that have: " + string(r.Capability)
		}
		fmt.Fprintf(&b, "for       %s\nrequires  %s\nblocks    %s\nhelp      %s\n", who, orNone(joinWords(r.Requires)), orNone(joinWords(Blocks(r.ID))), r.ID.URL())
		return b.String(), nil
	}
	return "", fmt.Errorf("conformance: no rule %q: list has them all", id)
}
