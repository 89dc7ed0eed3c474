package conformance

import (
	"fmt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/metrics"
)

func claimGroup() Group {
	return Group{"CLAIM", "Capabilities, both ways: what is claimed is done, and what is not claimed is refused.", []Rule{
		{ID: "CLAIM-01", Name: "what is not claimed is ErrUnsupported", Requires: needs(intact, []ID{"APPEND-22", "METRIC-05"}), Since: "0.2",
			Sentence: "Repair, quarantine and compaction that Capabilities does not claim answer ErrUnsupported, change nothing, and count one error each.",
			Check:    claim01},
		{ID: "CLAIM-02", Name: "what is claimed is done", Requires: needs(intact, []ID{"APPEND-22", "METRIC-05", "READ-13"}), Since: "0.2",
			Sentence: "Repair and quarantine that Capabilities claims succeed on a healthy store and leave it clean, and a compaction with an empty cut succeeds; what can be read stays as it is, and appends go on.",
			Check:    claim02},
		{ID: "CLAIM-03", Name: "what a backend says of itself stays", Requires: needs(intact, []ID{"OPEN-14"}), Since: "0.4",
			Sentence: "Capabilities, limits and the engine's name are the same whatever is stored, and after opening again.",
			Check:    claim03},
	}}
}

// claim is one thing that an engine may claim.
type claim struct {
	name    string
	claimed bool
	refusal metrics.Snapshot // what it counts where it is refused
	do      func() error
}

// claims returns what an engine may claim, judged on s.
func (c *Case) claims(s Subject) []claim {
	recovery := func(mode backend.RecoveryMode, dry bool) func() error {
		return func() error {
			report, err := s.Recover(c.ctx, backend.RecoveryOptions{Mode: mode, DryRun: dry})
			switch {
			case err != nil:
				return err
			case report == nil || !report.Before.Clean() || !dry && !report.After.Clean():
				return fmt.Errorf("not clean: %+v", report)
			}
			return nil
		}
	}
	can := s.Capabilities()
	refused := metrics.Snapshot{RecoverErrors: 1}
	return []claim{
		{"a repair, dry", can.Repair, refused, recovery(backend.Repair, true)},
		{"a repair", can.Repair, refused, recovery(backend.Repair, false)},
		{"a quarantine, dry", can.Quarantine, refused, recovery(backend.Quarantine, true)},
		{"a quarantine", can.Quarantine, refused, recovery(backend.Quarantine, false)},
		{"a compaction", can.Compact, metrics.Snapshot{CompactErrors: 1}, func() error { _, err := s.Compact(c.ctx, backend.Cut{}); return err }},
	}
}

func claim01(c *Case) {
	s := c.open()
	before := c.furnish(s)
	judged := 0
	for _, claim := range c.claims(s) {
		if claim.claimed {
			continue
		}
		judged++
		c.counts(s, claim.name+" that is not claimed", claim.refusal, func() {
			c.wantError(claim.name+" that is not claimed", claim.do(), backend.ErrUnsupported)
		})
		c.unchanged(s, before)
	}
	if judged == 0 {
		c.unsupported("the engine claims all there is to claim")
	}
	c.put(s, expecting("a", 5, 1))
}

func claim02(c *Case) {
	s := c.open()
	before := c.furnish(s)
	judged := 0
	for _, claim := range c.claims(s) {
		if !claim.claimed {
			continue
		}
		judged++
		c.noError(claim.name+" of a healthy store", claim.do())
		c.unchanged(s, before)
		report, err := s.Scan(c.ctx, nil)
		c.noError("Scan", err)
		c.check(report.Clean(), "a clean store", "after %s: %v", claim.name, report.Anomalies)
	}
	if judged == 0 {
		c.unsupported("the engine claims neither repair nor quarantine nor compaction")
	}
	c.put(s, expecting("a", 5, 1))
}

func claim03(c *Case) {
	s := c.open()
	says := func(s Subject) string { return fmt.Sprintf("%+v %+v %q", s.Capabilities(), s.Limits(), s.Engine()) }
	want := says(s)
	same := func(when string, s Subject) { c.check(says(s) == want, want, "%s: %s", when, says(s)) }
	c.furnish(s)
	same("after writing", s)
	c.noError("Reopen", s.Reopen(c.ctx))
	same("after Reopen", s)
	c.close(s)
	same("after Close", s)
	same("opened again", c.open())
}
