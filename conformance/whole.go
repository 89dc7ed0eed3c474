package conformance

import "fmt"

func wholeGroup() Group {
	return Group{"RUN", "What only a whole run shows: judged last.", []Rule{
		{ID: "RUN-01", Name: "claims stay through the run", Requires: []ID{"CLAIM-03"}, Since: "0.4",
			Sentence: "Capabilities and the engine's name are the same of every store, whenever in the run and however it was opened.",
			Check:    run01},
	}}
}

// saying is what a backend says of itself, and the rule on whose store it was said.
type saying struct {
	rule ID
	text string
}

// says is what each subject must say alike. Limits are not in it: options may lower them.
func says(s Subject) string { return fmt.Sprintf("%q: %+v", s.Engine(), s.Capabilities()) }

// hear compares what a subject says with what the first one of the run said.
func (s *session) hear(rule ID, text string) {
	switch {
	case s.first.text == "":
		s.first = saying{rule, text}
	case s.other.text == "" && text != s.first.text:
		s.other = saying{rule, text}
	}
}

func run01(c *Case) {
	c.session.hear(c.rule, says(c.open()))
	if first, other := c.session.first, c.session.other; other.text != "" {
		c.failf(fmt.Sprintf("%s, as first said in %s", first.text, first.rule), "said in %s: %s", other.rule, other.text)
	}
}
