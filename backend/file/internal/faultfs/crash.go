package faultfs

import (
	"maps"
	"slices"
)

// Choice says of each unsynced change, in the order in which they were made, whether it
// reaches the disk: a sector of a write, a change of a file's size, a name.
type Choice func() bool

// All and None are the simplest choices.
func All() bool { return true }

// None keeps nothing that was not synced.
func None() bool { return false }

// Crash returns the directory as the next process finds it after a crash now: what was
// synced, and of the rest what keep chooses. f itself is not changed.
func (f *FS) Crash(keep Choice) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	names := maps.Clone(f.durable)
	for i := range f.pending {
		if keep() {
			f.pending[i].apply(names)
		}
	}
	after := &FS{}
	after.init()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		data := n.crash(keep)
		after.names[name] = &inode{folder: n.folder, data: data, durable: slices.Clone(data)}
	}
	after.durable = maps.Clone(after.names)
	return after
}

// crash returns the file's bytes after a crash.
func (n *inode) crash(keep Choice) []byte {
	data := slices.Clone(n.durable)
	for _, op := range n.pending {
		if op.data == nil {
			if keep() {
				data = op.apply(data)
			}
			continue
		}
		if end := op.off + int64(len(op.data)); end > int64(len(data)) && keep() { // the size, without the data
			data = append(data, make([]byte, end-int64(len(data)))...)
		}
		for at := int64(0); at < int64(len(op.data)); {
			end := min(int64(len(op.data)), at+Sector-(op.off+at)%Sector)
			if keep() {
				part := fileOp{op.off + at, op.data[at:end]}
				data = part.apply(data)
			}
			at = end
		}
	}
	return data
}

// Clone returns a copy that shares nothing with f: what is not durable is still not.
func (f *FS) Clone() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	copies := map[*inode]*inode{nil: nil}
	of := func(n *inode) *inode {
		if c, ok := copies[n]; ok {
			return c
		}
		c := &inode{folder: n.folder, data: slices.Clone(n.data), durable: slices.Clone(n.durable), pending: slices.Clone(n.pending)}
		copies[n] = c
		return c
	}
	out := &FS{}
	out.init()
	for name, n := range f.names {
		out.names[name] = of(n)
	}
	for name, n := range f.durable {
		out.durable[name] = of(n)
	}
	for _, op := range f.pending {
		op.to = of(op.to)
		out.pending = append(out.pending, op)
	}
	return out
}

// Bytes returns a file's bytes, to be changed in place: rot.
func (f *FS) Bytes(name string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.names[name]; n != nil {
		return n.data
	}
	return nil
}

// Put makes a file hold b, durably.
func (f *FS) Put(name string, b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	n := &inode{data: slices.Clone(b), durable: slices.Clone(b)}
	f.names[name], f.durable[name] = n, n
}

// Take removes a file, durably.
func (f *FS) Take(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.names, name)
	delete(f.durable, name)
}

// Names returns the names of all files and folders, sorted.
func (f *FS) Names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.names))
}
