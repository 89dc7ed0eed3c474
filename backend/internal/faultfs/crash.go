package faultfs

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Choice says of each unsynced change, in the order in which they were made, whether it
// reaches the disk: a sector of a write, a change of a file's size, a name.
type Choice func() bool

// All and None are the simplest choices.
func All() bool { return true }

// None keeps nothing that was not synced.
func None() bool { return false }

// Some keeps each change with a probability in tenths that is itself random.
func Some(rng *rand.Rand) Choice {
	often := rng.IntN(9) + 1
	return func() bool { return rng.IntN(10) < often }
}

// Bits keeps the changes whose bits are set, and nothing beyond 64.
func Bits(set uint64) Choice {
	i := 0
	return func() bool { i++; return i <= 64 && set>>(i-1)&1 == 1 }
}

// Unsynced is how many changes a crash now has to choose from, if it keeps all.
func (f *FS) Unsynced() (n int) {
	f.Crash(func() bool { n++; return true })
	return n
}

// Crash returns the directory as the next process finds it after a crash now: what was
// synced, and of the rest what keep chooses. f itself is not changed.
func (f *FS) Crash(keep Choice) *FS {
	f.begin()
	defer f.mu.Unlock()
	names := maps.Clone(f.durable)
	for i := range f.pending {
		if keep() {
			f.pending[i].apply(names)
		}
	}
	after := new(FS)
	after.begin()
	defer after.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		if folder := folderOf(name); folder != "." && names[folder] == nil {
			continue // nothing leads to it
		}
		fresh := after.node()
		fresh.folder, fresh.data = n.folder, n.crash(keep)
		fresh.durable = fresh.data.clone()
		after.names[name], after.durable[name] = fresh, fresh
	}
	return after
}

// crash returns the file's bytes after a crash.
func (n *inode) crash(keep Choice) content {
	c := n.durable.clone()
	for _, op := range n.pending {
		if op.data == nil {
			if keep() {
				op.apply(&c)
			}
			continue
		}
		if end := op.off + int64(len(op.data)); end > c.size && keep() { // the size, without the data
			c.resize(end)
		}
		for at := int64(0); at < int64(len(op.data)); {
			end := min(int64(len(op.data)), at+Sector-(op.off+at)%Sector)
			if keep() {
				c.write(op.data[at:end], op.off+at)
			}
			at = end
		}
	}
	return c
}

// Clone returns a copy that shares nothing with f: what is not durable is still not.
// Nobody has a file of it open or its lock, and no fault is in force.
func (f *FS) Clone() *FS {
	f.begin()
	defer f.mu.Unlock()
	out, _ := f.clone()
	return out
}

// clone also returns the copies of the inodes, by id.
func (f *FS) clone() (*FS, map[int]*inode) {
	copies := map[int]*inode{}
	of := func(n *inode) *inode {
		if n == nil {
			return nil
		}
		c := copies[n.id]
		if c == nil {
			c = &inode{id: n.id, folder: n.folder, data: n.data.clone(), durable: n.durable.clone(), pending: slices.Clip(n.pending), lost: n.lost}
			copies[n.id] = c
		}
		return c
	}
	out := new(FS)
	out.begin()
	defer out.mu.Unlock()
	out.nodes = f.nodes
	for name, n := range f.names {
		out.names[name] = of(n)
	}
	for name, n := range f.durable {
		out.durable[name] = of(n)
	}
	for n := range f.opened {
		of(n)
	}
	for _, op := range f.pending {
		op.to = of(op.to)
		out.pending = append(out.pending, op)
	}
	return out, copies
}

// Bytes returns a file's bytes, to be changed in place: rot. A crash still finds what
// was durable before; [FS.Overwrite] changes that too.
func (f *FS) Bytes(name string) []byte {
	f.begin()
	defer f.mu.Unlock()
	if n := f.names[name]; n != nil {
		return n.data.bytes()
	}
	return nil
}

// Content returns a copy of a file's bytes.
func (f *FS) Content(name string) []byte {
	f.begin()
	defer f.mu.Unlock()
	n := f.names[name]
	if n == nil {
		return nil
	}
	b := make([]byte, n.data.size)
	n.data.read(b, 0)
	return b
}

// Overwrite puts b at off of a file, durably: rot, or what a crash left of a write. It
// does nothing to a file that is not there.
func (f *FS) Overwrite(name string, off int64, b []byte) {
	f.begin()
	defer f.mu.Unlock()
	if n := f.names[name]; n != nil {
		n.data.write(b, off)
		n.durable.write(b, off)
	}
}

// Flip changes bits of one byte of a file, durably.
func (f *FS) Flip(name string, at int64, bits byte) {
	f.begin()
	defer f.mu.Unlock()
	n := f.names[name]
	var b [1]byte
	if n == nil || n.data.read(b[:], at) == 0 {
		return
	}
	b[0] ^= bits
	n.data.write(b[:], at)
	n.durable.write(b[:], at)
}

// Resize cuts a file, or makes it longer by zeros, durably.
func (f *FS) Resize(name string, size int64) {
	f.begin()
	defer f.mu.Unlock()
	if n := f.names[name]; n != nil {
		n.data.resize(size)
		n.durable.resize(size)
	}
}

// Put makes a file hold b, durably.
func (f *FS) Put(name string, b []byte) {
	f.begin()
	defer f.mu.Unlock()
	n := f.node()
	n.data = made(b)
	n.durable = n.data.clone()
	f.names[name], f.durable[name] = n, n
}

// Take removes a file, durably.
func (f *FS) Take(name string) {
	f.begin()
	defer f.mu.Unlock()
	delete(f.names, name)
	delete(f.durable, name)
}

// Names returns the names of all files and folders, sorted.
func (f *FS) Names() []string {
	f.begin()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.names))
}

// IsFolder reports whether a name is a folder's.
func (f *FS) IsFolder(name string) bool {
	f.begin()
	defer f.mu.Unlock()
	return f.names[name] != nil && f.names[name].folder
}

// Digest identifies the names and bytes of all files.
func (f *FS) Digest() [32]byte {
	h := sha256.New()
	for _, name := range f.Names() {
		content := f.Content(name)
		fmt.Fprintf(h, "%q %v %d\n", name, f.IsFolder(name), len(content))
		h.Write(content)
	}
	return [32]byte(h.Sum(nil))
}
