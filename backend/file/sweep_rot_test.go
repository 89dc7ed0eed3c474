package file

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

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
		before, made := sweepAllocated(), 0
		make(&sweepRot{f: f, s: s, rng: rand.New(rand.NewPCG(8, 8)), each: func(d *sweepDamage) {
			if made++; slow && made%4 > 0 {
				return
			}
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
			return fmt.Sprintf("%d files, %d refused, %d located exactly, %d located before, %d indifferent, %d cost a record, %d repaired, %d quarantined, %d KiB allocated each",
				len(s.files), sum.refused, sum.exact, sum.before, sum.free, sum.harmed, sum.repaired, sum.quarantined, (sweepAllocated()-before)>>10/uint64(max(1, c.n)))
		})
	}
}

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
		r.flips(sweepReach(1, 9, 101), sweepReach(1, 9, 101), sweepReach(37, 1999, 20011))
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
