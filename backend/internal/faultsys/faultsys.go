//go:build linux

// Package faultsys puts a disk that fails and crashes under engines whose libraries call the
// operating system themselves, as bbolt does. The kernel asks it before each call that
// changes a file (seccomp's user notifications); what is below a watched directory is done on
// a [faultfs.FS] as well, which decides whether the call fails, and knows what a power cut
// would leave.
//
// What it does not see: reads through memory that a file is mapped to, and write(2), which
// is for logs and pipes; engines write at offsets. A process that has called [Watch] asks for
// the rest of its life, also in its children.
package faultsys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// Dir is a directory that is watched.
type Dir struct {
	root string
	fs   *faultfs.FS
}

var (
	install = sync.OnceValue(listen)

	mu      sync.RWMutex
	watched = map[string]*Dir{}
)

// Watch does all changes below the directory root on fs too, which holds what is there. The
// directory itself may be missing still. It is an error if the kernel does not ask, which
// needs Linux 5.19 and a container that allows seccomp.
func Watch(root string, fs *faultfs.FS) (*Dir, error) {
	if err := install(); err != nil {
		return nil, fmt.Errorf("%w: the kernel does not ask before calls: %w", errors.ErrUnsupported, err)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(root))
	if err != nil {
		return nil, err
	}
	d := &Dir{filepath.Join(parent, filepath.Base(root)), fs}
	mu.Lock()
	defer mu.Unlock()
	watched[d.root] = d
	return d, nil
}

// Close ends the watch.
func (d *Dir) Close() {
	mu.Lock()
	defer mu.Unlock()
	delete(watched, d.root)
}

// find returns the directory that a path is in, or is, and its name in there.
func find(path string) (d *Dir, name string) {
	mu.RLock()
	defer mu.RUnlock()
	for root, d := range watched {
		if path == root {
			return d, "."
		}
		if rest, below := strings.CutPrefix(path, root+"/"); below {
			return d, rest
		}
	}
	return nil, ""
}

// calls are those that the kernel asks before; of openat only those that may create.
var calls = []uint32{
	unix.SYS_PWRITE64, unix.SYS_PREAD64, unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC,
	unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
}

// filter is the program that the kernel runs before each call of the process:
//
//	the number is one of calls                     ask
//	it is openat's, and the flags have O_CREAT     ask
//	else                                           go on
func filter() []unix.SockFilter {
	const load, equal, bits, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_RET
	const numberAt, flagsAt = 0, 16 + 2*8
	n := uint8(len(calls))
	p := []unix.SockFilter{{Code: load, K: numberAt}}
	for i, nr := range calls {
		p = append(p, unix.SockFilter{Code: equal, Jt: n - uint8(i) + 3, K: nr})
	}
	return append(p,
		unix.SockFilter{Code: equal, Jf: 2, K: unix.SYS_OPENAT},
		unix.SockFilter{Code: load, K: flagsAt},
		unix.SockFilter{Code: bits, Jt: 1, K: unix.O_CREAT},
		unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF},
	)
}

// question and answer are the kernel's struct seccomp_notif and seccomp_notif_resp.
type question struct {
	id    uint64
	tid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type answer struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// listen installs the filter in all threads, and answers from then on.
func listen() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	f := filter()
	program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	go func() {
		for {
			var q question
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&q)))
			if errno == 0 { // else the thread that asked is gone
				go reply(fd, &q)
			}
		}
	}()
	return nil
}

// reply has the kernel go on, or fail the call.
func reply(fd uintptr, q *question) {
	a := answer{id: q.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if err := q.do(); err != nil {
		a.flags, a.errno = 0, -int32(errnoOf(err))
	}
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, fd, unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a))) // who asked may be killed
}

func errnoOf(err error) syscall.Errno {
	errno := syscall.EIO
	errors.As(err, &errno)
	return errno
}

