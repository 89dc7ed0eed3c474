package file

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// sweepRow is one kind of failure.
type sweepRow struct {
	name  string
	kinds []faultfs.Kind
	when  func(faultfs.Op) bool
	err   error
	lose  bool // a failed sync drops what it did not write
}

func sweepCreates(op faultfs.Op) bool {
	return op.Kind != faultfs.Open || op.Flag&os.O_CREATE != 0
}

func sweepWrites(op faultfs.Op) bool {
	return op.Kind != faultfs.Open || op.Flag&(os.O_RDWR|os.O_WRONLY) != 0
}

var sweepRows = []sweepRow{
	{"EIO at any call", nil, nil, syscall.EIO, false},
	{"EIO at a sync", []faultfs.Kind{faultfs.Sync, faultfs.SyncDir}, nil, syscall.EIO, false},
	{"EIO at a sync that drops the pages", []faultfs.Kind{faultfs.Sync}, nil, syscall.EIO, true},
	{"EIO at a directory's sync that drops the names", []faultfs.Kind{faultfs.SyncDir}, nil, syscall.EIO, true},
	{"EIO at a write that was whole", []faultfs.Kind{faultfs.Write}, nil, fmt.Errorf("%w: %w", faultfs.WholeWrite, syscall.EIO), false},
	{"EIO at a short write", []faultfs.Kind{faultfs.Write}, nil, fmt.Errorf("%w: %w", faultfs.ShortWrite, syscall.EIO), false},
	{"ENOSPC at a short write", []faultfs.Kind{faultfs.Write}, nil, fmt.Errorf("%w: %w", faultfs.ShortWrite, syscall.ENOSPC), false},
	{"ENOSPC", []faultfs.Kind{faultfs.Write, faultfs.Truncate, faultfs.Sync, faultfs.SyncDir, faultfs.Rename, faultfs.Mkdir, faultfs.Open}, sweepCreates, syscall.ENOSPC, false},
	{"EDQUOT", []faultfs.Kind{faultfs.Write, faultfs.Sync}, nil, syscall.EDQUOT, false},
	{"EMFILE", []faultfs.Kind{faultfs.Open, faultfs.ReadDir, faultfs.SyncDir}, nil, syscall.EMFILE, false},
	{"EROFS", []faultfs.Kind{faultfs.Write, faultfs.Truncate, faultfs.Rename, faultfs.Remove, faultfs.Mkdir, faultfs.Open}, sweepWrites, syscall.EROFS, false},
}

// fault is the row's, after so many calls.
func (r *sweepRow) fault(skip int, forever bool, rng *rand.Rand) *faultfs.Fault {
	ft := &faultfs.Fault{Kinds: r.kinds, When: r.when, Skip: skip, Err: r.err}
	if forever {
		ft.Times = faultfs.Forever
	}
	if r.lose {
		ft.Lose = faultfs.Some(rng)
	}
	return ft
}

// reads reports whether reading meets the row's failures.
func (r *sweepRow) reads() bool {
	return r.kinds == nil || slices.Contains(r.kinds, faultfs.Open) && r.when == nil
}

// sweepFaulty is a history on a directory with a fault.
type sweepFaulty struct {
	*sweepHistory
	row   *sweepRow // nil: the disk is full, for real
	fault *faultfs.Fault
	more  func() // gives space back; nil: healing does
	n     uint64
	fails int
}

