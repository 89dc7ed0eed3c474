package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
)

// What follows advice says, of which each kind of damage has one.
const (
	adviseNothing = "nothing to do"
	adviseRecover = "to mend it, which loses nothing: papyra recover --store "       // mends it
	adviseTry     = "then scan again: papyra recover --store "                       // loses nothing, and may mend it
	adviseURL     = "?startup=recover\n"                                             // opening once by the URL does
	adviseFull    = "?startup=recover&startup-full=true: a quick check"              // so does this
	adviseLoss    = "--skip-damage"                                                  // records are lost
	adviseGiveUp  = ": papyra recover --mode quarantine --store "                    // goes on without them
	adviseRestore = "this version can't repair a store that does not open"           // nothing is left to do
	adviseNobody  = "an application with the default startup check refuses to start" // until then
)

// What is advised about what can be mended, and about what can't.
var (
	mendURL  = []string{adviseRecover, adviseURL, adviseNobody}
	mendFull = []string{adviseRecover, adviseFull}
	lossSeen = []string{adviseTry, adviseLoss, adviseGiveUp, adviseNobody}
	loss     = []string{adviseTry, adviseLoss, adviseGiveUp}
)

// partsOf returns where the parts of a store are that a byte can be flipped in.
func partsOf(t *testing.T, dir string) map[string]flipPlace {
	t.Helper()
	list := func(pattern string) []string {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(names) == 0 {
			t.Fatal(pattern, names, err)
		}
		return names
	}
	parts := map[string]flipPlace{}
	put := func(what, path string, at int) { parts[what] = flipPlace{filepath.Base(path), int64(at)} }
	put("a manifest", filepath.Join(dir, "MANIFEST"), 60)
	put("a manifest's copy", filepath.Join(dir, "MANIFEST.copy"), 60)
	put("a mark", filepath.Join(dir, "MARK"), 20)
	put("heads", list("*.heads")[0], 10)
	for _, path := range list("*.seg") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(data, []byte("large"))
		if at < 0 {
			continue // the next one, without groups
		}
		put("a segment's header", path, 40)
		put("a group's header", path, 4096+20)
		put("a record's head in a segment", path, at+1)
		put("a payload in a segment", path, at+200)
	}
	for _, path := range list("*.span") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		frames, skips := int(binary.LittleEndian.Uint64(data[104:])), int(binary.LittleEndian.Uint64(data[112:]))
		if frames == skips {
			continue // too small for skip lists
		}
		at := bytes.Index(data, []byte("large"))
		put("a span's header", path, 50)
		put("a record's head in a span", path, at+1)
		put("a payload in a span", path, at+200)
		put("a span's skip list", path, frames+3)
		put("a span's table", path, len(data)-4096+20)
	}
	if parts["a span's skip list"].file == "" {
		t.Fatal("no span has skip lists")
	}
	return parts
}

// flipPlace is a byte of a file.
type flipPlace struct {
	file string
	at   int64
}

// kindOfDamage is one that can be done to a store, and what is advised about it.
type kindOfDamage struct {
	what   string
	do     func(t *testing.T, dir string)
	advice []string // of scan
	doctor []string // nil: the same
}

