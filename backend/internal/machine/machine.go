// Package machine is what tests do to the machine that they run on: file systems of their
// own that are small, read-only, or lose their power (FS_IOC_SHUTDOWN on ext4 over a loop
// device), in a mount namespace that takes all of it along when the test ends, however it
// ends. Only tests import it.
//
// What needs root, loop devices or mounts is skipped with its reason, or fails where
// PAPYRA_REQUIRE names it (PAPYRA_REQUIRE=root). PAPYRA_LONG=1 asks for the long forms.
//
// Where to read next: volume_linux.go, namespace_linux.go.
package machine

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// What the environment says.
const (
	LongEnv    = "PAPYRA_LONG"    // set: the long forms
	RequireEnv = "PAPYRA_REQUIRE" // what tests must not be skipped for, separated by commas
)

// Long reports whether the long forms are asked for.
func Long() bool { return os.Getenv(LongEnv) != "" }

// Rounds is how often to do something: under -short, on every change, or in the long form.
func Rounds(short, normal, long int) int {
	switch {
	case Long():
		return long
	case testing.Short():
		return short
	}
	return normal
}

// Lacking skips the test, loudly, or fails it where what it needs is required.
func Lacking(t *testing.T, what, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv(RequireEnv), ","), what) {
		t.Fatalf("%s=%s, but: %s", RequireEnv, os.Getenv(RequireEnv), why)
	}
	t.Skipf("SKIPPED, and so nothing was tested (needs %s): %s", what, why)
}

// LackingInCI is Lacking for what every run of CI has: it fails where CI=true, too.
func LackingInCI(t *testing.T, what, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true asks for %s, but: %s", what, why)
	}
	Lacking(t, what, why)
}
