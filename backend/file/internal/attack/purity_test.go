//go:build linux

package attack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// marker begins the payload of one record of the store that is damaged here, and its
// stream's name is markedStream.
const (
	marker       = "this payload stands once in the store"
	markedStream = "the stream of the marked record"
)

// programDir is what program has made, for TestMain to remove.
var programDir string

// program builds the command papyra once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "papyra-attack-bin-")
	if err != nil {
		return "", err
	}
	programDir = dir
	name := filepath.Join(dir, "papyra")
	cmd := exec.Command("go", "build", "-o", name, "github.com/papyra-go/papyra/cmd/papyra")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return name, nil
})

// scanned is what the command said.
type scanned struct {
	code int
	text string // all of it
	// Anomalies are those of the JSON on standard output, if there was any.
	Anomalies []struct {
		Severity, File string
		Offset, Length int64
	} `json:"anomalies"`
}

// scan runs papyra scan on a directory.
func scan(t *testing.T, dir string) (s scanned) {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, "scan", "--store", "file://"+dir, "--format", "json", "--no-progress")
	var out, say bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &say
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	s.code, s.text = cmd.ProcessState.ExitCode(), out.String()+say.String()
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &s); err != nil {
			t.Errorf("papyra scan --format json: %v: %s", err, out.String())
		}
	}
	return s
}

// build makes a store, cleanly closed, and returns it: of several segments that were packed
// and compacted, or of one that was not.
func build(t *testing.T, packed bool) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	o := file.Options{SegmentBytes: 1 << 20}
	if packed {
		o.SegmentBytes = 8 << 10
	}
	b, err := file.Open(t.Context(), dir, &o)
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{small: true} // a segment holds several groups
	for i := range 60 {
		if err := l.tryAppend(b, i%7+2, 1+i%3); err != nil {
			t.Fatal(err)
		}
		if i == 30 {
			r := backend.Record{Type: "marked", Payload: []byte(marker + strings.Repeat(" and goes on", 20))}
			if _, err := b.Append(t.Context(), backend.Batch{Stream: markedStream, Records: []backend.Record{r}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: nameOf(3), Version: 2, Payload: []byte("a state")}); err != nil {
		t.Fatal(err)
	}
	if packed {
		if _, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: nameOf(3), Floor: 3}}}); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, b)
	return dir
}

// files lists the regular files of a store, but for what was set aside.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == "quarantine" {
			return filepath.SkipDir
		}
		if e.Type().IsRegular() {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// place is a byte of a store.
type place struct {
	what string
	file string
	at   int64
}

// places are the bytes that get flipped: one of each part of the format, and some of each
// file.
func places(t *testing.T, dir string, each int) (out []place) {
	t.Helper()
	for _, name := range files(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, []byte(marker)); at >= 0 {
			head := bytes.LastIndex(b[:at], []byte(markedStream))
			group := head &^ 7
			for group > 0 && string(b[group:group+2]) != "PG" {
				group -= 8
			}
			out = append(out, place{"payload", name, int64(at) + 5}, place{"record's head", name, int64(head) + 3})
			if group > 0 {
				out = append(out, place{"group header", name, int64(group) + 20})
			}
			out = append(out, place{"segment header", name, 33})
		}
		if strings.HasSuffix(name, ".span") {
			out = append(out, place{"table", name, int64(len(b)) - 4096 + 20})
		}
		if name == "MANIFEST" || name == "MARK" {
			out = append(out, place{name, name, 40})
		}
		for range each {
			if len(b) > 0 {
				out = append(out, place{"any byte", name, rand.Int64N(int64(len(b)))})
			}
		}
	}
	return out
}

// contents reads all that can be read by position.
func contents(t *testing.T, b *backend.Backend) map[backend.Position]string {
	t.Helper()
	out := map[backend.Position]string{}
	for from, tries := uint64(1), 0; tries < 10_000; tries++ {
		var failed error
		for r, err := range b.Read(t.Context(), backend.Query{From: from, Kinds: backend.AllKinds}) {
			if failed = err; err == nil {
				out[r.Position] = fmt.Sprintf("%q %d %v %x", r.Stream, r.Version, r.Kind, r.Payload)
				from = uint64(r.Position) + 1
			}
		}
		var corrupt *backend.CorruptError
		if failed == nil {
			return out
		}
		if !errors.As(failed, &corrupt) {
			t.Errorf("reading on after damage: %v", failed)
			return out
		}
		if last, err := b.Last(t.Context()); err != nil || from > uint64(last) {
			return out
		}
		from = max(from, uint64(corrupt.Position)) + 1
	}
	t.Error("reading on after damage does not end")
	return out
}

