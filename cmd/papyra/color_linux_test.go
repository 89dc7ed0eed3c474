package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal: what a program writes to screen comes out of view.
func terminal(t *testing.T) (view, screen *os.File) {
	t.Helper()
	view, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("this machine has no pseudo-terminals, and CI needs them: %v", err)
		}
		t.Skipf("SKIPPED: this machine has no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { view.Close() })
	fd := int(view.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return view, screen
}

func TestATerminalGetsColoursUnlessNO_COLOR(t *testing.T) {
	t.Setenv("TERM", "xterm")
	for _, off := range []string{"", "1"} {
		t.Setenv("NO_COLOR", off)
		view, screen := terminal(t)
		if code := run(t.Context(), strings.Fields("inspect streams --limit 1 --store fixture://plain"), screen, screen); code != exitOK {
			t.Fatalf("exit code %d", code)
		}
		buf := make([]byte, 4096)
		n, err := view.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if colored := strings.Contains(string(buf[:n]), "\x1b["); colored != (off == "") {
			t.Errorf("NO_COLOR=%q: %q", off, buf[:n])
		}
	}
}
