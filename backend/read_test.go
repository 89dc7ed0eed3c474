package backend_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

func TestManySnapshotsAtOneVersionPageWithoutLossOrRepeat(t *testing.T) {
	b := open(t, nil)
	for range 3 {
		if _, err := b.Append(t.Context(), one("s")); err != nil {
			t.Fatal(err)
		}
	}
	var want []backend.Position
	for _, n := range []struct{ version, count int }{{1, 600}, {2, 300}, {3, 1}} {
		for range n.count {
			p, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: "s", Version: backend.Version(n.version)})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, p)
		}
	}
	for _, reverse := range []bool{false, true} {
		if reverse {
			slices.Reverse(want)
		}
		for _, limit := range []int{0, 1, 255, 256, 257, 600, 601, 900, 901, 2000} {
			var got []backend.Position
			for r, err := range b.Read(t.Context(), backend.Query{Stream: "s", Kinds: backend.KindSet(backend.Snapshot), Reverse: reverse, Limit: limit}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, r.Position)
			}
			expect := want
			if limit > 0 {
				expect = want[:min(limit, len(want))]
			}
			if !slices.Equal(got, expect) {
				t.Errorf("reverse %v, limit %d: %d snapshots, want %d in order", reverse, limit, len(got), len(expect))
			}
		}
	}
	if s, err := b.Snapshot(t.Context(), "s", 2); err != nil || s.Version != 2 || s.Position != want[1] {
		t.Errorf("Snapshot at 2: %+v, %v; want the newest of version 2", s, err)
	}
	if _, err := b.Snapshot(t.Context(), "none", 0); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("Snapshot of a stream without: %v", err)
	}
}

func TestPagesOfLargePayloadsKeepTheirBytes(t *testing.T) {
	b := open(t, nil)
	for i := range 40 {
		batch := one("s")
		batch.Records[0].Payload = bytes.Repeat([]byte{byte(i)}, 50_000)
		batch.Records[0].Meta, _ = backend.MakeMeta("i", fmt.Sprint(i))
		if _, err := b.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	for _, reverse := range []bool{false, true} {
		n := 0
		for r, err := range b.Read(t.Context(), backend.Query{Reverse: reverse}) {
			i := n
			if reverse {
				i = 39 - n
			}
			meta, _ := r.Meta.Get("i")
			if err != nil || !bytes.Equal(r.Payload, bytes.Repeat([]byte{byte(i)}, 50_000)) || meta != fmt.Sprint(i) {
				t.Fatalf("record %d is not what was stored (%v)", i, err)
			}
			n++
		}
		if n != 40 {
			t.Errorf("%d records", n)
		}
	}
}

func TestALoopBodyMayAppendReadAndClose(t *testing.T) {
	b := open(t, nil)
	for range 300 {
		if _, err := b.Append(t.Context(), one("s")); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for r, err := range b.Read(t.Context(), backend.Query{Stream: "s"}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if _, err := b.Append(t.Context(), one("s")); err != nil {
			t.Fatal(err)
		}
		for inner, err := range b.Read(t.Context(), backend.Query{Stream: "s", From: uint64(r.Version), Limit: 1}) {
			if err != nil || inner.Version != r.Version {
				t.Fatalf("inner read: %+v, %v", inner, err)
			}
		}
	}
	if n != 300 {
		t.Errorf("the loop ran %d times, want 300: it ends where the store stood when it began", n)
	}
	var last error
	for _, err := range b.Read(t.Context(), backend.Query{Stream: "s"}) {
		last = err
		if err == nil {
			b.Close()
		}
	}
	if !errors.Is(last, backend.ErrClosed) {
		t.Errorf("the loop over a backend that was closed in it ended with %v", last)
	}
}

func TestMetaIsCheckedAndKept(t *testing.T) {
	m, err := backend.MakeMeta("a", "1", "b", "")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := m.Get("b"); !ok || v != "" {
		t.Errorf("Get(b) = %q, %v", v, ok)
	}
	if _, ok := m.Get("c"); ok {
		t.Error("Get(c) found something")
	}
	for name, bad := range map[string]backend.Meta{"cut short": m[:len(m)-2], "a length beyond the end": {9, 'a'}, "an empty key": {0, 0}} {
		batch := one("s")
		batch.Records[0].Meta = bad
		b := open(t, nil)
		if _, err := b.Append(t.Context(), batch); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := backend.MakeMeta("a", "1", "a", "2"); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("a key twice: %v", err)
	}
	if _, err := backend.MakeMeta("a"); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("half a pair: %v", err)
	}
}

// holed yields a stream as if versions were missing in it.
type holed struct {
	backend.LogDriver
	missing map[backend.Version]bool
}

func (f holed) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		for r, err := range f.LogDriver.Read(ctx, q) {
			if (err != nil || !f.missing[r.Version]) && !yield(r, err) {
				return
			}
		}
	}
}

func TestAMissingVersionIsCorruptWhereverItIs(t *testing.T) {
	for _, gone := range []backend.Version{1, 2, 150, 256, 257, 299, 300} {
		for _, reverse := range []bool{false, true} {
			b := overDriver(t, holed{&watchedStore{Store: memory.New()}, map[backend.Version]bool{gone: true}})
			for range 3 {
				batch := backend.Batch{Stream: "s", Expected: backend.Any, Records: make([]backend.Record, 100)}
				if _, err := b.Append(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
			}
			n, want := 0, int(gone)-1
			if reverse {
				want = 300 - int(gone)
			}
			var last error
			for _, err := range b.Read(t.Context(), backend.Query{Stream: "s", Reverse: reverse}) {
				if last = err; err == nil {
					n++
				}
			}
			var at *backend.CorruptError
			if n != want || !errors.As(last, &at) || at.Version != gone {
				t.Errorf("version %d missing, reverse %v: %d records, then %v; want %d, then the version's ErrCorrupt", gone, reverse, n, last, want)
			}
		}
	}
}
