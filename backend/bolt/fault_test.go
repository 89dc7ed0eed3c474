//go:build linux

package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// opened is a store, and its engine.
func opened(t *testing.T) (b *backend.Backend, e *engine, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) {
		var err error
		if e, err = openEngine(dir, Options{}); err != nil {
			return nil, err
		}
		l, err := kv.Open(e, kv.Options{Dir: dir})
		if err != nil {
			return nil, err
		}
		return backend.Sequenced(l), nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b, e, dir
}

// turnInto makes bbolt's file another one: writes and syncs go there, as if the disk had changed
// its mind. It returns what makes it the same again.
func turnInto(t *testing.T, e *engine, name string) (back func()) {
	t.Helper()
	fd := int(e.dbFile.Fd())
	old, err := syscall.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := syscall.Dup3(int(other.Fd()), fd, syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(syscall.Dup3(old, fd, syscall.O_CLOEXEC), syscall.Close(old)); err != nil {
			t.Fatal(err)
		}
	}
}

// /dev/full says to each write that the disk is full.
func TestAFullDiskHeals(t *testing.T) {
	b, e, _ := opened(t)
	if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
		t.Fatal(err)
	}
	back := turnInto(t, e, "/dev/full")
	for range 3 {
		if _, err := b.Append(t.Context(), enginetest.Record(10)); !errors.Is(err, backend.ErrNoSpace) || errors.Is(err, backend.ErrPoisoned) || errors.Is(err, backend.ErrUnknownOutcome) {
			t.Fatalf("%v", err)
		}
		if n := enginetest.Count(t, b); n != 1 {
			t.Fatalf("%d records", n)
		}
	}
	back()
	if res, err := b.Append(t.Context(), enginetest.Record(10)); err != nil || res.Version != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	if report, err := b.Scan(t.Context(), nil); err != nil || !report.Clean() {
		t.Fatalf("%+v, %v", report, err)
	}
}

// /dev/null takes every write and refuses every sync.
func TestAFailedSyncPoisons(t *testing.T) {
	b, e, dir := opened(t)
	if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
		t.Fatal(err)
	}
	back := turnInto(t, e, "/dev/null")
	if _, err := b.Append(t.Context(), enginetest.Record(10)); !errors.Is(err, backend.ErrPoisoned) || errors.Is(err, backend.ErrUnknownOutcome) {
		t.Fatalf("no meta page leads to what was written, and the error is %v", err)
	}
	back()
	if _, err := b.Append(t.Context(), enginetest.Record(10)); !errors.Is(err, backend.ErrPoisoned) {
		t.Fatalf("the next append: %v", err)
	}
	if n := enginetest.Count(t, b); n != 1 {
		t.Fatalf("%d records", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if res, err := b.Append(t.Context(), enginetest.Record(10)); err != nil || res.Version != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
}

// What a failed commit leaves is judged by the meta page alone.
func TestAFailedCommitIsJudgedByTheMetaPage(t *testing.T) {
	b, e, _ := opened(t)
	if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
		t.Fatal(err)
	}
	metas, err := readMetas(e.file)
	if err != nil {
		t.Fatal(err)
	}
	newest := newestMeta(metas).txid
	full := &os.PathError{Op: "write", Path: "store.db", Err: syscall.ENOSPC}
	for _, c := range []struct {
		what  string
		err   error
		txid  uint64
		is    []error
		isNot []error
	}{
		{"a page does not fit", full, newest + 1, []error{backend.ErrNoSpace}, []error{backend.ErrPoisoned, backend.ErrUnknownOutcome}},
		{"the file can't grow", errors.New("file resize error: truncate store.db: no space left on device"), newest + 1, []error{backend.ErrNoSpace}, []error{backend.ErrPoisoned}},
		{"the grown file can't be synced", errors.New("file sync error: sync store.db: no space left on device"), newest + 1, []error{backend.ErrPoisoned}, []error{backend.ErrNoSpace, backend.ErrUnknownOutcome}},
		{"the pages can't be synced, for want of space", syscall.ENOSPC, newest + 1, []error{backend.ErrPoisoned}, []error{backend.ErrUnknownOutcome}},
		{"a page can't be written", &os.PathError{Op: "write", Path: "store.db", Err: syscall.EIO}, newest + 1, []error{backend.ErrPoisoned}, []error{backend.ErrUnknownOutcome, backend.ErrNoSpace}},
		{"the meta page can't be synced", syscall.EIO, newest, []error{backend.ErrPoisoned, backend.ErrUnknownOutcome}, nil},
	} {
		e.poison.Store(nil)
		err := e.failed(c.err, c.txid)
		for _, want := range c.is {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v is not %v", c.what, err, want)
			}
		}
		for _, other := range c.isNot {
			if errors.Is(err, other) {
				t.Errorf("%s: %v is %v", c.what, err, other)
			}
		}
		if poisoned := e.poison.Load() != nil; poisoned != errors.Is(err, backend.ErrPoisoned) {
			t.Errorf("%s: poisoned %v, and the error is %v", c.what, poisoned, err)
		}
	}
	e.poison.Store(nil)
}

