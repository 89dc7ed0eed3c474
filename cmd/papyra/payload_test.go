package main

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func FuzzNothingUnprintableIsShown(f *testing.F) {
	f.Add("\x1b]0;x\a", 10)
	f.Add(`{"a":"`+"\u009b"+`"}`, 0)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(0, limit%1000)
		for _, shown := range []string{preview([]byte(s), limit), printable(s), show(s)} {
			if bad := strings.IndexFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }); bad >= 0 || !utf8.ValidString(shown) {
				t.Errorf("%q is shown as %q", s, shown)
			}
		}
		if limit > 20 && len(preview([]byte(s), limit)) > 10*limit+40 {
			t.Errorf("preview of at most %d is %d bytes", limit, len(preview([]byte(s), limit)))
		}
	})
}

func TestLockLinesAreRead(t *testing.T) {
	for _, c := range []struct {
		line string
		pid  int
		held bool
	}{
		{"1: FLOCK  ADVISORY  WRITE 4711 fd:01:131 0 EOF", 4711, true},
		{"1: FLOCK  ADVISORY  WRITE 4711 fd:01:1310 0 EOF", 0, false},
		{"1: -> FLOCK  ADVISORY  WRITE 4712 fd:01:131 0 EOF", 0, false},
		{"2: OFDLCK ADVISORY  WRITE -1 fd:01:131 0 EOF", -1, true},
		{"3: FLOCK  ADVISORY  WRITE 0 fd:01:131 0 EOF", -1, true},
		{"", 0, false},
	} {
		if pid, held := heldBy(c.line, 131); pid != c.pid || held != c.held {
			t.Errorf("%q: process %d, held %v; want %d, %v", c.line, pid, held, c.pid, c.held)
		}
	}
}
