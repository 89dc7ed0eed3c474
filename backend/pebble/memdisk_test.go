package pebble

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/papyra-go/papyra/backend"
)

// MemDisk is a disk in memory, pebble's own, that fails, hangs and loses power.
type MemDisk struct {
	*vfs.MemFS
	Saves string // a directory of the machine, for what is quarantined

	mu       sync.Mutex
	changing func()
	stall    *stall
	faults   []*Fault
	locks    map[string]int // -1: for who writes
	open     map[*memFile]bool
}

// Op is what a disk is asked to do.
type Op struct {
	Kind OpKind
	Name string
	Grow bool // a write behind the end of a file
}

// OpKind is the kind of an Op.
type OpKind int

// The kinds of operations.
const (
	OpRead OpKind = iota
	OpWrite
	OpNames
	OpSync
)

// Fault says which operations fail, and how.
type Fault struct {
	When        func(Op) bool
	Skip, Times int // Times 0: all
	Err         error
	Short       bool // half of a write is written
	Full        bool // and the disk says that it is full
	hits, seen  int
	healed      bool
}

type stall struct {
	once          sync.Once
	reached, free chan struct{}
}

// NewMemDisk makes an empty disk. saves is where quarantined files go.
func NewMemDisk(saves string) *MemDisk {
	return &MemDisk{MemFS: vfs.NewCrashableMem(), Saves: saves, locks: map[string]int{}, open: map[*memFile]bool{}}
}

// OpenOn opens the store on a disk in memory.
func OpenOn(ctx context.Context, d *MemDisk, o Options) (*backend.Backend, error) {
	return open(ctx, place{fs: d, dir: "/store", saves: d.Saves}, o)
}

// Crash returns the disk as a power cut leaves it now.
func (d *MemDisk) Crash(percent int, rng *rand.Rand) *MemDisk {
	c := NewMemDisk(d.Saves)
	c.MemFS = d.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
	return c
}

// Changing has f called before each change.
func (d *MemDisk) Changing(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changing = f
}

// Stall makes changes wait.
func (d *MemDisk) Stall() (<-chan struct{}, func()) {
	st := &stall{reached: make(chan struct{}), free: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stall = st
	return st.reached, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.stall = nil
		close(st.free)
	}
}

// Fail puts a fault in force.
func (d *MemDisk) Fail(f *Fault) (hits func() int, heal func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, f)
	hits = func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return f.hits
	}
	return hits, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		f.healed = true
	}
}

// do runs the hooks before an operation; half says that half of a write is to be done.
func (d *MemDisk) do(op Op) (err error, half bool) {
	d.mu.Lock()
	changing, st := d.changing, d.stall
	for _, f := range d.faults {
		if f.healed || !f.When(op) {
			continue
		}
		if f.seen++; f.seen <= f.Skip || f.Times > 0 && f.hits >= f.Times {
			continue
		}
		f.hits++
		err, half = fmt.Errorf("%s: %w", op.Name, f.Err), f.Short
	}
	d.mu.Unlock()
	if op.Kind != OpRead {
		if changing != nil {
			changing()
		}
		if st != nil {
			st.once.Do(func() { close(st.reached) })
			<-st.free
		}
	}
	return err, half
}

func (d *MemDisk) name(name string, do func() error) error {
	if err, _ := d.do(Op{Kind: OpNames, Name: name}); err != nil {
		return err
	}
	return do()
}

func (d *MemDisk) file(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	m := &memFile{File: f, d: d, name: name}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[m] = true
	return m, nil
}

func (d *MemDisk) Create(name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = d.name(name, func() error { f, err = d.MemFS.Create(name, c); return err })
	return d.file(name, f, err)
}

func (d *MemDisk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (f vfs.File, err error) {
	err = d.name(name, func() error { f, err = d.MemFS.OpenReadWrite(name, c, opts...); return err })
	return d.file(name, f, err)
}

func (d *MemDisk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = d.name(to, func() error { f, err = d.MemFS.ReuseForWrite(from, to, c); return err })
	return d.file(to, f, err)
}

func (d *MemDisk) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if err, _ := d.do(Op{Kind: OpRead, Name: name}); err != nil {
		return nil, err
	}
	f, err := d.MemFS.Open(name, opts...)
	return d.file(name, f, err)
}

func (d *MemDisk) OpenDir(name string) (vfs.File, error) {
	f, err := d.MemFS.OpenDir(name)
	return d.file(name, f, err)
}

func (d *MemDisk) Link(from, to string) error {
	return d.name(to, func() error { return d.MemFS.Link(from, to) })
}

func (d *MemDisk) Rename(from, to string) error {
	return d.name(to, func() error { return d.MemFS.Rename(from, to) })
}

func (d *MemDisk) Remove(name string) error {
	return d.name(name, func() error { return d.MemFS.Remove(name) })
}

func (d *MemDisk) RemoveAll(name string) error {
	return d.name(name, func() error { return d.MemFS.RemoveAll(name) })
}

