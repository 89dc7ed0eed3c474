//go:build linux || darwin || freebsd

package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The pipe stands for every file that is no regular one: the test must never have a
// device of the machine to lose.
func TestWhatIsNoRegularFileIsWrittenToAndNotReplaced(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0) // does not wait for a writer
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	err = replaceFile(pipe, func(w io.Writer) error {
		_, err := io.WriteString(w, "line\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(pipe)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Type() != fs.ModeNamedPipe {
		t.Fatalf("the pipe became %v", info.Mode())
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(reader, got); err != nil || string(got) != "line\n" {
		t.Errorf("read %q, %v", got, err)
	}
}