// run does steps; what fails is mended, and all goes on.
func (h *sweepFaulty) run(steps int) error {
	for i := 0; i <= steps; i++ {
		what, err := "open", error(nil)
		switch {
		case h.b == nil:
			err = h.open(h.options())
		case i == steps:
			what, err = "look", h.look()
		default:
			what, err = h.step()
		}
		h.mu.Lock()
		err = errors.Join(err, h.err)
		h.err = nil
		h.mu.Unlock()
		if err == nil {
			continue
		}
		if h.fails++; h.fails > 400 {
			return fmt.Errorf("step %d, %s: it never ends: %w", i, what, err)
		}
		if mended := h.mend(what, err); mended != nil {
			return fmt.Errorf("step %d, %s: %w; its error was: %w", i, what, mended, err)
		}
	}
	f, m := h.f.Crash(faultfs.None), h.know()
	if err := checkCrash(f, m, h.n); err != nil {
		return fmt.Errorf("at the end, after a power cut: %w", err)
	}
	h.f.Heal()
	if err := h.sweepHistory.close(); err != nil && !sentinel(err) {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// heal ends the fault, or gives the disk some more space.
func (h *sweepFaulty) heal() {
	h.f.Heal()
	if h.more != nil {
		h.more()
	}
}

// mend checks what must hold after a failure, and makes the store usable again as its
// error says: by Reopen if it is poisoned, by opening it if it is closed, or by nothing.
func (h *sweepFaulty) mend(what string, err error) error {
	if !sentinel(err) {
		return errors.New("wraps no sentinel")
	}
	h.wait.Wait()
	if h.row == nil && !errors.Is(err, backend.ErrNoSpace) {
		return errors.New("the disk is full, and it does not say so")
	}
	m := h.know()
	for i, keep := range []faultfs.Choice{faultfs.None, faultfs.Some(h.rng), faultfs.All}[:1+h.n%3] {
		if err := checkCrash(h.f.Crash(keep), m, h.n+uint64(i)); err != nil {
			return fmt.Errorf("after a crash (%d) then: %w", i, err)
		}
	}
	if h.b == nil {
		if err := h.readBeside(m); err != nil {
			return err
		}
		h.heal()
		err := h.open(h.options())
		for range 50 {
			if h.row != nil || err == nil || !errors.Is(err, backend.ErrNoSpace) {
				break
			}
			h.heal()
			err = h.open(h.options())
		}
		if err != nil {
			return fmt.Errorf("open, healed: %w", err)
		}
		return h.settle()
	}
	if err := h.stillReads(what, m); err != nil {
		return err
	}
	beside := strings.HasPrefix(err.Error(), "compact:") // it may be told late, after a Reopen
	poisoned := h.b.Poisoned() != nil || errors.Is(err, backend.ErrPoisoned) && !beside
	if errors.Is(err, backend.ErrUnknownOutcome) && !poisoned && !beside {
		return errors.New("the outcome is unknown, and appends go on")
	}
	if h.row == nil && poisoned {
		return errors.New("a full disk poisons")
	}
	if h.row != nil && len(h.row.kinds) > 0 && !slices.Contains(h.row.kinds, faultfs.Write) && slices.Contains(h.row.kinds, faultfs.Sync) &&
		!poisoned && !beside && (what == "append" || what == "append all" || what == "snapshot") {
		return errors.New("a sync failed, and it is not poisoned")
	}
	for range 2 {
		if poisoned {
			if _, err := tryAppend(h.b, "a", "poisoned"); !errors.Is(err, backend.ErrPoisoned) || errors.Is(err, backend.ErrUnknownOutcome) {
				return fmt.Errorf("an append to a poisoned handle: %w", err)
			}
		}
		h.heal()
	}
	if poisoned || what == "reopen" || errors.Is(err, backend.ErrCorrupt) { // a byte that could not be read when the store was opened, or opened again by Recover, is damage to this handle
		err := h.b.Reopen(context.Background())
		for range 50 {
			if h.row != nil || !errors.Is(err, backend.ErrNoSpace) {
				break
			}
			h.heal()
			err = h.b.Reopen(context.Background())
		}
		if err != nil {
			return fmt.Errorf("reopen, healed: %w", err)
		}
	}
	if err := h.settle(); err != nil {
		return err
	}
	if what == "read-only" {
		return errors.Join(h.b.Close(), h.open(h.options()))
	}
	for late := false; ; {
		err := h.appendBatches(1)
		if errors.Is(err, backend.ErrPoisoned) && h.row != nil && errors.Is(err, h.row.err) && !poisoned && !late { // what ran beside had failed so, and this is the first append since
			late = true
			if err := h.b.Reopen(context.Background()); err != nil {
				return fmt.Errorf("reopen, healed: %w", err)
			}
			if err := h.settle(); err != nil {
				return err
			}
			continue
		}
		if h.row == nil && errors.Is(err, backend.ErrNoSpace) && h.fails < 400 {
			h.fails++
			h.heal()
			continue
		}
		if err != nil {
			return fmt.Errorf("append, healed: %w", err)
		}
		return nil
	}
}

// settle looks, and takes over what an unknown outcome and a cut that failed have come to.
func (h *sweepFaulty) settle() error {
	if err := h.settleCut(); err != nil {
		return err
	}
	if err := h.look(); err != nil {
		return fmt.Errorf("look, healed: %w", err)
	}
	return nil
}

// stillReads checks that what was acknowledged, and nothing else, can be read after a
// failure.
func (h *sweepFaulty) stillReads(what string, m *sweepMoment) error {
	if h.row != nil && h.row.reads() {
		h.f.Heal()
	}
	got, err := sweepRead(h.b, sweepAll)
	if err != nil {
		if h.row != nil && sentinel(err) && errors.Is(h.b.Poisoned(), backend.ErrPoisoned) && (what == "reopen" || what == "recover") {
			return nil // a Reopen that failed may leave nothing that can read
		}
		return fmt.Errorf("reading after the failure: %w", err)
	}
	known := *m
	if h.b.Poisoned() == nil || len(m.pending) == 0 {
		known.pending = nil
	}
	if _, err := known.judge(got); err != nil {
		return fmt.Errorf("reading after the failure: %w", err)
	}
	return nil
}

// readBeside checks that a store that could not be opened for writing can be read.
func (h *sweepFaulty) readBeside(m *sweepMoment) error {
	if h.row != nil {
		return nil
	}
	b, err := openMem(h.f, sweepReadOnly(sweepOptions()))
	if errors.Is(err, backend.ErrFormat) && len(m.acked) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open read-only on a full disk: %w", err)
	}
	defer b.Close()
	got, err := sweepRead(b, sweepAll)
	if err == nil {
		_, err = m.judge(got)
	}
	return err
}

func TestOneFailureAtAnyCallLosesNothing(t *testing.T) {
	c := newSweepCrew(t)
	runs, steps := sweepReach(1200, 45, 9), 24
	missed := 0
	for i := range sweepRows {
		row := &sweepRows[i]
		for _, forever := range []bool{false, true} {
			for seed := range uint64(sweepReach(3, 1, 1)) {
				f := new(faultfs.FS)
				count := row.fault(1<<30, false, rand.New(rand.NewPCG(0, 0)))
				seen := 0
				count.When = func(op faultfs.Op) bool {
					if row.when == nil || row.when(op) {
						seen++
					}
					return false
				}
				f.Fail(count)
				if err := newSweepHistory(f, seed+uint64(i)).larger(forever).run(steps); err != nil {
					t.Fatal(err)
				}
				calls := seen
				for k := range min(runs, calls) {
					skip := k
					if runs < calls {
						skip = k*calls/runs + int(seed+uint64(i))%max(1, calls/runs)
					}
					what := fmt.Sprintf("%s, call %d of %d, for ever %v, seed %d", row.name, skip, calls, forever, seed)
					c.do(what, func() error {
						f := new(faultfs.FS)
						rng := rand.New(rand.NewPCG(seed, uint64(skip)))
						h := &sweepFaulty{sweepHistory: newSweepHistory(f, seed+uint64(i)).larger(forever), row: row, fault: row.fault(skip, forever, rng), n: uint64(skip)}
						f.Fail(h.fault)
						err := h.run(steps)
						if f.Hits(h.fault) == 0 {
							c.mu.Lock()
							missed++
							c.mu.Unlock()
						}
						return err
					})
				}
			}
		}
	}
	c.end("a failure at any call", func() string {
		return fmt.Sprintf("%d kinds of failures, once and for ever, %d came after the end", len(sweepRows), missed)
	})
}

func TestADiskThatIsFullHealsWithoutReopening(t *testing.T) {
	c := newSweepCrew(t)
	full := 0
	for k := range sweepReach(2000, 60, 12) {
		limit := int64(9<<10 + k*(300<<10)/sweepReach(2000, 60, 12))
		c.do(fmt.Sprintf("a disk of %d bytes", limit), func() error {
			f := new(faultfs.FS)
			f.Limit(limit)
			begun := time.Now()
			size := limit
			h := &sweepFaulty{sweepHistory: newSweepHistory(f, uint64(k)).larger(k%2 == 1), n: uint64(k)}
			h.more = func() {
				size += 4 << 10
				f.Limit(size)
			}
			err := h.run(30)
			c.mu.Lock()
			full += h.fails
			c.mu.Unlock()
			if took := time.Since(begun); err == nil && took > 20*time.Second {
				err = fmt.Errorf("it took %v", took)
			}
			return err
		})
	}
	c.end("a full disk", func() string { return fmt.Sprintf("%d times full", full) })
}
