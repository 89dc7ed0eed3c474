package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
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
	Seams      []Seam     `json:"seams,omitempty"`
	Requires   []ID       `json:"requires,omitempty"`
	Blocks     []ID       `json:"blocks,omitempty"`
	Help       string     `json:"help"`
}

// WriteRules writes the table of rules, as text, JSON or Markdown.
func WriteRules(w io.Writer, format string) error { return writeRules(w, format, globs{}) }

// writeRules is WriteRules of those that globs leave.
func writeRules(w io.Writer, format string, g globs) error {
	out := &printer{w: w}
	s := settings{only: g.only, skip: g.skip}
	rules := slices.DeleteFunc(Rules(), func(r Rule) bool { return !s.selected(r.ID) })
	switch format {
	case "json":
		return writeRulesJSON(out, rules)
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

func writeRulesJSON(w io.Writer, rules []Rule) error {
	list := make([]listedRule, len(rules))
	for i, r := range rules {
		list[i] = listedRule{r.ID, r.Name, r.Sentence, r.Level, r.Since, r.Capability, r.Seams, r.Requires, Blocks(r.ID), r.ID.URL()}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"schema": RulesSchema, "version": Version, "rules_sha256": digest(Rules()), "rules": list})
}

// WriteRule writes all that the table says about one rule, as text or JSON: the shape of
// [WriteRules], of one rule.
func WriteRule(w io.Writer, id ID, format string) error {
	switch format {
	case "json":
		if err := known(id); err != nil {
			return err
		}
		return writeRulesJSON(w, slices.DeleteFunc(Rules(), func(r Rule) bool { return r.ID != id }))
	case "text":
		text, err := Explain(id)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		return err
	}
	return fmt.Errorf("conformance: a rule has no format %q: want text or json", format)
}

// known returns an error unless there is such a rule.
func known(id ID) error {
	if slices.ContainsFunc(Rules(), func(r Rule) bool { return r.ID == id }) {
		return nil
	}
	return fmt.Errorf("conformance: no rule %q%s", id, near(string(id)))
}

// near says which rules were probably meant, or how to see all.
func near(text string) string {
	rules := Rules()
	var same, alike []string
	for _, r := range rules {
		id := string(r.ID)
		switch {
		case strings.EqualFold(id, text), distance(id, strings.ToUpper(text)) == 1:
			alike = append(alike, id)
		case strings.EqualFold(r.ID.Group(), ID(text).Group()):
			same = append(same, id)
		}
	}
	if len(alike) == 0 && len(same) > 0 {
		alike = []string{same[0] + " to " + same[len(same)-1]}
	}
	if len(alike) == 0 {
		return fmt.Sprintf(": the flag list shows all %d rules", len(rules))
	}
	return ": did you mean " + strings.Join(alike[:min(len(alike), nearShown)], " or ") + "?"
}

const nearShown = 4

// distance is how many letters have to be put in, taken out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before, row[j+1] = row[j+1], min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
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
		if len(r.Seams) > 0 {
			who += "; needs of the harness: " + joinWords(r.Seams)
		}
		fmt.Fprintf(&b, "for       %s\nrequires  %s\nblocks    %s\nhelp      %s\n", who, orNone(joinWords(r.Requires)), orNone(joinWords(Blocks(r.ID))), r.ID.URL())
		return b.String(), nil
	}
	return "", known(id)
}
