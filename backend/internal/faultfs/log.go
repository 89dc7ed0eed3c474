package faultfs

import (
	"fmt"
	"slices"
	"sync"
)

// The kinds of events that are no calls of their own.
const (
	Create Kind = "create" // an Open, or a Lock, that made a file
	Lose   Kind = "lose"   // a failed sync dropped what was not written
	Note   Kind = "note"   // [FS.Note]
)

// Event is one change, as it took effect: of a write that failed half way, the half.
type Event struct {
	Kind Kind
	Name string // of the file, when it was opened
	From string // of a rename
	Off  int64  // of a write; of a truncate, the size
	Data []byte // of a write
	Note any

	node  int
	after content // of a lose: the file's durable bytes
	kept  []bool  // of a lose in a folder: which of its pending changes are durable
}

func (e *Event) String() string {
	switch e.Kind {
	case Note:
		return fmt.Sprint(e.Note)
	case Write:
		return fmt.Sprintf("write %s at %d, %d bytes", e.Name, e.Off, len(e.Data))
	case Truncate:
		return fmt.Sprintf("truncate %s to %d", e.Name, e.Off)
	case Rename:
		return fmt.Sprintf("rename %s to %s", e.From, e.Name)
	}
	return string(e.Kind) + " " + e.Name
}

// Log is all events of a directory since it was recorded, in the order in which they took
// effect. Its memory is what was written, not what is stored.
type Log struct {
	base *FS

	mu     sync.Mutex
	events []Event
}

// Record begins a log of what happens from now on. There is one at a time.
func (f *FS) Record() *Log {
	f.begin()
	defer f.mu.Unlock()
	base, _ := f.clone()
	f.log = &Log{base: base}
	return f.log
}

// Note puts something of the test's own into the log, such as what was acknowledged.
func (f *FS) Note(v any) {
	f.begin()
	defer f.mu.Unlock()
	f.do(&Event{Kind: Note, Note: v}, nil)
}

// Events returns what was logged so far.
func (l *Log) Events() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clip(l.events)
}

// Replay goes through the log and hands out the directory as it was just before each
// event, and with a nil event after the last. The directory is good until do returns, which
// may clone and crash it, and change nothing. It ends when do returns false.
func (l *Log) Replay(do func(i int, next *Event, now *FS) bool) {
	events := l.Events()
	l.base.begin()
	now, nodes := l.base.clone()
	l.base.mu.Unlock()
	for i := range events {
		if !do(i, &events[i], now) {
			return
		}
		n := nodes[events[i].node]
		if n == nil && events[i].node > 0 {
			n = &inode{id: events[i].node, folder: events[i].Kind == Mkdir}
			nodes[n.id] = n
		}
		now.begin()
		now.do(&events[i], n)
		now.mu.Unlock()
	}
	do(len(events), nil, now)
}

// do makes a change to n, and logs it. The lock is held.
func (f *FS) do(e *Event, n *inode) {
	switch e.Kind {
	case Create, Mkdir:
		f.change(dirOp{folder: folderOf(e.Name), set: e.Name, to: n})
	case Rename:
		f.change(dirOp{folder: folderOf(e.Name), set: e.Name, to: n, removed: e.From})
	case Remove:
		f.change(dirOp{folder: folderOf(e.Name), removed: e.Name})
	case SyncDir:
		f.syncDir(e.Name, func(int) bool { return true })
	case Write, Truncate:
		op := fileOp{e.Off, e.Data}
		op.apply(&n.data)
		n.pending = append(n.pending, op)
	case Sync:
		n.sync()
	case Lose:
		if n == nil {
			f.syncDir(e.Name, func(i int) bool { return e.kept[i] })
			break
		}
		n.durable, n.pending, n.lost = e.after.clone(), nil, true
	}
	if f.log == nil {
		return
	}
	if n != nil {
		e.node = n.id
	}
	f.log.mu.Lock()
	defer f.log.mu.Unlock()
	f.log.events = append(f.log.events, *e)
}

// change makes a change to the names visible, and pending.
func (f *FS) change(op dirOp) {
	op.apply(f.names)
	f.pending = append(f.pending, op)
}

// syncDir makes those of a folder's pending changes durable that are kept, and forgets the
// others.
func (f *FS) syncDir(folder string, kept func(i int) bool) {
	left, i := f.pending[:0:0], 0
	for _, op := range f.pending {
		if op.folder != folder {
			left = append(left, op)
			continue
		}
		if kept(i) {
			op.apply(f.durable)
		}
		i++
	}
	f.pending = left
}

// sync makes a file's changes durable.
func (n *inode) sync() {
	if n.lost || n.data.flat != nil {
		for i := range n.pending {
			n.pending[i].apply(&n.durable)
		}
	} else {
		n.durable = n.data.clone()
	}
	n.pending = nil
}
