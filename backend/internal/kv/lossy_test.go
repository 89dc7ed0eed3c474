package kv

import (
	"errors"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// sieve is an Engine of which keys are lost, as its snapshots say.
type sieve struct{ Engine }

type sieved struct{ Snapshot }

func (sieved) Lossy() bool { return true }

func (e sieve) View(f func(Snapshot) error) error {
	return e.Engine.View(func(s Snapshot) error { return f(sieved{s}) })
}

// Where keys are lost, a stream that is not found is none that was never there.
func TestWhatIsNotFoundInALossyStoreIsInDoubt(t *testing.T) {
	p := &testPlace{m: newMedium(), dir: t.TempDir()}
	l, err := p.log(false)
	if err != nil {
		t.Fatal(err)
	}
	if err := appendAt(l, 1, 1); err != nil {
		t.Fatal(err)
	}
	l.engine = sieve{l.engine} // as a check finds out while others read
	if h, err := l.Head(t.Context(), "s"); err != nil || h.Version != 1 {
		t.Errorf("a stream that is there: %+v, %v", h, err)
	}
	if h, err := l.Head(t.Context(), "gone"); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("head: %+v, %v", h, err)
	}
	for _, kinds := range []backend.Kinds{backend.Numbered, backend.KindSet(backend.Snapshot)} {
		for _, reverse := range []bool{false, true} {
			q := backend.Query{Stream: "gone", From: 1, To: 9, Kinds: kinds, Reverse: reverse}
			err := error(nil)
			for _, err = range l.Read(t.Context(), q) {
			}
			if !errors.Is(err, backend.ErrCorrupt) {
				t.Errorf("a read of kinds %v: %v", kinds, err)
			}
		}
	}
	var listed error
	for _, listed = range l.Streams(t.Context(), backend.StreamQuery{}) {
	}
	if !errors.Is(listed, backend.ErrCorrupt) {
		t.Errorf("the list of streams: %v", listed)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
