package file

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// trap makes calls fail, or does something before them, as long as it is set.
type trap struct {
	set atomic.Bool
	do  func(op faultfs.Op) error
}

func (tr *trap) hook(op faultfs.Op) error {
	if !tr.set.Load() {
		return nil
	}
	return tr.do(op)
}

// trapped opens a store whatever is wrong with it, and sets a trap.
func trapped(t *testing.T, f *faultfs.FS, do func(op faultfs.Op) error) (*backend.Backend, *trap) {
	t.Helper()
	tr := &trap{do: do}
	f.Hook = tr.hook
	b := mustOpenMem(t, f, ignoring())
	tr.set.Store(true)
	return b, tr
}

// rottenStore is packedStore with one damaged record, in its first span.
func rottenStore(t *testing.T) (f *faultfs.FS, lines []string) {
	t.Helper()
	f, lines = packedStore(t)
	m := mustManifest(t, f)
	name := nameOf(&m.spans[0])
	at := bytes.Index(f.Bytes(name)[headerSize:], []byte("xxx")) + headerSize + 100
	f.Flip(name, int64(at), 16)
	return f, lines
}

// mustHaveAllBut checks that so many records can't be read, and that the others are what they were.
func mustHaveAllBut(t *testing.T, b *backend.Backend, lines []string, lost int) {
	t.Helper()
	if last, err := b.Last(context.Background()); err != nil || int(last) < len(lines) {
		t.Errorf("the last position is %d, of %d: %v", last, len(lines), err)
	}
	bad := 0
	for i, want := range lines {
		p := uint64(i + 1)
		got, err := readAll(b, backend.Query{From: p, To: p, Kinds: backend.AllKinds})
		switch {
		case errors.Is(err, backend.ErrCorrupt):
			bad++
		case err != nil || !slices.Equal(got, []string{want}):
			t.Fatalf("position %d: %q, %v; want %q", p, got, err, want)
		}
	}
	if bad != lost {
		t.Errorf("%d records can't be read, want %d", bad, lost)
	}
}

func TestARecoveryThatIsCancelledLeavesAStoreThatGoesOn(t *testing.T) {
	f, lines := rottenStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	early := &stopper{stop: func() error { cancel(); return nil }}
	early.armed.Store(true)
	b, _ := trapped(t, f, early.hook)
	if _, err := b.Recover(ctx, backend.RecoveryOptions{Mode: backend.Quarantine}); !errors.Is(err, context.Canceled) {
		t.Fatalf("the recovery: %v", err)
	}
	mustHaveAllBut(t, b, lines, 1)
	if r := appendOne(t, b, "fresh", "goes on"); int(r.Position) != len(lines)+1 {
		t.Errorf("position %d is given, behind %d", r.Position, len(lines))
	}
	mustRecover(t, b, backend.Quarantine)
	mustHaveAllBut(t, b, lines, 1)
}

func TestARecoveryAfterWhichTheStoreCantBeReadAgainLeavesWhatWasRead(t *testing.T) {
	for _, row := range []struct {
		what string
		fail func(op faultfs.Op) bool
	}{
		{"no file opens", func(op faultfs.Op) bool { return op.Kind == faultfs.Open }},
		{"the directory can't be listed", func(op faultfs.Op) bool { return op.Kind == faultfs.ReadDir }},
		{"the log can't be read", func(op faultfs.Op) bool { return op.Kind == faultfs.Size && strings.HasSuffix(op.Name, segmentSuffix) }},
		{"the store can't be marked", func(op faultfs.Op) bool { return op.Kind == faultfs.Write && op.Name == markName }},
	} {
		t.Run(row.what, func(t *testing.T) {
			f, lines := rottenStore(t)
			var broke atomic.Bool
			b, tr := trapped(t, f, func(op faultfs.Op) error {
				if op.Kind == faultfs.Open && strings.HasSuffix(op.Name, spanSuffix+tmpSuffix) {
					broke.Store(true)
				}
				if broke.Load() && row.fail(op) {
					return syscall.EMFILE
				}
				return nil
			})
			if _, err := b.Recover(context.Background(), backend.RecoveryOptions{Mode: backend.Quarantine}); !errors.Is(err, backend.ErrPoisoned) || b.Poisoned() == nil {
				t.Fatalf("the recovery: %v; poisoned: %v", err, b.Poisoned())
			}
			tr.set.Store(false)
			b.Stats()
			last, err := b.Last(context.Background())
			if err != nil || int(last) != len(lines) {
				t.Errorf("the last position is %d, of %d: %v", last, len(lines), err)
			}
			if _, err := tryAppend(b, "fresh", "too soon"); !errors.Is(err, backend.ErrPoisoned) {
				t.Errorf("an append: %v", err)
			}
			mustHaveAllBut(t, b, lines, 1)
			if err := b.Reopen(context.Background()); err != nil {
				t.Fatal(err)
			}
			appendOne(t, b, "fresh", "goes on")
			mustRecover(t, b, backend.Quarantine)
			mustHaveAllBut(t, b, lines, 1)
		})
	}
}

func TestASpanThatThisProcessMayNotOpenIsNotGivenUp(t *testing.T) {
	for _, cause := range []error{fs.ErrPermission, syscall.EMFILE} {
		f, lines := packedStore(t)
		m := mustManifest(t, f)
		name := nameOf(&m.spans[1])
		b, tr := trapped(t, f, func(op faultfs.Op) error {
			if op.Kind == faultfs.Open && op.Name == name {
				return cause
			}
			return nil
		})
		if _, err := b.Recover(context.Background(), backend.RecoveryOptions{Mode: backend.Quarantine}); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("%v: the recovery: %v", cause, err)
		}
		tr.set.Store(false)
		mustHaveAllBut(t, b, lines, 0)
	}
}

