package selftest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
)

// medium is what a world is kept on: groups of frames, one after the other, as a disk
// would have them. The world's memory store is what is read; the medium knows what is
// durable, what has rotted, and what fails.
type medium struct {
	mu         sync.Mutex
	flaws      *flaws
	format     int
	foreign    bool // what is here is no store
	named      bool // the store itself survives a power cut
	groups     []*group
	torn       int  // frames of a group that a power cut has cut
	ill        bool // something may have rotted, or was given up
	notes      int  // times that something was noted beside the data
	saved      int  // frames that were put aside
	faults     []*fault
	changing   func()
	reached    chan struct{} // closed when the first call hangs
	free       chan struct{} // closed when the calls that hang may go on; nil: none hangs
	stallOnce  *sync.Once
	scans      int // since the store was opened
	quarantine int // how often it was put in order
}

// group is what one write put on the medium: records, or a cut.
type group struct {
	frames  []*frame
	cut     *backend.Cut
	synced  bool
	pending bool // its sync failed: it is written again when the store is opened again
	hidden  bool // not there for the moment
	glued   bool // stands behind a fragment
}

type frame struct {
	record backend.Record
	rot    map[int64]byte // wrong bits
	hole   bool           // given up
	gone   bool           // dropped by a flawed compaction
}

func (f *frame) size() int64 { return int64(f.record.Size()) + 40 }

func (f *frame) damaged() bool { return len(f.rot) > 0 }

type fault struct {
	conformance.Fault
	hits, seen int
	healed     bool
}

const thisFormat = 2

// flaws are the defects that only show where the medium fails: see seam mutants.
type flaws struct {
	scanBlind, scanOnce, scanFirst, scanNowhere, scanWrites, scanNeedsWriter bool
	readBlind, readSkips, readEnds, readOnlyWrites, readOnlyMakes, headShort bool
	dryWrites, dryForgets, quarantineIdle, quarantineNeighbour, quarantineFills,
	quarantineSilent, quarantineAgain, quarantineInPlace, quarantineFull, repairDrops bool
	snapshotsUnsynced, largeUnsynced, unnamed, tornShown, tornRefused, tornGlued, tornRewritten bool
	killLoses, killLocks, childUnlocked                                                         bool
	fullPoisons, shortShown, syncIgnored, syncForgotten, failedKept, pendingNameless, retries   bool
	cutInPlace, cutHalf, cutDrops, upgradeInPlace, newerOpened, newerTouched                    bool
	foreignTaken, foreignTouched                                                                bool
}

func newMedium(f *flaws) *medium { return &medium{flaws: f, format: thisFormat} }

// do is one operation: it may hang, and it may fail.
func (m *medium) do(op conformance.Operation) (short bool, err error) {
	m.mu.Lock()
	changing, free, reached, once := m.changing, m.free, m.reached, m.stallOnce
	m.mu.Unlock()
	if op != conformance.OpRead {
		if changing != nil {
			changing()
		}
		if free != nil {
			once.Do(func() { close(reached) })
			<-free
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.faults {
		if f.Op != op || f.healed {
			continue
		}
		f.seen++
		if n := f.seen - f.Skip; n > 0 && (f.Times == 0 || n <= f.Times) {
			f.hits++
			if err == nil {
				short, err = f.Short, f.Err
			}
		}
	}
	return short, err
}

// tries is do for a write, by an engine that may be stubborn.
func (m *medium) tries(op conformance.Operation) (short bool, err error) {
	for n := 0; ; n++ {
		if short, err = m.do(op); err == nil || !m.flaws.retries || n == 1000 {
			return short, err
		}
	}
}

// failure is what the engine makes of a failed write.
func (m *medium) failure(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		if m.flaws.fullPoisons {
			return fmt.Errorf("%w: %w: %w", backend.ErrPoisoned, backend.ErrNoSpace, err)
		}
		return fmt.Errorf("%w: %w", backend.ErrNoSpace, err)
	}
	return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
}

// put writes a group and syncs it. show makes what was stored readable.
func (m *medium) put(g *group, show func(*group) error) error {
	if short, err := m.tries(conformance.OpWrite); err != nil {
		half := &group{frames: g.frames[:len(g.frames)/2], synced: true}
		switch {
		case short && m.flaws.shortShown && len(half.frames) > 0:
			m.add(half)
			show(half)
		case !short && m.flaws.failedKept && errors.Is(err, syscall.EIO):
			m.add(g)
			show(g)
		}
		return m.failure(err)
	}
	m.add(g)
	if m.unsynced(g) {
		return show(g)
	}
	if _, err := m.do(conformance.OpSync); err != nil && !m.flaws.syncIgnored {
		if m.flaws.syncForgotten {
			m.take(g)
			return m.failure(err)
		}
		m.mu.Lock()
		g.pending = true
		m.mu.Unlock()
		return fmt.Errorf("%w: %w: %w", backend.ErrPoisoned, backend.ErrUnknownOutcome, err)
	}
	m.mu.Lock()
	g.synced = true
	m.mu.Unlock()
	return show(g)
}

// unsynced reports whether a flaw keeps the group from being synced.
func (m *medium) unsynced(g *group) bool {
	snapshot := len(g.frames) > 0 && g.frames[0].record.Kind == backend.Snapshot
	return m.flaws.snapshotsUnsynced && snapshot || m.flaws.largeUnsynced && len(g.frames) > 3
}

func (m *medium) add(g *group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flaws.tornGlued && m.torn > 0 {
		g.glued = true
	}
	m.groups = append(m.groups, g)
}

func (m *medium) take(g *group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups = slices.DeleteFunc(m.groups, func(other *group) bool { return other == g })
}

// frames yields all frames with the byte that each begins at.
func (m *medium) frames(yield func(at int64, f *frame) bool) {
	at := int64(0)
	for _, g := range m.groups {
		for _, f := range g.frames {
			if !yield(at, f) {
				return
			}
			at += f.size()
		}
	}
}

// bad returns the frame of a position if it can't be read, and where it begins.
func (m *medium) bad(p backend.Position) (f *frame, at int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for start, fr := range m.frames {
		if fr.record.Position == p && (fr.damaged() || fr.hole) {
			return fr, start
		}
	}
	return nil, 0
}

// rotten reports whether frames have to be looked at.
func (m *medium) rotten() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ill
}

