package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Pin counts only the rules that were there in that version of the suite, such as
// "0.2", or "all". Newer ones are provisional: judged and reported, but without a say
// in the conclusion, unless with [Strict]. Default: the version before this one, so
// that rules that are new in it redden nobody's build on the day of an upgrade.
func Pin(version string) Option { return func(s *settings) { s.counted = version } }

// Waiver is a failure that is known and borne for a while.
type Waiver struct {
	ID     ID        `json:"-"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"` // the failure counts from then on
}

// Waive bears with the failure of one rule until a day. The reason stands in every
// report. A waived rule is not a rule that passed: what requires it is blocked, and
// the report is incomplete.
func Waive(id ID, reason string, until time.Time) Option {
	return func(s *settings) { s.waivers = append(s.waivers, Waiver{id, reason, until}) }
}

func (w *Waiver) expired(now time.Time) bool { return !now.Before(w.Until) }

// text says what the waiver means for the verdict.
func (w *Waiver) text(v Verdict) string {
	day := w.Until.Format(time.DateOnly)
	switch v {
	case Waived:
		return fmt.Sprintf("waived until %s: %s", day, w.Reason)
	case Fail:
		return fmt.Sprintf("the waiver ended %s: %s", day, w.Reason)
	}
	return fmt.Sprintf("the waiver until %s can go: %s", day, w.Reason)
}

// checkStability refuses pins and waivers that mean nothing.
func (s *settings) checkStability(rules []Rule) error {
	if s.counted == "" {
		s.counted = before(Version)
	}
	if s.counted == "all" {
		s.counted = Version
	}
	if _, _, ok := versionNumbers(s.counted); !ok || newer(s.counted, Version) {
		return fmt.Errorf("conformance: pin %q: want a version up to %s, or all", s.counted, Version)
	}
	for i := range s.waivers {
		w := &s.waivers[i]
		switch {
		case !slices.ContainsFunc(rules, func(r Rule) bool { return r.ID == w.ID }):
			return fmt.Errorf("conformance: waiver: no rule %q", w.ID)
		case strings.TrimSpace(w.Reason) == "":
			return fmt.Errorf("conformance: waiver of %s: say the reason", w.ID)
		case w.Until.IsZero():
			return fmt.Errorf("conformance: waiver of %s: say until when", w.ID)
		}
	}
	return nil
}

// waive applies the waiver of the rule to its result.
func (s *settings) waive(res *Result) {
	i := slices.IndexFunc(s.waivers, func(w Waiver) bool { return w.ID == res.ID })
	if i < 0 {
		return
	}
	res.Waiver = &s.waivers[i]
	if res.Verdict == Fail && !res.Waiver.expired(time.Now()) {
		res.Verdict = Waived
	}
}

// versionNumbers parses "0.3".
func versionNumbers(v string) (major, minor int, ok bool) {
	one, two, found := strings.Cut(v, ".")
	major, err1 := strconv.Atoi(one)
	minor, err2 := strconv.Atoi(two)
	return major, minor, found && err1 == nil && err2 == nil && major >= 0 && minor >= 0
}

// newer reports whether version a is newer than b.
func newer(a, b string) bool {
	a1, a2, _ := versionNumbers(a)
	b1, b2, _ := versionNumbers(b)
	return a1 > b1 || a1 == b1 && a2 > b2
}

// before is the minor version before v; v itself where it begins a major one.
func before(v string) string {
	major, minor, _ := versionNumbers(v)
	return fmt.Sprintf("%d.%d", major, max(minor-1, 0))
}
