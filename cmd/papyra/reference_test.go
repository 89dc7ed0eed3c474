package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// allCommands are the program's commands, each after the one that it belongs to.
func allCommands() (list []*cobra.Command) {
	root := new(app).rootCommand()
	root.InitDefaultHelpCmd()
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		list = append(list, c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return list
}

const (
	cliPage        = "../../docs/cli.md"
	referenceBegin = "<!-- reference: made from the commands by `UPDATE_SCRIPTS=1 go test -run Reference ./cmd/papyra`; do not edit -->\n"
	referenceEnd   = "<!-- end of the reference -->\n"
)

// reference is what docs/cli.md says of every command: the command's own words.
func reference() string {
	var b strings.Builder
	for _, c := range allCommands() {
		if c.Hidden || c.Name() == "help" {
			continue
		}
		text := c.Long
		if text == "" {
			text = c.Short + "."
		}
		fmt.Fprintf(&b, "\n### %s\n\n```\n%s\n\n%s\n```\n", c.CommandPath(), text, strings.TrimRight(usageOf(c), "\n"))
	}
	return b.String() + "\n"
}

// usageOf is what --help prints below a command's text. The flags that every command has
// stand with the first.
func usageOf(c *cobra.Command) string {
	usage, _, _ := strings.Cut(c.UsageString(), "\nGlobal Flags:")
	usage, _, _ = strings.Cut(usage, "\nUse \"papyra")
	return usage
}

func TestTheCommandReferenceIsCurrent(t *testing.T) {
	page, err := os.ReadFile(cliPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(page), referenceBegin)
	_, after, ended := strings.Cut(rest, referenceEnd)
	if !begun || !ended {
		t.Fatalf("%s has no place for the reference, between\n%s%s", cliPage, referenceBegin, referenceEnd)
	}
	want := before + referenceBegin + reference() + referenceEnd + after
	if os.Getenv("UPDATE_SCRIPTS") == "1" {
		if err := os.WriteFile(cliPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(page) != want {
		t.Errorf("%s does not say what the commands do: UPDATE_SCRIPTS=1 go test -run Reference ./cmd/papyra", cliPage)
	}
}

// The pages are for machines that have man: they must at least be there, one for each
// command, and be the same each time.
func TestManualPagesAreTheSameEachTime(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, dir := range []string{first, second} {
		if code := run(t.Context(), []string{"man", dir}, io.Discard, io.Discard); code != exitOK {
			t.Fatalf("exit code %d", code)
		}
	}
	for _, c := range allCommands() {
		if c.Hidden || c.Name() == "help" {
			continue
		}
		name := "/" + strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		page, err := os.ReadFile(first + name)
		if err != nil {
			t.Error(err)
			continue
		}
		again, err := os.ReadFile(second + name)
		if err != nil || !bytes.Equal(page, again) {
			t.Errorf("%s differs from one time to the next (%v)", name, err)
		}
		if !bytes.Contains(page, []byte(".SH EXAMPLE")) {
			t.Errorf("%s shows no example", name)
		}
	}
}
