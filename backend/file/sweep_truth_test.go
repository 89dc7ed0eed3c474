package file

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// sweepTruth is what a healthy store answers.
type sweepTruth struct {
	files  map[string][]byte // all of its files
	log    []sweepRecord
	at     map[backend.Position]sweepRecord
	groups map[backend.Position]int // records that were appended together
	heads  []backend.StreamInfo
	one    bool // damage to one byte may cost one group at most
}

// newSweepTruth notes what a store that was made and closed answers.
func newSweepTruth(t *testing.T, f *faultfs.FS, one bool) *sweepTruth {
	t.Helper()
	s := &sweepTruth{files: map[string][]byte{}, at: map[backend.Position]sweepRecord{}, groups: map[backend.Position]int{}, one: one}
	for _, name := range f.Names() {
		if !f.IsFolder(name) {
			s.files[name] = f.Content(name)
		}
	}
	b := mustOpenMem(t, f.Clone(), sweepReadOnly(sweepOptions()))
	defer b.Close()
	mustBeClean(t, b)
	var err error
	if s.log, err = sweepRead(b, sweepAll); err != nil {
		t.Fatal(err)
	}
	group := 0
	for i, r := range s.log {
		if restored := i > 0 && r.stream == "copied" && s.log[i-1].stream == r.stream; r.batch.Place == 0 && !restored {
			group++
		}
		s.at[r.position], s.groups[r.position] = r, group
	}
	for info, err := range b.Streams(context.Background(), backend.StreamQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		s.heads = append(s.heads, info)
	}
	return s
}

// names are the files', sorted.
func (s *sweepTruth) names() []string { return slices.Sorted(maps.Keys(s.files)) }

// sweepDamage is one way in which a store has rotted.
type sweepDamage struct {
	what  string
	files []string // one of them must be named …
	last  int64    // … with an extent that does not begin above this; -1: anywhere
	first int64    // the first byte that is not as it was
	bytes int      // how many are not as they were
	dir   *faultfs.FS
	free  bool // nobody needs to notice
}

// sweepIndifferent are files whose content says nothing about the store.
func sweepIndifferent(name string) bool {
	return name == "LOCK" || name == "reserve" || strings.HasPrefix(name, quarantineDir+"/")
}

// sees compares what a damaged store answers with the truth, and returns the positions
// whose records can still be read. harmed says that something could not be.
func (s *sweepTruth) sees(b *backend.Backend, deep bool) (healthy map[backend.Position]bool, harmed bool, err error) {
	ctx := context.Background()
	unknown, err := sweepGivenUp(b)
	if err != nil {
		return nil, false, err
	}
	var silent []sweepRecord // streams end before these, and say nothing of it
	read := func(what string, q backend.Query, want []sweepRecord) {
		got, e := sweepRead(b, q)
		harmed = harmed || e != nil
		switch {
		case err != nil:
		case e != nil && !errors.Is(e, backend.ErrCorrupt):
			err = fmt.Errorf("%s, backwards %v: not ErrCorrupt: %w", what, q.Reverse, e)
		case unknown && q.Stream != "" && e == nil && len(got) < len(want) && !q.Reverse && slices.Equal(got, want[:len(got)]):
			silent = append(silent, want[len(got):]...)
		case unknown && q.Stream != "" && e == nil && len(got) < len(want) && q.Reverse && slices.Equal(got, want[len(want)-len(got):]):
			silent = append(silent, want[:len(want)-len(got)]...)
		case len(got) > len(want) || !slices.Equal(got, want[:len(got)]) || e == nil && len(got) < len(want):
			err = fmt.Errorf("a lie: %s, backwards %v: %d records, want %d: %v", what, q.Reverse, len(got), len(want), e)
		}
	}
	for _, reverse := range []bool{false, true} {
		list := func(keep func(r *sweepRecord) bool) (out []sweepRecord) {
			for i := range s.log {
				if r := &s.log[i]; keep(r) {
					out = append(out, *r)
				}
			}
			if reverse {
				slices.Reverse(out)
			}
			return out
		}
		read("the store", backend.Query{Kinds: backend.AllKinds, Reverse: reverse}, list(func(*sweepRecord) bool { return true }))
		if !deep {
			continue
		}
		for _, st := range s.heads {
			read(st.Name, backend.Query{Stream: st.Name, Reverse: reverse},
				list(func(r *sweepRecord) bool {
					return r.stream == st.Name && r.kind != backend.Snapshot && r.version >= st.Head.Floor
				}))
		}
	}
	for _, st := range s.heads {
		if h, e := b.Head(ctx, st.Name); e == nil && h != st.Head && !(unknown && h.Version <= st.Head.Version && h.Epoch <= st.Head.Epoch && h.Floor <= st.Head.Floor) {
			return nil, harmed, fmt.Errorf("a lie: stream %s: head %+v, want %+v", st.Name, h, st.Head)
		} else if e != nil && !errors.Is(e, backend.ErrCorrupt) {
			return nil, harmed, fmt.Errorf("head of %s: not ErrCorrupt: %w", st.Name, e)
		}
		if deep {
			list, e := sweepRead(b, backend.Query{Stream: st.Name, Kinds: backend.KindSet(backend.Snapshot)})
			harmed = harmed || e != nil
			for _, r := range list {
				if s.at[r.position] != r {
					return nil, harmed, fmt.Errorf("a lie: stream %s has a snapshot %v", st.Name, r)
				}
			}
		}
	}
	if err != nil || !deep && !harmed {
		return nil, harmed, err
	}
	healthy = map[backend.Position]bool{}
	for p, want := range s.at {
		got, e := sweepRead(b, backend.Query{From: uint64(p), To: uint64(p), Kinds: backend.AllKinds})
		switch {
		case e == nil && (len(got) != 1 || got[0] != want):
			return nil, harmed, fmt.Errorf("a lie: at position %d there is %v, want %v", p, got, want)
		case e == nil, len(got) == 1 && got[0] == want && s.doubtsEnd(b, p, e):
			healthy[p] = true
		case len(got) > 0 || !errors.Is(e, backend.ErrCorrupt):
			return nil, harmed, fmt.Errorf("position %d: %v: %w", p, got, e)
		}
		harmed = harmed || e != nil
	}
	for _, r := range silent {
		if healthy[r.position] {
			return nil, harmed, fmt.Errorf("a lie: %v is there, and reading its stream ends before it", r)
		}
	}
	return healthy, harmed, nil
}