// kindsOfDamage are those that are done to copies of a store.
func kindsOfDamage(t *testing.T, whole string) []kindOfDamage {
	parts := partsOf(t, whole)
	flipped := func(part string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			flipByte(t, filepath.Join(dir, parts[part].file), parts[part].at, 0x41)
		}
	}
	without := func(patterns ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, pattern := range patterns {
				names, _ := filepath.Glob(filepath.Join(dir, pattern))
				if len(names) == 0 {
					t.Fatal("no ", pattern)
				}
				if err := os.Remove(names[0]); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return []kindOfDamage{
		{"nothing", func(*testing.T, string) {}, nil, []string{adviseNothing}},
		{"MANIFEST is damaged", flipped("a manifest"), mendURL, nil},
		{"MANIFEST is gone", without("MANIFEST"), mendURL, nil},
		{"MANIFEST.copy is damaged", flipped("a manifest's copy"), mendURL, nil},
		{"MANIFEST.copy is gone", without("MANIFEST.copy"), mendURL, nil},
		{"both are gone", without("MANIFEST", "MANIFEST.copy"), []string{adviseRestore}, nil},
		{"both are damaged", func(t *testing.T, dir string) {
			flipped("a manifest")(t, dir)
			flipped("a manifest's copy")(t, dir)
		}, []string{adviseRestore}, nil},
		{"a segment's header", flipped("a segment's header"), mendURL, nil},
		{"a group's header", flipped("a group's header"), mendURL, nil},
		{"a record's head in a segment", flipped("a record's head in a segment"), mendURL, nil},
		{"a payload in a segment", flipped("a payload in a segment"), lossSeen, nil},
		{"a span's header", flipped("a span's header"), mendFull, []string{adviseNothing}},
		{"a record's head in a span", flipped("a record's head in a span"), mendFull, []string{adviseNothing}},
		{"a payload in a span", flipped("a payload in a span"), loss, []string{adviseNothing}},
		{"a span's table", flipped("a span's table"), mendFull, []string{adviseNothing}},
		{"a span's skip list", flipped("a span's skip list"), mendFull, []string{adviseNothing}},
		{"heads", flipped("heads"), mendFull, []string{adviseNothing}},
		{"heads are gone", without("*.heads"), mendURL, nil},
		{"a mark is damaged", flipped("a mark"), nil, []string{adviseNothing}},
		{"MARK is gone", without("MARK"), mendURL, nil},
		{"a span is gone", without("*.span"), lossSeen, nil},
		{"a segment is gone", without("*.seg"), lossSeen, nil},
		{"a quarantined store", func(t *testing.T, dir string) {
			flipped("a payload in a span")(t, dir)
			recoverWith(t, dir, backend.Startup{Mode: backend.RecoverAnomalies, Full: true, Recovery: backend.Quarantine})
		}, nil, []string{adviseNothing}},
	}
}

// Each kind of damage is done; then what papyra scan and papyra doctor advise is done as it
// stands.
func TestAdviceWorksAsItStands(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "store")
	all := packedStore(t, whole)
	for _, c := range kindsOfDamage(t, whole) {
		t.Run(c.what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			copyDir(t, whole, dir)
			c.do(t, dir)
			if c.doctor == nil {
				c.doctor = c.advice
			}
			said := advised(t, dir, "scan", c.advice)
			advised(t, dir, "doctor", c.doctor)
			follow(t, dir, all, said, c.advice)
		})
	}
}

// advised runs a command and returns what it says; the advice must be what is wanted, and
// the exit code go with it.
func advised(t *testing.T, dir, command string, want []string) string {
	t.Helper()
	var out, stderr bytes.Buffer
	code := run(t.Context(), []string{command, "--store", "file://" + filepath.ToSlash(dir)}, &out, &stderr)
	said := out.String() + stderr.String()
	for _, line := range []string{adviseNothing, adviseRecover, adviseTry, adviseURL, adviseFull, adviseLoss, adviseGiveUp, adviseRestore, adviseNobody} {
		if got := strings.Contains(said, line); got != slices.Contains(want, line) {
			t.Errorf("%s: says %q: %v, want %v", command, line, got, !got)
		}
	}
	wantCode := exitAnomalies
	if len(want) == 0 || want[0] == adviseNothing {
		wantCode = exitOK
	}
	if code != wantCode || t.Failed() {
		t.Errorf("%s: exit code %d, want %d:\n%s", command, code, wantCode, said)
	}
	return said
}

