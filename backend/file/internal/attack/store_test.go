//go:build linux

package attack_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
)

// open opens a store; nil stands for small segments.
func open(t *testing.T, dir string, o *file.Options) *backend.Backend {
	t.Helper()
	if o == nil {
		small := smallSegments()
		o = &small
	}
	b, err := file.Open(context.Background(), dir, o)
	if err != nil {
		t.Fatalf("open: %v: the store is %s", err, keep(t, dir))
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// openAfter opens what a killed process has left; mend says that it was damaging what can
// be derived.
func openAfter(t *testing.T, dir string, mend bool) *backend.Backend {
	t.Helper()
	o := smallSegments()
	if mend {
		o.Startup.Mode, o.Startup.Full = backend.RecoverAnomalies, true // a recovery that was killed has made MARK again, but not yet the heads
	}
	return open(t, dir, &o)
}

func mustClose(t *testing.T, b *backend.Backend) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// keep copies a store that shows a failure to where it outlives the test.
func keep(t *testing.T, dir string) string {
	t.Helper()
	to, err := os.MkdirTemp("", "papyra-attack-")
	if err == nil {
		err = copyTree(dir, filepath.Join(to, "store"))
	}
	if err != nil {
		return fmt.Sprintf("gone (%v)", err)
	}
	return "kept in " + to
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
}

// size is how many bytes the files in a directory have.
func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// tree is everything that can be seen of a directory, but for when it was read.
func tree(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintln(h, rel, info.Mode(), info.ModTime().UnixNano(), info.Size())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			h.Write(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
