package main

import (
	"io"
	"os"
	"strings"

	"github.com/papyra-go/papyra/backend"
	"golang.org/x/term"
)

// What --color can say.
const (
	colorAuto   = "auto"
	colorAlways = "always"
	colorNever  = "never"
)

var colorModes = []string{colorAuto, colorAlways, colorNever}

// wantsColor reports whether to use colours: in mode auto on a terminal that can show
// them, unless NO_COLOR (see no-color.org) is set to anything.
func wantsColor(mode string, terminal bool, getenv func(string) string) bool {
	if mode == colorAuto {
		return terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	}
	return mode == colorAlways
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// The colours, as the parameters of "select graphic rendition" (ECMA-48, 8.3.117): those
// of the terminal's own palette, which its owner has made readable.
const (
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// tones are the colours of words that judge: severities, and the statuses of a check.
var tones = map[string]string{
	statusOK: green, statusNote: dim, statusUnknown: dim, statusWarning: yellow, statusProblem: red,
	"notice": dim, "damage": red,
}

// paint is text in a colour, if there are colours. The text must be printable, and of
// its full width: a terminal does not see what paint adds, but a tabulator does.
func (a *app) paint(color, text string) string {
	if !a.colored || color == "" || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// judged is text in the colour of a severity or status.
func (a *app) judged(word, text string) string { return a.paint(tones[word], text) }

// finding is an anomaly as a line, its severity in its colour.
func (a *app) finding(f backend.Anomaly) string {
	word, line := f.Severity.String(), printable(f.String())
	return a.judged(word, word) + strings.TrimPrefix(line, word)
}
