package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// What startup-check says is compared with what an application meets, for each kind of
// damage, each mode and each depth.
func TestAStartupCheckSaysWhatAnApplicationMeets(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "store")
	packedStore(t, whole)
	refused := 0
	for _, c := range kindsOfDamage(t, whole) {
		t.Run(c.what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			copyDir(t, whole, dir)
			c.do(t, dir)
			before := hashTree(t, dir)
			for _, full := range []string{"false", "true"} {
				url := "file://" + filepath.ToSlash(dir) + "?startup-full=" + full
				if slices.Contains(c.advice, adviseRestore) {
					command(t, exitAnomalies, "startup-check", "--store", url)
					continue
				}
				for mode, starts := range startupsOf(t, url) {
					copied := filepath.Join(t.TempDir(), "store")
					copyDir(t, dir, copied)
					b, err := backend.Open(t.Context(), "file://"+filepath.ToSlash(copied)+"?startup="+mode+"&startup-full="+full)
					if err == nil {
						err = b.Close()
					} else if !errors.Is(err, backend.ErrCorrupt) {
						t.Error(err)
					}
					if starts != (err == nil) {
						t.Errorf("mode %s, full %s: startup-check says %v, an application meets %v", mode, full, starts, err)
					}
					if err != nil {
						refused++
					}
					code := exitAnomalies
					if starts {
						code = exitOK
					}
					command(t, code, "startup-check", "--mode", mode, "--store", url)
				}
			}
			if after := hashTree(t, dir); after != before {
				t.Errorf("startup-check has changed the store:\n%s\n%s", before, after)
			}
		})
	}
	if refused < 30 {
		t.Errorf("only %d starts were refused: the test tests little", refused)
	}
}

// startupsOf is what startup-check says of each mode.
func startupsOf(t *testing.T, url string) map[string]bool {
	t.Helper()
	var out, stderr bytes.Buffer
	code := run(t.Context(), []string{"startup-check", "--format", "json", "--store", url}, &out, &stderr)
	var modes struct {
		Starts bool
		Modes  []startMode
	}
	if err := json.Unmarshal(out.Bytes(), &modes); err != nil || len(modes.Modes) != 4 || modes.Starts != (code == exitOK) {
		t.Fatalf("exit code %d: %v\n%s%s", code, err, out.String(), stderr.String())
	}
	said := map[string]bool{}
	for _, m := range modes.Modes {
		said[m.Mode] = m.Starts
	}
	return said
}

// For each kind of damage: a dry run changes nothing and says what will be done, the
// recovery leaves what the dry run has said, and running it again does nothing.
func TestARecoveryDoesWhatItsDryRunSays(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "store")
	packedStore(t, whole)
	for _, c := range kindsOfDamage(t, whole) {
		for _, mode := range []string{"ignore", "repair", "quarantine"} {
			t.Run(c.what+", "+mode, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "store")
				copyDir(t, whole, dir)
				c.do(t, dir)
				before := hashTree(t, dir)
				if slices.Contains(c.advice, adviseRestore) {
					command(t, exitAnomalies, "recover", "--yes", "--mode", mode, "--store", "file://"+dir)
					if after := hashTree(t, dir); after != before {
						t.Errorf("a store that does not open was changed:\n%s\n%s", before, after)
					}
					return
				}
				code, plan := recovered(t, dir, "--dry-run", "--mode", mode)
				if (code == exitOK) != plan.Before.Clean() || plan.After != nil && mode != "ignore" {
					t.Errorf("the dry run: exit code %d, before %+v", code, plan.Before)
				}
				if after := hashTree(t, dir); after != before {
					t.Errorf("a dry run has changed the store:\n%s\n%s", before, after)
				}
				left, _ := remains(plan.Before, actionsOf(plan))
				code, done := recovered(t, dir, "--yes", "--mode", mode)
				if mode == "ignore" {
					left = slices.DeleteFunc(slices.Clone(plan.Before.Anomalies), func(a backend.Anomaly) bool { return a.Severity == backend.Notice })
					if after := hashTree(t, dir); after != before {
						t.Errorf("ignore has changed the store:\n%s\n%s", before, after)
					}
				}
				if got, want := wordsOf(done), wordsOf(plan); !slices.Equal(got, want) {
					t.Errorf("done\n%q\nplanned\n%q", got, want)
				}
				if done.Clean != (len(left) == 0) || done.Clean != (code == exitOK) {
					t.Errorf("exit code %d, clean %v, but %d should be left: %v", code, done.Clean, len(left), left)
				}
				if code, _, said := scanned(t, dir); done.Clean != (code == exitOK) {
					t.Errorf("scan exits with %d afterwards: %s", code, said)
				}
				saved := 0
				for _, act := range done.Actions {
					if act.Saved != "" {
						saved++
					}
				}
				if (saved > 0) != (len(done.Saved) > 0) {
					t.Errorf("%d steps save bytes, and %d files are there: %v", saved, len(done.Saved), done.Saved)
				}
				if _, again := recovered(t, dir, "--yes", "--mode", mode); len(again.Actions) > 0 {
					t.Errorf("run again it does %+v", again.Actions)
				}
			})
		}
	}
}

// recovered runs papyra recover.
func recovered(t *testing.T, dir string, args ...string) (code int, shape recoverShape) {
	t.Helper()
	var out, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"recover", "--format", "json", "--store", "file://" + filepath.ToSlash(dir)}, args...), &out, &stderr)
	var said struct {
		Clean         bool
		Before, After *reportShape
		Actions       []recoverAction
		Saved         []quarantined
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatalf("exit code %d: %v: %s%s", code, err, out.String(), stderr.String())
	}
	shape = recoverShape{Clean: said.Clean, Before: said.Before.report(), After: said.After.report(), Actions: said.Actions, Saved: said.Saved}
	return code, shape
}

// reportShape is a scan's report in a document.
type reportShape struct {
	Anomalies                  []anomalyShape
	Notices, Warnings, Damages int
}

func (s *reportShape) report() *backend.ScanReport {
	if s == nil {
		return nil
	}
	r := &backend.ScanReport{Notices: s.Notices, Warnings: s.Warnings, Damages: s.Damages}
	for _, a := range s.Anomalies {
		r.Anomalies = append(r.Anomalies, a.anomaly())
	}
	return r
}

func actionsOf(s recoverShape) (list []backend.RecoveryAction) {
	for _, act := range s.Actions {
		list = append(list, act.RecoveryAction)
	}
	return list
}

// wordsOf are the steps, each in a line, in the order of the lines.
func wordsOf(s recoverShape) (list []string) {
	for _, act := range s.Actions {
		act.Opening = false
		list = append(list, actionLine(&act))
	}
	slices.Sort(list)
	return list
}

// anomaly is the finding that was printed.
func (a *anomalyShape) anomaly() backend.Anomaly {
	severity := backend.Damage
	for s := backend.Notice; s < backend.Damage; s++ {
		if s.String() == a.Severity {
			severity = s
		}
	}
	return backend.Anomaly{Code: a.Code, Severity: severity, File: a.File, Offset: a.Offset, Length: a.Length, Stream: a.Stream, Version: a.Version, Position: a.Position}
}
