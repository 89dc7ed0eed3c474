package file

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// failing makes one call of a kind, on files whose names hold a word, fail with an error.
type failing struct {
	kind  faultfs.Kind
	word  string
	after atomic.Int64 // calls that still go well; negative: it is over
	times int64        // how many calls fail, if not one
	err   error
}

func (f *failing) hook(op faultfs.Op) error {
	if op.Kind == f.kind && strings.Contains(op.Name, f.word) && f.fails() {
		return f.err
	}
	return nil
}

func (f *failing) fails() bool {
	left := f.after.Add(-1)
	return left < 0 && left >= -max(f.times, 1)
}

// never is an after that has long passed.
const never = -1 << 40

func tryAppend(b *backend.Backend, stream, payload string) (backend.Result, error) {
	return b.Append(context.Background(), backend.Batch{Stream: stream, Expected: backend.Any, Records: []backend.Record{{Payload: []byte(payload)}}})
}

func TestAFailureInTheCommitPathIsAnsweredAsItsRowSays(t *testing.T) {
	short := fmt.Errorf("%w: %w", faultfs.ShortWrite, syscall.ENOSPC)
	big := strings.Repeat("b", 200_000) // crosses the zeros that are there
	for _, row := range []struct {
		name    string
		kind    faultfs.Kind
		times   int64
		err     error
		payload string
		want    []error // what the error wraps
		not     []error
		sticky  bool
	}{
		{"laying zeros ahead meets a full disk once: it is tried without a chunk", faultfs.Write, 1, syscall.ENOSPC, big, nil, nil, false},
		{"laying zeros ahead meets a full disk", faultfs.Write, 2, short, big, []error{backend.ErrNoSpace}, []error{backend.ErrUnknownOutcome, backend.ErrPoisoned}, false},
		{"a write fails after all of its bytes", faultfs.Write, 1, fmt.Errorf("%w: %w", faultfs.WholeWrite, syscall.ENOSPC), "small", []error{backend.ErrNoSpace}, []error{backend.ErrUnknownOutcome, backend.ErrPoisoned}, false},
		{"a write fails, and zeroing too", faultfs.Write, 2, syscall.EIO, "small", []error{backend.ErrPoisoned, backend.ErrUnknownOutcome}, nil, true},
		{"a write meets a full disk", faultfs.Write, 1, syscall.ENOSPC, "small", []error{backend.ErrNoSpace}, []error{backend.ErrUnknownOutcome, backend.ErrPoisoned}, false},
		{"a write meets a full quota half way", faultfs.Write, 1, short, "small", []error{backend.ErrNoSpace}, []error{backend.ErrUnknownOutcome, backend.ErrPoisoned}, false},
		{"a write fails", faultfs.Write, 1, syscall.EIO, "small", []error{backend.ErrPoisoned}, []error{backend.ErrUnknownOutcome}, true},
		{"laying zeros ahead fails", faultfs.Write, 1, syscall.EIO, big, []error{backend.ErrPoisoned}, []error{backend.ErrUnknownOutcome}, true},
		{"the sync fails", faultfs.Sync, 1, syscall.EIO, "small", []error{backend.ErrPoisoned, backend.ErrUnknownOutcome}, nil, true},
		{"the sync meets a full disk", faultfs.Sync, 1, syscall.ENOSPC, "small", []error{backend.ErrPoisoned, backend.ErrUnknownOutcome}, nil, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := new(faultfs.FS)
			fault := &failing{kind: row.kind, word: segmentSuffix, times: row.times, err: row.err}
			fault.after.Store(never)
			f.Hook = fault.hook
			b := mustOpenMem(t, f, nil)
			appendOne(t, b, "s", "acknowledged")
			acked, size := mustContents(t, b), len(f.Bytes(segmentName(1)))
			fault.after.Store(0)
			_, err := tryAppend(b, "s", row.payload)
			if err != nil && len(f.Bytes(segmentName(1))) != size {
				t.Errorf("the file had %d bytes, and has %d", size, len(f.Bytes(segmentName(1))))
			}
			if err != nil && !errors.Is(err, backend.ErrUnknownOutcome) { // definitely not stored: a crash must not bring it back
				crashed := mustOpenMem(t, f.Crash(faultfs.All), nil)
				if got := mustContents(t, crashed); !slices.Equal(got, acked) {
					t.Errorf("after the failure and a crash: %q", got)
				}
			}
			if (err == nil) != (row.want == nil) {
				t.Fatal(err)
			}
			for _, want := range row.want {
				if !errors.Is(err, want) {
					t.Errorf("%v: want %v", err, want)
				}
			}
			for _, not := range row.not {
				if errors.Is(err, not) {
					t.Errorf("%v: does not mean %v", err, not)
				}
			}
			if got := mustContents(t, b); err != nil && !slices.Equal(got, acked) {
				t.Errorf("visible after the failure: %q", got)
			}
			if _, err := tryAppend(b, "s", "next"); errors.Is(err, backend.ErrPoisoned) != row.sticky || err == nil == row.sticky {
				t.Errorf("the next append: %v", err)
			}
			checkAfterFailure(t, f, b, acked, row.sticky)
		})
	}
}

