package enginetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// SmallDisk is a memory disk of so many MiB, until the test ends.
func SmallDisk(t *testing.T, size int) (dir string) {
	t.Helper()
	machine.NeedRootInCI(t)
	return machine.Tmpfs(t, size<<20)
}

// ReadsAReadOnlyMount looks that a store on a medium that can't be written, without its LOCK, is
// read, and not opened for writing. The store is made on a disk of so many MiB.
func (e Engine) ReadsAReadOnlyMount(t *testing.T, size int) {
	dir := SmallDisk(t, size)
	store := filepath.Join(dir, "store")
	b, err := e.Open(t.Context(), store, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(t.Context(), Record(10)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Close(), os.Remove(filepath.Join(store, "LOCK"))); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("papyra", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, fmt.Sprintf("size=%dm", size)); err != nil {
		t.Fatal(err)
	}
	if b, err := e.Open(t.Context(), store, nil); !errors.Is(err, backend.ErrUnavailable) {
		t.Fatalf("opened for writing: %v, %v", b, err)
	}
	b, err = e.Open(t.Context(), store, &backend.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := Count(t, b); n != 1 {
		t.Errorf("%d records", n)
	}
	Clean(t, b)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// NamesItsHolder looks that whoever opens a store beside who writes it is told who that is, at
// once, and that any number read together, and nobody writes beside them.
func (e Engine) NamesItsHolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b, err := e.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{false, true} {
		began := time.Now()
		_, err := e.Open(t.Context(), dir, &backend.Options{ReadOnly: readOnly})
		if !errors.Is(err, backend.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d on host", os.Getpid())) {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var readers []*backend.Backend
	for range 2 {
		r, err := e.Open(t.Context(), dir, &backend.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	if _, err := e.Open(t.Context(), dir, nil); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("a writer beside readers: %v", err)
	}
	for _, r := range readers {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
