package conformance_test

import (
	"fmt"
	"strings"

	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

// docsProduct is the part of the page that is not about rules.
func docsProduct() string {
	var b strings.Builder
	b.WriteString(docsReports)
	b.WriteString(docsProfiles())
	b.WriteString(docsStability)
	b.WriteString(docsBeyond)
	fmt.Fprintf(&b, docsProof, len(selftest.Mutants()), len(selftest.Oddities())+1)
	for _, o := range selftest.Oddities() {
		fmt.Fprintf(&b, "- %s\n", o.Name)
	}
	b.WriteString(docsPrograms)
	return b.String()
}

const docsReports = `
## A failure

` + "```" + `
OCC-02 (MUST, since 0.1): A batch that expects version 0 is refused with ErrConflict by a stream that holds records, which stays unchanged.
    verdict: fail
    done:    open: no error
             append "a", expected 0, 3 records: version 3, position 3
    seen:    append "a", expected 0, 1 records: no error
    wanted:  an error that wraps backend.ErrConflict ("version conflict")
    seed:    0x5f2a
    again:   PAPYRA_CONFORMANCE_SEED=0x5f2a go test -run 'TestConformance/OCC-02'
    blocks:  APPEND-18 OCC-03 OCC-05 METRIC-03 COMPACT-11
    help:    https://github.com/papyra-go/papyra/blob/main/docs/conformance.md#occ-02
` + "```" + `

` + "`done`" + ` is the last that was done. ` + "`again`" + ` judges this rule alone, and what it requires, with the same seed; how goroutines interleave does not follow from the seed. What stands under ` + "`blocks`" + ` can't be judged until this rule passes.

## Reports

` + "`Report.Write`" + ` writes text for people, JSON for programs, JUnit XML for build servers and Markdown for a README. JUnit has a case for each rule and one for the whole, which fails whenever the report is not conformant. Markdown has one row for a table of backends, then a table of the groups; ` + "`MarkdownHeader`" + ` and ` + "`MarkdownRow`" + ` make a table of several. An example of each stands in [conformance/testdata](../conformance/testdata), and tests hold the program to them.

` + "`go test`" + ` says nothing of a test that passes. Whether a green one is conformant, and of how many rules, stands in its log, which ` + "`-v`" + ` shows, and in the file that the environment names:

` + "```" + `
PAPYRA_CONFORMANCE_REPORT='report-*.md' go test -run TestConformance .
` + "```" + `

The ending says the format: ` + "`.txt` `.json` `.xml`" + ` (JUnit) or ` + "`.md`" + `. A ` + "`*`" + ` stands for the test's name; a relative name is one in the directory of the package. What is wrong with the name is said before anything is judged; a file from before is removed then, and the new one is there whole or not at all.

The last line of the text is a summary. It names the failures that do not count, each with why: a SHOULD, or a rule that is new in this version.

The JSON's ` + "`schema`" + ` is ` + "`papyra.conformance/1`" + `. Fields may be added within a version; one that changes its meaning or goes raises it.

| field | |
|---|---|
| ` + "`suite`" + ` | ` + "`version`, `counted`" + ` (the newest version whose rules count), ` + "`rules`" + ` (how many there are), ` + "`rules_sha256`" + ` (of their IDs, sentences, levels, capabilities and prerequisites) |
| ` + "`backend` `engine`" + ` | what was tested: ` + "`name` `version` `volatile`" + `; the engine's own name |
| ` + "`env`" + ` | ` + "`go` `os` `arch` `cpus` `race` `papyra`" + ` |
| ` + "`claims` `limits`" + ` | the backend's capabilities; ` + "`record_bytes` `batch_bytes`" + ` |
| ` + "`seams` `missing_seams`" + ` | the fault seams that the harness's stores have, and those that they have not |
| ` + "`seed` `strict`" + ` | a number up to 2⁶⁴−1: read it as an integer |
| ` + "`profile`" + ` | ` + "`name`, `asked`" + ` (or implied), ` + "`asks`" + ` (rules), ` + "`exercised`, `lacks`" + ` |
| ` + "`results`" + ` | in the order of the table: ` + "`id` `name` `level` `since` `provisional` `verdict` `took_ns` `seen` `wanted` `done` `blocked_by` `waiver` `missing_seams`" + ` (that the rule needs and the harness has not got) ` + "`dump`" + ` (where goroutines stood, if the check hung or panicked) |
| ` + "`not_judged` `totals` `took_ns`" + ` | rules that were not asked for; verdict → number |
| ` + "`verdict`" + ` | ` + "`conformant`, `not conformant` or `incomplete`" + ` |
`

func docsProfiles() string {
	var b strings.Builder
	b.WriteString(`
## Profiles

A backend that claims little must not look as good as one that does much. A profile says what may not be left out: its rules must all have been judged, and none of them may be unsupported. Whatever is claimed besides is judged as well. ` + "`WithProfile`" + ` asks for one, and then a backend that does not do what it asks is not conformant. Otherwise the profile follows from the claims (volatile, durable or shared), and "conformant" always stands beside its name. A backend that claims durable, while its harness says that its stores end with it, is never conformant.

| profile | about | capabilities | claims |
|---|---|---|---|
`)
	for _, p := range conformance.Profiles() {
		var needs []string
		for _, c := range p.Needs {
			needs = append(needs, string(c))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", p.Name, p.About, strings.Join(needs, ", "), strings.Join(p.Claims, ", "))
	}
	return b.String()
}

const docsStability = `
## Stability

- An ID is for ever. [conformance/testdata/ids.txt](../conformance/testdata/ids.txt) lists all that there ever were; a test keeps it. A rule that goes stays there, marked withdrawn, and its number is not given again.
- A rule that is new in this version is *provisional*: judged and reported, but without a say in the conclusion, so that an upgrade reddens nobody's build on its first day. It counts from the next version on. ` + "`Strict`" + ` counts it at once; ` + "`Pin(\"0.2\")`" + ` counts the rules up to that version only, ` + "`Pin(\"all\")`" + ` all.
- ` + "`Waive(\"OCC-02\", \"issue 7\", day)`" + ` bears with a failure that is known, until that day. The reason and the day stand in every report. A waived rule has not passed: what requires it is blocked, and the report is incomplete. From the day on it is a failure again; if the rule passes, the report says that the waiver can go.
`

const docsBeyond = `
## Beyond the rules

Rules see what someone has thought of. These look for the rest:

- **Random histories.** ` + "`conformance/model`" + ` plays random operations (appends, batches, restores, snapshots, reads, pages, listings, openings, scans, cuts, retention) beside a reference that is a map of slices and shares no code with papyra's engines. ` + "`model.Run(t, harness)`" + ` draws and shrinks them with pgregory.net/rapid; ` + "`model.Fuzz`" + ` lets ` + "`go test -fuzz`" + ` draw. What is found is printed as a Go test (` + "`conformance.Replay`" + `), and traced to the rules about its operations that fail too; if there are none, the table lacks a rule. Of the 176 mutants of suite 0.3, a hundred histories of sixty operations find 65: what they can't see are clocks, counters, context, locks, limits and races, which have rules.
- **Comparison.** ` + "`conformance.Compare`" + ` plays one history on several backends and shortens the one in which their answers differ. Only what all of them claim is asked; positions are not compared.
- **Linearizability.** ` + "`conformance/linearize`" + ` lets eight clients append with and without expectations and read, and asks github.com/anishathalye/porcupine for an order in which every call takes effect at one moment. Appends with unknown outcomes are open intervals. Stores that read stale, that lose what they acknowledge, that write what they refuse, or that check before they act: each was caught in 10 of 10 runs of 2,000 calls, and a test asks for 9. Run keeps the picture of a history that fails (` + "`go test -artifacts`" + `).

Both packages stand apart, so that programs with the suite link neither; rapid also imports package testing and defines flags.
`

const docsProof = `
## The proof

A suite that lets a broken store pass is worse than none. ` + "`selftest.Run(t)`" + ` and ` + "`papyra conformance --selftest`" + ` prove it to anyone:

- each rule has a mutant, and each of the %d mutants fails exactly its rule: every other one passes, or is blocked by it;
- the reference with each claim switched off alone, with none, and with all is conformant;
- backends that lie are not: durable and gone, durable and empty, asked for a profile that they do not keep;
- %d sound backends are conformant, and no rule is inconclusive on them. The reference is one; the others do what few do and the contract allows:

`

const docsPrograms = `
How often does a rule fail without cause? ` + "`make flakes`" + ` runs the suite 1,000 times on memory and 100 times on file, each time with another seed, and prints each rule that failed, or came out now one way and now another, with its seeds; ` + "`--repeat`" + ` does it for any store. Measured on two cores: of 400 runs on memory with 199 rules of suite 0.4, at a load of 20 (seeds 1 to 200 and 501 to 700), and of 150 on memory and 30 on file with the 113 of suite 0.3, at a load of 14, no rule failed, was blocked, or was inconclusive once. A run on memory takes 3 s where nothing else runs, 2.5 s of them on the processor: waiting is not where its time goes, and ` + "`--jobs 2`" + ` does twice as many on two cores. Jobs are processes, as rules count the goroutines and file descriptors of theirs.

And how often do rules about races catch one? ` + "`PAPYRA_RACES=20 go test -v -run RaceRules ./conformance/selftest`" + ` runs the mutants of such rules twenty times each and wants nineteen. At a load of 25: all of the 18 were caught all of the times.

## Programs

` + "`papyra conformance --store URL`" + ` judges the engines that papyra has, at a place for scratch stores: see [cli.md](cli.md#conformance). For a backend of your own,

` + "```go" + `
func main() { conformance.Main(mine.Harness()) }
` + "```" + `

is a program with the same flags and exit codes: ` + "`-profile` `-rules` `-skip` `-strict` `-pin` `-waive` `-seed` `-budget` `-repeat` `-jobs` `-format` `-out` `-list` `-explain`" + `. Flags that do not go together are refused; none is left unheeded.

The rules are judged in a second process: the program starts itself again with the same arguments, so that what main does before ` + "`Main`" + ` is done in both. That process hands its report over when it is whole. A backend that ends the process (` + "`os.Exit(0)`" + `, ` + "`log.Fatal`" + `, a panic on a goroutine of its own) leaves exit code 1, no report, and a line that names the rule that was being judged. What the backend prints to standard output goes to standard error: what stands on standard output is the report. ` + "`-out FILE`" + ` writes it to a file, whole or not at all; a file from before is removed when the run begins. In a test, package testing itself turns ` + "`os.Exit(0)`" + ` into a panic.

## Benchmarks

` + "`conformance.Benchmark(b, harness)`" + ` measures any backend: appends of 64 B and 4 KiB, one and a hundred at a time, by one and eight writers, with records a second and the 99th percentile; replay, one stream of a hundred records, a page, a scan, and opening. Names are made for benchstat. All that was acknowledged is read back and compared: a backend that loses or mixes records has no figures.
`
