// Package faultfs is a directory in memory that fails and crashes when a test says so.
// It knows what is durable and what is not: [FS.Crash] keeps what was synced, and of the
// rest what the test chooses, in sectors of 512 bytes. [FS.Record] logs each change, so
// that a crash can be had before and after every one: see [Log]. [FS.Fail] makes calls
// fail; [FS.Limit] makes the disk small.
package faultfs

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/papyra-go/papyra/backend/internal/disk"
)

// Kind is a kind of call, or of event.
type Kind string

// The kinds of calls that a hook and a fault see.
const (
	Open     Kind = "open"
	Read     Kind = "read"
	Write    Kind = "write"
	Truncate Kind = "truncate"
	Size     Kind = "size"
	Sync     Kind = "sync" // Datasync too
	Close    Kind = "close"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	Mkdir    Kind = "mkdir"
	ReadDir  Kind = "readdir"
	SyncDir  Kind = "syncdir"
	Lock     Kind = "lock"
)

// Changes reports whether calls of the kind change what a crash may leave.
func (k Kind) Changes() bool {
	switch k {
	case Write, Truncate, Sync, Rename, Remove, Mkdir, SyncDir:
		return true
	}
	return false
}

// Op is one call.
type Op struct {
	Kind Kind
	Name string
	Off  int64
	Data []byte // of a write, or the room of a read
	Flag int    // of an open
}

// Sector is what a disk writes whole or not at all.
const Sector = 512

// ShortWrite, wrapped in the error of a hook or a fault, makes a write take the first
// half of its bytes before it fails.
var ShortWrite = errors.New("short write")

// WholeWrite, wrapped in the error of a hook or a fault, makes a write take all of its
// bytes and fail all the same.
var WholeWrite = errors.New("whole write")

// FS is the directory. Its zero value is empty.
type FS struct {
	// Hook is called before each call, without locks, possibly by several goroutines
	// at a time. An error makes the call fail with it and do nothing. Set it before
	// the directory is used.
	Hook func(Op) error

	faults faults

	mu      sync.Mutex
	names   map[string]*inode // as programs see it
	durable map[string]*inode // as a crash leaves it, without pending
	pending []dirOp           // changes to names since the last SyncDir of their folders
	opened  map[*inode]int    // how many handles each file has
	locked  bool
	holder  string
	limit   int64 // of the sum of all files' sizes; 0: none
	nodes   int   // how many inodes there were
	log     *Log  // nil: nobody records
}

// inode is a file, or a folder.
type inode struct {
	id      int
	folder  bool
	data    content  // as programs see it
	durable content  // as a crash leaves it, without pending
	pending []fileOp // changes since the last sync
	lost    bool     // a sync failed and dropped some: data is not what durable and pending make
}

// fileOp is a write, or a change of the size.
type fileOp struct {
	off  int64
	data []byte // nil: the file is cut to off
}

func (op *fileOp) apply(c *content) {
	if op.data == nil {
		c.resize(op.off)
	} else {
		c.write(op.data, op.off)
	}
}

// dirOp sets a name to a file; nil removes it. Of a rename both happen or neither.
type dirOp struct {
	folder  string
	set     string
	to      *inode
	removed string
}

func (op *dirOp) apply(names map[string]*inode) {
	if op.removed != "" {
		delete(names, op.removed)
	}
	if op.set != "" {
		names[op.set] = op.to
	}
}

func folderOf(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return "."
}

