package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shapes are command lines whose JSON is promised: see docs/cli.md.
var shapes = []struct {
	golden string
	code   int
	args   string
}{
	{"version.json", exitOK, "version"},
	{"summary.json", exitOK, "inspect summary --store fixture://plain"},
	{"summary_damaged.json", exitAnomalies, "inspect summary --store fixture://damaged"},
	{"streams.json", exitOK, "inspect streams --limit 2 --store fixture://plain"},
	{"records.json", exitOK, "inspect stream account/ada --store fixture://plain"},
	{"records_payload.json", exitOK, "inspect events --payload --store fixture://plain"},
	{"records_damaged.json", exitAnomalies, "inspect events --limit 0 --store fixture://damaged"},
	{"records_selected.json", exitOK, "inspect events --prefix account/ --type opened --type note --since 2026-01-02T03:04:07Z --store fixture://plain"},
	{"record.json", exitOK, "inspect record account/ada 1 --store fixture://plain"},
	{"record_text.json", exitOK, "inspect record 3 --as text --store fixture://plain"},
	{"stats.json", exitOK, "inspect stats --store fixture://plain"},
	{"scan.json", exitOK, "scan --store fixture://torn"},
	{"scan_damaged.json", exitAnomalies, "scan --store fixture://damaged"},
	{"scan_failed.json", exitUnreachable, "scan --store fixture://eio"},
	{"doctor.json", exitOK, "doctor --store fixture://plain"},
	{"doctor_damaged.json", exitAnomalies, "doctor --store fixture://damaged"},
	{"doctor_locked.json", exitUnreachable, "doctor --store fixture://locked"},
	{"doctor_lossy.json", exitAnomalies, "doctor --store fixture://lossy"},
	{"startup.json", exitOK, "startup-check --store fixture://torn"},
	{"startup_lossy.json", exitAnomalies, "startup-check --store fixture://lossy"},
	{"startup_recover.json", exitOK, "startup-check --store fixture://mend?startup=recover&startup-full=true"},
	{"recover.json", exitOK, "recover --yes --store fixture://mend"},
	{"recover_dry.json", exitAnomalies, "recover --dry-run --mode quarantine --store fixture://lossy"},
	{"recover_left.json", exitAnomalies, "recover --yes --store fixture://lossy"},
	{"recover_quarantine.json", exitOK, "recover --yes --mode quarantine --store fixture://lossy"},
	{"compact.json", exitOK, "compact --max-records event=1 --yes --store fixture://cut"},
	{"compact_dry.json", exitOK, "compact --max-records 1 --dry-run --store fixture://cut"},
	{"quarantine.json", exitOK, "quarantine list --store file:../../backend/file/testdata/v2"},
	{"quarantined.json", exitOK, "quarantine show 00000026-7194-156-e7ba2f26.bytes --store file:../../backend/file/testdata/v2"},
}

// volatile is what differs between two runs, builds or machines.
var volatile = regexp.MustCompile(`("took_ns"|"version"|"go"|"platform"|"since"): ("[^"]*"|[0-9]{3,})`)

func TestJSONShapesAreAsPromised(t *testing.T) {
	for _, s := range shapes {
		t.Run(s.golden, func(t *testing.T) {
			out := volatile.ReplaceAll(runJSON(t, s.code, s.args), []byte(`$1: "*"`))
			compareGolden(t, filepath.Join("testdata", "golden", s.golden), out)
		})
	}
}

// runJSON runs a command line and returns its output, which must be one JSON
// document.
func runJSON(t *testing.T, code int, args string) []byte {
	t.Helper()
	var out bytes.Buffer
	if got := run(t.Context(), append(strings.Fields(args), "--format", "json"), &out, io.Discard); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	d := json.NewDecoder(bytes.NewReader(out.Bytes()))
	d.UseNumber()
	var doc map[string]any
	if err := d.Decode(&doc); err != nil || d.More() {
		t.Fatalf("not one JSON document: %v\n%s", err, out.Bytes())
	}
	if schema, _ := doc["schema"].(string); !regexp.MustCompile(`^papyra\.[a-z]+/1$`).MatchString(schema) {
		t.Errorf("schema is %q", doc["schema"])
	}
	return out.Bytes()
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if os.Getenv("UPDATE_SCRIPTS") == "1" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (UPDATE_SCRIPTS=1 go test writes it anew):\n%s", path, got)
	}
}
