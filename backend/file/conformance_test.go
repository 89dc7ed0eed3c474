package file_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/file/filetest"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
	"github.com/papyra-go/papyra/conformance"
)

// In real directories: with processes that are killed, and stores of older versions.
func TestConformance(t *testing.T) {
	conformance.Run(t, inDirectories{filetest.Harness()}, conformance.Strict(),
		conformance.Without(conformance.SeamFaulter, conformance.SeamStaller, conformance.SeamCrasher))
}

// On a disk in memory, which fails, hangs and loses power.
func TestConformanceOnADiskThatFails(t *testing.T) {
	conformance.Run(t, onDisks{}, conformance.Strict(), conformance.Without(conformance.SeamKiller, conformance.SeamOccupier))
}

// The smallest segments, so that every rule meets their edges.
func TestConformanceInSmallSegments(t *testing.T) {
	if file.Slow && testing.Short() {
		t.Skip("the same code as TestConformanceOnADiskThatFails runs, more often: left out of the short run under the race detector")
	}
	conformance.Run(t, onDisks{file.Options{SegmentBytes: 8 << 10}}, conformance.Strict(), conformance.Without(conformance.SeamKiller, conformance.SeamOccupier))
}

// inDirectories adds to filetest's harness what only a test of this package has.
type inDirectories struct{ conformance.Harness }

func (h inDirectories) NewStore(ctx context.Context, env *conformance.Env) (conformance.Store, error) {
	return newInDirectory(filepath.Join(env.Dir, "store")), nil
}

func newInDirectory(dir string) *inDirectory {
	return &inDirectory{filetest.Store(dir, file.Options{}), dir}
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
var fixtures = map[string]bool{"v1": false, "v1-torn": false, "v2": false, "v2-torn": false, "future": true}

// fixtureLines are what [conformance.Listing] said of a golden store.
func fixtureLines(name string) ([]string, error) {
	b, err := os.ReadFile(filepath.Join("testdata", name+".listing"))
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"), err
}

// eachFixture makes the stores over copies of the golden ones.
func eachFixture(make func(name string) (conformance.Store, error)) (out []conformance.Fixture, err error) {
	for name, newer := range fixtures {
		f := conformance.Fixture{Name: name, Newer: newer}
		if f.Store, err = make(name); err != nil {
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

// Fixtures are the golden stores, copied into directories.
func (s *inDirectory) Fixtures(_ context.Context, env *conformance.Env) ([]conformance.Fixture, error) {
	return eachFixture(func(name string) (conformance.Store, error) {
		dir := filepath.Join(env.Dir, "fixture", name)
		if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
			return nil, err
		}
		return newInDirectory(dir), owned(dir)
	})
}

// owned gives a copy of a golden store the permissions that a store has.
func owned(dir string) error {
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
		if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
			t.Fatal(err)
		}
		if err := owned(dir); err != nil {
			t.Fatal(err)
		}
		opened, err := newInDirectory(dir).Open(t.Context(), backend.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		lines, err := conformance.Listing(t.Context(), opened)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// onDisks makes stores on disks in memory.
type onDisks struct{ opts file.Options }

func (h onDisks) Info() conformance.Info { return conformance.Info{Name: "file"} }

func (h onDisks) NewStore(context.Context, *conformance.Env) (conformance.Store, error) {
	return h.on(new(faultfs.FS)), nil
}

func (h onDisks) on(fs *faultfs.FS) *onDisk {
	s := &onDisk{fs: fs, opts: h.opts}
	fs.Hook = s.hook
	return s
}

// onDisk is a store on a disk in memory.
type onDisk struct {
	fs   *faultfs.FS
	opts file.Options

	conformance.Hang
	mu       sync.Mutex
	changing func()
}

func (s *onDisk) hook(op faultfs.Op) error {
	if !op.Kind.Changes() {
		return nil
	}
	s.mu.Lock()
	changing := s.changing
	s.mu.Unlock()
	if changing != nil {
		changing()
	}
	s.Pass()
	return nil
}

func (s *onDisk) Open(ctx context.Context, opts backend.Options) (conformance.Subject, error) {
	own := s.opts
	own.Options = opts
	b, err := file.OpenOn(ctx, s.fs, &own)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (s *onDisk) Destroy(context.Context) error {
	if open := s.fs.Handles(); len(open) > 0 {
		return fmt.Errorf("left open: %q", open)
	}
	return nil
}

func (s *onDisk) Digest(context.Context) ([32]byte, error) { return s.fs.Digest(), nil }

func (s *onDisk) Bytes(context.Context) (int64, error) { return s.fs.Used(), nil }

func (s *onDisk) Flip(_ context.Context, i int64, mask byte) error {
	for _, name := range s.fs.Names() {
		if s.fs.IsFolder(name) {
			continue
		}
		if n := int64(len(s.fs.Content(name))); i >= n {
			i -= n
			continue
		}
		s.fs.Flip(name, i, mask)
		return nil
	}
	return fmt.Errorf("%w: no byte %d", backend.ErrInvalid, i)
}

// operations are the calls that the suite's words mean.
var operations = map[conformance.Operation][]faultfs.Kind{
	conformance.OpRead:  {faultfs.Read},
	conformance.OpWrite: {faultfs.Write, faultfs.Truncate, faultfs.Rename, faultfs.Remove, faultfs.Mkdir},
	conformance.OpSync:  {faultfs.Sync, faultfs.SyncDir},
}

// Fail spares MARK, which is written when the clock says so. A full disk has room for
// what is overwritten.
func (s *onDisk) Fail(f conformance.Fault) (hits func() int, heal func(), err error) {
	ft := &faultfs.Fault{Kinds: operations[f.Op], Skip: f.Skip, Times: f.Times, Err: f.Err}
	full := f.Times == 0 && errors.Is(f.Err, syscall.ENOSPC)
	ft.When = func(op faultfs.Op) bool {
		return op.Name != "MARK" && (!full || op.Kind == faultfs.Write && op.Off+int64(len(op.Data)) > int64(len(s.fs.Content(op.Name))))
	}
	if f.Times == 0 {
		ft.Times = faultfs.Forever
	}
	if f.Short {
		ft.Err = fmt.Errorf("%w: %w", faultfs.ShortWrite, f.Err)
	}
	s.fs.Fail(ft)
	return func() int { return s.fs.Hits(ft) }, s.fs.Heal, nil
}

func (s *onDisk) Changing(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changing = f
}

func (s *onDisk) Crash(_ context.Context, percent int, rng *rand.Rand) (conformance.Store, error) {
	return onDisks{s.opts}.on(s.fs.Crash(func() bool { return rng.IntN(100) < percent })), nil
}

// Fixtures are the golden stores, copied onto disks in memory.
func (s *onDisk) Fixtures(context.Context, *conformance.Env) ([]conformance.Fixture, error) {
	return eachFixture(func(name string) (conformance.Store, error) {
		fs := new(faultfs.FS)
		root := filepath.Join("testdata", name)
		err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
			if err != nil || path == root {
				return err
			}
			rel, _ := filepath.Rel(root, path)
			if e.IsDir() {
				return fs.Mkdir(filepath.ToSlash(rel))
			}
			b, err := os.ReadFile(path)
			fs.Put(filepath.ToSlash(rel), b)
			return err
		})
		return onDisks{s.opts}.on(fs), err
	})
}

func BenchmarkConformance(b *testing.B) { conformance.Benchmark(b, filetest.Harness()) }
