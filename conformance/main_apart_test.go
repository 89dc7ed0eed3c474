package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
	"github.com/papyra-go/papyra/conformance/selftest"
)

// mainVariable makes this test binary a program that is conformance.Main, over a backend
// that misbehaves in the way that it names.
const mainVariable = "PAPYRA_TEST_MAIN"

func TestMain(m *testing.M) {
	if how, ok := os.LookupEnv(mainVariable); ok {
		conformance.Main(misbehaving{selftest.Reference(), how})
	}
	os.Exit(m.Run())
}

type misbehaving struct {
	conformance.Harness
	how string
}

func (h misbehaving) NewStore(ctx context.Context, env *conformance.Env) (conformance.Store, error) {
	s, err := h.Harness.NewStore(ctx, env)
	return misbehavingStore{s, h.how}, err
}

type misbehavingStore struct {
	conformance.Store
	how string
}

func (s misbehavingStore) Open(ctx context.Context, o backend.Options) (conformance.Subject, error) {
	switch s.how {
	case "exits":
		os.Exit(0)
	case "logs fatally":
		log.Fatal("mine: no")
	case "panics elsewhere":
		go panic("mine: no")
		time.Sleep(time.Minute)
	case "prints":
		fmt.Println("mine: open")
	case "hangs":
		fmt.Fprintln(os.Stderr, "mine: hangs")
		<-ctx.Done()
	}
	return s.Store.Open(ctx, o)
}

// program is conformance.Main in a process.
func program(t *testing.T, how string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), mainVariable+"="+how)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestABackendThatEndsTheProcessIsNoSuccess(t *testing.T) {
	name := filepath.Base(os.Args[0])
	for how, says := range map[string]string{"exits": "(exit status 0)", "logs fatally": "(exit status 1)", "panics elsewhere": "(exit status 2)"} {
		out := filepath.Join(t.TempDir(), "report.json")
		if err := os.WriteFile(out, []byte("of an earlier run"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"-rules", "OPEN-01"}, {"-rules", "OPEN-01", "-format", "json", "-out", out}, {"-rules", "OPEN-01", "-repeat", "2"}} {
			code, stdout, stderr := program(t, how, args...)
			want := name + ": there is no report: the process ended while OPEN-01 was judged " + says
			if code != 1 || stdout != "" || !strings.Contains(stderr, want) {
				t.Errorf("%s %v: exit code %d, out %q, err %q: want 1, nothing, and %q", how, args, code, stdout, stderr, want)
			}
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(out), "*")); err != nil || len(left) > 0 {
			t.Errorf("%s: %q is left: want no file, the old one neither", how, left)
		}
	}
}

func TestWhatABackendPrintsIsNotInTheReport(t *testing.T) {
	code, stdout, stderr := program(t, "prints", "-rules", "OPEN-01", "-format", "json")
	if code != 0 || !strings.HasPrefix(stdout, "{\n") || !strings.HasSuffix(stdout, "}\n") || !strings.Contains(stderr, "mine: open\n") {
		t.Errorf("exit code %d, out %.300q, err %q", code, stdout, stderr)
	}
	out := filepath.Join(t.TempDir(), "report.json")
	code, printed, _ := program(t, "prints", "-rules", "OPEN-01", "-format", "json", "-seed", "1", "-out", out)
	b, err := os.ReadFile(out)
	if code != 0 || printed != "" || err != nil || !strings.HasPrefix(string(b), "{\n") || !strings.HasSuffix(string(b), "}\n") {
		t.Errorf("exit code %d, out %q, %v, file %.300q", code, printed, err, b)
	}
	code, _, stderr = program(t, "prints", "-rules", "OPEN-01", "-out", filepath.Join(t.TempDir(), "none", "report.json"))
	if code != 1 || strings.Contains(stderr, "mine:") || !strings.Contains(stderr, "out: ") {
		t.Errorf("a file in no directory: exit code %d, err %q: want 1, and no rule judged", code, stderr)
	}
}

func TestMainHandsOverWhatWasFound(t *testing.T) {
	if code, stdout, stderr := program(t, "sound", "-rules", "OPEN-01 -profile"); code != 64 || stdout != "" || !strings.Contains(stderr, "no rule matches") {
		t.Errorf("exit code %d, out %q, err %q", code, stdout, stderr)
	}
	if code, stdout, stderr := program(t, "sound", "-rules", "OPEN-01", "-profile", "shared"); code != 2 || !strings.Contains(stdout, "NOT CONFORMANT") || stderr != "" {
		t.Errorf("exit code %d, out %q, err %q", code, stdout, stderr)
	}
	if code, stdout, stderr := program(t, "exits", "-list"); code != 0 || !strings.Contains(stdout, "OCC-02") || stderr != "" {
		t.Errorf("exit code %d, out %.100q, err %q", code, stdout, stderr)
	}
}

// Jobs are processes, whose counts are one.
func TestJobsShareTheRuns(t *testing.T) {
	code, stdout, stderr := program(t, "sound", "-rules", "OPEN-01", "-repeat", "5", "-jobs", "2", "-seed", "7", "-format", "json")
	var f conformance.Flakiness
	err := json.Unmarshal([]byte(stdout), &f)
	if code != 0 || err != nil || f.Runs != 5 || f.Seed != 7 || len(f.Rules) != 1 || f.Rules[0].Verdicts[conformance.Pass] != 5 {
		t.Errorf("exit code %d, %v, err %q: %+v", code, err, stderr, f)
	}
	code, stdout, stderr = program(t, "exits", "-rules", "OPEN-01", "-repeat", "2", "-jobs", "2")
	if code == 0 || stdout != "" || !strings.Contains(stderr, "a job has no counts") {
		t.Errorf("exit code %d, out %q, err %q", code, stdout, stderr)
	}
	for _, args := range [][]string{{"-jobs", "0"}, {"-jobs", "2"}, {"-jobs", "3", "-repeat", "2"}} {
		if code, _, stderr := program(t, "sound", args...); code != 64 || !strings.Contains(stderr, "each with a run") {
			t.Errorf("%v: exit code %d, err %q", args, code, stderr)
		}
	}
}

func TestAProgramThatIsInterruptedSaysSo(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-rules", "OPEN-01")
	cmd.Env = append(os.Environ(), mainVariable+"=hangs")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 1<<10)
	n, _ := stderr.Read(said) // it hangs now
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		var more int
		more, err = stderr.Read(said[n:])
		n += more
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 || !strings.HasSuffix(string(said[:n]), ": interrupted\n") {
		t.Errorf("%v, %q", err, said[:n])
	}
}
