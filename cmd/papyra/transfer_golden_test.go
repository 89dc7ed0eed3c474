package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// transfers are command lines that write, whose JSON is promised: see docs/cli.md. Each
// runs in the directory that the one before has left.
var transfers = []struct {
	golden string
	code   int
	args   string
}{
	{"export.json", exitOK, "export --store fixture://thin --out thin.ndjson"},
	{"import.json", exitOK, "import --store file:thin thin.ndjson"},
	{"import_bad.json", exitAnomalies, "import --from papyra-python --store file:python bad.ndjson"},
	{"import_differs.json", exitFailed, "import --store file:python thin.ndjson"},
	{"copy.json", exitOK, "copy --from file:thin --to memory:// --verify"},
	{"copy_failed.json", exitAnomalies, "copy --from fixture://damaged --to file:damaged"},
	{"bench.json", exitOK, "bench --store file:bench --store memory:// --duration 40ms --rounds 2 --writers 2 --streams 10"},
}

// measures are what differs between two runs of bench, or two machines.
var measures = regexp.MustCompile(`"(median|low|high|ratio|append_p50_ns|append_p99_ns|records|verified|os|arch|cpus)": ("[a-z0-9]+"|[0-9.]+)`)

func TestJSONShapesOfWritingCommandsAreAsPromised(t *testing.T) {
	golden, err := filepath.Abs(filepath.Join("testdata", "golden"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("bad.ndjson", []byte(`{"kind":"audit","system_id":"s","timestamp":5}`+"\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range transfers {
		t.Run(s.golden, func(t *testing.T) {
			out := runJSON(t, s.code, s.args)
			if strings.HasPrefix(s.golden, "bench") {
				out = measures.ReplaceAll(out, []byte(`"$1": "*"`))
			}
			compareGolden(t, filepath.Join(golden, s.golden), out)
		})
	}
}

func TestBenchSaysWhichRecordsItReadBack(t *testing.T) {
	t.Chdir(t.TempDir())
	var out bytes.Buffer
	args := "bench --store file:bench --duration 40ms --rounds 2 --plot chart.svg"
	if code := run(t.Context(), strings.Fields(args), &out, io.Discard); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	m := regexp.MustCompile(`\n([0-9]+) records acknowledged, ([0-9]+) read back`).FindSubmatch(out.Bytes())
	if m == nil || string(m[1]) != string(m[2]) || string(m[1]) == "0" {
		t.Errorf("%s", out.Bytes())
	}
	svg, err := os.ReadFile("chart.svg")
	if err != nil || !bytes.Contains(svg, []byte("file:bench, appends")) {
		t.Errorf("the chart: %v %s", err, svg)
	}
	if _, err := os.Stat("bench"); err == nil {
		t.Error("the scratch store was left behind")
	}
}
