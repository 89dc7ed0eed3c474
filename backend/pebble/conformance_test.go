package pebble_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/pebble"
	"github.com/papyra-go/papyra/backend/pebble/pebbletest"
	"github.com/papyra-go/papyra/conformance"
)

// small are options with which a store of a few records has tables of many blocks.
var small = pebble.Options{MemTableBytes: 256 << 10, BlockBytes: 256, CacheBytes: 1 << 20, FreeBytes: 1 << 20}

// In real directories: with processes that are killed, and stores of older versions.
func TestConformance(t *testing.T) {
	opts := []conformance.Option{conformance.Strict(), conformance.Budget(time.Minute), conformance.Without(conformance.SeamFaulter, conformance.SeamStaller, conformance.SeamCrasher)}
	if testing.Short() { // what runs beside what; the others are of kv, whose own test has them
		opts = append(opts, conformance.Only("OPEN-*", "LOCK-*", "CONC-0[12]", "SCAN-0[1-4]", "COMPACT-12", "FORMAT-*", "CRASH-05", "LEAK-0[12]"))
	}
	conformance.Run(t, inDirectories{pebbletest.HarnessWith(small)}, opts...)
}

// On a disk in memory, which fails, hangs and loses power.
func TestConformanceOnADiskThatFails(t *testing.T) {
	opts := []conformance.Option{conformance.Strict(), conformance.Budget(time.Minute), conformance.Without(conformance.SeamKiller, conformance.SeamFixturer, conformance.SeamOccupier)}
	if testing.Short() { // what TestConformance can't show, without the longest
		opts = append(opts, conformance.Only("FAULT-*", "CTX-0[37]", "CRASH-03"))
	}
	conformance.Run(t, onDisks{}, opts...)
}

// inDirectories adds to pebbletest's harness what only a test of this package has.
type inDirectories struct{ conformance.Harness }

func (h inDirectories) NewStore(ctx context.Context, env *conformance.Env) (conformance.Store, error) {
	return newInDirectory(filepath.Join(env.Dir, "store")), nil
}

func newInDirectory(dir string) *inDirectory {
	return &inDirectory{pebbletest.Store(dir, small), dir}
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

// fixtures are the golden stores, and whether they are of a newer format.
var fixtures = map[string]bool{"v1": false, "future": true}

// fixtureLines are what [conformance.Listing] said of a golden store.
func fixtureLines(name string) ([]string, error) {
	b, err := os.ReadFile(filepath.Join("testdata", name+".listing"))
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"), err
}

// Fixtures are the golden stores, copied into directories.
func (s *inDirectory) Fixtures(_ context.Context, env *conformance.Env) (out []conformance.Fixture, err error) {
	for name, newer := range fixtures {
		dir := filepath.Join(env.Dir, "fixture", name)
		f := conformance.Fixture{Name: name, Newer: newer, Store: newInDirectory(dir)}
		if err := copyStore(dir, name); err != nil {
			return nil, err
		}
		if !newer {
			if f.Lines, err = fixtureLines(name); err != nil {
				return nil, err
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// copyStore copies a golden store, with the permissions that a store has.
func copyStore(dir, name string) error {
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

// The listings of the golden stores are written once, beside them.
func TestTheListingsOfTheGoldenStores(t *testing.T) {
	for name, newer := range fixtures {
		path := filepath.Join("testdata", name+".listing")
		if _, err := os.Stat(path); newer || err == nil {
			continue
		}
		if os.Getenv("PAPYRA_WRITE_LISTINGS") == "" {
			t.Errorf("%s is not there: PAPYRA_WRITE_LISTINGS=1 writes it", path)
			continue
		}
		dir := filepath.Join(t.TempDir(), name)
		if err := copyStore(dir, name); err != nil {
			t.Fatal(err)
		}
		opened, err := newInDirectory(dir).Open(t.Context(), backend.Options{ReadOnly: true})
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

// onDisks makes stores on disks in memory.
type onDisks struct{}

func (onDisks) Info() conformance.Info { return conformance.Info{Name: "pebble"} }

func (h onDisks) NewStore(_ context.Context, env *conformance.Env) (conformance.Store, error) {
	return onDisk{pebble.NewMemDisk(env.Dir)}, nil
}

// onDisk is a store on a disk in memory.
type onDisk struct{ d *pebble.MemDisk }

func (s onDisk) Open(ctx context.Context, opts backend.Options) (conformance.Subject, error) {
	own := small
	own.Options = opts
	b, err := pebble.OpenOn(ctx, s.d, own)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (s onDisk) Destroy(context.Context) error { return s.d.Left() }

func (s onDisk) Digest(context.Context) ([32]byte, error) { return s.d.Digest(), nil }

func (s onDisk) Bytes(context.Context) (sum int64, err error) {
	for _, name := range s.d.Files() {
		sum += int64(len(s.d.Content(name)))
	}
	return sum, nil
}

func (s onDisk) Flip(_ context.Context, i int64, mask byte) error {
	for _, name := range s.d.Files() {
		if n := int64(len(s.d.Content(name))); i >= n {
			i -= n
			continue
		}
		return s.d.Flip(name, i, mask)
	}
	return fmt.Errorf("%w: no byte %d", backend.ErrInvalid, i)
}

func (s onDisk) Fail(f conformance.Fault) (hits func() int, heal func(), err error) {
	hits, heal = s.d.Fail(&pebble.Fault{When: pebble.Operations[string(f.Op)], Skip: f.Skip, Times: f.Times, Err: f.Err, Short: f.Short, Full: pebble.IsFull(f.Err, f.Times)})
	return hits, heal, nil
}

func (s onDisk) Stall() (<-chan struct{}, func()) { return s.d.Stall() }

func (s onDisk) Changing(f func()) { s.d.Changing(f) }

func (s onDisk) Crash(_ context.Context, percent int, rng *rand.Rand) (conformance.Store, error) {
	return onDisk{s.d.Crash(percent, rng)}, nil
}

func BenchmarkConformance(b *testing.B) { conformance.Benchmark(b, pebbletest.Harness()) }
