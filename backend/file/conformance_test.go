package file_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/file/filetest"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
	"github.com/papyra-go/papyra/conformance"
)

// In real directories: with processes that are killed, and stores of older versions.
func TestConformance(t *testing.T) {
	conformance.Run(t, inDirectories(), conformance.Strict(),
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

var golden = enginetest.Golden{Stores: map[string]bool{"v1": false, "v1-torn": false, "v2": false, "v2-torn": false, "future": true}, Lay: enginetest.CopyGolden}

func inDirectories() enginetest.Directories {
	return enginetest.Directories{Harness: filetest.Harness(), Golden: golden, Store: func(dir string) conformance.DirectoryStore { return filetest.Store(dir, file.Options{}) }}
}

func TestConformanceChild(t *testing.T) { inDirectories().Child(t) }

// The listings of the golden stores are written once, beside them.
func TestTheListingsOfTheGoldenStores(t *testing.T) { inDirectories().WriteListings(t) }

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
	return golden.Fixtures(func(name string) (conformance.Store, error) {
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