// A page that is gone under bbolt's feet is a fault, and an error.
func TestAFaultIsAnErrorAndPoisons(t *testing.T) {
	b, e, dir := opened(t)
	for range 50 {
		if _, err := b.Append(t.Context(), enginetest.Record(3000)); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(dir, fileName)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 2*4096); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, err := range b.Read(t.Context(), backend.Query{}) {
		if err != nil {
			failed++
			if !errors.Is(err, backend.ErrCorrupt) {
				t.Errorf("%v", err)
			}
		}
	}
	if failed != 1 || e.poison.Load() == nil {
		t.Errorf("%d errors, poison %v", failed, e.poison.Load())
	}
	if _, err := b.Append(t.Context(), enginetest.Record(1)); err == nil {
		t.Error("appended to a file that is gone")
	}
	done := make(chan error, 1)
	go func() { done <- b.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Logf("close: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Close hangs")
	}
	if err := os.WriteFile(name, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err = Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if n := enginetest.Count(t, b); n != 50 {
		t.Errorf("%d records", n)
	}
}

func TestARealFullDiskHeals(t *testing.T) {
	dir := enginetest.SmallDisk(t, 3)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), filepath.Join(dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	stored := 0
	for {
		began := time.Now()
		_, err := b.Append(t.Context(), enginetest.Record(20_000))
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("an append took %v", took)
		}
		if err != nil {
			if !errors.Is(err, backend.ErrNoSpace) || errors.Is(err, backend.ErrPoisoned) {
				t.Fatalf("after %d: %v", stored, err)
			}
			break
		}
		stored++
	}
	if n := enginetest.Count(t, b); n != stored || stored < 20 {
		t.Fatalf("%d records of %d", n, stored)
	}
	if report, err := b.Scan(t.Context(), nil); err != nil || !report.Clean() {
		t.Fatalf("%+v, %v", report, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if res, err := b.Append(t.Context(), enginetest.Record(20_000)); err != nil || int(res.Version) != stored+1 {
		t.Fatalf("%+v, %v", res, err)
	}
	t.Logf("%d records of 20 kB, then full; appends go on when there is room", stored)
}

func TestAReadOnlyMountIsRead(t *testing.T) { Tested.ReadsAReadOnlyMount(t, 3) }

func TestWhoHoldsAStoreIsNamed(t *testing.T) { Tested.NamesItsHolder(t) }

// While a new file is made, something waits for its lock, and has it before bbolt opens the file again.
type lockingContext struct {
	context.Context
	name string
	once sync.Once
	held chan *os.File
}

func (c *lockingContext) Err() error {
	c.once.Do(func() {
		f, err := os.Open(c.name)
		if err != nil {
			c.held <- nil
			return
		}
		go func() {
			_ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
			c.held <- f
		}()
		time.Sleep(200 * time.Millisecond) // until it waits
	})
	return c.Context.Err()
}

// A rebuilt file that can't be opened leaves what was salvaged, and a handle that is to be reopened.
func TestARebuiltFileThatDoesNotOpenLeavesWhatWasRead(t *testing.T) {
	b, e, dir := opened(t)
	for range 5 {
		if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.db.Close(); err != nil { // bbolt's lock; the handle is opened again below
		t.Fatal(err)
	}
	change(t, dir, func(tx *bbolt.Tx) error { return tx.Bucket(buckets[tableStreams]).Delete(second) })
	e.db = nil
	if err := errors.Join(e.file.Close(), e.start(true)); err != nil || e.damage == nil {
		t.Fatal(err)
	}
	ctx := &lockingContext{Context: t.Context(), name: filepath.Join(dir, tmpName), held: make(chan *os.File, 1)}
	q := backend.RecoveryPlan{Mode: backend.Quarantine}
	l, err := kv.Open(e, kv.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	before := stands(t, l)
	if _, err := l.Recover(ctx, q); !errors.Is(err, backend.ErrPoisoned) || errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("the recovery: %v", err)
	}
	var f *os.File
	select {
	case f = <-ctx.held:
	case <-time.After(10 * time.Second):
	}
	if f == nil {
		t.Fatal("there was no new file, or bbolt had its lock first")
	}
	if after := stands(t, l); after != before {
		t.Errorf("the stream stands at %s, and stood at %s", after, before)
	}
	if err := l.Append(t.Context(), []backend.Record{{Stream: "s", Version: 6, Position: 6, Kind: backend.Event}}); !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("an append: %v", err)
	}
	if err := errors.Join(f.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	recoverAll(t, dir, backend.Quarantine)
	takesRecords(t, dir)
}

// stands says where the stream does.
func stands(t *testing.T, l *kv.Log) string {
	t.Helper()
	h, err := l.Head(t.Context(), "s")
	return fmt.Sprintf("%+v, %v", h, err)
}
