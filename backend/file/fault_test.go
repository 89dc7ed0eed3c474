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
	"github.com/papyra-go/papyra/backend/file/internal/faultfs"
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

// workload opens a store, appends and closes, and returns what was acknowledged, in
// order. It stops at the first failure, as a program would.
func workload(f *faultfs.FS, acked *atomic.Pointer[[]string]) error {
	opts := &Options{SegmentBytes: 8 << 10}
	for round := range 2 {
		b, err := openMem(f, opts)
		if err != nil {
			return err
		}
		for i := range 14 {
			batch := backend.Batch{Stream: fmt.Sprintf("s%d", i%3), Expected: backend.Any}
			for j := range 1 + i%3 {
				batch.Records = append(batch.Records, backend.Record{Type: "t", Payload: fmt.Appendf(nil, "%d.%d.%d %s", round, i, j, strings.Repeat("p", 97*i))})
			}
			if _, err := b.Append(context.Background(), batch); err != nil {
				return errors.Join(err, b.Close())
			}
			done := append([]string{}, *acked.Load()...)
			for _, r := range batch.Records {
				done = append(done, batch.Stream+" "+string(r.Payload))
			}
			acked.Store(&done)
		}
		if err := b.Close(); err != nil {
			return err
		}
	}
	return nil
}

// short is what workload says of the records in a store.
func short(b *backend.Backend) (out []string, err error) {
	for r, err := range b.Read(context.Background(), backend.Query{}) {
		if err != nil {
			return out, err
		}
		out = append(out, r.Stream+" "+string(r.Payload))
	}
	return out, nil
}

// checkStore opens what a crash or a failure has left: all that was acknowledged must be
// there, in order, and nothing else but one whole group that was under way. Then it must
// take appends, and be found again.
func checkStore(t *testing.T, f *faultfs.FS, what string, acked []string) bool {
	t.Helper()
	opts := &Options{SegmentBytes: 8 << 10}
	b, err := openMem(f, opts)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return false
	}
	got, err := short(b)
	if err != nil || len(got) < len(acked) || !slices.Equal(got[:len(acked)], acked) {
		t.Errorf("%s: %v: %d records, acknowledged were %d", what, err, len(got), len(acked))
		return false
	}
	if rest := got[len(acked):]; len(rest) > 0 && !wholeGroup(rest) {
		t.Errorf("%s: above the acknowledged there is %q", what, rest)
		return false
	}
	report, err := b.Scan(context.Background(), nil)
	if err != nil || !report.Clean() {
		t.Errorf("%s: %v %v", what, err, report.Anomalies)
		return false
	}
	if _, err := tryAppend(b, "after", what); err != nil {
		t.Errorf("%s: %v", what, err)
		return false
	}
	b.Close()
	b, err = openMem(f.Crash(faultfs.None), opts)
	if err != nil {
		t.Errorf("%s: again: %v", what, err)
		return false
	}
	defer b.Close()
	if again, err := short(b); err != nil || !slices.Equal(again, append(got, "after "+what)) {
		t.Errorf("%s: again: %v: %d records, want %d", what, err, len(again), len(got)+1)
		return false
	}
	return true
}

// wholeGroup reports whether lines are all records of one batch of workload.
func wholeGroup(lines []string) bool {
	var stream string
	var round, i, j int
	if _, err := fmt.Sscanf(lines[0], "%s %d.%d.%d", &stream, &round, &i, &j); err != nil || j != 0 || len(lines) != 1+i%3 {
		return false
	}
	for n, l := range lines {
		if !strings.HasPrefix(l, fmt.Sprintf("%s %d.%d.%d ", stream, round, i, n)) {
			return false
		}
	}
	return true
}

func TestOneFailureAtAnyCallLosesNothing(t *testing.T) {
	none := []string{}
	for _, kind := range []faultfs.Kind{faultfs.Write, faultfs.Sync, faultfs.SyncDir, faultfs.Rename, faultfs.Open, faultfs.Read, faultfs.Truncate, faultfs.ReadDir, faultfs.Close} {
		for _, cause := range []error{syscall.EIO, syscall.ENOSPC, fmt.Errorf("%w: %w", faultfs.ShortWrite, syscall.ENOSPC)} {
			if errors.Is(cause, faultfs.ShortWrite) && kind != faultfs.Write {
				continue
			}
			runs := 0
			step := int64(1)
			if testing.Short() {
				step = 7
			}
			if slow {
				step = 19
			}
			for n := int64(0); ; n += step {
				f := new(faultfs.FS)
				fault := &failing{kind: kind, err: cause}
				fault.after.Store(n)
				f.Hook = fault.hook
				var acked atomic.Pointer[[]string]
				acked.Store(&none)
				err := workload(f, &acked)
				if err != nil && !sentinel(err) {
					t.Errorf("%s %d: %v: wraps no sentinel", kind, n, err)
				}
				f.Hook = nil
				over := fault.after.Load() >= 0
				cut := f.Crash(faultfs.None)
				checkStore(t, f, fmt.Sprintf("%s %d %v", kind, n, cause), *acked.Load())
				checkStore(t, cut, fmt.Sprintf("%s %d %v and a power cut", kind, n, cause), *acked.Load())
				if runs++; over || t.Failed() {
					break
				}
			}
			t.Logf("%s, %v: %d runs", kind, cause, runs)
		}
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
