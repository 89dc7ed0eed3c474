package file

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// inside is an offset within what a file has first. The checksum before a payload may end as
// the payload begins.
func inside(f *faultfs.FS, name, what string) int64 {
	return int64(bytes.Index(f.Content(name), []byte(what)) + len(what)/2)
}

// What is damaged is put aside; everything else is there afterwards, what is lost is told,
// and no position is given again.
func TestQuarantineKeepsAllThatCanBeRead(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		what  string
		do    func(f *faultfs.FS, s *store)
		least int // records that are lost: at least …
		most  int // … and at most
	}{
		{"a record's payload in a span", func(f *faultfs.FS, s *store) {
			name := s.view.spans[1].name
			f.Flip(name, inside(f, name, "ccccccccc"), 1)
		}, 1, 1},
		{"two records in one span", func(f *faultfs.FS, s *store) {
			name := s.view.spans[1].name
			f.Flip(name, inside(f, name, "ccccccccc"), 1)
			f.Flip(name, inside(f, name, "kkkkkkkkk"), 1)
		}, 2, 2},
		{"a record's head in a span", func(f *faultfs.FS, s *store) {
			name := s.view.spans[1].name
			f.Flip(name, int64(bytes.Index(f.Content(name), []byte("kept-2"))), 1)
		}, 0, 0},
		{"a page of a span's records", func(f *faultfs.FS, s *store) {
			f.Overwrite(s.view.spans[1].name, 2*pageSize, make([]byte, 512))
		}, 1, 4},
		{"a span's table", func(f *faultfs.FS, s *store) {
			f.Overwrite(s.view.spans[1].name, s.view.spans[1].skipsEnd()+100, make([]byte, 50))
		}, 0, 0},
		{"a span's table and a record", func(f *faultfs.FS, s *store) {
			name := s.view.spans[1].name
			f.Overwrite(name, s.view.spans[1].skipsEnd()+100, make([]byte, 50))
			f.Flip(name, inside(f, name, "ccccccccc"), 1)
		}, 1, 1},
		{"a span's header", func(f *faultfs.FS, s *store) { f.Overwrite(s.view.spans[1].name, 0, make([]byte, 100)) }, 0, 0},
		{"heads", func(f *faultfs.FS, s *store) { f.Overwrite(s.view.heads[0].name, 20, make([]byte, 20)) }, 0, 0},
		{"a missing span", func(f *faultfs.FS, s *store) { f.Take(s.view.spans[1].name) }, 60, 60},
		{"the newest span is missing", func(f *faultfs.FS, s *store) { f.Take(s.view.spans[2].name) }, 60, 60},
		{"the oldest span is missing", func(f *faultfs.FS, s *store) { f.Take(s.view.spans[0].name) }, 60, 60},
		{"a missing segment", func(f *faultfs.FS, s *store) { f.Take(s.view.segments[0].name) }, 61, 61},
		{"a payload in a segment", func(f *faultfs.FS, s *store) {
			name := s.view.segments[0].name
			f.Flip(name, inside(f, name, "ccccccccc"), 1)
		}, 1, 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			f := new(faultfs.FS)
			s, b, m, _ := cutStore(t, f)
			last, err := b.Last(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			v := *s.listed.Load()
			old := &store{view: &view{}, dir: f, uuid: v.store}
			for i := range v.spans {
				old.view.spans = append(old.view.spans, old.newSpan(v.spans[i]))
			}
			for _, h := range v.heads {
				old.view.heads = append(old.view.heads, old.newHeads(h))
			}
			for _, l := range v.segments {
				old.view.segments = append(old.view.segments, newSegment(v.store, l, nil))
			}
			c.do(f, old)
			opts := &Options{keepLog: true}
			opts.Startup.Mode = backend.IgnoreAnomalies
			s, b = openInside(t, f, opts)
			plan, err := b.Recover(ctx, backend.RecoveryOptions{Mode: backend.Quarantine, DryRun: true})
			if err != nil {
				t.Fatal(err)
			}
			report, err := b.Recover(ctx, backend.RecoveryOptions{Mode: backend.Quarantine})
			if err != nil {
				t.Fatal(err)
			}
			if !report.After.Clean() || len(plan.Actions) != len(report.Actions) || len(report.Actions) == 0 {
				t.Fatalf("planned %v, did %v, left %v", plan.Actions, report.Actions, report.After.Anomalies)
			}
			lost := m.survivors(t, b)
			if lost < c.least || lost > c.most {
				t.Errorf("%d records are lost, want %d to %d", lost, c.least, c.most)
			}
			if again, err := b.Recover(ctx, backend.RecoveryOptions{Mode: backend.Quarantine}); err != nil || len(again.Actions) > 0 {
				t.Errorf("again: %v %v", again.Actions, err)
			}
			streams := []string{"fresh", "kept-3"}
			if c.what == "a missing segment" {
				streams = streams[:1] // to which version streams had come in it is lost
			}
			for _, stream := range streams {
				h, err := b.Head(ctx, stream)
				if err != nil {
					t.Fatal(err)
				}
				res := appendOne(t, b, stream, "goes on")
				if res.Position <= last || res.Version != h.Version+1 {
					t.Errorf("%s: appended at %+v, behind version %d and position %d", stream, res, h.Version, last)
				}
				last = res.Position
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			_, b = openInside(t, f, nil)
			if again := m.survivors(t, b); again != lost {
				t.Errorf("reopened: %d records are lost, want %d", again, lost)
			}
			if _, err := b.Compact(ctx, backend.Cut{}); err != nil {
				t.Fatal(err)
			}
			if again := m.survivors(t, b); again != lost {
				t.Errorf("compacted: %d records are lost, want %d", again, lost)
			}
			if res := appendOne(t, b, "fresh", "goes on"); res.Position <= last {
				t.Errorf("compacted: position %d is given again", res.Position)
			}
		})
	}
}

