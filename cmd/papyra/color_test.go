package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"unicode"
)

func TestColoursAreForTerminals(t *testing.T) {
	for _, c := range []struct {
		mode     string
		terminal bool
		env      map[string]string
		want     bool
	}{
		{colorAuto, true, nil, true},
		{colorAuto, false, nil, false},
		{colorAuto, true, map[string]string{"NO_COLOR": "1"}, false},
		{colorAuto, true, map[string]string{"NO_COLOR": ""}, true}, // as no-color.org says
		{colorAuto, true, map[string]string{"TERM": "dumb"}, false},
		{colorAlways, false, map[string]string{"NO_COLOR": "1"}, true},
		{colorNever, true, nil, false},
	} {
		if got := wantsColor(c.mode, c.terminal, func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%s, terminal %v, %v: %v", c.mode, c.terminal, c.env, got)
		}
	}
}

func TestAColourEndsWhereItsTextEnds(t *testing.T) {
	a := &app{colored: true}
	if got := a.judged("damage", "gone"); got != "\x1b[31mgone\x1b[0m" {
		t.Errorf("%q", got)
	}
	if got := a.judged("a word without a colour", "x") + a.paint(red, ""); got != "x" {
		t.Errorf("%q", got)
	}
	if a.colored = false; a.paint(red, "x") != "x" {
		t.Error("colours where there are none")
	}
}

// Nothing of a store reaches a terminal as it is unless it prints and can be seen.
func TestWhatCanNotBeSeenIsEscapedEverywhere(t *testing.T) {
	bad := func(r rune) bool { return r != '\n' && (unprintable(r) || unicode.Is(unicode.Cf, r)) }
	for _, r := range unseen {
		if !bad(r) {
			t.Errorf("%U counts as visible", r)
		}
	}
	for _, args := range []string{
		"inspect summary", "inspect streams", "inspect events", "inspect events --payload", "inspect snapshots", "inspect lifecycle", "inspect stats",
		"inspect record 8", "inspect record 9", "inspect record 9 --as text", "inspect record 8 --as hex", "inspect record 8 --as json", "scan", "doctor",
	} {
		for _, format := range []string{formatText, formatJSON} {
			var out bytes.Buffer
			run(t.Context(), append(strings.Fields(args), "--format", format, "--store", "fixture://unseen"), &out, io.Discard)
			if out.Len() == 0 {
				t.Errorf("%s --format %s printed nothing", args, format)
			}
			if i := strings.IndexFunc(out.String(), bad); i >= 0 {
				t.Errorf("%s --format %s prints %+q", args, format, out.String()[i:min(i+20, out.Len())])
			}
		}
	}
	var stderr strings.Builder
	run(t.Context(), []string{"inspect", "record", "none" + unseen, "1", "--store", "fixture://unseen"}, io.Discard, &stderr)
	if strings.IndexFunc(stderr.String(), bad) >= 0 || !strings.Contains(stderr.String(), "none") {
		t.Errorf("an error says %+q", stderr.String())
	}
}

func TestStandardOutputIsATerminalOrNot(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if isTerminal(f) || isTerminal(io.Discard) {
		t.Error("a file is taken for a terminal")
	}
}
