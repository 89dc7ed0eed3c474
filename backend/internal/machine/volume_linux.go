package machine

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NeedLoop skips tests that need loop devices and ext4.
func NeedLoop(t *testing.T) {
	t.Helper()
	NeedRoot(t)
	for _, program := range []string{"mkfs.ext4", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			Lacking(t, "root", err.Error())
		}
	}
	f, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		Lacking(t, "root", fmt.Sprintf("no loop devices: %v", err))
	}
	f.Close()
}

// Tmpfs mounts a memory disk of so many bytes, until the test ends.
func Tmpfs(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("papyra", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { Unmount(t, dir) })
	return dir
}

// Resize gives a tmpfs another size.
func Resize(t *testing.T, dir string, size int) {
	t.Helper()
	if err := syscall.Mount("papyra", dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("give the tmpfs another size: %v", err)
	}
}

// Unmount takes a mount away, at worst lazily.
func Unmount(t *testing.T, dir string) {
	t.Helper()
	var err error
	for range 200 {
		if err = syscall.Unmount(dir, 0); err == nil {
			return
		}
		if err != syscall.EBUSY {
			break
		}
		time.Sleep(5 * time.Millisecond) // a killed process is still on its way out
	}
	t.Errorf("unmount %s: %v", dir, err)
	_ = syscall.Unmount(dir, syscall.MNT_DETACH)
}

// Volume is an ext4 file system in an image on a loop device.
type Volume struct {
	t       *testing.T
	Image   string // a file
	Dir     string // where it is mounted
	options string
	mounted bool
	restore func() // what is to be done before it is unmounted
}

// NewVolume makes a file system of so many bytes, in an image in the directory at.
func NewVolume(t *testing.T, at string, size int64, options string, mkfs ...string) *Volume {
	t.Helper()
	v := &Volume{t: t, Image: filepath.Join(at, "image"), Dir: t.TempDir(), options: options}
	f, err := os.Create(v.Image)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-q", "-F", "-m", "0"}, mkfs...)
	if out, err := exec.Command("mkfs.ext4", append(args, v.Image)...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	t.Cleanup(v.Umount)
	v.Mount()
	return v
}

// Mount mounts it.
func (v *Volume) Mount() {
	v.t.Helper()
	options := "loop"
	if v.options != "" {
		options += "," + v.options
	}
	if out, err := exec.Command("mount", "-n", "-t", "ext4", "-o", options, v.Image, v.Dir).CombinedOutput(); err != nil {
		v.t.Fatalf("mount %s: %v: %s", v.Image, err, out)
	}
	v.mounted = true
}

// Umount also frees the loop device, which mount has set up to free itself.
func (v *Volume) Umount() {
	if v.mounted {
		v.mounted = false
		if v.restore != nil {
			v.restore()
			v.restore = nil
		}
		Unmount(v.t, v.Dir)
	}
}

// Cut is a power cut: from here on nothing reaches the disk, not even the journal, and
// every call fails.
func (v *Volume) Cut() {
	v.t.Helper()
	const (
		fsIocShutdown = 0x8004587d // _IOR('X', 125, u32)
		noLogFlush    = 2
	)
	f, err := os.Open(v.Dir)
	if err != nil {
		v.t.Fatal(err)
	}
	defer f.Close()
	flag := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), fsIocShutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		v.t.Fatalf("FS_IOC_SHUTDOWN: %v", errno)
	}
}

// Free is how many bytes of a file system are free.
func Free(t *testing.T, dir string) int {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int(st.Bavail) * int(st.Bsize)
}

// Ballast fills so many bytes of a disk.
func Ballast(t *testing.T, path string, size int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err = io.CopyN(f, zeros{}, int64(size)); err == nil {
		err = f.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Stuff fills a disk to the last byte.
func Stuff(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		n, err := f.Write(make([]byte, size))
		if err != nil {
			size /= 2
		} else if n == 0 {
			break
		}
	}
	return f.Sync()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// MountSmall is tmpfs, for a test that takes it away itself, if it gets that far.
func MountSmall(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("papyra", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// Used is how many bytes of a file system are in use.
func Used(t *testing.T, dir string) int {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int(st.Blocks-st.Bfree) * int(st.Bsize)
}

// Honest makes the loop device take one page at a time, until the file system is
// unmounted. A larger write of which only a part fits on the disk below is a success to
// the loop driver: a disk that lies, which no store can make up for.
func (v *Volume) Honest() {
	t := v.t
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(v.Dir, &st); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("/sys/dev/block/%d:%d/queue/max_sectors_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
	before, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, []byte("4"), 0)
	}
	if err != nil {
		Lacking(t, "root", fmt.Sprintf("the loop device can't be made honest: %v", err))
	}
	v.restore = func() { _ = os.WriteFile(name, before, 0) }
}