// doubtsEnd reports whether a read up to a position has ended as one does that has reached
// the last there is, of a log whose end is in doubt.
func (s *sweepTruth) doubtsEnd(b *backend.Backend, p backend.Position, err error) bool {
	var ce *backend.CorruptError
	last, e := b.Last(context.Background())
	return errors.As(err, &ce) && ce.Position == p+1 && e == nil && last == p
}

// sweepAppends checks that a store with damage takes appends if all of it is inside spans
// that are there and as long as they were, and takes none if it is not.
func (s *sweepTruth) sweepAppends(dir *faultfs.FS, r *backend.ScanReport) error {
	inside := !slices.ContainsFunc(r.Anomalies, func(a backend.Anomaly) bool {
		whole := strings.HasSuffix(a.File, spanSuffix) && len(dir.Content(a.File)) >= len(s.files[a.File])
		return a.Severity == backend.Damage && !whole
	})
	o := sweepOptions()
	o.Startup.Mode = backend.IgnoreAnomalies
	b, err := openMem(dir, o)
	if err != nil {
		return err
	}
	defer b.Close()
	if _, err = tryAppend(b, "fresh", "beside damage"); inside && err != nil || !inside && !errors.Is(err, backend.ErrCorrupt) {
		return fmt.Errorf("an append to a store that is damaged, inside spans alone %v: %w: %v", inside, err, r.Anomalies)
	}
	return nil
}

// sweepGivenUp reports whether a quarantine has given up records of which the streams can't
// be told. A stream may then seem to end before it did, or may seem to have lost what it
// never had; reading by position still says what is lost.
func sweepGivenUp(b *backend.Backend) (bool, error) {
	report, err := b.Scan(context.Background(), &backend.ScanOptions{Quick: true})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(report.Anomalies, func(a backend.Anomaly) bool { return a.Code == backend.MarkedHole && a.Stream == "" }), nil
}

// sweepFound says how a damage was found.
type sweepFound struct {
	refused     int // the store does not open, and the error names the file
	exact       int // an extent covers the first bad byte
	before      int // an extent of the file begins before the last bad byte, or is all of it
	free        int // nobody needs to notice
	harmed      int // something can't be read any more
	repaired    int // Recover made the store clean: Repair …
	quarantined int // … or Quarantine
}

func (n *sweepFound) add(m sweepFound) {
	for i, p := range n.all() {
		*p += *m.all()[i]
	}
}

func (n *sweepFound) all() []*int {
	return []*int{&n.refused, &n.exact, &n.before, &n.free, &n.harmed, &n.repaired, &n.quarantined}
}

// look opens the damaged store, reads and scans it. If mend is set, it is recovered too.
func (s *sweepTruth) look(d *sweepDamage, deep, mend bool) (n sweepFound, err error) {
	o := sweepReadOnly(sweepOptions())
	o.Startup.Mode = backend.IgnoreAnomalies
	b, err := openMem(d.dir, o)
	if err != nil {
		return s.refused(d, err)
	}
	defer b.Close()
	healthy, harmed, err := s.sees(b, deep || mend)
	if err != nil {
		return n, err
	}
	if lost := s.lost(healthy); d.bytes == 1 && s.one && len(lost) > 1 {
		return n, fmt.Errorf("one byte costs %d groups", len(lost))
	}
	report, err := b.Scan(context.Background(), nil)
	if err != nil {
		return n, fmt.Errorf("scan: %w", err)
	}
	if harmed {
		n.harmed++
	}
	if harmed && report.Damages == 0 {
		return n, fmt.Errorf("there are errors, and scan reports %v", report.Anomalies)
	}
	switch {
	case d.free:
		n.free++
	case s.located(d, report, true):
		n.exact++
	case s.located(d, report, false):
		n.before++
	default:
		return n, fmt.Errorf("nobody says what is wrong with %v at %d to %d: %v", d.files, d.first, d.last, report.Anomalies)
	}
	b.Close()
	if mend {
		err = s.mend(d, healthy, &n)
	}
	return n, err
}