// crash is the medium after a power cut.
func (m *medium) crash(percent int, rng *rand.Rand) *medium {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := &medium{flaws: m.flaws, format: m.format, notes: m.notes, saved: m.saved, named: m.named, ill: m.ill}
	keep := func() bool { return rng.IntN(100) < percent }
	if !m.named && !keep() {
		after.named = false
		return after
	}
	after.named, after.torn = true, m.torn
	for _, g := range m.groups { // the log ends with the first that is not whole
		if g.hidden {
			continue
		}
		kept := *g
		kept.frames, kept.pending = nil, false
		kept.synced = true
		for _, f := range g.frames {
			if !g.synced && !keep() {
				break // later frames are no good without it
			}
			fr := *f
			fr.rot = map[int64]byte{}
			for at, bits := range f.rot {
				fr.rot[at] = bits
			}
			kept.frames = append(kept.frames, &fr)
		}
		switch {
		case g.cut != nil:
			if !g.synced && !keep() {
				return after
			}
			after.groups = append(after.groups, &kept)
		case len(kept.frames) == len(g.frames):
			after.groups = append(after.groups, &kept)
		default:
			after.torn += len(kept.frames)
			if m.flaws.tornShown && len(kept.frames) > 0 {
				after.groups = append(after.groups, &kept)
			}
			return after
		}
	}
	return after
}

// hide makes the newest groups be away while do runs.
func (m *medium) hide(n int, do func()) {
	m.mu.Lock()
	hidden := m.groups[max(0, len(m.groups)-n):]
	for _, g := range hidden {
		g.hidden = true
	}
	m.mu.Unlock()
	do()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range hidden {
		g.hidden = false
	}
}

func (m *medium) digest() [32]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := sha256.New()
	fmt.Fprintln(h, m.format, m.foreign, m.named, m.torn, m.notes, m.saved)
	for _, g := range m.groups {
		fmt.Fprintln(h, g.synced, g.cut)
		for _, f := range g.frames {
			fmt.Fprintln(h, f.record, f.rot, f.hole)
		}
	}
	return [32]byte(h.Sum(nil))
}

// damage lists the frames that have rotted and were not given up.
func (m *medium) damage() (list []*frame, at []int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for start, f := range m.frames {
		if f.damaged() && (!f.hole || m.flaws.quarantineAgain) {
			list, at = append(list, f), append(at, start)
		}
	}
	return list, at
}

// recover puts damage aside.
func (m *medium) recover(plan backend.RecoveryPlan) (stats backend.RecoveryStats, err error) {
	damaged, at := m.damage()
	if plan.DryRun && m.flaws.dryWrites && len(damaged) > 0 {
		m.note()
	}
	if plan.Mode == backend.Repair {
		if m.flaws.repairDrops && !plan.DryRun {
			m.giveUp(m.from(damaged))
		}
		return stats, nil
	}
	for i, f := range damaged {
		a := backend.RecoveryAction{Action: "quarantine", File: "log", Offset: at[i], Length: f.size(), Saved: fmt.Sprintf("quarantine/%d", at[i]), Detail: "damaged"}
		if m.flaws.quarantineSilent {
			a.Saved = ""
		}
		stats.Actions = append(stats.Actions, a)
	}
	if plan.DryRun || len(damaged) == 0 {
		if m.flaws.dryForgets {
			stats.Actions = nil
		}
		return stats, nil
	}
	if _, err := m.do(conformance.OpWrite); err != nil {
		if m.flaws.quarantineFull {
			m.giveUp(m.from(damaged))
		}
		return stats, m.failure(err)
	}
	sync := func() { _, err = m.do(conformance.OpSync) }
	if m.flaws.quarantineInPlace {
		m.hide(2, sync)
	} else {
		sync()
	}
	if err != nil {
		return stats, m.failure(err)
	}
	m.mu.Lock()
	m.saved += len(damaged)
	m.quarantine++
	m.mu.Unlock()
	if m.flaws.quarantineNeighbour {
		damaged = m.around(damaged)
	}
	if !m.flaws.quarantineIdle {
		m.giveUp(damaged)
	}
	return stats, nil
}

func (m *medium) giveUp(frames []*frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ill = true
	for _, f := range frames {
		f.hole = true
	}
}

// from is the frames and all that stand behind the first of them, or before if none do.
func (m *medium) from(damaged []*frame) (out []*frame) {
	if len(damaged) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*frame
	for _, f := range m.frames {
		all = append(all, f)
	}
	first := slices.Index(all, damaged[0])
	if first == len(all)-1 {
		return all[first-1:]
	}
	return all[first:]
}

// around is the frames and a neighbour of each.
func (m *medium) around(damaged []*frame) []*frame {
	rest := m.from(damaged)
	if len(rest) > 1 {
		return append(damaged, rest[0], rest[1])
	}
	return damaged
}

func (m *medium) note() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes++
}
