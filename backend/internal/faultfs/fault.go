package faultfs

import (
	"path"
	"slices"
	"sync"
)

// Forever as [Fault.Times]: all calls from then on.
const Forever = -1

// Fault makes calls fail. Its fields are set before it is handed to [FS.Fail].
type Fault struct {
	Kinds []Kind // of the calls; none: any
	Name  string // of their files, a pattern as in path.Match, without the folder; empty: any
	When  func(Op) bool
	Skip  int // calls that match and still go well
	Times int // how many calls fail then; 0: one
	Err   error
	// Lose, if set, is what a failing sync does to the pages that it could not write, and
	// a failing SyncDir to the folder's names: those that it chooses are durable, the
	// others never will be, though programs see them as if they were.
	Lose Choice

	seen int // guarded by faults.mu
}

// faults are those in force.
type faults struct {
	mu    sync.Mutex
	list  []*Fault
	calls int
}

// Fail adds faults to those in force.
func (f *FS) Fail(faults ...*Fault) {
	f.faults.mu.Lock()
	defer f.faults.mu.Unlock()
	f.faults.list = append(f.faults.list, faults...)
}

// Heal ends all faults. Limit stays.
func (f *FS) Heal() {
	f.faults.mu.Lock()
	defer f.faults.mu.Unlock()
	f.faults.list = nil
}

// Calls is how many calls there were.
func (f *FS) Calls() int {
	f.faults.mu.Lock()
	defer f.faults.mu.Unlock()
	return f.faults.calls
}

// Hits is how many calls have failed by a fault.
func (f *FS) Hits(ft *Fault) int {
	f.faults.mu.Lock()
	defer f.faults.mu.Unlock()
	return max(0, min(ft.seen-ft.Skip, ft.times()))
}

func (ft *Fault) times() int {
	if ft.Times == Forever {
		return int(^uint(0) >> 1)
	}
	return max(1, ft.Times)
}

func (ft *Fault) matches(op Op) bool {
	if len(ft.Kinds) > 0 && !slices.Contains(ft.Kinds, op.Kind) || ft.When != nil && !ft.When(op) {
		return false
	}
	if ft.Name == "" {
		return true
	}
	ok, err := path.Match(ft.Name, path.Base(op.Name))
	return ok && err == nil
}

// call counts a call, and returns why it fails.
func (fs *faults) call(op Op) (err error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.calls++
	for _, ft := range fs.list {
		if !ft.matches(op) {
			continue
		}
		ft.seen++
		if n := ft.seen - ft.Skip; err == nil && n > 0 && n <= ft.times() {
			err = ft.Err
		}
	}
	return err
}

// losing returns what a sync that has just failed does to what it did not write; nil:
// nothing.
func (fs *faults) losing(op Op) Choice {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, ft := range fs.list {
		if n := ft.seen - ft.Skip; ft.Lose != nil && ft.matches(op) && n > 0 && n <= ft.times() {
			return ft.Lose
		}
	}
	return nil
}

// LoseUnsynced is what a failed sync does to the pages that it could not write: they
// stay readable, and no later sync writes them. Programs see no change; a crash does.
func (f *FS) LoseUnsynced(name string) {
	f.begin()
	n := f.names[name]
	f.mu.Unlock()
	if n != nil {
		f.lose(n, name, None)
	}
}

// lose makes of a file's unsynced changes those durable that keep chooses, and forgets
// the others.
func (f *FS) lose(n *inode, name string, keep Choice) {
	f.begin()
	defer f.mu.Unlock()
	after := n.crash(keep)
	after.shared = true
	f.do(&Event{Kind: Lose, Name: name, after: after}, n)
}

// loseNames makes of a folder's unsynced changes those durable that keep chooses, and
// forgets the others.
func (f *FS) loseNames(folder string, keep Choice) {
	f.begin()
	defer f.mu.Unlock()
	e := &Event{Kind: Lose, Name: folder}
	for _, op := range f.pending {
		if op.folder == folder {
			e.kept = append(e.kept, keep())
		}
	}
	f.do(e, nil)
}

// Limit makes the disk hold at most so many bytes, in all files together; zero: there
// is no limit. A file that was removed takes its space for as long as it is open. A write
// takes what fits, and fails with ENOSPC.
func (f *FS) Limit(bytes int64) {
	f.begin()
	defer f.mu.Unlock()
	f.limit = bytes
}

// Used is the sum of the sizes of all files.
func (f *FS) Used() int64 {
	f.begin()
	defer f.mu.Unlock()
	return f.used()
}

func (f *FS) used() (sum int64) {
	counted := make(map[*inode]bool, len(f.names))
	count := func(n *inode) {
		if !counted[n] {
			counted[n] = true
			sum += n.data.size
		}
	}
	for _, n := range f.names {
		count(n)
	}
	for n := range f.opened {
		count(n)
	}
	return sum
}

// room is how large a file can be that is to have size bytes.
func (f *FS) room(n *inode, size int64) int64 {
	if f.limit == 0 || size <= n.data.size {
		return size
	}
	return min(size, n.data.size+max(0, f.limit-f.used()))
}
