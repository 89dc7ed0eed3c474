//go:build linux

package faultsys_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/papyra-go/papyra/backend/internal/faultfs"
	"github.com/papyra-go/papyra/backend/internal/faultsys"
)

// watch is a directory that is watched, with the file "f" in it.
func watch(t *testing.T) (root string, fs *faultfs.FS, f *os.File) {
	t.Helper()
	root, fs = filepath.Join(t.TempDir(), "store"), new(faultfs.FS)
	d, err := faultsys.Watch(root, fs)
	if errors.Is(err, errors.ErrUnsupported) && os.Getenv("CI") != "true" && !strings.Contains(os.Getenv("PAPYRA_REQUIRE"), "seccomp") {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if f, err = os.OpenFile(filepath.Join(root, "f"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return root, fs, f
}

func TestWhatIsDoneIsDoneOnBoth(t *testing.T) {
	root, fs, f := watch(t)
	write := func(s string, at int64) {
		t.Helper()
		if _, err := f.WriteAt([]byte(s), at); err != nil {
			t.Fatal(err)
		}
	}
	write("hello", 3)
	write("papyra", 5000)
	if err := errors.Join(f.Truncate(5003), os.Mkdir(filepath.Join(root, "folder"), 0o700), os.Rename(f.Name(), filepath.Join(root, "folder/g"))); err != nil {
		t.Fatal(err)
	}
	write("!", 0)
	if err := os.WriteFile(filepath.Join(root, "gone"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, "gone")); err != nil {
		t.Fatal(err)
	}
	real, err := os.ReadFile(filepath.Join(root, "folder/g"))
	if err != nil || !bytes.Equal(real, fs.Content("folder/g")) || len(real) != 5003 {
		t.Errorf("%d bytes in the file, %d below it, %v", len(real), len(fs.Content("folder/g")), err)
	}
	if names := fs.Names(); len(names) != 2 {
		t.Errorf("names: %q", names)
	}
}

func TestWhatIsNotSyncedIsLostInACrash(t *testing.T) {
	root, fs, f := watch(t)
	if after := fs.Crash(faultfs.None); len(after.Names()) != 0 {
		t.Errorf("a name that was not synced is there: %q", after.Names())
	}
	dir, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := f.WriteAt([]byte("synced"), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), dir.Sync()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("forgot"), 0); err != nil {
		t.Fatal(err)
	}
	if got := string(fs.Crash(faultfs.None).Content("f")); got != "synced" {
		t.Errorf("after a crash: %q", got)
	}
	if got := string(fs.Crash(faultfs.All).Content("f")); got != "forgot" {
		t.Errorf("after a crash that keeps all: %q", got)
	}
	if err := syscall.Fdatasync(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	if got := string(fs.Crash(faultfs.None).Content("f")); got != "forgot" {
		t.Errorf("after fdatasync and a crash: %q", got)
	}
}

func TestCallsFail(t *testing.T) {
	_, fs, f := watch(t)
	if _, err := f.WriteAt([]byte("1234567890"), 0); err != nil {
		t.Fatal(err)
	}
	fs.Fail(&faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Sync}, Err: syscall.EIO, Times: 2})
	for _, sync := range []func() error{f.Sync, func() error { return syscall.Fdatasync(int(f.Fd())) }} {
		if err := sync(); !errors.Is(err, syscall.EIO) {
			t.Errorf("sync: %v", err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Errorf("the third sync: %v", err)
	}
	fs.Fail(&faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Write}, Err: errors.Join(faultfs.ShortWrite, syscall.ENOSPC)})
	if _, err := f.WriteAt([]byte("abcdef"), 2); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write: %v", err)
	}
	b := make([]byte, 10)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "12abc67890" || string(fs.Content("f")) != string(b) {
		t.Errorf("after half a write: %q, %q, %v", b, fs.Content("f"), err)
	}
	fs.Fail(&faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Read}, Err: syscall.EIO})
	if _, err := f.ReadAt(b, 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("read: %v", err)
	}
}

// Files elsewhere are none of its business.
func TestOtherDirectoriesAreLeftAlone(t *testing.T) {
	_, fs, _ := watch(t)
	fs.Fail(&faultfs.Fault{Err: syscall.EIO, Times: faultfs.Forever})
	if err := os.WriteFile(filepath.Join(t.TempDir(), "x"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}
