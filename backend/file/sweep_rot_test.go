package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file/internal/faultfs"
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

// sweepStores makes the stores to damage: one of a few log files, and if the engine
// compacts one that has been cut and compacted, with appends before, between and after.
func sweepStores(t *testing.T) map[string]*faultfs.FS {
	t.Helper()
	plain := new(faultfs.FS)
	smallStore(t, plain)
	out := map[string]*faultfs.FS{"log": plain}
	f := new(faultfs.FS)
	h := newSweepHistory(f, 4)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(h.open(sweepOptions()))
	if !h.caps.Compact {
		t.Log("the engine does not compact: no compacted store is damaged")
		must(h.close())
		return out
	}
	for range 3 {
		for range 16 {
			must(h.appendBatches(1))
		}
		for range 3 {
			must(h.saveSnapshot())
		}
		must(h.compact())
		h.wait.Wait()
	}
	for range 4 {
		must(h.appendBatches(1))
	}
	must(h.close())
	out["compacted"] = f
	return out
}

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
	read := func(what string, q backend.Query, want []sweepRecord) {
		got, e := sweepRead(b, q)
		harmed = harmed || e != nil
		switch {
		case err != nil:
		case e != nil && !errors.Is(e, backend.ErrCorrupt):
			err = fmt.Errorf("%s, backwards %v: not ErrCorrupt: %w", what, q.Reverse, e)
		case unknown && q.Stream != "" && e == nil && len(got) < len(want) && (slices.Equal(got, want[:len(got)]) || q.Reverse && slices.Equal(got, want[len(want)-len(got):])):
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
		case e == nil || !sweepStrict && len(got) == 1 && got[0] == want:
			healthy[p] = true
		case len(got) > 0 || !errors.Is(e, backend.ErrCorrupt):
			return nil, harmed, fmt.Errorf("position %d: %v: %w", p, got, e)
		}
		harmed = harmed || e != nil
	}
	return healthy, harmed, nil
}