// survivors checks that each record is there or ErrCorrupt, by position and by version, and
// returns how many are lost.
func (m *model) survivors(t testing.TB, b *backend.Backend) (lost int) {
	t.Helper()
	for _, k := range m.log {
		got, err := readAll(b, backend.Query{From: uint64(k.position), To: uint64(k.position), Kinds: backend.AllKinds})
		switch {
		case errors.Is(err, backend.ErrCorrupt) && len(got) == 0:
			lost++
		case err != nil || !slices.Equal(got, []string{k.line}):
			t.Errorf("position %d: %d records, %v", k.position, len(got), err)
		}
		if k.kind == backend.Snapshot {
			continue
		}
		one, oneErr := readAll(b, backend.Query{Stream: k.stream, From: uint64(k.version), To: uint64(k.version)})
		if err == nil && (oneErr != nil || !slices.Equal(one, got)) {
			t.Errorf("%s version %d: %d records, %v; by position it is there", k.stream, k.version, len(one), oneErr)
		}
		if err != nil && oneErr == nil && len(one) > 0 {
			t.Errorf("%s version %d is there, by position it is lost", k.stream, k.version)
		}
	}
	return lost
}

// A hole says which record it was, to readers and to scan.
func TestAHoleSaysWhatWasLost(t *testing.T) {
	f := new(faultfs.FS)
	s, b, m, _ := cutStore(t, f)
	name := s.view.spans[1].name
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	f.Flip(name, inside(f, name, "ccccccccc"), 1)
	opts := &Options{keepLog: true}
	opts.Startup = backend.Startup{Mode: backend.RecoverAnomalies, Full: true, Recovery: backend.Quarantine}
	_, b = openInside(t, f, opts)
	if lost := m.survivors(t, b); lost != 1 {
		t.Fatalf("%d records are lost", lost)
	}
	_, err := readAll(b, backend.Query{Stream: "cut"})
	var ce *backend.CorruptError
	if !errors.As(err, &ce) || ce.Stream != "cut" || ce.Version != 31 || ce.File != name || ce.Offset < headerSize || !strings.Contains(ce.Detail, "quarantined") {
		t.Errorf("reading across it: %v", err)
	}
	report, err := b.Scan(context.Background(), nil)
	if err != nil || len(report.Anomalies) != 1 {
		t.Fatal(err, report.Anomalies)
	}
	if a := report.Anomalies[0]; a.Code != backend.MarkedHole || a.Severity != backend.Notice || a.Stream != "cut" || a.Version != 31 || a.Position == 0 || a.File != name {
		t.Errorf("scan says %v", a)
	}
	bytesSaved := false
	for _, b := range saved(f) {
		bytesSaved = bytesSaved || bytes.Contains(b, []byte("cccccccc"))
	}
	if !bytesSaved {
		t.Errorf("the damaged bytes were not saved: %v", f.Names())
	}
}
