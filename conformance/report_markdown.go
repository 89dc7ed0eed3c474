package conformance

import (
	"fmt"
	"io"
	"strings"
)

// MarkdownHeader is the head of the table whose rows [Report.MarkdownRow] makes.
const MarkdownHeader = "| backend | engine | suite | profile | verdict | passed | failed | else | claims | seed |\n|---|---|---|---|---|---|---|---|---|---|\n"

// MarkdownRow is the report as one row of a README's table of backends.
func (rep *Report) MarkdownRow() string {
	verdict := string(rep.Verdict)
	if rep.Verdict != Conformant {
		verdict = "**" + verdict + "**"
	}
	n := rep.Totals
	return fmt.Sprintf("| %s | %s | %s `%.8s` | %s | %s | %d | %d | %s | %s | `%#x` |\n",
		cell(rep.Backend.title()), cell(rep.Engine), rep.Suite.Version, rep.Suite.Digest, rep.Profile.Name, verdict, n[Pass], n[Fail],
		cell(orNone(rep.others())), cell(orNone(strings.Join(rep.Claims.Names(), ", "))), rep.Seed)
}

// others counts what neither passed nor failed.
func (rep *Report) others() string {
	var parts []string
	for _, v := range verdicts {
		if n := rep.Totals[v]; n > 0 && v != Pass && v != Fail {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	if n := len(rep.NotJudged); n > 0 {
		parts = append(parts, fmt.Sprintf("%d not judged", n))
	}
	return strings.Join(parts, ", ")
}

// WriteMarkdown writes the report for a README: a table of one row, a table of the
// groups, and a list of what did not pass.
func (rep *Report) WriteMarkdown(w io.Writer) error {
	out := &printer{w: w}
	out.printf("%s%s\n| group | about |", MarkdownHeader, rep.MarkdownRow())
	for _, v := range verdicts {
		out.printf(" %s |", v)
	}
	out.printf("\n|---|---|%s\n", strings.Repeat("---|", len(verdicts)))
	for _, g := range rep.groups() {
		n, _ := rep.tally(g.Name)
		out.printf("| %s | %s |", g.Name, cell(g.About))
		for _, v := range verdicts {
			out.printf(" %d |", n[v])
		}
		out.printf("\n")
	}
	for i, e := range rep.explained() {
		if i == 0 {
			out.printf("\n")
		}
		out.printf("- **%s** %s (%s): %s\n", e.res.ID, cell(e.rule.Name), cell(e.res.verdictText()), cell(orNone(e.res.Seen)))
	}
	for _, lack := range rep.Profile.Lacks {
		out.printf("- profile **%s** asks for more: %s\n", rep.Profile.Name, cell(lack))
	}
	out.printf("\nPapyra %s, %s %s/%s, %d CPUs.\n", orNone(rep.Env.Papyra), rep.Env.Go, rep.Env.OS, rep.Env.Arch, rep.Env.CPUs)
	return out.err
}

// cell is text that can stand in a Markdown table and means nothing to it.
func cell(s string) string {
	s = strings.Join(strings.Fields(printable(s)), " ")
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "`", "'", "*", `\*`).Replace(s)
}
