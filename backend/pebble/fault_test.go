//go:build linux

package pebble

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/enginetest"
)

// A disk that is full is ErrNoSpace soon, and nothing else, as long as the room that is to stay is
// enough; appends go on when there is room.
func TestARealFullDiskHeals(t *testing.T) {
	dir := enginetest.SmallDisk(t, 24)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 6<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), filepath.Join(dir, "store"), &Options{MemTableBytes: 256 << 10, FreeBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	stored := 0
	for round := range 3 {
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
		if n := enginetest.Count(t, b); n != stored || stored < 100 {
			t.Fatalf("%d records of %d", n, stored)
		}
		if report, err := b.Scan(t.Context(), nil); err != nil || !report.Clean() {
			t.Fatalf("%+v, %v", report, err)
		}
		if err := os.Truncate(ballast, int64(4-2*round)<<20); err != nil {
			t.Fatal(err)
		}
	}
	if !until(10*time.Second, func() bool { // compactions have room for a while that they give back
		_, err = b.Append(t.Context(), enginetest.Record(20_000))
		return err == nil
	}) {
		t.Fatal(err)
	}
	if err := b.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := enginetest.Count(t, b); n != stored+1 {
		t.Fatalf("%d records of %d", n, stored+1)
	}
	t.Logf("%d records of 20 kB in three rounds; appends go on when there is room", stored)
}

// Where nothing is to stay free, pebble meets the full disk itself: the handle is poisoned, soon,
// the process lives, and Reopen goes on when there is room.
func TestARealFullDiskThatPebbleMeetsPoisons(t *testing.T) {
	dir := enginetest.SmallDisk(t, 12)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 6<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), filepath.Join(dir, "store"), &Options{MemTableBytes: 256 << 10, FreeBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	stored := 0
	for began := time.Now(); err == nil; stored++ {
		if time.Since(began) > 30*time.Second {
			t.Fatal("no end")
		}
		_, err = b.Append(t.Context(), enginetest.Record(20_000))
	}
	stored--
	if !errors.Is(err, backend.ErrPoisoned) && !errors.Is(err, backend.ErrNoSpace) {
		t.Fatalf("%v", err)
	}
	first := err
	if n := enginetest.Count(t, b); n != stored {
		t.Fatalf("%d records of %d after %v", n, stored, first)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := b.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := enginetest.Count(t, b); n != stored && n != stored+1 {
		t.Fatalf("%d records of %d", n, stored)
	}
	if _, err := b.Append(t.Context(), enginetest.Record(20_000)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d records, then %v", stored, first)
}

func TestAReadOnlyMountIsRead(t *testing.T) { Tested.ReadsAReadOnlyMount(t, 80) }

func TestWhoHoldsAStoreIsNamed(t *testing.T) { Tested.NamesItsHolder(t) }

// All that the store makes is the owner's alone.
func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b, err := Open(t.Context(), dir, &Options{MemTableBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		if _, err := b.Append(t.Context(), enginetest.Record(20_000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		want := os.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s: mode %v", name, info.Mode())
		}
		files++
		return err
	})
	if err != nil || files < 8 {
		t.Errorf("%d files, %v", files, err)
	}
}

// After a deletion and a compaction none of what was deleted is in any file.
func TestWhatWasDeletedIsInNoFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	b, err := Open(t.Context(), dir, &Options{MemTableBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("a secret that nobody is to find any more")
	found := func() (in []string) {
		err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) { // compacted meanwhile
				return nil
			}
			if err != nil || e.IsDir() {
				return err
			}
			content, err := os.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if bytes.Contains(content, secret) {
				in = append(in, e.Name())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	for round := range 3 {
		for i := range 30 {
			batch := enginetest.Record(10_000)
			if i%3 == 0 {
				batch.Stream, batch.Records[0].Payload = "gone", append(secret, make([]byte, 10_000)...)
			}
			if _, err := b.Append(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		if len(found()) == 0 {
			t.Fatal("it is not there before")
		}
		if _, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "gone", Delete: true}}}); err != nil {
			t.Fatal(err)
		}
		if in := found(); len(in) > 0 {
			t.Errorf("round %d: it is still in %v", round, in)
		}
	}
	if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if in := found(); len(in) > 0 {
		t.Errorf("closed: it is still in %v", in)
	}
}

// After a sync that failed nothing is written any more, whatever pebble does, until Reopen.
func TestAFailedSyncPoisons(t *testing.T) {
	d := NewMemDisk(t.TempDir())
	b, err := OpenOn(t.Context(), d, small)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
		t.Fatal(err)
	}
	_, heal := d.Fail(&Fault{When: func(op Op) bool { return op.Kind == OpSync }, Times: 1, Err: syscall.EIO})
	if _, err := b.Append(t.Context(), enginetest.Record(10)); !errors.Is(err, backend.ErrPoisoned) || !errors.Is(err, backend.ErrUnknownOutcome) {
		t.Fatalf("%v", err)
	}
	heal()
	before := d.Digest()
	for range 100 {
		if _, err := b.Append(t.Context(), enginetest.Record(10_000)); !errors.Is(err, backend.ErrPoisoned) {
			t.Fatalf("%v", err)
		}
	}
	if n := enginetest.Count(t, b); n != 1 {
		t.Errorf("%d records", n)
	}
	if d.Digest() != before {
		t.Error("something was written by a poisoned handle")
	}
	if err := b.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(t.Context(), enginetest.Record(10)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Close(), d.Left()); err != nil {
		t.Error(err)
	}
}

// What pebble calls fatal is told to who writes, and ends neither the process nor a goroutine.
func TestNothingIsFatal(t *testing.T) {
	d := NewMemDisk(t.TempDir())
	e, err := openEngine(place{fs: d, dir: "/store", saves: d.Saves}, small)
	if err != nil {
		t.Fatal(err)
	}
	(&listener{e: e, m: e.m}).Fatalf("pebble: %s", "it is over")
	if err := e.refusal(); !errors.Is(err, backend.ErrPoisoned) || !strings.Contains(err.Error(), "it is over") {
		t.Errorf("%v", err)
	}
	if err := e.flush(context.Background(), 0); !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("%v", err)
	}
	if err := errors.Join(e.Close(), d.Left()); err != nil {
		t.Error(err)
	}
}
