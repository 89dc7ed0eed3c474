package file

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// sweepEnding is what a recovery has come to.
type sweepEnding struct {
	healthy  map[backend.Position]bool
	damages  int
	warnings int
}

// recoverTo opens a damaged store and recovers it, twice.
func (s *sweepTruth) recoverTo(f *faultfs.FS, mode backend.RecoveryMode) (end sweepEnding, err error) {
	ctx := context.Background()
	o := sweepOptions()
	o.Startup.Mode = backend.IgnoreAnomalies
	b, err := openMem(f, o)
	if err != nil {
		return end, fmt.Errorf("open: %w", err)
	}
	defer b.Close()
	before, _, err := s.sees(b, true)
	if err != nil {
		return end, fmt.Errorf("before recovery: %w", err)
	}
	report, err := b.Recover(ctx, backend.RecoveryOptions{Mode: mode})
	if err != nil {
		return end, fmt.Errorf("recover: %w", err)
	}
	again, err := b.Recover(ctx, backend.RecoveryOptions{Mode: mode})
	if err != nil || len(again.Actions) > 0 {
		return end, fmt.Errorf("recover again: %w, %v", err, again.Actions)
	}
	end.damages, end.warnings = report.After.Damages, report.After.Warnings
	if end.healthy, _, err = s.sees(b, true); err != nil {
		return end, fmt.Errorf("after recovery: %w", err)
	}
	for p := range before {
		if !end.healthy[p] {
			return end, fmt.Errorf("recovery has lost position %d", p)
		}
	}
	return end, nil
}

// recoversTo recovers what a crash inside a recovery has left: it comes to the same end, and if
// that is a sound store, it opens and takes appends.
func (s *sweepTruth) recoversTo(f *faultfs.FS, mode backend.RecoveryMode, want sweepEnding) error {
	end, err := s.recoverTo(f, mode)
	if err != nil {
		return err
	}
	for p := range want.healthy {
		if !end.healthy[p] {
			return fmt.Errorf("position %d is lost, which a recovery without a crash keeps", p)
		}
	}
	if end.damages != want.damages || end.warnings != want.warnings {
		return fmt.Errorf("it leaves %d damages and %d warnings, without the crash %d and %d", end.damages, end.warnings, want.damages, want.warnings)
	}
	if end.damages+end.warnings > 0 {
		return nil
	}
	b, err := openMem(f, sweepOptions())
	if err != nil {
		return fmt.Errorf("open, recovered: %w", err)
	}
	defer b.Close()
	_, err = tryAppend(b, "fresh", "goes on")
	return err
}

// sweepRecordRecovery recovers a store, and returns the log of it.
func sweepRecordRecovery(f *faultfs.FS, mode backend.RecoveryMode) (*faultfs.Log, error) {
	l := f.Record()
	o := sweepOptions()
	o.Startup.Mode = backend.IgnoreAnomalies
	b, err := openMem(f, o)
	if err != nil {
		return nil, err
	}
	_, err = b.Recover(context.Background(), backend.RecoveryOptions{Mode: mode})
	return l, errors.Join(err, b.Close())
}

func TestACrashInsideARecoveryComesToTheSameEnd(t *testing.T) {
	c := newSweepCrew(t)
	probe := mustOpenMem(t, new(faultfs.FS), nil)
	modes := []backend.RecoveryMode{backend.Repair}
	if probe.Capabilities().Quarantine {
		modes = append(modes, backend.Quarantine)
	} else {
		t.Log("the engine does not quarantine: only repairs are interrupted")
	}
	damaged := 0
	for which, store := range sweepStores(t) {
		s := newSweepTruth(t, store, false)
		rng := rand.New(rand.NewPCG(3, 3))
		var list []*sweepDamage
		pick := func(n int, make func(r *sweepRot)) {
			var all []*sweepDamage
			make(&sweepRot{f: store, s: s, rng: rng, each: func(d *sweepDamage) { all = append(all, d) }})
			slices.SortFunc(all, func(a, b *sweepDamage) int { return slices.Compare([]byte(a.what), []byte(b.what)) })
			rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			list = append(list, all[:min(n, len(all))]...)
		}
		many, inner := sweepReach(40, 4, 1), sweepReach(1, 1, 10)
		pick(many, func(r *sweepRot) { r.flips(37, 37, 4001) })
		pick(many, func(r *sweepRot) { r.blocks(3, 2) })
		pick(many, func(r *sweepRot) { r.cuts(199) })
		pick(many, func(r *sweepRot) { r.files() })
		for _, d := range list {
			for _, mode := range modes {
				want, err := s.recoverTo(d.dir.Clone(), mode)
				if errors.Is(err, backend.ErrCorrupt) || errors.Is(err, backend.ErrFormat) {
					continue // it does not open
				}
				what := fmt.Sprintf("%s, %s, %v", which, d.what, mode)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				l, err := sweepRecordRecovery(d.dir.Clone(), mode)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				damaged++
				l.Replay(func(i int, next *faultfs.Event, now *faultfs.FS) bool {
					if rng.IntN(inner) > 0 {
						return true
					}
					for _, one := range sweepCrashes(now, next, rng, 1, 0, sweepReach(10, 2, 1)) {
						c.do(fmt.Sprintf("%s; event %d, before %s, %s", what, i, sweepSay(next), one.what), func() error { return s.recoversTo(one.dir, mode, want) })
					}
					return !c.failed()
				})
			}
		}
	}
	c.end("a crash inside a recovery", func() string { return fmt.Sprintf("%d damaged stores", damaged) })
}

// A recovery is alone with the store, but for what the handle itself does in the
// background: the file that it is making is not what a crash left.
func TestARecoveryLeavesAloneWhatTheHandleIsMaking(t *testing.T) {
	f := new(faultfs.FS)
	reached, goOn := make(chan bool), make(chan bool)
	var once sync.Once
	var armed atomic.Bool
	f.Hook = func(op faultfs.Op) error {
		if armed.Load() && op.Kind == faultfs.Sync && strings.HasSuffix(op.Name, ".tmp") {
			once.Do(func() { reached <- true; <-goOn })
		}
		return nil
	}
	b := mustOpenMem(t, f, sweepOptions())
	armed.Store(true)
	appendOne(t, b, "s", strings.Repeat("x", 3000)) // the next segment is prepared from here on
	select {
	case <-reached:
	case <-time.After(5 * time.Second):
		t.Fatal("nothing is prepared")
	}
	done := make(chan error)
	go func() {
		_, err := b.Recover(context.Background(), backend.RecoveryOptions{Mode: backend.Repair})
		done <- err
	}()
	select { // a recovery may wait for the preparation, too
	case err := <-done:
		close(goOn)
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(100 * time.Millisecond):
		close(goOn)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		if _, err := tryAppend(b, "s", strings.Repeat("x", 3000)); err != nil {
			t.Fatal(err)
		}
	}
}
