package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// What a brief makes of a record is what decoding makes of it; what it has no room for is
// decoded when it is read.
func TestABriefTellsWhatDecodingTells(t *testing.T) {
	sp := &span{spanInfo: spanInfo{from: 100, to: 100_000, base: 1_700_000_000_000_000_000}}
	records := []backend.Record{
		{Stream: "plain", Version: 1, Type: "t", Payload: []byte("payload")},
		{Stream: "plain", Version: 2},
		{Stream: "plain", Version: 1 << 60, Epoch: 1 << 61, Kind: backend.Snapshot, Type: "other", Payload: bytes.Repeat([]byte("p"), 3<<10)},
		{Stream: "old", Version: 1, Time: time.Date(1700, 1, 2, 3, 4, 5, 6, time.UTC), Meta: backend.Meta(strings.Repeat("m", 200))},
		{Stream: "batch", Version: 1, Batch: backend.BatchRef{ID: backend.BatchID{15: 1}}, Meta: backend.Meta("m")},
		{Stream: "batch", Version: 2, Batch: backend.BatchRef{ID: backend.BatchID{1, 2, 3}, Place: 65535}, Schema: 65535, Meta: backend.Meta(strings.Repeat("m", 65535)), Payload: []byte("x")},
		{Stream: "place", Version: 1, Batch: backend.BatchRef{Place: 65536}},
		{Stream: "schema", Version: 1, Schema: 65536},
		{Stream: "meta", Version: 1, Meta: backend.Meta(strings.Repeat("m", backend.MaxMetaBytes))},
	}
	for i := range typesMost + 2 {
		records = append(records, backend.Record{Stream: "types", Version: backend.Version(i + 1), Type: fmt.Sprint("type", i)})
	}
	f := &unfolded{sp: sp, decoder: codec.Decoder{Seed: 7}}
	var ends []int
	for i := range records {
		r := &records[i]
		r.Position = sp.from + backend.Position(i)
		r.Kind = max(r.Kind, backend.Event)
		if r.Time.IsZero() {
			r.Time = time.Unix(1_700_000_000, int64(i)).UTC()
		}
		f.bytes = codec.Append(f.bytes, r, 7, sp.base)
		ends = append(ends, len(f.bytes))
	}
	off, brief := 0, 0
	for i := range records {
		want := line(&records[i])
		if got := f.brief(records[i].Position+1, off, ends[i]-off); got.kind != 0 || int(got.off) != off {
			t.Errorf("at a wrong position %s has the brief %+v", want, got)
		}
		w := f.brief(records[i].Position, off, ends[i]-off)
		if w.kind == 0 {
			if int(w.off) != off {
				t.Errorf("%s: the envelope is at %d, want %d", want, w.off, off)
			}
			off = ends[i]
			continue
		}
		brief++
		got := backend.Record{Stream: "left", Meta: backend.Meta("over"), Batch: backend.BatchRef{ID: backend.BatchID{9}}}
		f.record(&w, records[i].Position, &got)
		if line(&got) != want || got.Payload == nil {
			t.Errorf("got  %s\nwant %s", line(&got), want)
		}
		off = ends[i]
	}
	if want := len(records) - 3 - (2 + 4 - 1); brief < want-2 || brief == len(records) {
		t.Errorf("%d of %d records have a brief", brief, len(records))
	}
}

// unfoldStore has so many spans of 200 records.
func unfoldStore(t testing.TB, f *faultfs.FS, spans int) (*store, *backend.Backend, *model) {
	t.Helper()
	s, b := openInside(t, f, &Options{keepLog: true})
	m := newModel()
	for i := range spans {
		grown(t, b, m, func() {
			for j := range 200 {
				appendOne(t, b, fmt.Sprintf("s%d", j%13), fmt.Sprintf("%d/%d%s", i, j, strings.Repeat("|", 10+j)))
			}
		})
		seals(t, s)
	}
	if len(s.view.spans) != spans {
		t.Fatal(len(s.view.spans))
	}
	return s, b, m
}

// settled waits for what is unfolded beside reads.
func (u *unfolds) settled() { u.wait.Wait() }

func TestAReadThatGoesOnHasTheNextSpanUnfoldedBesideIt(t *testing.T) {
	s, b, m := unfoldStore(t, new(faultfs.FS), 5)
	u := &s.unfolds
	read := func(q backend.Query, n int) {
		t.Helper()
		got, err := readAll(b, q)
		if err != nil || len(got) != n || got[0] != m.log[q.From-1].line {
			t.Fatalf("%+v: %d records, want %d: %v", q, len(got), n, err)
		}
		u.settled()
	}
	read(backend.Query{From: 201, Limit: 4}, 4)
	read(backend.Query{From: 205, Limit: 1}, 1)
	if u.next != nil || u.kept[0].checked() {
		t.Error("five records are no read that goes on")
	}
	read(backend.Query{From: 206, Limit: 5}, 5)
	read(backend.Query{From: 211, Limit: 5}, 5)
	if u.next == nil || u.next.sp != s.view.spans[2] || !u.next.checked() || !u.kept[0].checked() {
		t.Fatal("the read went on, and the next span is not unfolded")
	}
	next := u.next
	read(backend.Query{From: 401, Limit: 1}, 1)
	if u.next != nil || u.kept[len(u.kept)-1] != next {
		t.Error("what was unfolded beside was not used")
	}
	u.forget()
	m.check(t, b, "whole")
	u.settled()
	if len(u.kept) > unfoldsKept {
		t.Errorf("%d spans are kept in memory", len(u.kept))
	}
}

