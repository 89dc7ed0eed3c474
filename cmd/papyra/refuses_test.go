package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// refuses is the script command "refuses CODE MESSAGE program argument...": the program
// ends with exactly that code, says exactly that on standard error, in one line after
// "papyra: ", and nothing on standard output. In the message $WORK is the script's
// directory, and $LONG a name of 513 bytes, as they are in its arguments.
func refuses(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: refuses CODE MESSAGE program argument...")
	}
	got := codeOf(ts.Exec(args[2], args[3:]...))
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%v: exit code %d, want %s", args[2:], got, args[0])
	}
	want := "papyra: " + strings.ReplaceAll(args[1], "$WORK", ts.Getenv("WORK")) + "\n"
	if said := ts.ReadFile("stderr"); said != want {
		ts.Fatalf("%v says\n%swant\n%s", args[2:], said, want)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("%v printed %q", args[2:], out)
	}
	if said := ts.ReadFile("stderr"); strings.Contains(said, "hunter") {
		ts.Fatalf("%v gives a password away", args[2:])
	}
}

// A command line's arguments hold no NUL bytes when a system starts a program; whoever
// gets them here all the same gets an error like any other.
func TestNULBytesAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"inspect", "stream", "a\x00b"},
		{"inspect", "record", "a\x00b", "1"},
		{"inspect", "record", "1\x00"},
		{"inspect", "events", "--prefix", "a\x00"},
		{"inspect", "streams", "--prefix", "a\x00"},
		{"inspect", "events", "--type", "a\x00"},
		{"inspect", "events", "--kind", "event\x00"},
		{"inspect", "events", "--since", "1d\x00"},
		{"sc\x00an"},
	} {
		var stderr strings.Builder
		code := run(t.Context(), append(args, "--store", "fixture://plain"), io.Discard, &stderr)
		if said := stderr.String(); code != exitUsage || strings.ContainsRune(said, 0) || strings.Count(said, "\n") != 1 {
			t.Errorf("%q: exit code %d, says %q", args, code, said)
		}
	}
	var stderr strings.Builder
	if code := run(t.Context(), []string{"scan", "--store", "fixture://plain\x00"}, io.Discard, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "can't be parsed") {
		t.Errorf("a URL with NUL: exit code %d, says %q", code, stderr.String())
	}
}

// TestAtLeastFortyWrongUsagesArePinned keeps the script from shrinking.
func TestAtLeastFortyWrongUsagesArePinned(t *testing.T) {
	script, err := os.ReadFile("testdata/script/refuses.txt")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(script), "\nrefuses ") + strings.Count(string(script), "] refuses "); n < 40 {
		t.Errorf("%d wrong usages are pinned, want 40 at least", n)
	}
}
