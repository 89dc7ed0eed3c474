package disk

import "sync"

// held is which directories this process has locked, by device and inode: the same store
// reached by two paths is one.
var held = registry{taken: map[inode]bool{}}

type inode struct{ dev, ino uint64 }

type registry struct {
	mu    sync.Mutex
	taken map[inode]bool
}

func (r *registry) take(key inode) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken[key] {
		return false
	}
	r.taken[key] = true
	return true
}

func (r *registry) give(key inode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.taken, key)
}
