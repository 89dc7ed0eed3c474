package file

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// A store of some size keeps a reserve. On a disk that is full it makes room for the
// manifest that gives room back; it is made again at an opening when there is space.
func TestTheReserveIsGivenUpOnAFullDiskAndMadeAgain(t *testing.T) {
	ctx := context.Background()
	f := new(faultfs.FS)
	opts := &Options{keepLog: true, SegmentBytes: 4 << 20}
	_, b := openInside(t, f, opts)
	has := func() bool { return slices.Contains(f.Names(), reserveName) }
	payload := bytes.Repeat([]byte("x"), 1<<20)
	for range 18 {
		if _, err := b.Append(ctx, backend.Batch{Stream: "large", Expected: backend.Any, Records: []backend.Record{{Payload: payload}}}); err != nil {
			t.Fatal(err)
		}
	}
	if has() {
		t.Fatal("a small store has a reserve")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	s, b := openInside(t, f, opts)
	if !has() || len(f.Content(reserveName)) != reserveSize || !zero(f.Content(reserveName)) {
		t.Fatal("a store of 18 MiB has no reserve")
	}
	mustBeClean(t, b)
	s.preparer.wait.Wait()
	f.Limit(f.Used())
	s.manifests.Lock()
	_, err := s.relist(func(*manifest) {})
	s.manifests.Unlock()
	if err != nil || has() {
		t.Errorf("on a full disk the manifest is not written: %v; the reserve is there: %v", err, has())
	}
	f.Limit(f.Used() - 1)
	s.manifests.Lock()
	_, err = s.relist(func(*manifest) {})
	s.manifests.Unlock()
	if !noSpace(err) {
		t.Errorf("without a reserve: %v", err)
	}
	if err := b.Poisoned(); err != nil {
		t.Error(err)
	}
	if _, err := b.Append(ctx, backend.Batch{Stream: "large", Expected: backend.Any, Records: []backend.Record{{Payload: payload}, {Payload: payload}, {Payload: payload}, {Payload: payload}}}); !errors.Is(err, backend.ErrNoSpace) {
		t.Errorf("an append on a full disk: %v", err)
	}
	f.Limit(0)
	appendOne(t, b, "large", "there is room again")
	mustBeClean(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	s, b = openInside(t, f, opts)
	if !has() {
		t.Error("the reserve was not made again")
	}
	f.Take(reserveName)
	f.Fail(&faultfs.Fault{Kinds: []faultfs.Kind{faultfs.SyncDir}, Err: syscall.EIO, Lose: faultfs.None})
	s.reserve()
	if _, err := tryAppend(b, "large", "beside names that are lost"); !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("a sync of the directory has failed: %v", err)
	}
	f.Heal()
	if err := b.Reopen(ctx); err != nil {
		t.Error(err)
	}
	if n := len(mustContents(t, b)); n != 19 {
		t.Errorf("%d records, want 19", n)
	}
	mustBeClean(t, b)
}