func TestAMarkThatThisProcessMayNotOpenIsNotTakenForLost(t *testing.T) {
	for _, cause := range []error{fs.ErrPermission, syscall.EMFILE} {
		f, lines := packedStore(t)
		tr := &trap{do: func(op faultfs.Op) error {
			if op.Kind == faultfs.Open && op.Name == markName {
				return cause
			}
			return nil
		}}
		f.Hook = tr.hook
		tr.set.Store(true)
		if b, err := openMem(f, ignoring()); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("%v: a store that would write no marks opens: %v", cause, err)
			if err == nil {
				b.Close()
			}
		}
		tr.set.Store(false)
		mustHaveAllBut(t, mustOpenMem(t, f, nil), lines, 0)
	}
}

func TestASpanThatTheDiskDoesNotGiveIsPutAsideWhole(t *testing.T) {
	f, lines := packedStore(t)
	m := mustManifest(t, f)
	gone := m.spans[1]
	was := f.Bytes(nameOf(&gone))
	b, tr := trapped(t, f, func(op faultfs.Op) error {
		if op.Kind == faultfs.Open && op.Name == nameOf(&gone) {
			return syscall.EIO
		}
		return nil
	})
	mustRecover(t, b, backend.Quarantine)
	tr.set.Store(false)
	mustHaveAllBut(t, b, lines, int(gone.records))
	if !bytes.Equal(f.Bytes(quarantineDir+"/"+nameOf(&gone)), was) {
		t.Error("the span's file is not in quarantine as it was")
	}
}

func TestAStoreWithoutAManifestWhoseCopyCantBeUsedIsNotTakenForOneThatIsNotThere(t *testing.T) {
	for _, row := range []struct {
		what string
		copy func(b []byte) []byte
		want error
	}{
		{"damaged", func(b []byte) []byte { b[40] ^= 1; return b }, backend.ErrCorrupt},
		{"empty", func([]byte) []byte { return nil }, backend.ErrCorrupt},
		{"another file", func([]byte) []byte { return []byte("hello\n") }, backend.ErrCorrupt},
		{"of a newer format", func(b []byte) []byte { return bytes.Replace(b, []byte("format 2"), []byte("format 9"), 1) }, backend.ErrFormat},
	} {
		f, _ := packedStore(t)
		b := row.copy(bytes.Clone(f.Bytes(copyName)))
		f.Take(manifestName)
		f.Put(copyName, b)
		was := f.Digest()
		for _, readOnly := range []bool{true, false} {
			o := ignoring()
			o.ReadOnly = readOnly
			if _, err := openMem(f, o); !errors.Is(err, row.want) {
				t.Errorf("the copy is %s, read-only %v: %v", row.what, readOnly, err)
			}
		}
		if f.Digest() != was {
			t.Errorf("the copy is %s: opening has changed something", row.what)
		}
	}
}

func TestAQuarantineOfAStoreWhoseManifestListsNoSegmentPutsAnEndToIt(t *testing.T) {
	f := new(faultfs.FS)
	b := mustOpenMem(t, f, nil)
	for range 10 {
		appendOne(t, b, "s", "x")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	m := mustManifest(t, f)
	m.segments, m.generation = nil, 1
	f.Put(manifestName, m.encode())
	f.Put(copyName, m.encode())
	b = mustOpenMem(t, f, ignoring())
	if _, err := contents(b); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("a read of a store that has lost all: %v", err)
	}
	mustRecover(t, b, backend.Quarantine)
	if r := appendOne(t, b, "s", "y"); r.Position <= 10 {
		t.Errorf("position %d is given again", r.Position)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if report := mustScan(t, mustOpenMem(t, f, nil)); !report.Clean() {
		t.Error(report.Anomalies)
	}
}

func TestAHandleThatCouldNotBeOpenedForWritingAgainRecoversNothing(t *testing.T) {
	f := new(faultfs.FS)
	o := &Options{SegmentBytes: 8 << 10}
	var other *backend.Backend
	tr := new(trap)
	tr.do = func(op faultfs.Op) error {
		if op.Kind == faultfs.Lock && tr.set.CompareAndSwap(true, false) { // another process is quicker
			other = mustOpenMem(t, f, o)
		}
		return nil
	}
	f.Hook = tr.hook
	b := mustOpenMem(t, f, o)
	appendOne(t, b, "s", "x")
	tr.set.Store(true)
	if err := b.Reopen(context.Background()); !errors.Is(err, backend.ErrLocked) {
		t.Fatalf("reopening: %v", err)
	}
	for range 100 {
		appendOne(t, other, "s", strings.Repeat("y", 300))
	}
	was := mustManifest(t, f).generation
	for _, mode := range []backend.RecoveryMode{backend.Repair, backend.Quarantine} {
		if _, err := b.Recover(context.Background(), backend.RecoveryOptions{Mode: mode}); !errors.Is(err, backend.ErrPoisoned) {
			t.Errorf("%v beside a writer: %v", mode, err)
		}
	}
	if now := mustManifest(t, f); now.generation < was || len(now.segments) < 2 && len(now.spans) == 0 {
		t.Errorf("the manifest is now of generation %d, before %d: %d spans, %d segments", now.generation, was, len(now.spans), len(now.segments))
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Reopen(context.Background()); err != nil {
		t.Fatal(err)
	}
	mustRecover(t, b, backend.Quarantine)
	if got := mustContents(t, b); len(got) != 101 {
		t.Errorf("%d records are left of 101", len(got))
	}
}
