package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Whatever comes out of a store may be hostile to a terminal: names, types, meta,
// payloads. Nothing unprintable leaves this program but in an export that asked
// for bytes, and there it is base64.

// printable is s with every character that does not print as itself, line ends
// too, as an escape.
func printable(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 && utf8.ValidString(s) {
		return s
	}
	q := quoted(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// unprintable reports whether r does not print as itself: a control or format
// character, a space that is none, or one that nobody sees.
func unprintable(r rune) bool { return !strconv.IsPrint(r) || invisible(r) }

// invisible reports whether r counts as printable and yet leaves no ink: fillers,
// joiners, selectors of variants, the blank pattern of Braille.
func invisible(r rune) bool {
	return r > 0x300 && (r == 0x2800 || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector))
}

// quoted is s in quotes, in the manner of %q, with everything unprintable as an escape.
func quoted(s string) string {
	q := strconv.Quote(s)
	if strings.IndexFunc(q, invisible) < 0 {
		return q
	}
	var b strings.Builder
	for _, r := range q {
		switch {
		case !invisible(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// show is a name as it stands where that is unmistakable, else in quotes.
func show(name string) string {
	odd := func(r rune) bool { return r == ' ' || r == '"' || r == '\\' || unprintable(r) }
	if name == "" || strings.IndexFunc(name, odd) >= 0 || !utf8.ValidString(name) {
		return quoted(name)
	}
	return name
}

// value is what a flag was given, for a message: like show, but that of a URL no password
// is shown.
func value(v string) string {
	if strings.Contains(v, "://") {
		return given(v)
	}
	return show(v)
}

// given is an argument for a message. One that is a URL may be a store's, and hold a
// password.
func given(arg string) string {
	if !strings.Contains(arg, "://") {
		return quoted(arg)
	}
	u, err := url.Parse(arg)
	if err != nil {
		return "a URL"
	}
	return quoted(place{u}.String())
}

// shellWord is s as one word of a shell's command line: a URL's path may hold what a
// shell takes for its own.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:%+,@=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// clip is at most limit bytes of s, cut between characters.
func clip(s string, limit int) (short string, cut bool) {
	if len(s) <= limit {
		return s, false
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit], true
}
