package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// truth is what a healthy store answers.
type truth struct {
	log       []string
	streams   map[string][]string
	snapshots map[string][]string
	heads     map[string]backend.Head
}

var forwards = map[bool]string{false: "forwards", true: "backwards"}

// smallStore makes a store of a few segments, closed, with all that a store may hold:
// streams, batches, a restored batch with gaps, snapshots.
func smallStore(t *testing.T, f *faultfs.FS) truth {
	t.Helper()
	b := mustOpenMem(t, f, &Options{SegmentBytes: 8 << 10, keepLog: true})
	ctx := context.Background()
	for i := range 18 {
		batch := backend.Batch{Stream: fmt.Sprintf("s%d", i%5), Expected: backend.Version(i / 5), ID: backend.BatchID{byte(i + 1)}}
		if i%5 == 0 {
			batch.Epoch = uint64(i)
		}
		meta, err := backend.MakeMeta("trace", fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		batch.Records = []backend.Record{{Type: "deposited", Schema: uint32(i), Meta: meta, Payload: bytes.Repeat([]byte{byte(i + 1)}, 20*i)}}
		if _, err := b.Append(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	appendOne(t, b, "big", strings.Repeat("y", 6000))
	if _, err := b.SaveSnapshot(ctx, backend.Record{Stream: "s1", Version: 2, Payload: []byte("state at 2")}); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1e9, 0)
	restore := backend.Batch{Stream: "copied", Restore: true, Records: []backend.Record{
		{Position: 100, Version: 7, Kind: backend.Event, Time: at, Payload: []byte("from elsewhere")},
		{Position: 105, Version: 7, Kind: backend.Snapshot, Time: at, Payload: []byte("state")},
		{Position: 200, Version: 8, Kind: backend.Event, Time: at, Payload: []byte("from elsewhere, too")}}}
	if _, err := b.Append(ctx, restore); err != nil {
		t.Fatal(err)
	}
	appendOne(t, b, "last", strings.Repeat("z", 3000))
	appendOne(t, b, "s1", "the end")
	tr := truth{streams: map[string][]string{}, snapshots: map[string][]string{}, heads: map[string]backend.Head{}}
	tr.log = mustContents(t, b)
	for s, err := range b.Streams(ctx, backend.StreamQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		tr.heads[s.Name] = s.Head
		tr.streams[s.Name], err = readAll(b, backend.Query{Stream: s.Name})
		if err != nil {
			t.Fatal(err)
		}
		if tr.snapshots[s.Name], err = readAll(b, backend.Query{Stream: s.Name, Kinds: backend.KindSet(backend.Snapshot)}); err != nil {
			t.Fatal(err)
		}
	}
	mustBeClean(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return tr
}

func readAll(b *backend.Backend, q backend.Query) (lines []string, err error) {
	for r, err := range b.Read(context.Background(), q) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, line(&r))
	}
	return lines, nil
}

// examine reads everything from a store that may be damaged, and returns what is a lie:
// an answer that is neither right nor an error. harmed says whether there was an error.
func (tr *truth) examine(b *backend.Backend) (lie string, harmed bool) {
	check := func(what string, q backend.Query, want []string) {
		for _, q.Reverse = range []bool{false, true} {
			got, err := readAll(b, q)
			if q.Reverse {
				want = slices.Clone(want)
				slices.Reverse(want)
			}
			harmed = harmed || err != nil
			if err != nil && !errors.Is(err, backend.ErrCorrupt) {
				lie = fmt.Sprintf("%s %s: %v: not ErrCorrupt", what, forwards[q.Reverse], err)
			}
			if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) || err == nil && len(got) < len(want) {
				lie = fmt.Sprintf("%s %s: %d records of %d, %v", what, forwards[q.Reverse], len(got), len(want), err)
			}
		}
	}
	check("the store", backend.Query{Kinds: backend.AllKinds}, tr.log)
	for name, want := range tr.streams {
		check(name, backend.Query{Stream: name}, want)
		check(name+"'s snapshots", backend.Query{Stream: name, Kinds: backend.KindSet(backend.Snapshot)}, tr.snapshots[name])
		if h, err := b.Head(context.Background(), name); err == nil && h != tr.heads[name] {
			lie = fmt.Sprintf("%s: head %+v, want %+v", name, h, tr.heads[name])
		}
	}
	return lie, harmed
}