// do does a call on the watched directory that it is about, if it is about one.
func (q *question) do() error {
	if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", q.tid)); err != nil {
		return nil // a child's
	}
	switch q.nr {
	case unix.SYS_OPENAT:
		return q.create()
	case unix.SYS_MKDIRAT:
		d, name := find(q.path(0, 1))
		if d == nil || name == "." || d.has(name) {
			return nil
		}
		return d.fs.Mkdir(name)
	case unix.SYS_UNLINKAT:
		d, name := find(q.path(0, 1))
		if d == nil || !d.has(name) || q.args[2] == 0 && d.fs.IsFolder(name) {
			return nil
		}
		return d.fs.Remove(name)
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		return q.rename()
	}
	return q.onFile()
}

func (d *Dir) has(name string) bool {
	f, err := d.fs.Open(name, os.O_RDONLY)
	if err == nil {
		f.Close()
	}
	return err == nil || d.fs.IsFolder(name)
}

func (q *question) create() error {
	d, name := find(q.path(0, 1))
	if d == nil || name == "." {
		return nil
	}
	flag := os.O_RDWR | os.O_CREATE
	if q.args[2]&unix.O_TRUNC != 0 {
		flag |= os.O_TRUNC
	}
	f, err := d.fs.Open(name, flag)
	if err != nil {
		return err
	}
	return f.Close()
}

// rename takes a file that comes from elsewhere, or goes, for one that is none of the
// directory's.
func (q *question) rename() error {
	d, from := find(q.path(0, 1))
	to, name := find(q.path(2, 3))
	if d == nil || d != to {
		return nil
	}
	return d.fs.Rename(from, name)
}

// onFile does a call that names an open file.
func (q *question) onFile() error {
	fd := int(q.args[0])
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil
	}
	d, name := find(path)
	if d == nil {
		return nil
	}
	if d.fs.IsFolder(name) || name == "." {
		return d.fs.SyncDir(name)
	}
	f, err := d.fs.Open(name, os.O_RDWR)
	if err != nil { // a file that has no name any more
		return nil
	}
	defer f.Close()
	switch q.nr {
	case unix.SYS_PREAD64:
		_, err = f.ReadAt(nil, int64(q.args[3]))
		return err
	case unix.SYS_FTRUNCATE:
		return f.Truncate(int64(q.args[1]))
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		return f.Sync()
	}
	data := q.memory(q.args[1], q.args[2])
	n, err := f.WriteAt(data, int64(q.args[3]))
	if err != nil && n > 0 { // not by pwrite, which would ask again
		_, _ = unix.Pwritev(fd, [][]byte{data[:n]}, int64(q.args[3]))
	}
	return err
}

// path is the path that two arguments make: a folder, and a name in it.
func (q *question) path(folder, name int) string {
	const longest = 4096
	b := q.memory(q.args[name], longest)
	path, _, _ := strings.Cut(string(b), "\x00")
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	at := "/proc/self/cwd"
	if fd := int32(q.args[folder]); fd != unix.AT_FDCWD {
		at = fmt.Sprintf("/proc/self/fd/%d", fd)
	}
	dir, err := os.Readlink(at)
	if err != nil {
		return ""
	}
	return filepath.Join(dir, path)
}

// memory copies this process's memory, as much as there is: the kernel does it, so that
// nobody's pointers are touched.
func (q *question) memory(at, n uint64) []byte {
	b := make([]byte, n)
	const page = 4096
	got := 0
	for got < len(b) { // a path may end where its page does
		to := min(len(b), got+page-int((at+uint64(got))%page))
		k, err := unix.ProcessVMReadv(os.Getpid(), []unix.Iovec{iovec(b[got:to])}, []unix.RemoteIovec{{Base: uintptr(at) + uintptr(got), Len: to - got}}, 0)
		if err != nil || k <= 0 {
			break
		}
		got += k
	}
	return b[:got]
}

func iovec(b []byte) unix.Iovec {
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	return v
}