func (d *MemDisk) MkdirAll(name string, mode os.FileMode) error {
	return d.name(name, func() error { return d.MemFS.MkdirAll(name, mode) })
}

// GetDiskUsage says that there is room, unless the disk is full.
func (d *MemDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.faults {
		if f.Full && !f.healed && f.seen >= f.Skip {
			return vfs.DiskUsage{}, nil
		}
	}
	return vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 41}, nil
}

func (d *MemDisk) Unwrap() vfs.FS { return nil }

func (d *MemDisk) lock(dir string, shared bool) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.locks[dir]
	if n < 0 || n > 0 && !shared {
		return nil, fmt.Errorf("%w: the store is open in another handle by \"this process\"", backend.ErrLocked)
	}
	if shared {
		d.locks[dir]++
		return &memLock{d: d, dir: dir, by: 1}, nil
	}
	d.locks[dir] = -1
	return &memLock{d: d, dir: dir, by: -1}, nil
}

type memLock struct {
	d   *MemDisk
	dir string
	by  int
}

func (l *memLock) Close() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.d.locks[l.dir] -= l.by
	return nil
}

// Left says what is still open or locked.
func (d *MemDisk) Left() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for f := range d.open {
		names = append(names, f.name)
	}
	if len(names) > 0 || d.locks["/store"] != 0 {
		return fmt.Errorf("left open: %q, lock %d", names, d.locks["/store"])
	}
	return nil
}

// memFile is an open file of a MemDisk.
type memFile struct {
	vfs.File
	d    *MemDisk
	name string
}

func (f *memFile) Write(b []byte) (int, error) {
	err, half := f.d.do(Op{Kind: OpWrite, Name: f.name, Grow: true})
	if err == nil {
		return f.File.Write(b)
	}
	n := 0
	if half {
		n, _ = f.File.Write(b[:len(b)/2])
	}
	return n, err
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	if err, _ := f.d.do(Op{Kind: OpWrite, Name: f.name}); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f *memFile) Read(b []byte) (int, error) {
	if err, _ := f.d.do(Op{Kind: OpRead, Name: f.name}); err != nil {
		return 0, err
	}
	return f.File.Read(b)
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	if err, _ := f.d.do(Op{Kind: OpRead, Name: f.name}); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, off)
}

func (f *memFile) sync(do func() error) error {
	if err, _ := f.d.do(Op{Kind: OpSync, Name: f.name}); err != nil {
		return err
	}
	return do()
}

func (f *memFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *memFile) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo does nothing, as one that was only begun.
func (f *memFile) SyncTo(int64) (bool, error) { return false, nil }

func (f *memFile) Close() error {
	f.d.mu.Lock()
	delete(f.d.open, f)
	f.d.mu.Unlock()
	return f.File.Close()
}

// Files lists all files, in order.
func (d *MemDisk) Files() (names []string) {
	var walk func(dir string)
	walk = func(dir string) {
		list, _ := d.MemFS.List(dir)
		slices.Sort(list)
		for _, name := range list {
			full := path.Join(dir, name)
			if info, err := d.MemFS.Stat(full); err == nil && info.IsDir() {
				walk(full)
			} else {
				names = append(names, full)
			}
		}
	}
	walk("/")
	return names
}

// Content returns what is in a file.
func (d *MemDisk) Content(name string) []byte {
	f, err := d.MemFS.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, _ := io.ReadAll(f)
	return b
}

// Put makes a file durably.
func (d *MemDisk) Put(name string, b []byte) error {
	dir := path.Dir(name)
	if err := d.MemFS.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := d.MemFS.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(slices.Clone(b))
	err = errors.Join(err, f.Sync(), f.Close())
	for ; err == nil; dir = path.Dir(dir) {
		err = syncDir(d.MemFS, dir)
		if dir == "/" {
			break
		}
	}
	return err
}

// Flip changes bits of a byte durably.
func (d *MemDisk) Flip(name string, at int64, mask byte) error {
	b := d.Content(name)
	b[at] ^= mask
	return d.Put(name, b)
}

// Digest is a hash of all that is on the disk.
func (d *MemDisk) Digest() [32]byte {
	h := sha256.New()
	for _, name := range d.Files() {
		b := d.Content(name)
		fmt.Fprintf(h, "%q %d\n", name, len(b))
		h.Write(b)
	}
	return [32]byte(h.Sum(nil))
}

// Operations of the conformance suite's words.
var Operations = map[string]func(Op) bool{
	"read": func(op Op) bool { return op.Kind == OpRead },
	"write": func(op Op) bool {
		return op.Kind == OpWrite || op.Kind == OpNames && !strings.HasSuffix(op.Name, ".dbtmp")
	},
	"sync": func(op Op) bool { return op.Kind == OpSync },
}

// IsFull reports whether a fault is a full disk.
func IsFull(err error, times int) bool { return times == 0 && errors.Is(err, syscall.ENOSPC) }
