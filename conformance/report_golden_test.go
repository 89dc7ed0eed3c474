package conformance_test

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

// sample is a report with every verdict, and with text that means something to each
// format.
func sample() *conformance.Report {
	waiver := &conformance.Waiver{ID: "OCC-03", Reason: "issue 7 | fixed in the next release", Until: time.Date(2030, 1, 31, 0, 0, 0, 0, time.UTC)}
	return &conformance.Report{
		Schema:  conformance.ReportSchema,
		Suite:   conformance.SuiteInfo{Version: "9.1", Counted: "9.0", Rules: 9, Digest: "0123456789abcdef"},
		Backend: conformance.Info{Name: "mine", Version: "1.2"}, Engine: "mi|ne",
		Env:    conformance.EnvInfo{Go: "go1.26", OS: "linux", Arch: "amd64", CPUs: 2, Papyra: "v0.3.0"},
		Claims: conformance.ClaimInfo{Durable: true, Compact: true}, Limits: conformance.LimitInfo{RecordBytes: 1 << 24, BatchBytes: 1 << 25},
		Seams: []conformance.Seam{conformance.SeamCrasher}, Missing: []conformance.Seam{conformance.SeamKiller}, Seed: 0x5f2a,
		Profile: conformance.Attainment{Name: "full", Asked: true, Asks: 9, Exercised: 3, Lacks: []string{"it does not claim: repair"}},
		Results: []conformance.Result{
			{ID: "OPEN-01", Name: "an empty place is an empty backend", Level: conformance.Must, Since: "0.1", Verdict: conformance.Pass, Took: 1500 * time.Microsecond},
			{ID: "OCC-01", Name: "a stale expected version conflicts", Level: conformance.Must, Since: "0.1", Verdict: conformance.Pass, Took: time.Millisecond},
			{ID: "OCC-02", Name: "expected 0 means empty", Level: conformance.Must, Since: "0.1", Verdict: conformance.Fail, Took: 2 * time.Millisecond,
				Done: []string{"open: no error", `append "a", expected 0, 1 records: no error`}, Seen: "no error: <\x01&>", Wanted: `an error that wraps backend.ErrConflict ("version conflict")`},
			{ID: "OCC-03", Name: "one of several wins", Level: conformance.Must, Since: "0.1", Verdict: conformance.Waived, Seen: "two won", Wanted: "one", Waiver: waiver},
			{ID: "OCC-05", Name: "results say the version", Level: conformance.Must, Since: "0.1", Verdict: conformance.Blocked, BlockedBy: []conformance.ID{"OCC-02"}},
			{ID: "LOCK-01", Name: "the second opener is refused", Level: conformance.Must, Since: "0.1", Verdict: conformance.Unsupported, Seen: "the engine claims Shared"},
			{ID: "READ-01", Name: "a read is ordered", Level: conformance.Must, Since: "0.1", Verdict: conformance.Unavailable, Seen: "the harness makes no store: no server"},
			{ID: "READ-20", Name: "a read ends", Level: conformance.Must, Since: "0.1", Verdict: conformance.Inconclusive, Seen: "3 of 50 overlapped"},
			{ID: "RET-10", Name: "the newest stay", Level: conformance.Must, Since: "9.1", Provisional: true, Verdict: conformance.Fail, Seen: "2 records", Wanted: "3"},
		},
		NotJudged: []conformance.ID{"OCC-04"}, Took: 3 * time.Second, Verdict: conformance.NotConformant,
		Totals: map[conformance.Verdict]int{conformance.Pass: 2, conformance.Fail: 2, conformance.Blocked: 1, conformance.Unsupported: 1, conformance.Waived: 1, conformance.Unavailable: 1, conformance.Inconclusive: 1},
	}
}

func TestReportsAreAsPromised(t *testing.T) {
	for _, format := range conformance.Formats {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			if err := sample().Write(&out, format); err != nil {
				t.Fatal(err)
			}
			golden(t, "report."+format, out.Bytes())
		})
	}
	if err := sample().Write(new(bytes.Buffer), "yaml"); err == nil {
		t.Error("a format that is not there is no error")
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -run Promised -update writes it anew):\n%s", path, got)
	}
}

// A report that is not conformant without any rule that failed must be red for those
// who read JUnit alone.
func TestJUnitIsRedWheneverTheReportIs(t *testing.T) {
	durable := check(t, selftest.Reference(), conformance.Only("OPEN-01"), conformance.WithProfile("shared"))
	if durable.Verdict != conformance.NotConformant || durable.Totals[conformance.Fail] != 0 {
		t.Fatal(durable.Summary())
	}
	var out bytes.Buffer
	if err := durable.WriteJUnit(&out); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Cases []struct{} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, s := range doc.Suites {
		cases += len(s.Cases)
	}
	if doc.Failures != 1 || doc.Tests != cases || cases != len(conformance.Rules())+1 {
		t.Errorf("%d failures, %d tests, %d cases", doc.Failures, doc.Tests, cases)
	}
}

func TestAReportThatCanNotBeWrittenIsAnError(t *testing.T) {
	for _, format := range conformance.Formats {
		if err := sample().Write(fullDisk{}, format); err == nil {
			t.Errorf("%s: no error", format)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, os.ErrClosed }