func (f *FS) call(op Op) error {
	if f.Hook != nil {
		if err := f.Hook(op); err != nil {
			return err
		}
	}
	return f.faults.call(op)
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// begin takes the lock.
func (f *FS) begin() {
	f.mu.Lock()
	if f.names == nil {
		f.names, f.durable, f.opened = map[string]*inode{}, map[string]*inode{}, map[*inode]int{}
	}
}

// node returns a new inode.
func (f *FS) node() *inode {
	f.nodes++
	return &inode{id: f.nodes}
}

// hasFolder reports whether the folder that a name is in exists.
func (f *FS) hasFolder(name string) bool {
	folder := folderOf(name)
	return folder == "." || f.names[folder] != nil && f.names[folder].folder
}

// Open opens a file.
func (f *FS) Open(name string, flag int) (disk.File, error) {
	if err := f.call(Op{Kind: Open, Name: name, Flag: flag}); err != nil {
		return nil, pathError("open", name, err)
	}
	f.begin()
	defer f.mu.Unlock()
	n := f.names[name]
	switch {
	case n == nil && (flag&os.O_CREATE == 0 || !f.hasFolder(name)):
		return nil, pathError("open", name, fs.ErrNotExist)
	case n == nil:
		n = f.node()
		f.do(&Event{Kind: Create, Name: name}, n)
	case n.folder:
		return nil, &disk.OddFileError{Name: name, What: "a directory"}
	case flag&os.O_EXCL != 0:
		return nil, pathError("open", name, fs.ErrExist)
	}
	if flag&os.O_TRUNC != 0 && n.data.size > 0 {
		f.do(&Event{Kind: Truncate, Name: name}, n)
	}
	f.opened[n]++
	return &file{f: f, n: n, name: name, writable: flag&(os.O_RDWR|os.O_WRONLY) != 0}, nil
}

// Rename replaces to.
func (f *FS) Rename(from, to string) error {
	if err := f.call(Op{Kind: Rename, Name: to}); err != nil {
		return pathError("rename", from, err)
	}
	f.begin()
	defer f.mu.Unlock()
	n := f.names[from]
	if n == nil || !f.hasFolder(to) {
		return pathError("rename", from, fs.ErrNotExist)
	}
	f.do(&Event{Kind: Rename, Name: to, From: from}, n)
	return nil
}

// Remove removes a file.
func (f *FS) Remove(name string) error {
	if err := f.call(Op{Kind: Remove, Name: name}); err != nil {
		return pathError("remove", name, err)
	}
	f.begin()
	defer f.mu.Unlock()
	n := f.names[name]
	if n == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	f.do(&Event{Kind: Remove, Name: name}, n)
	return nil
}

// Mkdir makes a folder.
func (f *FS) Mkdir(name string) error {
	if err := f.call(Op{Kind: Mkdir, Name: name}); err != nil {
		return pathError("mkdir", name, err)
	}
	f.begin()
	defer f.mu.Unlock()
	if f.names[name] != nil {
		return pathError("mkdir", name, fs.ErrExist)
	}
	n := f.node()
	n.folder = true
	f.do(&Event{Kind: Mkdir, Name: name}, n)
	return nil
}

// ReadDir lists a folder.
func (f *FS) ReadDir(folder string) ([]disk.Entry, error) {
	if err := f.call(Op{Kind: ReadDir, Name: folder}); err != nil {
		return nil, pathError("readdir", folder, err)
	}
	f.begin()
	defer f.mu.Unlock()
	if !f.hasFolder(folder + "/") {
		return nil, pathError("readdir", folder, fs.ErrNotExist)
	}
	var entries []disk.Entry
	for name, n := range f.names {
		if folderOf(name) != folder {
			continue
		}
		e := disk.Entry{Name: name[strings.LastIndexByte(name, '/')+1:], Size: n.data.size, Mode: 0o600}
		if n.folder {
			e.Mode = 0o700 | fs.ModeDir
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b disk.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries, nil
}

// SyncDir makes a folder's names durable.
func (f *FS) SyncDir(folder string) error {
	op := Op{Kind: SyncDir, Name: folder}
	if err := f.call(op); err != nil {
		if lose := f.faults.losing(op); lose != nil {
			f.loseNames(folder, lose)
		}
		return pathError("sync", folder, err)
	}
	f.begin()
	defer f.mu.Unlock()
	f.do(&Event{Kind: SyncDir, Name: folder}, nil)
	return nil
}

// Mode is what the engine makes directories with.
func (f *FS) Mode() (fs.FileMode, error) { return fs.ModeDir | 0o700, nil }

// Lock takes the one lock of the directory, among all that use this FS, whatever becomes
// of the file.
func (f *FS) Lock(name, holder string) (disk.Lock, error) {
	if err := f.call(Op{Kind: Lock, Name: name}); err != nil {
		return nil, pathError("lock", name, err)
	}
	f.begin()
	defer f.mu.Unlock()
	if f.locked {
		return nil, &disk.HeldError{Holder: f.holder}
	}
	if n := f.names[name]; n != nil && n.folder {
		return nil, &disk.OddFileError{Name: name, What: "a directory"}
	} else if n == nil {
		f.do(&Event{Kind: Create, Name: name}, f.node())
	}
	left := f.holder
	f.locked, f.holder = true, holder
	return &unlocker{f, left}, nil
}

type unlocker struct {
	f    *FS
	left string
}

func (u *unlocker) Left() string { return u.left }

func (u *unlocker) Say(line string) error {
	u.f.mu.Lock()
	defer u.f.mu.Unlock()
	u.f.holder = line
	return nil
}

func (u *unlocker) Close() error {
	u.f.mu.Lock()
	defer u.f.mu.Unlock()
	u.f.locked = false
	return nil
}

// Close does nothing: the directory stays.
func (f *FS) Close() error { return nil }

// Handles returns the names of the files that are open, sorted, with no name for those
// that have none any more: after a store is closed, there is none.
func (f *FS) Handles() (names []string) {
	f.begin()
	defer f.mu.Unlock()
	left := maps.Clone(f.opened)
	for name, n := range f.names {
		if left[n] > 0 {
			names = append(names, name)
			delete(left, n)
		}
	}
	for range left {
		names = append(names, "(removed)")
	}
	slices.Sort(names)
	return names
}

// file is an open file.
type file struct {
	f        *FS
	n        *inode
	name     string
	writable bool
	closed   bool
}

// usable takes the lock, unless the call fails.
func (h *file) usable(op Op) error {
	err := h.f.call(op)
	if err != nil && !errors.Is(err, ShortWrite) && !errors.Is(err, WholeWrite) {
		return pathError(string(op.Kind), h.name, err)
	}
	h.f.begin()
	switch {
	case h.closed:
		err = fs.ErrClosed
	case !h.writable && (op.Kind == Write || op.Kind == Truncate):
		err = fs.ErrPermission
	default:
		return err
	}
	h.f.mu.Unlock()
	return pathError(string(op.Kind), h.name, err)
}

func (h *file) ReadAt(p []byte, off int64) (int, error) {
	if err := h.usable(Op{Kind: Read, Name: h.name, Off: off, Data: p}); err != nil {
		return 0, err
	}
	defer h.f.mu.Unlock()
	n := h.n.data.read(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *file) WriteAt(p []byte, off int64) (int, error) {
	err := h.usable(Op{Kind: Write, Name: h.name, Off: off, Data: p})
	switch {
	case errors.Is(err, ShortWrite):
		p = p[:len(p)/2]
	case errors.Is(err, WholeWrite):
	case err != nil:
		return 0, err
	}
	defer h.f.mu.Unlock()
	if room := h.f.room(h.n, off+int64(len(p))); room < off+int64(len(p)) {
		p, err = p[:max(0, room-off)], syscall.ENOSPC
	}
	if len(p) > 0 {
		h.f.do(&Event{Kind: Write, Name: h.name, Off: off, Data: slices.Clone(p)}, h.n)
	}
	if err != nil {
		return len(p), pathError("write", h.name, err)
	}
	return len(p), nil
}

// Renamed says what errors call the file from now on.
func (h *file) Renamed(name string) { h.name = name }

// Forget does nothing: what LoseUnsynced has lost stays readable, which is the worse case.
func (h *file) Forget() {}

func (h *file) Truncate(size int64) error {
	if err := h.usable(Op{Kind: Truncate, Name: h.name, Off: size}); err != nil {
		return err
	}
	defer h.f.mu.Unlock()
	if h.f.room(h.n, size) < size {
		return pathError("truncate", h.name, syscall.ENOSPC)
	}
	h.f.do(&Event{Kind: Truncate, Name: h.name, Off: size}, h.n)
	return nil
}

func (h *file) Size() (int64, error) {
	if err := h.usable(Op{Kind: Size, Name: h.name}); err != nil {
		return 0, err
	}
	defer h.f.mu.Unlock()
	return h.n.data.size, nil
}

func (h *file) Sync() error {
	op := Op{Kind: Sync, Name: h.name}
	if err := h.usable(op); err != nil {
		if lose := h.f.faults.losing(op); lose != nil {
			h.f.lose(h.n, h.name, lose)
		}
		return err
	}
	defer h.f.mu.Unlock()
	h.f.do(&Event{Kind: Sync, Name: h.name}, h.n)
	return nil
}

func (h *file) Datasync() error { return h.Sync() }

// Close gives the handle up, also when it fails.
func (h *file) Close() error {
	err := h.f.call(Op{Kind: Close, Name: h.name})
	h.f.begin()
	defer h.f.mu.Unlock()
	if h.closed {
		return pathError("close", h.name, fs.ErrClosed)
	}
	h.closed = true
	if h.f.opened[h.n]--; h.f.opened[h.n] == 0 {
		delete(h.f.opened, h.n)
	}
	if err != nil {
		return pathError("close", h.name, err)
	}
	return nil
}
