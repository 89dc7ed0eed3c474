// Package faultfs is a directory in memory that fails and crashes when a test says so.
// It knows what is durable and what is not: [FS.Crash] keeps what was synced, and of the
// rest what the test chooses, in sectors of 512 bytes.
package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/papyra-go/papyra/backend/file/internal/disk"
)

// Kind is a kind of call.
type Kind string

// The kinds of calls that a hook sees.
const (
	Open     Kind = "open"
	Read     Kind = "read"
	Write    Kind = "write"
	Truncate Kind = "truncate"
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
}

// Sector is what a disk writes whole or not at all.
const Sector = 512

// ShortWrite, wrapped in the error of a hook, makes a write take the first half of its
// bytes before it fails.
var ShortWrite = errors.New("short write")

// WholeWrite, wrapped in the error of a hook, makes a write take all of its bytes and
// fail all the same.
var WholeWrite = errors.New("whole write")

// FS is the directory. Its zero value is empty.
type FS struct {
	// Hook is called before each call, without locks, possibly by several goroutines
	// at a time. An error makes the call fail with it and do nothing. Set it before
	// the directory is used.
	Hook func(Op) error

	mu      sync.Mutex
	names   map[string]*inode // as programs see it
	durable map[string]*inode // as a crash leaves it, without pending
	pending []dirOp           // changes to names since the last SyncDir of their folders
	locked  bool
	holder  string
}

// inode is a file, or a folder.
type inode struct {
	folder  bool
	data    []byte   // as programs see it
	durable []byte   // as a crash leaves it, without pending
	pending []fileOp // changes since the last sync
}

type fileOp struct {
	off  int64
	data []byte // nil: the file is cut to off
}

// dirOp sets a name to a file; nil removes it. Of a rename both happen or neither.
type dirOp struct {
	folder  string
	set     string
	to      *inode
	removed string
}

func folderOf(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return "."
}

