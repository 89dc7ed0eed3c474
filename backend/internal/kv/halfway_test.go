package kv

import (
	"context"
	"errors"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// snare is an Engine that does something after its first write, and cannot be read from then on
// if it is blind.
type snare struct {
	Engine
	after func()
	blind bool
	wrote bool
}

func (s *snare) Write(do func(Batch) error) error {
	err := s.Engine.Write(do)
	if err == nil && s.after != nil {
		s.wrote = true
		s.after()
	}
	return err
}

func (s *snare) View(f func(Snapshot) error) error {
	if s.blind && s.wrote {
		return backend.ErrUnavailable
	}
	return s.Engine.View(f)
}

// behindStore is an open store whose state is that of its first record, and which has three.
func behindStore(t *testing.T) (l *Log, s *snare) {
	t.Helper()
	s = &snare{}
	p := &testPlace{m: newMedium(), dir: t.TempDir(), wrap: func(e Engine) Engine {
		s.Engine = e
		return s
	}}
	l, err := p.log(false)
	if err != nil {
		t.Fatal(err)
	}
	var old []byte
	for i := range 3 {
		if err := appendAt(l, backend.Version(i+1), backend.Position(i+1)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			old = append(old, p.m.values[string(stateKey)]...)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p.m.set(string(stateKey), old)
	if l, err = p.log(false); err != nil {
		t.Fatal(err)
	}
	return l, s
}

func appendAt(l *Log, v backend.Version, p backend.Position) error {
	return l.Append(context.Background(), []backend.Record{{Stream: "s", Version: v, Position: p, Kind: backend.Event, Payload: []byte("x")}})
}

// What a recovery has written before it was cancelled is what the next append goes on from.
func TestARecoveryThatIsCancelledLeavesALogThatKnowsWhereItStands(t *testing.T) {
	l, s := behindStore(t)
	if last, _ := l.Last(t.Context()); last != 1 {
		t.Fatalf("position %d", last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.after = cancel
	if _, err := l.Recover(ctx, backend.RecoveryPlan{Mode: backend.Repair}); !errors.Is(err, context.Canceled) {
		t.Fatalf("the recovery: %v", err)
	}
	if last, err := l.Last(t.Context()); err != nil || last != 3 {
		t.Errorf("the last position is %d, want 3: %v", last, err)
	}
	if err := appendAt(l, 4, 4); err != nil {
		t.Error(err)
	}
	if l.state.records != 4 {
		t.Errorf("%d records are counted, want 4", l.state.records)
	}
}

// If what it has written can't be read again, nothing is appended on what was known before.
func TestARecoveryAfterWhichTheStoreCantBeReadAgainPoisons(t *testing.T) {
	l, s := behindStore(t)
	s.after, s.blind = func() {}, true
	if _, err := l.Recover(t.Context(), backend.RecoveryPlan{Mode: backend.Repair}); !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("the recovery: %v", err)
	}
	s.blind = false
	if err := appendAt(l, 2, 2); !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("an append: %v", err)
	}
	if _, err := l.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "s", Floor: 2}}}); !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("a compaction: %v", err)
	}
}

// A cut does not write where a stream stands anew if that is missing.
func TestAStreamOfWhichNobodyKnowsWhereItStandsIsNotCut(t *testing.T) {
	l, s := behindStore(t)
	if err := s.Engine.Write(func(b Batch) error { return b.Delete(appendHeadKey(nil, "s")) }); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "s", Floor: 2}}}); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("the compaction: %v", err)
	}
	if h, err := l.Head(t.Context(), "s"); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("the stream stands at %+v, %v", h, err)
	}
}
