package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Formats are the formats of [Report.Write].
var Formats = []string{"text", "json", "junit", "markdown"}

// Write writes the report in one of [Formats].
func (rep *Report) Write(w io.Writer, format string) error {
	switch format {
	case "text":
		return rep.WriteText(w)
	case "json":
		return rep.WriteJSON(w)
	case "junit":
		return rep.WriteJUnit(w)
	case "markdown":
		return rep.WriteMarkdown(w)
	}
	return fmt.Errorf("conformance: no format %q: want %s", format, strings.Join(Formats, ", "))
}

// WriteText writes the report for people: what was tested, a table of the groups,
// then what did not pass, then the summary.
func (rep *Report) WriteText(w io.Writer) error {
	out := &printer{w: w}
	out.printf("backend %s (engine %s)  suite %s  profile %s  seed %#x\nclaims %s  seams %s  missing seams %s\n\n",
		rep.Backend.title(), orNone(rep.Engine), rep.Suite.Version, rep.Profile.Name, rep.Seed,
		orNone(strings.Join(rep.Claims.Names(), " ")), orNone(joinWords(rep.Seams)), orNone(joinWords(rep.Missing)))
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "GROUP\t")
	for _, v := range verdicts {
		fmt.Fprintf(t, "%s\t", v)
	}
	fmt.Fprintln(t, "time\t")
	for _, g := range rep.groups() {
		fmt.Fprintf(t, "%s\t", g.Name)
		n, took := rep.tally(g.Name)
		for _, v := range verdicts {
			fmt.Fprintf(t, "%d\t", n[v])
		}
		fmt.Fprintf(t, "%v\t\n", took.Round(time.Millisecond))
	}
	t.Flush()
	for _, e := range rep.explained() {
		out.printf("\n%s\n", e.res.explain(e.rule, rep.Seed, rep.againText(e.res.ID)))
	}
	out.printf("\n%s\n", rep.Summary())
	return out.err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// againText is the command that judges only this rule again.
func (rep *Report) againText(id ID) string {
	if rep.again != nil {
		return rep.again(id, rep.Seed)
	}
	return fmt.Sprintf("conformance.Check(ctx, harness, conformance.Only(%q), conformance.Seed(%#x))", id, rep.Seed)
}

// explain is the verdict for people.
func (res *Result) explain(r *Rule, seed uint64, again string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, since %s): %s\n", r.ID, r.Level, r.Since, r.Sentence)
	line := func(name, text string) {
		if name != "" {
			name += ":"
		}
		if text != "" {
			fmt.Fprintf(&b, "    %-8s %s\n", name, strings.ReplaceAll(printable(text), "\n", "\n             "))
		}
	}
	line("verdict", res.verdictText())
	if res.Verdict != Unsupported { // then it is what led there, and nobody's fault
		for i, step := range res.Done {
			line([]string{"done", ""}[min(i, 1)], step)
		}
	}
	line("seen", res.Seen)
	line("wanted", res.Wanted)
	switch res.Verdict {
	case Fail, Waived, Inconclusive:
		line("seed", fmt.Sprintf("%#x", seed))
		line("again", again)
		line("blocks", orNone(blocksText(Blocks(r.ID))))
	}
	line("help", r.ID.URL())
	if res.Dump != "" {
		b.WriteString(printable(res.Dump) + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// verdictText is the verdict with what bears on it.
func (res *Result) verdictText() string {
	text := string(res.Verdict)
	if len(res.BlockedBy) > 0 {
		text += " by " + joinWords(res.BlockedBy) + ", which did not pass"
	}
	if res.Waiver != nil {
		text += "; " + res.Waiver.text(res.Verdict)
	}
	if res.Provisional {
		text += "; provisional, newer than what is counted"
	}
	return text
}

// printable is s without what a terminal would obey: a broken backend may say anything.
func printable(s string) string {
	if strings.IndexFunc(s, obeyed) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if obeyed(r) {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func obeyed(r rune) bool { return r != '\n' && r != '\t' && !strconv.IsPrint(r) }

func joinWords[S ~string](words []S) string {
	parts := make([]string, len(words))
	for i, w := range words {
		parts[i] = string(w)
	}
	return strings.Join(parts, " ")
}

// WriteJSON writes the report for programs: see [ReportSchema].
func (rep *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(rep)
}

// printer writes until the first error, which it keeps.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// Write implements [io.Writer].
func (p *printer) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.w.Write(b)
	p.err = err
	return n, err
}

// blocksShown is how many of the rules that rest on a failed one are named.
const blocksShown = 12

// blocksText names the rules that rest on a failed one, the first of them if they are many.
func blocksText(ids []ID) string {
	if len(ids) <= blocksShown {
		return joinWords(ids)
	}
	return fmt.Sprintf("%s and %d more: mend this one first", joinWords(ids[:blocksShown]), len(ids)-blocksShown)
}