func (f *FS) call(op Op) error {
	if f.Hook == nil {
		return nil
	}
	return f.Hook(op)
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (f *FS) init() {
	if f.names == nil {
		f.names, f.durable = map[string]*inode{}, map[string]*inode{}
	}
}

// Open opens a file.
func (f *FS) Open(name string, flag int) (disk.File, error) {
	if err := f.call(Op{Kind: Open, Name: name}); err != nil {
		return nil, pathError("open", name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	n := f.names[name]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, pathError("open", name, fs.ErrNotExist)
	case n == nil:
		n = new(inode)
		f.change(dirOp{folder: folderOf(name), set: name, to: n})
	case n.folder:
		return nil, &disk.OddFileError{Name: name, What: "a directory"}
	case flag&os.O_EXCL != 0:
		return nil, pathError("open", name, fs.ErrExist)
	}
	if flag&os.O_TRUNC != 0 && len(n.data) > 0 {
		n.pending = append(n.pending, fileOp{})
		n.data = nil
	}
	return &file{f: f, n: n, name: name, writable: flag&(os.O_RDWR|os.O_WRONLY) != 0}, nil
}

// change makes a change to the names visible, and pending.
func (f *FS) change(op dirOp) {
	op.apply(f.names)
	f.pending = append(f.pending, op)
}

func (op *dirOp) apply(names map[string]*inode) {
	if op.removed != "" {
		delete(names, op.removed)
	}
	if op.set != "" {
		names[op.set] = op.to
	}
}

// Rename replaces to.
func (f *FS) Rename(from, to string) error {
	if err := f.call(Op{Kind: Rename, Name: to}); err != nil {
		return pathError("rename", from, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	n := f.names[from]
	if n == nil {
		return pathError("rename", from, fs.ErrNotExist)
	}
	f.change(dirOp{folder: folderOf(to), set: to, to: n, removed: from})
	return nil
}

// Remove removes a file.
func (f *FS) Remove(name string) error {
	if err := f.call(Op{Kind: Remove, Name: name}); err != nil {
		return pathError("remove", name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	if f.names[name] == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	f.change(dirOp{folder: folderOf(name), removed: name})
	return nil
}

// Mkdir makes a folder.
func (f *FS) Mkdir(name string) error {
	if err := f.call(Op{Kind: Mkdir, Name: name}); err != nil {
		return pathError("mkdir", name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	if f.names[name] != nil {
		return pathError("mkdir", name, fs.ErrExist)
	}
	f.change(dirOp{folder: ".", set: name, to: &inode{folder: true}})
	return nil
}

// ReadDir lists a folder.
func (f *FS) ReadDir(folder string) ([]disk.Entry, error) {
	if err := f.call(Op{Kind: ReadDir, Name: folder}); err != nil {
		return nil, pathError("readdir", folder, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var entries []disk.Entry
	for name, n := range f.names {
		if folderOf(name) != folder {
			continue
		}
		e := disk.Entry{Name: name[strings.LastIndexByte(name, '/')+1:], Size: int64(len(n.data)), Mode: 0o600}
		if n.folder {
			e.Mode = 0o700 | fs.ModeDir
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b disk.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// SyncDir makes a folder's names durable.
func (f *FS) SyncDir(folder string) error {
	if err := f.call(Op{Kind: SyncDir, Name: folder}); err != nil {
		return pathError("sync", folder, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	left := f.pending[:0:0]
	for _, op := range f.pending {
		if op.folder != folder {
			left = append(left, op)
			continue
		}
		op.apply(f.durable)
	}
	f.pending = left
	return nil
}

// Mode is what the engine makes directories with.
func (f *FS) Mode() (fs.FileMode, error) { return fs.ModeDir | 0o700, nil }

// Lock takes the one lock of the directory, among all that use this FS, whatever becomes
// of the file.
func (f *FS) Lock(name, holder string) (io.Closer, error) {
	if err := f.call(Op{Kind: Lock, Name: name}); err != nil {
		return nil, pathError("lock", name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.init()
	if f.locked {
		return nil, &disk.HeldError{Holder: f.holder}
	}
	if n := f.names[name]; n != nil && n.folder {
		return nil, &disk.OddFileError{Name: name, What: "a directory"}
	} else if n == nil {
		f.change(dirOp{folder: folderOf(name), set: name, to: new(inode)})
	}
	f.locked, f.holder = true, holder
	return &unlocker{f}, nil
}

type unlocker struct{ f *FS }

func (u *unlocker) Close() error {
	u.f.mu.Lock()
	defer u.f.mu.Unlock()
	u.f.locked = false
	return nil
}

// Close does nothing: the directory stays.
func (f *FS) Close() error { return nil }

// file is an open file.
type file struct {
	f        *FS
	n        *inode
	name     string
	writable bool
}

func (h *file) ReadAt(p []byte, off int64) (int, error) {
	if err := h.f.call(Op{Kind: Read, Name: h.name, Off: off, Data: p}); err != nil {
		return 0, pathError("read", h.name, err)
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if off >= int64(len(h.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *file) WriteAt(p []byte, off int64) (int, error) {
	err := h.f.call(Op{Kind: Write, Name: h.name, Off: off, Data: p})
	if err == nil && !h.writable {
		err = fs.ErrPermission
	}
	if err != nil && !errors.Is(err, ShortWrite) && !errors.Is(err, WholeWrite) {
		return 0, pathError("write", h.name, err)
	}
	if errors.Is(err, ShortWrite) {
		p = p[:len(p)/2]
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	op := fileOp{off, append([]byte{}, p...)}
	h.n.data = op.apply(h.n.data)
	h.n.pending = append(h.n.pending, op)
	if err != nil {
		return len(p), pathError("write", h.name, err)
	}
	return len(p), nil
}

// apply returns data as it is after the change.
func (op *fileOp) apply(data []byte) []byte {
	if op.data == nil {
		if op.off <= int64(len(data)) {
			return data[:op.off:op.off]
		}
		return append(data, make([]byte, op.off-int64(len(data)))...)
	}
	if end := op.off + int64(len(op.data)); end > int64(len(data)) {
		data = append(data, make([]byte, end-int64(len(data)))...)
	}
	copy(data[op.off:], op.data)
	return data
}

// Renamed changes the name in calls and errors.
func (h *file) Renamed(name string) { h.name = name }

func (h *file) Truncate(size int64) error {
	if err := h.f.call(Op{Kind: Truncate, Name: h.name, Off: size}); err != nil {
		return pathError("truncate", h.name, err)
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	op := fileOp{off: size}
	h.n.data = op.apply(h.n.data)
	h.n.pending = append(h.n.pending, op)
	return nil
}

func (h *file) Size() (int64, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	return int64(len(h.n.data)), nil
}

func (h *file) Sync() error {
	if err := h.f.call(Op{Kind: Sync, Name: h.name}); err != nil {
		return pathError("sync", h.name, err)
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	for i := range h.n.pending {
		h.n.durable = h.n.pending[i].apply(h.n.durable)
	}
	h.n.pending = nil
	return nil
}

func (h *file) Datasync() error { return h.Sync() }

func (h *file) Close() error {
	if err := h.f.call(Op{Kind: Close, Name: h.name}); err != nil {
		return pathError("close", h.name, err)
	}
	return nil
}

// LoseUnsynced is what a failed sync does to the pages that it could not write: they
// stay readable, and no later sync writes them. Programs see no change; a crash does.
func (f *FS) LoseUnsynced(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.names[name]; n != nil {
		n.pending = nil
	}
}
