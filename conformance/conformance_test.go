package conformance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/conformance"
)

func TestTheTableIsWellFormed(t *testing.T) {
	seen := map[conformance.ID]bool{}
	rules := conformance.Rules()
	for _, r := range rules {
		if seen[r.ID] || r.Name == "" || !strings.HasSuffix(r.Sentence, ".") || r.Check == nil || r.Since == "" {
			t.Errorf("%s is incomplete, or stands twice", r.ID)
		}
		seen[r.ID] = true
		if slices.Contains(conformance.Blocks(r.ID), r.ID) {
			t.Errorf("%s requires itself", r.ID)
		}
	}
	for _, r := range rules {
		for _, id := range r.Requires {
			if !seen[id] {
				t.Errorf("%s requires %s, which is not there", r.ID, id)
			}
		}
		if n := fmt.Sprint(r.ID.Group(), "-"); !strings.HasPrefix(string(r.ID), n) {
			t.Errorf("%s is not in its group", r.ID)
		}
	}
	for _, g := range conformance.Groups() {
		for _, r := range g.Rules {
			if r.ID.Group() != g.Name {
				t.Errorf("%s stands in group %s", r.ID, g.Name)
			}
		}
	}
}
