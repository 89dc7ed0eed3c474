package main

import (
	"strconv"
	"strings"
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
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

func unprintable(r rune) bool { return !strconv.IsPrint(r) }

// show is a name as it stands where that is unmistakable, else in quotes.
func show(name string) string {
	odd := func(r rune) bool { return r == ' ' || r == '"' || r == '\\' || unprintable(r) }
	if name == "" || strings.IndexFunc(name, odd) >= 0 || !utf8.ValidString(name) {
		return strconv.Quote(name)
	}
	return name
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
