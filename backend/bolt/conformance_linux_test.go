package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/bolt"
	"github.com/papyra-go/papyra/backend/bolt/bolttest"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
	"github.com/papyra-go/papyra/backend/internal/faultsys"
	"github.com/papyra-go/papyra/backend/internal/machine"
	"github.com/papyra-go/papyra/conformance"
)

// On a disk that fails, hangs and loses power. It knows what the engine and bbolt ask of the
// operating system; what bbolt reads through memory goes well.
func TestConformanceOnADiskThatFails(t *testing.T) {
	onADiskThatFails(t, bolt.Options{})
}

// With the smallest pages there are many times as many changes to cut the power before.
func TestSmallPagesOnADiskThatFails(t *testing.T) {
	if !machine.Long() {
		t.Skip("the same as TestConformanceOnADiskThatFails, with more of everything: PAPYRA_LONG=1 runs it")
	}
	onADiskThatFails(t, bolt.Options{PageBytes: 1 << 10})
}

func onADiskThatFails(t *testing.T, o bolt.Options) {
	d, err := faultsys.Watch(filepath.Join(t.TempDir(), "none"), new(faultfs.FS))
	if err != nil {
		machine.LackingInCI(t, "seccomp", err.Error())
	}
	d.Close()
	opts := []conformance.Option{conformance.Strict(), conformance.Budget(time.Minute), conformance.Without(conformance.SeamKiller, conformance.SeamFixturer)}
	if testing.Short() { // what TestConformance can't show, without the longest
		opts = append(opts, conformance.Only("FAULT-*", "CTX-0[237]", "CRASH-03"))
	}
	conformance.Run(t, onDisks{o}, opts...)
}

// onDisks makes stores on disks that fail.
type onDisks struct{ opts bolt.Options }

func (h onDisks) Info() conformance.Info { return conformance.Info{Name: "bolt"} }

func (h onDisks) NewStore(_ context.Context, env *conformance.Env) (conformance.Store, error) {
	places := &places{dir: env.Dir, opts: h.opts, rng: rand.New(rand.NewPCG(env.Rand.Uint64(), env.Rand.Uint64()))}
	return places.store(new(faultfs.FS)), nil
}

// places gives directories to the stores of one rule.
type places struct {
	dir  string
	opts bolt.Options

	mu  sync.Mutex
	n   int
	rng *rand.Rand
}

// store is a store over what is on a disk, in a directory that is made when it is opened.
func (p *places) store(disk *faultfs.FS) *onDisk {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	dir := filepath.Join(p.dir, fmt.Sprint("store", p.n))
	s := &onDisk{DirectoryStore: bolttest.Store(dir, p.opts), places: p, dir: dir, disk: disk}
	disk.Hook = s.hook
	return s
}

// onDisk is a store in a directory, and the disk below it.
type onDisk struct {
	conformance.DirectoryStore
	places *places
	dir    string
	disk   *faultfs.FS

	mu       sync.Mutex
	watch    *faultsys.Dir
	changing func()
	stall    *stall
}

// stall makes writes and syncs wait.
type stall struct {
	once          sync.Once
	reached, free chan struct{}
}

func (s *onDisk) hook(op faultfs.Op) error {
	if !op.Kind.Changes() {
		return nil
	}
	s.mu.Lock()
	changing, stall := s.changing, s.stall
	s.mu.Unlock()
	if changing != nil {
		changing()
	}
	if stall != nil {
		stall.once.Do(func() { close(stall.reached) })
		<-stall.free
	}
	return nil
}

// Open opens the store; the first time it puts into the directory what the disk holds.
func (s *onDisk) Open(ctx context.Context, opts backend.Options) (conformance.Subject, error) {
	if err := s.lay(); err != nil {
		return nil, err
	}
	return s.DirectoryStore.Open(ctx, opts)
}

func (s *onDisk) lay() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch != nil {
		return nil
	}
	if names := s.disk.Names(); len(names) > 0 {
		err = os.Mkdir(s.dir, 0o700)
		for _, name := range names {
			at := filepath.Join(s.dir, name)
			if s.disk.IsFolder(name) {
				err = errors.Join(err, os.Mkdir(at, 0o700))
			} else {
				err = errors.Join(err, os.WriteFile(at, s.disk.Content(name), 0o600))
			}
		}
	}
	if err == nil {
		s.watch, err = faultsys.Watch(s.dir, s.disk)
	}
	return err
}

// Destroy removes the directory, and looks whether the disk was told of everything.
func (s *onDisk) Destroy(context.Context) error {
	if s.watch == nil {
		return nil
	}
	s.watch.Close()
	return errors.Join(s.agrees(), os.RemoveAll(s.dir))
}

// agrees looks whether the files are what the disk was told.
func (s *onDisk) agrees() error {
	return filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, _ := filepath.Rel(s.dir, path)
		b, err := os.ReadFile(path)
		if err == nil && string(b) != string(s.disk.Content(name)) {
			err = fmt.Errorf("the disk was not told of all that was done to %s", name)
		}
		return err
	})
}

// Flip is durable, which the disk has to be told.
func (s *onDisk) Flip(ctx context.Context, i int64, mask byte) error {
	err := s.DirectoryStore.Flip(ctx, i, mask)
	for _, name := range s.disk.Names() {
		if !s.disk.IsFolder(name) {
			f, openErr := s.disk.Open(name, os.O_RDWR)
			if openErr != nil {
				return openErr
			}
			err = errors.Join(err, f.Sync(), f.Close())
		}
	}
	return err
}

// operations are the calls that the suite's words mean.
var operations = map[conformance.Operation][]faultfs.Kind{
	conformance.OpRead:  {faultfs.Read},
	conformance.OpWrite: {faultfs.Write, faultfs.Truncate, faultfs.Rename, faultfs.Remove, faultfs.Mkdir},
	conformance.OpSync:  {faultfs.Sync, faultfs.SyncDir},
}

// Fail spares LOCK, which no record depends on.
func (s *onDisk) Fail(f conformance.Fault) (hits func() int, heal func(), err error) {
	ft := &faultfs.Fault{Kinds: operations[f.Op], Skip: f.Skip, Times: f.Times, Err: f.Err}
	ft.When = func(op faultfs.Op) bool { return op.Name != "LOCK" }
	if f.Times == 0 {
		ft.Times = faultfs.Forever
	}
	if f.Short {
		ft.Err = fmt.Errorf("%w: %w", faultfs.ShortWrite, f.Err)
	}
	s.disk.Fail(ft)
	return func() int { return s.disk.Hits(ft) }, s.disk.Heal, nil
}

func (s *onDisk) Stall() (<-chan struct{}, func()) {
	st := &stall{reached: make(chan struct{}), free: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stall = st
	return st.reached, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stall = nil
		close(st.free)
	}
}

func (s *onDisk) Changing(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changing = f
}

// Crash has a source of random numbers of its own: who is asked by the kernel runs beside the
// suite, as far as the race detector can see.
func (s *onDisk) Crash(_ context.Context, percent int, _ *rand.Rand) (conformance.Store, error) {
	return s.places.store(s.disk.Crash(func() bool { return s.places.chance(percent) })), nil
}

func (p *places) chance(percent int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rng.IntN(100) < percent
}
