//go:build linux

package attack_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// What the environment says.
const (
	childEnv     = "PAPYRA_ATTACK_CHILD"     // set: this process is a child, and this is its plan in JSON
	namespaceEnv = "PAPYRA_ATTACK_NAMESPACE" // set: whether there is a mount namespace of our own
	longEnv      = "PAPYRA_LONG"
	requireEnv   = "PAPYRA_REQUIRE"
)

func TestMain(m *testing.M) {
	if plan := os.Getenv(childEnv); plan != "" {
		runChild(plan)
		return
	}
	if os.Getenv(namespaceEnv) == "" && os.Geteuid() == 0 {
		if code, ok := inOwnNamespace(); ok {
			os.Exit(code)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(programDir)
		os.Exit(code)
	}))
}

// inOwnNamespace runs this program again in a mount namespace of its own, which takes all
// mounts with it when the last process in it ends, however it ends. ok is false if
// there is none to be had.
func inOwnNamespace() (code int, ok bool) {
	runtime.LockOSThread() // the death signal comes when the thread ends
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), namespaceEnv+"=own")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "attack: no mount namespace:", err)
		return 0, false
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, true
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode(), true
	}
	fmt.Fprintln(os.Stderr, "attack:", err)
	return 1, true
}

func long() bool { return os.Getenv(longEnv) != "" }

// rounds is how often to do something: under -short, on every change, or in the long form.
func rounds(short, normal, longer int) int {
	switch {
	case long():
		return longer
	case testing.Short():
		return short
	}
	return normal
}

// lacking skips the test, loudly, or fails it where what it needs is required.
func lacking(t *testing.T, what, why string) {
	t.Helper()
	for _, required := range strings.Split(os.Getenv(requireEnv), ",") {
		if required == what {
			t.Fatalf("%s=%s, but: %s", requireEnv, os.Getenv(requireEnv), why)
		}
	}
	t.Skipf("SKIPPED, and so nothing was tested (needs %s): %s", what, why)
}
