package actorsys

import (
	"errors"
	"testing"

	"github.com/papyra-go/papyra/backend/memory"
)

// The moment between looking an actor up and posting to it can't be met from outside.
func TestAMessageForAnActorThatLeftMeanwhileLooksItUpAgain(t *testing.T) {
	b, err := memory.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sys, err := Start(t.Context(), Config{Backend: b, Facts: FactsNone})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Shutdown(t.Context())
	kind, err := Register[int](sys, "kind", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	before, err := kind.actor("id")
	if err != nil {
		t.Fatal(err)
	}
	for range idleSweeps {
		kind.sweep()
	}
	if err := before.post(&letter[int]{}); !errors.Is(err, errGone) {
		t.Errorf("posting to an actor that left: %v", err)
	}
	if after, _ := kind.actor("id"); after == before || sys.RegistrySize() != 1 {
		t.Errorf("it was found again; %d in the registry", sys.RegistrySize())
	}
}