// sweepLogDamaged reports whether there is damage that keeps a store from taking appends:
// what is wrong inside a span does not.
func sweepLogDamaged(r *backend.ScanReport) bool {
	return slices.ContainsFunc(r.Anomalies, func(a backend.Anomaly) bool {
		return a.Severity == backend.Damage && !strings.HasSuffix(a.File, spanSuffix)
	})
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
	near        int // an extent of the file begins behind it
	elsewhere   int // there is damage, and another file is named
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
	return []*int{&n.refused, &n.exact, &n.before, &n.near, &n.elsewhere, &n.free, &n.harmed, &n.repaired, &n.quarantined}
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
	case !sweepStrict && d.bytes > 0 && report.Damages > 0 && slices.ContainsFunc(report.Anomalies, func(a backend.Anomaly) bool { return slices.Contains(d.files, a.File) }):
		n.near++ // known: damage to an entry of a group's table is reported at its record
	case !sweepStrict && report.Damages > 0:
		n.elsewhere++ // known: where the beginning of a file is lost, the damage is where the log ends before it
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
			if sweepLogDamaged(done.After) {
				if _, err := tryAppend(b, "fresh", "over the damage"); !errors.Is(err, backend.ErrCorrupt) {
					return fmt.Errorf("an append to a damaged store: %w", err)
				}
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

// sweepRot makes damages to a store, one after the other. The directory is copied for each.
type sweepRot struct {
	f    *faultfs.FS
	s    *sweepTruth
	rng  *rand.Rand
	each func(*sweepDamage)
}

// change hands out a damage that do makes, if it makes any.
func (r *sweepRot) change(what string, files []string, do func(f *faultfs.FS)) {
	f := r.f.Clone()
	do(f)
	d := &sweepDamage{what: what, files: files, dir: f, last: -1, free: true}
	for _, name := range files {
		was, is := r.s.files[name], f.Content(name)
		first, last, n := sweepDiffer(was, is)
		if n == 0 {
			continue
		}
		cut := len(is) < len(was) && bytes.Equal(is, was[:len(is)]) && zero(was[len(is):])
		if !cut && !sweepIndifferent(name) && !sweepSlots(name, was, is) { // zeros laid ahead are not missed
			d.free = false
		}
		d.bytes += n
		d.first, d.last = int64(first), max(d.last, int64(last))
	}
	if d.bytes > 0 {
		r.each(d)
	}
}

// sweepSlots reports whether MARK holds pages that it held before, in other places: a slot
// says the same anywhere, and the loss of one weakens evidence that can't be told from one
// that was never written.
func sweepSlots(name string, was, is []byte) bool {
	if name != "MARK" || len(is) != len(was) || len(was)%4096 > 0 {
		return false
	}
	for page := range slices.Chunk(is, 4096) {
		if !bytes.Equal(page, was[:4096]) && !bytes.Equal(page, was[4096:]) {
			return false
		}
	}
	return true
}

// place is change for what names do: no byte is at a place.
func (r *sweepRot) place(what string, files []string, do func(f *faultfs.FS)) {
	f := r.f.Clone()
	do(f)
	r.each(&sweepDamage{what: what, files: files, dir: f, last: -1, free: !slices.ContainsFunc(files, func(name string) bool { return !sweepIndifferent(name) })})
}

// sweepDiffer returns the first and the last place where a and b differ, and how many do.
func sweepDiffer(a, b []byte) (first, last, n int) {
	first = -1
	for i := range max(len(a), len(b)) {
		if i < len(a) && i < len(b) && a[i] == b[i] {
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
		n++
	}
	return first, last, n
}

// flips flips bits: of each byte that says something one, in headers all; of zeros some.
func (r *sweepRot) flips(dense, header, sparse int) {
	for _, name := range r.s.names() {
		content := r.s.files[name]
		n := 0
		for at := range content {
			told := content[at] != 0 || at > 0 && content[at-1] != 0
			bits := []int{at % 8}
			step := sparse
			if told {
				step = dense
			}
			if at%4096 < 64 && told || len(content) < 4096 {
				bits, step = []int{0, 1, 2, 3, 4, 5, 6, 7}, header
			}
			for _, bit := range bits {
				if n++; n%step == 0 {
					r.change(fmt.Sprintf("%s byte %d bit %d", name, at, bit), []string{name}, func(f *faultfs.FS) { f.Flip(name, int64(at), 1<<bit) })
				}
			}
		}
	}
}

// blocks zeroes, duplicates and swaps sectors and pages.
func (r *sweepRot) blocks(sector, page int) {
	for _, name := range r.s.names() {
		content := r.s.files[name]
		end := len(bytes.TrimRight(content, "\x00"))
		for _, block := range []struct{ size, step int }{{512, sector}, {4096, page}} {
			for at := 0; at < end; at += block.size {
				if r.rng.IntN(block.step) > 0 {
					continue
				}
				piece := content[at:min(at+block.size, len(content))]
				r.change(fmt.Sprintf("%s: %d zeros at %d", name, block.size, at), []string{name}, func(f *faultfs.FS) { f.Overwrite(name, int64(at), make([]byte, len(piece))) })
				for range 2 {
					other := r.rng.IntN(end/block.size+1) * block.size
					there := content[other:min(other+len(piece), len(content))]
					r.change(fmt.Sprintf("%s: %d bytes of %d at %d too", name, block.size, at, other), []string{name}, func(f *faultfs.FS) { f.Overwrite(name, int64(other), piece[:len(there)]) })
					r.change(fmt.Sprintf("%s: %d bytes of %d and %d swapped", name, block.size, at, other), []string{name}, func(f *faultfs.FS) {
						f.Overwrite(name, int64(other), piece[:len(there)])
						f.Overwrite(name, int64(at), there)
					})
				}
				for _, to := range r.s.names() { // misdirected into another file
					if to != name && at < len(r.s.files[to]) && r.rng.IntN(block.step) == 0 {
						r.change(fmt.Sprintf("%d bytes of %s at %d in %s", block.size, name, at, to), []string{to}, func(f *faultfs.FS) {
							f.Overwrite(to, int64(at), piece[:min(len(piece), len(r.s.files[to])-at)])
						})
					}
				}
			}
		}
	}
}

// cuts truncates, and appends garbage.
func (r *sweepRot) cuts(step int) {
	for _, name := range r.s.names() {
		content := r.s.files[name]
		end := len(bytes.TrimRight(content, "\x00"))
		for at := range end + 2 {
			if r.rng.IntN(step) == 0 || at == 0 {
				r.change(fmt.Sprintf("%s is cut at %d", name, at), []string{name}, func(f *faultfs.FS) { f.Resize(name, int64(min(at, len(content)))) })
			}
		}
		for _, n := range []int{1, 7, 8, 512, 5000} {
			garbage := make([]byte, n)
			for i := range garbage {
				garbage[i] = byte(1 + r.rng.IntN(255))
			}
			r.change(fmt.Sprintf("%s has %d more bytes", name, n), []string{name}, func(f *faultfs.FS) { f.Overwrite(name, int64(len(content)), garbage) })
		}
	}
}

// files removes, doubles, swaps and renames each.
func (r *sweepRot) files() {
	for _, name := range r.s.names() {
		content := r.s.files[name]
		r.place(name+" is missing", []string{name}, func(f *faultfs.FS) { f.Take(name) })
		for _, other := range []string{"notes.txt", "00000077" + name[max(0, strings.LastIndexByte(name, '.')):], name + ".bak", "quarantine/" + name} {
			if strings.Contains(name, "/") || r.s.files[other] != nil {
				continue
			}
			if other == "quarantine/"+name {
				r.place(name+" is in quarantine", []string{name}, func(f *faultfs.FS) {
					f.Take(name)
					_ = f.Mkdir("quarantine")
					f.Put(other, content)
				})
				continue
			}
			r.place(name+" is called "+other, []string{name, other}, func(f *faultfs.FS) { f.Take(name); f.Put(other, content) })
			r.place(name+" is there twice, as "+other, []string{other}, func(f *faultfs.FS) { f.Put(other, content) })
		}
		for _, other := range r.s.names() {
			its := r.s.files[other]
			if other == name || bytes.Equal(its, content) {
				continue
			}
			r.change(name+" is "+other+" again", []string{name}, func(f *faultfs.FS) { f.Put(name, its) })
			if name < other && name != "MARK" && other != "MARK" { // evidence and what it proves, both lost: nothing can tell then
				r.change(name+" and "+other+" are swapped", []string{name, other}, func(f *faultfs.FS) { f.Put(name, its); f.Put(other, content) })
			}
		}
	}
}

// sweepRots runs damages on each store.
func sweepRots(t *testing.T, name string, mendEach int, make func(r *sweepRot)) {
	for which, f := range sweepStores(t) {
		s := newSweepTruth(t, f, which == "log")
		c := newSweepCrew(t)
		var sum sweepFound
		before := sweepAllocated()
		make(&sweepRot{f: f, s: s, rng: rand.New(rand.NewPCG(8, 8)), each: func(d *sweepDamage) {
			i := c.n
			c.do(which+": "+d.what, func() error {
				before := sweepAllocated()
				n, err := s.look(d, i%3 == 0, i%mendEach == 0)
				if used := sweepAllocated() - before; err == nil && used > sweepMemory {
					err = fmt.Errorf("it took %d MiB of memory", used>>20)
				}
				c.mu.Lock()
				defer c.mu.Unlock()
				sum.add(n)
				return err
			})
		}})
		c.end(name+", "+which+" store", func() string {
			return fmt.Sprintf("%d files, %d refused, %d located exactly, %d located before, %d near, %d elsewhere, %d indifferent, %d cost a record, %d repaired, %d quarantined, %d KiB allocated each",
				len(s.files), sum.refused, sum.exact, sum.before, sum.near, sum.elsewhere, sum.free, sum.harmed, sum.repaired, sum.quarantined, (sweepAllocated()-before)>>10/uint64(max(1, c.n)))
		})
	}
}

// sweepStrict, set by PAPYRA_STRICT, makes errors of what is known to be located not quite
// where it is, and of a read that ends with an error that lies beyond its bounds.
var sweepStrict = os.Getenv("PAPYRA_STRICT") != ""

// sweepMemory bounds what a case may allocate, with those that run beside it.
const sweepMemory = 512 << 20

// sweepAllocated is how many bytes were allocated since the process began.
func sweepAllocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func TestAFlippedBitIsNeverALieAndIsAlwaysReported(t *testing.T) {
	sweepRots(t, "one flipped bit", sweepReach(3, 8, 8), func(r *sweepRot) {
		r.flips(sweepReach(1, 5, 101), sweepReach(1, 5, 101), sweepReach(37, 1999, 20011))
	})
}

func TestMisplacedAndLostBlocksAreNeverALie(t *testing.T) {
	sweepRots(t, "sectors and pages zeroed, doubled, swapped, misdirected", 4, func(r *sweepRot) { r.blocks(sweepReach(1, 3, 12), sweepReach(1, 2, 6)) })
}

func TestMissingSwappedAndTruncatedFilesAreNeverALie(t *testing.T) {
	sweepRots(t, "files cut, with garbage at their ends", 4, func(r *sweepRot) { r.cuts(sweepReach(1, 67, 600)) })
	sweepRots(t, "files removed, doubled, swapped, renamed", 2, func(r *sweepRot) { r.files() })
}

// A record is lost, and a snapshot of its version follows: the stream still begins where it
// did.
func TestASnapshotBehindALostRecordDoesNotMoveTheFloor(t *testing.T) {
	f := new(faultfs.FS)
	b := mustOpenMem(t, f, nil)
	appendOne(t, b, "d", "one")
	before := f.Content("00000001.seg")
	appendOne(t, b, "d", "two")
	after := f.Content("00000001.seg")
	if _, err := b.SaveSnapshot(context.Background(), backend.Record{Stream: "d", Version: 2, Payload: []byte("state")}); err != nil {
		t.Fatal(err)
	}
	appendOne(t, b, "d", "three")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	first, last, _ := sweepDiffer(before, after)
	for at := first; at <= last; at++ {
		rotten := f.Clone()
		rotten.Flip("00000001.seg", int64(at), 64)
		o := sweepReadOnly(sweepOptions())
		o.Startup.Mode = backend.IgnoreAnomalies
		b := mustOpenMem(t, rotten, o)
		if h, err := b.Head(context.Background(), "d"); err == nil && h != (backend.Head{Version: 3, Floor: 1}) {
			t.Errorf("byte %d: head %+v", at, h)
		}
		b.Close()
	}
}