// damaged opens a store after damage, for reading or for writing, and checks that
// nothing in it is a lie and that a full scan says what is wrong.
func (tr *truth) damaged(t *testing.T, f *faultfs.FS, what string, readOnly bool) {
	t.Helper()
	opts := &Options{}
	opts.ReadOnly = readOnly
	opts.Startup.Mode = backend.IgnoreAnomalies
	b, err := openMem(f, opts)
	if err != nil {
		if !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, backend.ErrFormat) {
			t.Errorf("%s: open: %v", what, err)
		}
		return
	}
	defer b.Close()
	lie, harmed := tr.examine(b)
	report, err := b.Scan(context.Background(), nil)
	if err != nil {
		t.Errorf("%s: scan: %v", what, err)
		return
	}
	switch {
	case lie != "":
		t.Errorf("%s: %s; scan: %v", what, lie, report.Anomalies)
	case harmed && report.Damages == 0:
		t.Errorf("%s: there are errors, and scan reports %v", what, report.Anomalies)
	case !readOnly && strings.HasPrefix(what, markName): // its next write has mended it
	case len(report.Anomalies) == 0 && stat(t, b, "torn_bytes") == 0:
		t.Errorf("%s: nobody notices", what)
	}
	if report.Damages > 0 && !readOnly {
		if _, err := tryAppend(b, "s1", "over the damage"); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%s: an append to a damaged store: %v", what, err)
		}
	}
}

func TestAManifestFromBeforeTheLastSegmentsIsDamage(t *testing.T) {
	old := new(faultfs.FS) // a manifest from before the last segments
	b := mustOpenMem(t, old, &Options{SegmentBytes: 8 << 10, keepLog: true})
	appendOne(t, b, "s", "one")
	early := slices.Clone(old.Bytes(manifestName))
	for range 20 {
		appendOne(t, b, "s", strings.Repeat("x", 1000))
	}
	b.Close()
	old.Put(manifestName, early)
	if _, err := openMem(old, nil); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("with an old manifest: %v", err)
	}
}

func TestAnUnreadablePageIsDamageAndNeverTorn(t *testing.T) {
	f := new(faultfs.FS)
	tr := smallStore(t, f)
	for _, name := range f.Names() {
		if !strings.HasSuffix(name, segmentSuffix) {
			continue
		}
		size := int64(len(f.Bytes(name)))
		for page := int64(0); page < size; page += 4 * pageSize {
			bad := f.Clone()
			bad.Hook = func(op faultfs.Op) error {
				if op.Kind == faultfs.Read && op.Name == name && op.Off < page+pageSize && op.Off+int64(len(op.Data)) > page {
					return syscall.EIO
				}
				return nil
			}
			before := slices.Clone(bad.Bytes(name))
			tr.damaged(t, bad, fmt.Sprintf("%s can't be read at %d", name, page), page%2 == 0)
			if !bytes.Equal(before, bad.Bytes(name)) || len(saved(bad)) > 0 {
				t.Errorf("%s at %d: an unread byte was taken for torn", name, page)
			}
		}
	}
}

// What no mark covers, later headers prove.
func TestWithoutAMarkDamageBelowTheLastGroupIsNeverCut(t *testing.T) {
	f := new(faultfs.FS)
	tr := smallStore(t, f)
	m, _, err := readManifest(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Put(markName, newMarkFile(mark{store: m.store, generation: 1}))
	step := 17
	if testing.Short() || slow {
		step = 131
	}
	last := 7488 // where the last group is, in the last segment that holds any
	for i, l := range m.segments[:4] {
		name := segmentName(l.id)
		end := len(bytes.TrimRight(f.Bytes(name), "\x00"))
		if i == 3 {
			if b := f.Bytes(name); b[last] != 'P' || b[last+1] != 'G' {
				t.Fatal("the last group is elsewhere")
			}
			end = last
		}
		for at := headerSize; at < end; at += step {
			rotten := f.Clone()
			n := min(1+at%700, end-at)
			for j := range n {
				rotten.Bytes(name)[at+j] ^= byte(1 + (at+j)%255)
			}
			before := slices.Clone(rotten.Bytes(name))
			what := fmt.Sprintf("%s: %d bytes of noise at %d", name, n, at)
			tr.damaged(t, rotten, what, false)
			if !bytes.Equal(before, rotten.Bytes(name)) || len(saved(rotten)) > 0 {
				t.Fatalf("%s: something was cut", what)
			}
		}
	}
}

func TestALostWriteBelowTheLastGroupIsDamage(t *testing.T) {
	f := new(faultfs.FS)
	b := mustOpenMem(t, f, nil)
	appendOne(t, b, "s", "first")
	start := stat(t, b, "log_bytes")
	before := f.Clone()
	appendOne(t, b, "s", "was cut by a crash")
	old := slices.Clone(f.Bytes(segmentName(1))[start:stat(t, b, "log_bytes")])
	f = before.Crash(faultfs.All)
	b = mustOpenMem(t, f, nil)
	appendOne(t, b, "s", "came in its place")
	appendOne(t, b, "s", "follows that")
	f = f.Clone()
	copy(f.Bytes(segmentName(1))[start:], old) // the disk never wrote what came in its place
	if _, err := openMem(f, nil); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
}

var _ disk.FS = (*faultfs.FS)(nil)