// The memory of spans that a read has passed is used for those that it comes to.
func TestAReadThroughManySpansTakesTheMemoryOfTwo(t *testing.T) {
	s, _, m := unfoldStore(t, new(faultfs.FS), 6)
	seen := map[*unfolded]bool{}
	n := 0
	for r, err := range s.Read(context.Background(), backend.Query{To: 1200, Kinds: backend.Numbered}) {
		if err != nil || line(&r) != m.log[n].line {
			t.Fatal(n, err)
		}
		if n++; n%200 == 100 {
			s.unfolds.settled()
		}
		s.unfolds.mu.Lock()
		for _, f := range append(slices.Clone(s.unfolds.kept), s.unfolds.next) {
			if f != nil {
				seen[f] = true
			}
		}
		s.unfolds.mu.Unlock()
	}
	if n != len(m.log) || len(seen) > unfoldsKept+1 {
		t.Errorf("%d records of %d, in %d pieces of memory", n, len(m.log), len(seen))
	}
}

// Damage is told in the same way however it is met: of a single record that is asked for,
// or on the way through the store.
func TestDamageIsToldAlikeWhereverAReadComesFrom(t *testing.T) {
	f := new(faultfs.FS)
	s, b, m := unfoldStore(t, f, 3)
	for _, p := range []int{1, 250, 399, 400, 600} {
		sp := s.view.spans[(p-1)/200]
		s.unfolds.forget()
		at := int64(bytes.Index(f.Bytes(sp.name), m.payload(t, b, p)))
		if at < 0 {
			t.Fatal("the payload is nowhere")
		}
		f.Flip(sp.name, at+3, 0x10)
		s.unfolds.forget()
		_, single := readAll(b, backend.Query{From: uint64(p), Limit: 1})
		s.unfolds.forget()
		got, whole := readAll(b, backend.Query{})
		s.unfolds.settled()
		var ce *backend.CorruptError
		if !errors.As(whole, &ce) || int(ce.Position) != p || ce.Stream == "" || ce.File != sp.name || single == nil || single.Error() != whole.Error() {
			t.Errorf("position %d: alone %v, on the way %v", p, single, whole)
		}
		if len(got) != p-1 {
			t.Errorf("%d records before the damage, want %d", len(got), p-1)
		}
		if got, err := readAll(b, backend.Query{From: uint64(p + 1)}); err != nil || len(got) != len(m.log)-p {
			t.Errorf("%d records behind the damage, want %d: %v", len(got), len(m.log)-p, err)
		}
		f.Flip(sp.name, at+3, 0x10)
	}
	s.unfolds.forget()
	m.check(t, b, "whole again")
}

// payload is that of the record at a position.
func (m *model) payload(t testing.TB, b *backend.Backend, p int) []byte {
	t.Helper()
	for r, err := range b.Read(context.Background(), backend.Query{From: uint64(p), Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		return r.Clone().Payload
	}
	return nil
}

// A disk that fails once beside a read does not fail it, and a read that ends takes what
// goes on beside it along.
func TestWhatIsUnfoldedBesideAReadIsNotTheReads(t *testing.T) {
	f := new(faultfs.FS)
	s, b, m := unfoldStore(t, f, 3)
	once := &faultfs.Fault{Kinds: []faultfs.Kind{faultfs.Read}, Name: s.view.spans[1].name, Err: errors.New("the disk is tired")}
	f.Fail(once)
	next, stop := iter.Pull2(s.Read(context.Background(), backend.Query{To: 600, Kinds: backend.Numbered}))
	defer stop()
	for i := range m.log {
		if i == 100 {
			s.unfolds.settled()
		}
		r, err, ok := next()
		if !ok || err != nil || line(&r) != m.log[i].line {
			t.Fatal(i, ok, err)
		}
	}
	if f.Hits(once) != 1 {
		t.Error("the disk did not fail")
	}
	stop()
	f.Heal()
	s.unfolds.forget()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	v := s.pin()
	s.unfolds.begin(ctx, s, v, v.spans[1])
	s.unfolds.settled()
	s.unpin(v)
	if s.unfolds.next != nil || v.readers.Load() != 1 {
		t.Errorf("%+v is kept for a read that has ended, and its view has %d readers", s.unfolds.next, v.readers.Load())
	}
	m.check(t, b, "afterwards")
}
