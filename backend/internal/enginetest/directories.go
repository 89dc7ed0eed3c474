package enginetest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/conformance"
)

// Golden are golden stores of an engine, beside each of which testdata has a listing.
type Golden struct {
	Stores map[string]bool // by name, whether it is of a newer format
	// Lay puts a copy of one into a directory that is not there.
	Lay func(dir, name string) error
}

// CopyGolden copies a golden store that is a directory in testdata, with the permissions that a
// store has.
func CopyGolden(dir, name string) error {
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
}

func listing(name string) string { return filepath.Join("testdata", name+".listing") }

// Fixtures are the golden stores for the conformance suite, made by make.
func (g Golden) Fixtures(make func(name string) (conformance.Store, error)) (out []conformance.Fixture, err error) {
	for name, newer := range g.Stores {
		f := conformance.Fixture{Name: name, Newer: newer}
		if f.Store, err = make(name); err != nil {
			return nil, err
		}
		if !newer {
			b, err := os.ReadFile(listing(name))
			if err != nil {
				return nil, err
			}
			f.Lines = strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		}
		out = append(out, f)
	}
	return out, nil
}

// Directories adds to a harness of stores in directories what only a test of the engine's own
// package has: processes that are killed, and golden stores.
type Directories struct {
	conformance.Harness
	Golden Golden
	Store  func(dir string) conformance.DirectoryStore
}

// NewStore is a store in a directory that is not there yet.
func (h Directories) NewStore(_ context.Context, env *conformance.Env) (conformance.Store, error) {
	return h.in(filepath.Join(env.Dir, "store")), nil
}

func (h Directories) in(dir string) *inDirectory { return &inDirectory{h.Store(dir), h, dir} }

// inDirectory is a store in a directory.
type inDirectory struct {
	conformance.DirectoryStore
	h   Directories
	dir string
}

// childDir names the store of a process that TestConformanceChild is.
const childDir = "PAPYRA_CONFORMANCE_CHILD"

// Spawn runs this test binary again.
func (s *inDirectory) Spawn(ctx context.Context) (*conformance.Process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, "-test.run=^TestConformanceChild$")
	cmd.Env = append(os.Environ(), childDir+"="+s.dir)
	return conformance.Exec(cmd)
}

// Fixtures are the golden stores, copied into directories.
func (s *inDirectory) Fixtures(_ context.Context, env *conformance.Env) ([]conformance.Fixture, error) {
	return s.h.Golden.Fixtures(func(name string) (conformance.Store, error) {
		dir := filepath.Join(env.Dir, "fixture", name)
		return s.h.in(dir), s.h.Golden.Lay(dir, name)
	})
}

// Child is the other process, in one that was started for it; otherwise it does nothing.
func (h Directories) Child(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	err := conformance.Child(t.Context(), func(ctx context.Context) (conformance.Subject, error) {
		return h.in(dir).Open(ctx, backend.Options{})
	}, os.Stdin, os.Stdout)
	if err != nil {
		t.Error(err)
	}
}

// WriteListings looks that the golden stores have listings, which are written once, beside them.
func (h Directories) WriteListings(t *testing.T) {
	for name, newer := range h.Golden.Stores {
		path := listing(name)
		if _, err := os.Stat(path); newer || err == nil {
			continue
		}
		if os.Getenv("PAPYRA_WRITE_LISTINGS") == "" {
			t.Errorf("%s is not there: PAPYRA_WRITE_LISTINGS=1 writes it", path)
			continue
		}
		dir := filepath.Join(t.TempDir(), name)
		if err := h.Golden.Lay(dir, name); err != nil {
			t.Fatal(err)
		}
		opened, err := h.in(dir).Open(t.Context(), backend.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		lines, err := conformance.Listing(t.Context(), opened)
		if err == nil {
			err = opened.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