// checkAfterFailure reopens, appends, and looks at the store as a crash leaves it.
func checkAfterFailure(t *testing.T, f *faultfs.FS, b *backend.Backend, acked []string, poisoned bool) {
	t.Helper()
	if poisoned {
		if err := b.Reopen(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	appendOne(t, b, "s", "after it")
	all := mustContents(t, b)
	if len(all) <= len(acked) || !slices.Equal(all[:len(acked)], acked) {
		t.Errorf("after it: %q", all)
	}
	mustBeClean(t, b)
	again := mustOpenMem(t, f.Crash(faultfs.None), nil)
	if got := mustContents(t, again); !slices.Equal(got, all) {
		t.Errorf("after a power cut: %q\nwant %q", got, all)
	}
}

func TestAfterAFailedSyncTheLastGroupIsWrittenAgain(t *testing.T) {
	f := new(faultfs.FS)
	fault := &failing{kind: faultfs.Sync, word: segmentSuffix, err: syscall.EIO}
	fault.after.Store(never)
	f.Hook = fault.hook
	b := mustOpenMem(t, f, nil)
	appendOne(t, b, "s", "one")
	fault.after.Store(0)
	if _, err := tryAppend(b, "s", "in memory alone"); !errors.Is(err, backend.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	f.LoseUnsynced(segmentName(1)) // the kernel keeps the pages, and thinks them clean
	if err := b.Reopen(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := mustContents(t, b); len(got) != 2 {
		t.Fatalf("after reopening: %q", got)
	}
	appendOne(t, b, "s", "acknowledged")
	want := mustContents(t, b)
	again := mustOpenMem(t, f.Crash(faultfs.None), nil)
	if got := mustContents(t, again); !slices.Equal(got, want) {
		t.Fatalf("after a power cut: %q\nwant %q", got, want)
	}
}

func TestAReopenOnAFullDiskLeavesReadsGoingOn(t *testing.T) {
	f := new(faultfs.FS)
	sync := &failing{kind: faultfs.Sync, word: segmentSuffix, err: syscall.EIO}
	full := &failing{kind: faultfs.Write, word: manifestName, err: syscall.ENOSPC}
	sync.after.Store(never)
	full.after.Store(never)
	f.Hook = func(op faultfs.Op) error {
		if err := sync.hook(op); err != nil {
			return err
		}
		return full.hook(op)
	}
	b := mustOpenMem(t, f, nil)
	appendOne(t, b, "s", "one")
	sync.after.Store(0)
	if _, err := tryAppend(b, "s", "two"); !errors.Is(err, backend.ErrPoisoned) {
		t.Fatal(err)
	}
	sync.after.Store(never)
	full.after.Store(0)
	if err := b.Reopen(context.Background()); !errors.Is(err, backend.ErrNoSpace) {
		t.Fatalf("Reopen on a full disk: %v", err)
	}
	if got := mustContents(t, b); len(got) == 0 {
		t.Error("nothing can be read")
	}
	if _, err := tryAppend(b, "s", "three"); !errors.Is(err, backend.ErrPoisoned) {
		t.Errorf("append: %v", err)
	}
	full.after.Store(never)
	if err := b.Reopen(context.Background()); err != nil {
		t.Fatal(err)
	}
	appendOne(t, b, "s", "four")
}
