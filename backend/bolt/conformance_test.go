package bolt_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/bolt"
	"github.com/papyra-go/papyra/backend/bolt/bolttest"
	"github.com/papyra-go/papyra/conformance"
)

// In real directories: with processes that are killed, and stores of older versions.
func TestConformance(t *testing.T) {
	opts := []conformance.Option{conformance.Strict(), conformance.Budget(time.Minute), conformance.Without(conformance.SeamFaulter, conformance.SeamStaller, conformance.SeamCrasher)}
	if testing.Short() { // what runs beside what; the others are of kv, whose own test has them
		opts = append(opts, conformance.Only("OPEN-*", "LOCK-*", "CONC-0[123]", "SCAN-0[1-4]", "COMPACT-12", "FORMAT-*", "CRASH-05", "LEAK-0[12]"))
	}
	conformance.Run(t, inDirectories{bolttest.Harness()}, opts...)
}

// The smallest pages, so that every rule meets splits, branches and values that go on over
// many pages.
func TestConformanceInSmallPages(t *testing.T) {
	if os.Getenv(longRun) == "" {
		t.Skip("the same code as TestConformance runs, more often: PAPYRA_LONG=1 runs it")
	}
	conformance.Run(t, bolttest.HarnessWith(bolt.Options{PageBytes: 1 << 10}), conformance.Strict(), conformance.Budget(time.Minute),
		conformance.Without(conformance.SeamFaulter, conformance.SeamStaller, conformance.SeamCrasher, conformance.SeamKiller, conformance.SeamFixturer))
}

// inDirectories adds to bolttest's harness what only a test of this package has.
type inDirectories struct{ conformance.Harness }

func (h inDirectories) NewStore(_ context.Context, env *conformance.Env) (conformance.Store, error) {
	return newInDirectory(filepath.Join(env.Dir, "store")), nil
}

func newInDirectory(dir string) *inDirectory {
	return &inDirectory{bolttest.Store(dir, bolt.Options{}), dir}
}

// inDirectory is a store in a directory.
type inDirectory struct {
	conformance.DirectoryStore
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

// TestConformanceChild is the other process; run by itself it does nothing.
func TestConformanceChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	err := conformance.Child(t.Context(), func(ctx context.Context) (conformance.Subject, error) {
		return newInDirectory(dir).Open(ctx, backend.Options{})
	}, os.Stdin, os.Stdout)
	if err != nil {
		t.Error(err)
	}
}

// Fixtures are the golden store, copied into a directory, and one of a newer format.
func (s *inDirectory) Fixtures(_ context.Context, env *conformance.Env) (out []conformance.Fixture, err error) {
	for _, name := range []string{"v1", "future"} {
		dir := filepath.Join(env.Dir, "fixture", name)
		if err := unpack(dir); err != nil {
			return nil, err
		}
		f := conformance.Fixture{Name: name, Store: newInDirectory(dir), Newer: name == "future"}
		if f.Newer {
			err = bolt.MakeNewer(filepath.Join(dir, "store.db"))
		} else {
			f.Lines, err = fixtureLines()
		}
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// unpack puts the golden store into a directory.
func unpack(dir string) error {
	f, err := os.Open("testdata/v1.db.gz")
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(z)
	return errors.Join(err, os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "store.db"), b, 0o600), os.WriteFile(filepath.Join(dir, "LOCK"), nil, 0o600))
}

const listing = "testdata/v1.listing"

// fixtureLines are what [conformance.Listing] said of the golden store.
func fixtureLines() ([]string, error) {
	b, err := os.ReadFile(listing)
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"), err
}

// The listing of the golden store is written once, beside it.
func TestTheListingOfTheGoldenStore(t *testing.T) {
	if _, err := os.Stat(listing); err == nil {
		return
	}
	if os.Getenv("PAPYRA_WRITE_LISTINGS") == "" {
		t.Fatalf("%s is not there: PAPYRA_WRITE_LISTINGS=1 writes it", listing)
	}
	dir := filepath.Join(t.TempDir(), "v1")
	if err := unpack(dir); err != nil {
		t.Fatal(err)
	}
	opened, err := newInDirectory(dir).Open(t.Context(), backend.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	lines, err := conformance.Listing(t.Context(), opened)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(listing, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkConformance(b *testing.B) { conformance.Benchmark(b, bolttest.Harness()) }
