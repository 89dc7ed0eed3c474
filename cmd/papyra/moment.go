package main

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// moment is the value of a flag that says when.
type moment struct{ time.Time }

// momentType is what help texts call the value.
const momentType = "time"

// momentForms says which forms there are.
const momentForms = "a time such as 2026-01-02T15:04:05Z, a day such as 2026-01-02 (UTC), or how long ago, such as 90m, 36h or 7d"

// layouts are the forms of a time; all but the first are UTC.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly}

// Set reads a time in any of its forms.
func (m *moment) Set(text string) (err error) {
	m.Time, err = parseMoment(text, time.Now())
	return err
}

func parseMoment(text string, now time.Time) (time.Time, error) {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	ago, err := parseAgo(text)
	if err != nil {
		return time.Time{}, errors.New("want " + momentForms)
	}
	return now.Add(-ago).UTC().Round(0), nil
}

// parseAgo reads a duration, which may begin with days: 7d, 1d12h.
func parseAgo(text string) (ago time.Duration, err error) {
	const most = 290 * 365 // days: a duration holds no more
	if days, rest, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > most {
			return 0, errors.New("not a number of days")
		}
		if ago = time.Duration(n) * 24 * time.Hour; rest == "" {
			return ago, nil
		}
		text = rest
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || ago+d < ago {
		return 0, errors.New("not a duration")
	}
	return ago + d, nil
}

// String is the time, or nothing.
func (m *moment) String() string {
	if m.IsZero() {
		return ""
	}
	return m.Format(time.RFC3339Nano)
}

// Type returns what help texts call the value.
func (m *moment) Type() string { return momentType }