// TestEachFlippedByteIsNamed flips one bit in each part of a store, and lets the command
// scan it.
func TestEachFlippedByteIsNamed(t *testing.T) {
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed %v", packed), func(t *testing.T) { flipEach(t, build(t, packed), packed) })
	}
}

func flipEach(t *testing.T, whole string, packed bool) {
	if s := scan(t, whole); s.code != 0 {
		t.Fatalf("a healthy store: exit %d: %s", s.code, s.text)
	}
	healthy := contents(t, open(t, whole, readOnly()))
	flips, exits, notices, quarantined := 0, 0, 0, 0
	seen := map[string]bool{}
	for _, p := range places(t, whole, machine.Rounds(1, 4, 60)) {
		dir := filepath.Join(t.TempDir(), "store")
		if err := errors.Join(copyTree(whole, dir), flip(filepath.Join(dir, p.file), p.at)); err != nil {
			t.Fatal(err)
		}
		before := tree(t, dir)
		s := scan(t, dir)
		if tree(t, dir) != before {
			t.Errorf("%s: scan has changed the store", p.file)
		}
		flips++
		seen[p.what] = true
		switch {
		case p.file == "LOCK": // says who holds the store, no more
			continue
		case s.code == 2:
			exits++
		case s.code == 0 && s.names(p, backend.Notice): // no damage: one of two marks, a byte above the end
			notices++
		}
		if s.code != 0 && s.code != 2 || s.code == 2 && !s.names(p, backend.Warning) || s.code == 0 && !s.names(p, backend.Notice) {
			t.Errorf("%s, %s offset %d: exit %d: %s", p.what, p.file, p.at, s.code, s.text)
		}
		if p.what != "any byte" && p.what != "MARK" && s.code != 2 {
			t.Errorf("%s, %s offset %d: exit %d, want 2", p.what, p.file, p.at, s.code)
		}
		if quarantine(t, dir, p, healthy) {
			quarantined++
		}
		_ = os.RemoveAll(dir)
	}
	for _, what := range []string{"payload", "record's head", "segment header", "MANIFEST", "MARK", "group header", "table"} {
		if !seen[what] && what != map[bool]string{false: "table", true: "group header"}[packed] {
			t.Errorf("no byte of a %s was flipped", what)
		}
	}
	t.Logf("attack: flipped bytes (packed %v): %d rounds, %d acknowledged, 0 lost, %d named with exit 2, %d named as a notice, %d quarantined", packed, flips, len(healthy), exits, notices, quarantined)
}

// names reports whether the scan has named a place, with some severity at least.
func (s *scanned) names(p place, severity backend.Severity) bool {
	for _, a := range s.Anomalies {
		if a.File == p.file && (severity == backend.Notice || a.Severity != backend.Notice.String()) &&
			(a.Offset < 0 || a.Offset <= p.at && (a.Length == 0 || p.at < a.Offset+a.Length+8)) {
			return true
		}
	}
	return len(s.Anomalies) == 0 && strings.Contains(s.text, p.file+" offset ") // it does not open
}

// quarantine sets the damage aside, where the engine can: all that could be read still
// can, and the scan is clean.
func quarantine(t *testing.T, dir string, p place, healthy map[backend.Position]string) bool {
	t.Helper()
	o := file.Options{}
	o.Startup.Mode = backend.IgnoreAnomalies
	b, err := file.Open(context.Background(), dir, &o)
	if err != nil {
		if p.file != "MANIFEST" || !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%s, %s offset %d: open: %v", p.what, p.file, p.at, err)
		}
		return false
	}
	defer b.Close()
	before := contents(t, b)
	for at, line := range before {
		if healthy[at] != line {
			t.Errorf("%s, %s offset %d: position %d reads %.80s, was %.80s", p.what, p.file, p.at, at, line, healthy[at])
		}
	}
	if p.what == "payload" && len(before) != len(healthy)-1 {
		t.Errorf("%d of %d records can be read beside a damaged one", len(before), len(healthy))
	}
	if !b.Capabilities().Quarantine {
		return false
	}
	report, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: backend.Quarantine})
	if err != nil || !report.After.Clean() {
		t.Errorf("%s, %s offset %d: quarantine: %v: %+v", p.what, p.file, p.at, err, report)
		return false
	}
	after := contents(t, b)
	for at, line := range before {
		if after[at] != line {
			t.Errorf("%s, %s offset %d: after quarantine position %d reads %.80s, was %.80s", p.what, p.file, p.at, at, after[at], line)
		}
	}
	return true
}

