package main

import (
	"testing"
	"time"
)

func TestMomentsAreReadInEveryForm(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 10, time.FixedZone("east", 3600))
	for text, want := range map[string]string{
		"2026-01-02T03:04:05Z":           "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.000000006Z": "2026-01-02T03:04:05.000000006Z",
		"2026-01-02T03:04:05+02:00":      "2026-01-02T01:04:05Z",
		"2026-01-02T03:04:05":            "2026-01-02T03:04:05Z",
		"2026-01-02 03:04:05.5":          "2026-01-02T03:04:05.5Z",
		"2026-01-02T03:04":               "2026-01-02T03:04:00Z",
		"2026-01-02 03:04":               "2026-01-02T03:04:00Z",
		"2026-01-02":                     "2026-01-02T00:00:00Z",
		"90m":                            "2026-05-06T04:38:09.00000001Z",
		"36h":                            "2026-05-04T18:08:09.00000001Z",
		"7d":                             "2026-04-29T06:08:09.00000001Z",
		"1d12h30m":                       "2026-05-04T17:38:09.00000001Z",
		"0s":                             "2026-05-06T06:08:09.00000001Z",
	} {
		got, err := parseMoment(text, now)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %v, %v; want %s", text, got.Format(time.RFC3339Nano), err, want)
		}
	}
	for _, text := range []string{
		"", "x", "yesterday", "now", "2026", "2026-1-2", "2026-13-01", "2026-02-30", "2026-01-02T25:00:00Z", "2026-01-02Z", "1767322245", "-5m", "-1d",
		"5", "d", "1.5d", "1d-1h", "1d1d", "999999d", "105850d2000000h", "99999999999999999999d", "7 d", " 7d", "2026-01-02 ", "1h\x00",
	} {
		if got, err := parseMoment(text, now); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}
