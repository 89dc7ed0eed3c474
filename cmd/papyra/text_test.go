package main

import "testing"

func TestFiguresAreInPlainWords(t *testing.T) {
	for _, c := range []struct {
		stat statShape
		want string
	}{
		{statShape{"segments", "{segment}", 1}, "1 segment"},
		{statShape{"segments", "{segment}", 2}, "2 segments"},
		{statShape{"log_bytes", "By", 4096}, "4096 bytes of log"},
		{statShape{"cache", "By", 1}, "1 byte (cache)"},
		{statShape{"mark_errors", "{error}", 3}, "3 errors (mark errors)"},
		{statShape{"lag", "ms", 7}, "7 ms (lag)"},
		{statShape{"weight", "", 7}, "7 (weight)"},
	} {
		if got := c.stat.text(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.stat, got, c.want)
		}
	}
}

func TestAPlaceIsOneWordForAShell(t *testing.T) {
	for s, want := range map[string]string{
		"file:///var/lib/app":  "file:///var/lib/app",
		"file:///with%20space": "file:///with%20space",
		"file:///a;b&c":        "'file:///a;b&c'",
		"file:///ada's":        `'file:///ada'\''s'`,
		"file:///$HOME":        "'file:///$HOME'",
		"":                     "''",
	} {
		if got := shellWord(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}