// lost are the groups of which records can't be read.
func (s *sweepTruth) lost(healthy map[backend.Position]bool) map[int]bool {
	out := map[int]bool{}
	for p, group := range s.groups {
		if healthy != nil && !healthy[p] {
			out[group] = true
		}
	}
	return out
}

// located reports whether a report names a damaged file, with an extent that covers the
// first bad byte, or at least does not begin above the last.
func (s *sweepTruth) located(d *sweepDamage, report *backend.ScanReport, covers bool) bool {
	for _, a := range report.Anomalies {
		switch {
		case !slices.Contains(d.files, a.File):
		case d.last < 0 || !covers && a.Offset <= d.last:
			return true
		case covers && a.Offset >= 0 && a.Offset <= d.first && d.first < a.Offset+a.Length:
			return true
		}
	}
	return false
}

// refused judges a store that does not open: the error must say which file it is.
func (s *sweepTruth) refused(d *sweepDamage, err error) (n sweepFound, _ error) {
	n.refused++
	if !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, backend.ErrFormat) {
		return n, fmt.Errorf("open: neither corrupt nor a format: %w", err)
	}
	if !slices.ContainsFunc(d.files, func(name string) bool { return strings.Contains(err.Error(), name) }) {
		return n, fmt.Errorf("open: it does not name %v: %w", d.files, err)
	}
	before := d.dir.Names()
	o := sweepOptions()
	o.Startup.Mode = backend.IgnoreAnomalies
	if b, err := openMem(d.dir, o); err == nil {
		b.Close()
		return n, errors.New("it can't be opened for reading, but for writing")
	}
	for _, name := range before {
		if !sweepIndifferent(name) && !d.dir.IsFolder(name) && !slices.Contains(d.dir.Names(), name) {
			return n, fmt.Errorf("opening for writing has removed %s", name)
		}
	}
	return n, nil
}

// mend recovers the damaged store with all that the engine claims. What could be read
// before can be read after.
func (s *sweepTruth) mend(d *sweepDamage, healthy map[backend.Position]bool, n *sweepFound) error {
	ctx := context.Background()
	o := sweepOptions()
	o.Startup.Mode = backend.IgnoreAnomalies
	b, err := openMem(d.dir, o)
	if err != nil {
		return fmt.Errorf("open for writing: %w", err)
	}
	defer func() { b.Close() }()
	modes := []backend.RecoveryMode{backend.Repair}
	if b.Capabilities().Quarantine {
		modes = append(modes, backend.Quarantine)
	}
	for _, mode := range modes {
		plan, err := b.Recover(ctx, backend.RecoveryOptions{Mode: mode, DryRun: true})
		if err != nil {
			return fmt.Errorf("plan %v: %w", mode, err)
		}
		done, err := b.Recover(ctx, backend.RecoveryOptions{Mode: mode})
		if err != nil {
			return fmt.Errorf("recover %v: %w", mode, err)
		}
		if len(plan.Actions) != len(done.Actions) {
			return fmt.Errorf("recover %v: planned %v, done %v", mode, plan.Actions, done.Actions)
		}
		again, err := b.Recover(ctx, backend.RecoveryOptions{Mode: mode})
		if err != nil || len(again.Actions) > 0 {
			return fmt.Errorf("recover %v again: %w %v", mode, err, again.Actions)
		}
		after, _, err := s.sees(b, true)
		if err != nil {
			return fmt.Errorf("after recover %v: %w", mode, err)
		}
		for p := range healthy {
			if !after[p] {
				return fmt.Errorf("recover %v has lost position %d: %v", mode, p, s.at[p])
			}
		}
		if !done.After.Clean() {
			if mode == backend.Quarantine {
				return fmt.Errorf("recover %v left %v", mode, done.After.Anomalies)
			}
			if err := s.sweepAppends(d.dir.Clone(), done.After); err != nil {
				return fmt.Errorf("after recover %v: %w", mode, err)
			}
			continue
		}
		if mode == backend.Quarantine {
			n.quarantined++
		} else {
			n.repaired++
		}
		if _, err := tryAppend(b, "fresh", "goes on"); errors.Is(err, backend.ErrCorrupt) && mode == backend.Repair {
			// a repair on an open handle that was damaged: the next open takes appends
		} else if err != nil {
			return fmt.Errorf("append after recover %v: %w", mode, err)
		}
		if err := b.Close(); err != nil {
			return err
		}
		if b, err = openMem(d.dir, sweepOptions()); err != nil {
			return fmt.Errorf("open after recover %v: %w", mode, err)
		}
		if _, err := tryAppend(b, "fresher", "goes on"); err != nil {
			return fmt.Errorf("append after recover %v and reopening: %w", mode, err)
		}
		break
	}
	return nil
}