// harms are ways to damage a store.
var harms = map[string]func(dir string, names []string) error{
	"nothing": func(string, []string) error { return nil },
	"a flipped byte": func(dir string, names []string) error {
		name := filepath.Join(dir, names[rand.IntN(len(names))])
		info, err := os.Stat(name)
		if err != nil || info.Size() == 0 {
			return err
		}
		return flip(name, rand.Int64N(info.Size()))
	},
	"a file cut short": func(dir string, names []string) error {
		name := filepath.Join(dir, names[rand.IntN(len(names))])
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		return os.Truncate(name, rand.Int64N(info.Size()+1))
	},
	"a page of zeros": func(dir string, names []string) error {
		f, err := os.OpenFile(filepath.Join(dir, names[rand.IntN(len(names))]), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt(make([]byte, 512), 512*rand.Int64N(16))
		return err
	},
	"bytes added": func(dir string, names []string) error {
		f, err := os.OpenFile(filepath.Join(dir, names[rand.IntN(len(names))]), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString("these bytes do not belong here")
		return err
	},
	"a file missing": func(dir string, names []string) error {
		return os.Remove(filepath.Join(dir, names[rand.IntN(len(names))]))
	},
	"two files swapped": func(dir string, names []string) error {
		a, b := filepath.Join(dir, names[rand.IntN(len(names))]), filepath.Join(dir, names[rand.IntN(len(names))])
		return errors.Join(os.Rename(a, dir+".x"), os.Rename(b, a), os.Rename(dir+".x", b))
	},
	"strange files": func(dir string, _ []string) error {
		strew(dir, 0)
		return os.Mkdir(filepath.Join(dir, "a directory"), 0o700)
	},
}

// TestAScanChangesNothingAndWorksOnAReadOnlyMount scans stores, healthy and damaged, on a
// mount that lets nothing be written.
func TestAScanChangesNothingAndWorksOnAReadOnlyMount(t *testing.T) {
	machine.NeedRoot(t)
	stores := []string{build(t, true), build(t, false)}
	scans, damaged := 0, 0
	for round := range machine.Rounds(2, 4, 60) {
		whole := stores[round%2]
		for what, harm := range harms {
			dir := filepath.Join(t.TempDir(), "store")
			if err := copyTree(whole, dir); err != nil {
				t.Fatal(err)
			}
			if err := harm(dir, files(t, dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("%s: %v", what, err)
			}
			before := tree(t, dir)
			mount := readOnlyMount(t, dir)
			if round%2 == 0 {
				if s := scan(t, mount); s.code != 0 && s.code != 2 && !(s.code <= 3 && strings.Contains(s.text, "MANIFEST")) {
					t.Errorf("%s: exit %d: %s", what, s.code, s.text)
				}
			}
			o := readOnly()
			o.Startup.Mode, o.Startup.Full = backend.ScanOnly, true
			b, err := file.Open(context.Background(), mount, o)
			switch {
			case err == nil:
				if report, err := b.Scan(t.Context(), nil); err != nil || !report.Clean() {
					damaged++
				}
				contents(t, b)
				for _, mode := range []backend.RecoveryMode{backend.Repair, backend.Ignore} {
					if _, err := b.Recover(t.Context(), backend.RecoveryOptions{Mode: mode, DryRun: true}); err != nil {
						t.Errorf("%s: a dry run: %v", what, err)
					}
				}
				mustClose(t, b)
			case errors.Is(err, backend.ErrCorrupt) || errors.Is(err, backend.ErrFormat):
				damaged++
			default:
				t.Errorf("%s: %v", what, err)
			}
			machine.Unmount(t, mount)
			if tree(t, dir) != before {
				t.Errorf("%s: something has changed", what)
			}
			scans++
			_ = os.RemoveAll(dir)
		}
	}
	t.Logf("attack: scans of a read-only mount: %d rounds, 0 acknowledged, 0 lost, %d of them damaged, %d ways", scans, damaged, len(harms))
}

// readOnlyMount shows a directory at another place, where nothing can be written.
func readOnlyMount(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "mount")
	err := os.Mkdir(to, 0o700)
	if err == nil {
		err = syscall.Mount(dir, to, "", syscall.MS_BIND, "")
	}
	if err == nil {
		t.Cleanup(func() { _ = syscall.Unmount(to, syscall.MNT_DETACH) })
		err = syscall.Mount("", to, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	}
	if err != nil {
		t.Fatalf("mount read-only: %v", err)
	}
	return to
}