// follow does what scan has advised.
func follow(t *testing.T, dir string, all map[backend.Position]string, said string, advice []string) {
	t.Helper()
	url := "file://" + filepath.ToSlash(dir)
	starts := func(url string) error {
		b, err := backend.Open(t.Context(), url)
		if err != nil {
			return err
		}
		return b.Close()
	}
	saved := filepath.Join(t.TempDir(), "copy")
	copyDir(t, dir, saved)
	if err := starts(url); (err != nil) != (slices.Contains(advice, adviseNobody) || slices.Contains(advice, adviseRestore)) {
		t.Errorf("an application with the default startup check: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil { // what starting it may have changed
		t.Fatal(err)
	}
	copyDir(t, saved, dir)
	switch {
	case slices.Contains(advice, adviseRecover):
		advisedCommand(t, said, adviseRecover, exitOK)
		advised(t, dir, "scan", nil)
		advised(t, dir, "doctor", []string{adviseNothing})
		mustHold(t, dir, all, nil)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		copyDir(t, saved, dir) // and by the URL
		m := regexp.MustCompile(`open it once with (\S+?)(: a quick check does not see it)?\n`).FindStringSubmatch(said)
		if m == nil || starts(m[1]) != nil {
			t.Errorf("%v: %v", m, starts(url+"?startup=recover"))
		}
		advised(t, dir, "scan", nil)
		mustHold(t, dir, all, nil)
	case slices.Contains(advice, adviseLoss):
		t.Chdir(t.TempDir())
		m := regexp.MustCompile(`papyra (export .*)`).FindStringSubmatch(said)
		var out, stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(m[1]), &out, &stderr)
		rescued, err := os.ReadFile("rescued.ndjson")
		if err != nil {
			t.Fatal(err)
		}
		advisedCommand(t, said, adviseGiveUp, exitOK)
		advised(t, dir, "scan", nil)
		left := mustHold(t, dir, all, func(line string) {
			if stream, version := streamOf(line); !strings.Contains(said, "which ones is not known") && !strings.Contains(said, "those in") &&
				!strings.Contains(said, "records are lost: "+show(stream)+" version "+strings.Fields(line)[1]) {
				t.Errorf("%s version %d is lost, and scan does not say so: %s", stream, version, said)
			}
		})
		n := bytes.Count(rescued, []byte(`{"position":`))
		if n != left {
			t.Errorf("the export has rescued %d records, of %d", n, left)
		}
		if code != exitAnomalies {
			t.Errorf("%s: exit code %d, %d records of %d: %s\n%s", m[0], code, n, len(all), stderr.String(), said)
		}
	case slices.Contains(advice, adviseRestore):
		if err := starts(url + "?startup=recover"); !errors.Is(err, backend.ErrCorrupt) {
			t.Error(err)
		}
	default:
		if err := starts(url); err != nil {
			t.Error(err)
		}
	}
}

// advisedCommand carries out the command that the advice names, as it stands but for --yes.
func advisedCommand(t *testing.T, said, advice string, code int) {
	t.Helper()
	_, line, _ := strings.Cut(said, advice)
	line, _, _ = strings.Cut(line, "\n")
	_, words, _ := strings.Cut(advice, ": papyra ")
	args := strings.Fields(words + line)
	command(t, code, append(args, "--yes")...)
}

// recoverWith opens a store once.
func recoverWith(t *testing.T, dir string, s backend.Startup) {
	t.Helper()
	b, err := file.Open(t.Context(), dir, &file.Options{Options: backend.Options{Startup: s}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// mustHold checks that a store holds its records, but for those that lost is told of, and
// returns how many it holds.
func mustHold(t *testing.T, dir string, all map[backend.Position]string, lost func(line string)) int {
	t.Helper()
	b, err := file.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	left := readable(t, b)
	for p, line := range all {
		switch {
		case left[p] == line:
		case left[p] == "" && lost != nil:
			lost(line)
		default:
			t.Errorf("position %d holds %q, want %q", p, left[p], line)
		}
	}
	return len(left)
}
