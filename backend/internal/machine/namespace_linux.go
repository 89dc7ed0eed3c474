package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
)

const namespaceEnv = "PAPYRA_NAMESPACE" // set: there is a mount namespace of our own

// InOwnNamespace, as the first thing in TestMain, runs this program again as root in a mount
// namespace of its own, which takes all mounts with it when the last process in it ends. It
// returns in there, and where there is none to be had.
func InOwnNamespace() {
	if os.Getenv(namespaceEnv) != "" || os.Geteuid() != 0 {
		return
	}
	if code, ok := again(); ok {
		os.Exit(code)
	}
}

func again() (code int, ok bool) {
	runtime.LockOSThread() // the death signal comes when the thread ends
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), namespaceEnv+"=own")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "no mount namespace:", err)
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
	fmt.Fprintln(os.Stderr, os.Args[0]+":", err)
	return 1, true
}

// NeedRoot skips tests that mount.
func NeedRoot(t *testing.T) {
	t.Helper()
	if why := noRoot(); why != "" {
		Lacking(t, "root", why)
	}
}

// NeedRootInCI is NeedRoot for tests that fail where CI=true, too.
func NeedRootInCI(t *testing.T) {
	t.Helper()
	if why := noRoot(); why != "" {
		LackingInCI(t, "root", why)
	}
}

// noRoot is why nothing can be mounted.
func noRoot() string {
	switch {
	case os.Geteuid() != 0:
		return "only root can mount"
	case os.Getenv(namespaceEnv) != "own":
		return "there is no mount namespace to be had: the container lacks CAP_SYS_ADMIN"
	}
	return ""
}
