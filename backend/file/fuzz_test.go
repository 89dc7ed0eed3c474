package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"github.com/papyra-go/papyra/backend/file/internal/sorted"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// What decodes bytes of a disk is given any bytes. It must neither panic nor hang nor take
// much memory, and what it can't take is ErrCorrupt or ErrFormat. Where a checksum would
// keep the fuzzer out, it is made to hold.

// fuzzMemory bounds what one input may allocate, and fuzzTime how long it may take.
const (
	fuzzMemory = 256 << 20
	fuzzTime   = 20 * time.Second
)

// bounded runs f within the bounds.
func bounded(t *testing.T, f func(ctx context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), fuzzTime)
	defer cancel()
	before, start := sweepAllocated(), time.Now()
	f(ctx)
	if used := sweepAllocated() - before; used > fuzzMemory {
		t.Errorf("it took %d MiB", used>>20)
	}
	if took := time.Since(start); took > fuzzTime {
		t.Errorf("it took %v", took)
	}
}

// refusal checks that an error is one of a store that is damaged or newer, or of a stream
// that is not there, or was cut.
func refusal(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, backend.ErrFormat) && !errors.Is(err, backend.ErrNotFound) && !errors.Is(err, backend.ErrCompacted) {
		t.Errorf("%s: %v", what, err)
	}
}

// goldenFiles are the files of a golden store whose names end so.
func goldenFiles(f *testing.F, pattern string) (files [][]byte) {
	f.Helper()
	for _, dir := range goldens {
		names, err := filepath.Glob(filepath.Join("testdata", dir, pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			files = append(files, bytes.TrimRight(b, "\x00"))
		}
	}
	if len(files) == 0 {
		f.Fatal(pattern)
	}
	return files
}

// exercise opens a store and asks it everything. It is given names of streams.
func exercise(t *testing.T, ctx context.Context, f *faultfs.FS, names ...string) {
	t.Helper()
	opts := &Options{}
	opts.ReadOnly = true
	opts.Startup.Mode = backend.IgnoreAnomalies
	b, err := openMem(f, opts)
	refusal(t, "open", err)
	if err != nil {
		return
	}
	defer b.Close()
	drain := func(what string, q backend.Query) {
		n := 0
		for _, err := range b.Read(ctx, q) {
			refusal(t, what, err)
			if n++; n > 1<<20 {
				t.Fatalf("%s: there is no end", what)
			}
		}
	}
	for _, reverse := range []bool{false, true} {
		drain("by position", backend.Query{Kinds: backend.AllKinds, Reverse: reverse})
		for _, name := range names {
			drain("a stream", backend.Query{Stream: name, Reverse: reverse})
			drain("a stream, from version 3", backend.Query{Stream: name, From: 3, Reverse: reverse, Limit: 2})
			drain("snapshots", backend.Query{Stream: name, Kinds: backend.KindSet(backend.Snapshot), Reverse: reverse})
		}
	}
	for _, name := range names {
		_, err := b.Head(ctx, name)
		refusal(t, "head", err)
		_, err = b.Snapshot(ctx, name, 0)
		refusal(t, "snapshot", err)
	}
	for _, err := range b.Streams(ctx, backend.StreamQuery{}) {
		refusal(t, "streams", err)
	}
	for _, quick := range []bool{true, false} {
		_, err := b.Scan(ctx, &backend.ScanOptions{Quick: quick})
		refusal(t, "scan", err)
	}
	_, err = b.Recover(ctx, backend.RecoveryOptions{Mode: backend.Quarantine, DryRun: true})
	refusal(t, "recover", err)
}

func FuzzManifest(f *testing.F) {
	for _, b := range goldenFiles(f, manifestName) {
		body := b[:len(b)-len("crc 00000000\n")]
		f.Add(b, false)
		f.Add(body, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal {
			b = fmt.Appendf(b[:len(b):len(b)], "crc %08x\n", crc32.Checksum(b, castagnoli))
		}
		bounded(t, func(context.Context) {
			m, err := parseManifest(b)
			if err == nil && !bytes.Equal(m.encode(), b) {
				t.Errorf("%q became %q", b, m.encode())
			}
			if err != nil && !errors.Is(err, errNotOurs) {
				refusal(t, "parse", err)
			}
		})
	})
}

func FuzzMark(f *testing.F) {
	for _, b := range goldenFiles(f, markName) {
		f.Add(b[:markSlot], false)
		f.Add(b[:markSlot-4], true)
	}
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal && len(b) >= 32 {
			b = append(b[:len(b):len(b)], make([]byte, markSlot)...)[:markSlot]
			binary.LittleEndian.PutUint32(b[markSlot-4:], crc32.Checksum(b[:markSlot-4], castagnoli))
		}
		store := [16]byte{}
		if len(b) >= 32 {
			store = [16]byte(b[16:32])
		}
		m, ok := parseMark(b, store)
		if !ok {
			return
		}
		if _, other := parseMark(b, [16]byte{}); other && store != [16]byte{} {
			t.Error("it is another store's too")
		}
		again, ok := parseMark(m.encode(), store)
		if again.format = m.format; !ok || again != m {
			t.Errorf("%+v became %+v", m, again)
		}
	})
}

func FuzzSegmentHeader(f *testing.F) {
	for _, b := range goldenFiles(f, "*"+segmentSuffix) {
		f.Add(b[:headerSize], false)
		f.Add(b[:64], true)
	}
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal {
			b = append(b[:len(b):len(b)], make([]byte, headerSize)...)[:headerSize]
			binary.LittleEndian.PutUint32(b[headerSize-4:], crc32.Checksum(b[:headerSize-4], castagnoli))
		}
		h, ok := parseSegmentHeader(b)
		if !ok {
			return
		}
		if again, ok := parseSegmentHeader(h.encode()); !ok || again != h {
			t.Errorf("%+v became %+v", h, again)
		}
	})
}

// fuzzStore is the UUID of stores that are made of any bytes.
var fuzzStore = [16]byte{0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// sealGroups makes the headers, and with bodies what they say of the bodies, hold in the
// bytes that follow a segment's header, for as far as one group leads to the next.
func sealGroups(b []byte, sg *segment, sequence uint64, chain uint32, bodies bool) (uint64, uint32) {
	le := binary.LittleEndian
	for at := 0; at+groupSize <= len(b); {
		g := group{kind: b[at+2], flags: b[at+3], length: le.Uint32(b[at+4:]), first: backend.Position(le.Uint64(b[at+16:])), records: le.Uint32(b[at+24:]), base: int64(le.Uint64(b[at+40:]))}
		if le.Uint16(b[at:]) != groupMagic {
			return sequence, chain
		}
		sequence++
		g.sequence, g.chain, g.body = sequence, chain, le.Uint32(b[at+36:])
		whole := g.length >= groupSize && int64(at)+int64(g.length) <= int64(len(b))
		if bodies && whole && int64(g.length) >= groupSize+int64(g.records)*int64(g.entry()) {
			if extents, ok := g.lay(b[at:at+int(g.length)], nil); ok {
				g.body = g.bodyCRC(b[at:at+int(g.length)], extents)
			}
		}
		g.put(b[at:], uint32(sg.life), sg.seed, int64(headerSize+at))
		chain = g.crc
		if !whole || g.length%groupAlign != 0 {
			return sequence, chain
		}
		at += int(g.length)
	}
	return sequence, chain
}

// fuzzGroups are groups as a store of fuzzStore writes them.
func fuzzGroups(f *testing.F) []byte {
	var e encoder
	e.seed = codec.NewSeed(fuzzStore)
	var out []byte
	at := time.Unix(1e9, 0)
	put := func(g group, b []byte) {
		g.put(b, 0, 0, 0)
		out = append(out, b...)
	}
	put(e.encode([]backend.Record{{Stream: "a", Version: 1, Position: 1, Kind: backend.Event, Time: at, Payload: []byte("one")}, {Stream: "b", Version: 1, Position: 2, Kind: backend.Event, Time: at}}))
	put(e.encode([]backend.Record{{Stream: "a", Version: 2, Position: 5, Kind: backend.Event, Time: at}, {Stream: "a", Version: 1, Position: 9, Kind: backend.Snapshot, Time: at, Payload: []byte("state")}}))
	g, b, _ := e.encodeCut([]backend.StreamFloor{{Stream: "a", Floor: 2}, {Stream: "b", Floor: 2, Delete: true}}, 3, 10)
	put(g, b)
	put(e.encode([]backend.Record{{Stream: "b", Version: 2, Position: 10, Kind: backend.Event, Time: at, Payload: []byte("two")}}))
	return out
}

func FuzzSegments(f *testing.F) {
	groups := fuzzGroups(f)
	f.Add(groups, []byte{}, byte(3))
	f.Add(groups, []byte{}, byte(1))
	f.Add(groups[:200], groups[200:], byte(3))
	f.Add(groups, groups, byte(0))
	f.Fuzz(func(t *testing.T, one, two []byte, seal byte) {
		dir := new(faultfs.FS)
		m := manifest{format: FormatVersion, store: fuzzStore, generation: 3}
		sequence, chain, previous := uint64(0), uint32(0), uint64(0)
		for i, b := range [][]byte{one, two} {
			l := listed{id: uint64(i + 1), life: 0x1122334455667788 + uint64(i)}
			b = bytes.Clone(b)
			if seal&1 != 0 {
				sequence, chain = sealGroups(b, newSegment(fuzzStore, l, nil), sequence, chain, seal&2 != 0)
			}
			h := segmentHeader{format: FormatVersion, store: fuzzStore, id: l.id, life: l.life, previous: previous}
			dir.Put(segmentName(l.id), append(h.encode(), b...))
			m.segments, previous = append(m.segments, l), l.id
		}
		dir.Put(manifestName, m.encode())
		dir.Put(copyName, m.encode())
		mk := mark{store: fuzzStore, generation: 2}
		if seal&4 != 0 {
			mk.segment, mk.life, mk.sequence, mk.chain, mk.last, mk.end = 2, m.segments[1].life, sequence, chain, 10, headerSize+uint64(len(two))
		}
		dir.Put(markName, newMarkFile(mk))
		bounded(t, func(ctx context.Context) { exercise(t, ctx, dir, "a", "b") })
	})
}

func FuzzCut(f *testing.F) {
	for _, floor := range []backend.StreamFloor{{Stream: "a", Floor: 1}, {Stream: strings.Repeat("s", backend.MaxStreamBytes), Floor: 1 << 60, Delete: true}} {
		b := appendCut(nil, &floor, 7)
		f.Add(b, uint64(7), false)
		f.Add(b[:len(b)-4], uint64(7), true)
		f.Add(append([]byte{4}, b[1:len(b)-4]...), uint64(7), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, sequence uint64, seal bool) {
		if seal {
			b = binary.LittleEndian.AppendUint32(b[:len(b):len(b)], cutCRC(b, sequence))
		}
		var floor, again backend.StreamFloor
		n, err := parseCut(b, sequence, &floor)
		refusal(t, "parse", err)
		if err != nil {
			return
		}
		if n > len(b) || floor.Stream == "" {
			t.Fatalf("%d of %d bytes: %+v", n, len(b), floor)
		}
		if b[0]&^cutDelete != 0 {
			t.Errorf("flags %#x are taken", b[0])
		}
		if _, err := parseCut(appendCut(nil, &floor, sequence), sequence, &again); err != nil || again != floor {
			t.Errorf("%+v became %+v: %v", floor, again, err)
		}
		if _, err := parseCut(b, sequence+1, &again); err == nil {
			t.Error("it holds in another group too")
		}
	})
}

func FuzzEntry(f *testing.F) {
	e := entry{standing: standing{Head: backend.Head{Version: 9, Epoch: 2, Floor: 3}, cut: 4, pictured: 2, records: 7, snapshots: 6}, off: headerSize, size: 900, first: 3, count: 7, snaps: 2, skips: 1, skip: 16}
	f.Add(e.append(nil), int64(1<<20))
	f.Add(e.append(nil), int64(headerSize+100))
	f.Add(e.standing.append(nil), int64(10))
	f.Fuzz(func(t *testing.T, b []byte, limit int64) {
		var h, h2 standing
		if rest, err := h.parse(b); err == nil {
			if _, err := h2.parse(h.append(nil)); err != nil || h2 != h || len(rest) > len(b) {
				t.Errorf("%+v became %+v: %v", h, h2, err)
			}
		}
		limit = max(0, limit)
		var e, e2 entry
		if e.parse(b, limit) != nil {
			return
		}
		if e.off < 0 || e.size < 0 || e.off+e.size > limit || e.count > uint64(limit) || e.snaps > uint64(limit) {
			t.Errorf("%+v goes beyond %d", e, limit)
		}
		if err := e2.parse(e.append(nil), limit); err != nil || e2 != e {
			t.Errorf("%+v became %+v: %v", e, e2, err)
		}
	})
}

// fuzzPacked is a small store of one span with all that a span has, and heads.
func fuzzPacked(f *testing.F) (dir *faultfs.FS, m manifest, names []string) {
	f.Helper()
	dir = new(faultfs.FS)
	s, b := openInside(f, dir, &Options{keepLog: true})
	for i := range 40 {
		appendOne(f, b, "large", strings.Repeat("x", 2000))
		appendOne(f, b, fmt.Sprintf("s%d", i%3), "small")
	}
	for v := range backend.Version(3) {
		if _, err := b.SaveSnapshot(context.Background(), backend.Record{Stream: "s1", Version: v + 1, Payload: []byte("state")}); err != nil {
			f.Fatal(err)
		}
	}
	if _, err := b.Compact(context.Background(), backend.Cut{}); err != nil {
		f.Fatal(err)
	}
	m = s.listed.Load().clone()
	if err := b.Close(); err != nil {
		f.Fatal(err)
	}
	return dir, m, []string{"large", "s0", "s1", "nobody"}
}

// sealTable makes the checksums of a table's blocks hold.
func sealTable(b []byte, seed uint32) {
	const size, end = sorted.BlockSize, sorted.BlockSize - 4
	for n := 0; (n+1)*size <= len(b); n++ {
		block := b[n*size : (n+1)*size]
		crc := crc32.Update(seed, castagnoli, binary.LittleEndian.AppendUint64(nil, uint64(n)))
		binary.LittleEndian.PutUint32(block[end:], crc32.Update(crc, castagnoli, block[:end]))
	}
}

// edit writes bytes over others: each edit is an offset of three bytes, a length, and as
// many bytes.
func edit(b, edits []byte) []byte {
	b = bytes.Clone(b)
	for len(edits) > 4 && len(b) > 0 {
		at := (int(edits[0]) | int(edits[1])<<8 | int(edits[2])<<16) % len(b)
		n := min(int(edits[3]), len(edits)-4, len(b)-at)
		copy(b[at:], edits[4:4+n])
		edits = edits[4+n:]
	}
	return b
}

func FuzzSpan(f *testing.F) {
	whole, m, names := fuzzPacked(f)
	info := m.spans[0]
	name := spanName(info.first, info.last, info.generation)
	content := whole.Content(name)
	f.Add([]byte{}, uint16(0), false)
	f.Add([]byte{0, 16, 0, 4, 1, 2, 3, 4}, uint16(0), false)
	f.Add([]byte{byte(info.frames), byte(info.frames >> 8), byte(info.frames >> 16), 4, 1, 2, 3, 4}, uint16(0), false)
	f.Add([]byte{byte(info.skipsEnd()), byte(info.skipsEnd() >> 8), byte(info.skipsEnd() >> 16), 12, 1, 0, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8}, uint16(0), true)
	f.Add([]byte{}, uint16(7000), false)
	f.Fuzz(func(t *testing.T, edits []byte, cut uint16, seal bool) {
		b := edit(content, edits)
		sp := (&store{uuid: fuzzStore}).newSpan(info)
		sp.seed = lifeSeed(m.store, info.last, info.life)
		if seal {
			sealTable(b[info.skipsEnd():], sp.seed)
		}
		dir := whole.Clone()
		dir.Put(name, b[:len(b)-int(cut)%len(b)])
		bounded(t, func(ctx context.Context) { exercise(t, ctx, dir, names...) })
	})
}

func FuzzHeads(f *testing.F) {
	whole, m, names := fuzzPacked(f)
	name := headsName(m.heads[0].generation)
	content := whole.Content(name)
	f.Add([]byte{}, false)
	f.Add([]byte{16, 0, 0, 4, 1, 2, 3, 4}, true)
	f.Fuzz(func(t *testing.T, edits []byte, seal bool) {
		b := edit(content, edits)
		if seal {
			sealTable(b, lifeSeed(m.store, m.heads[0].generation, 0))
		}
		dir := whole.Clone()
		dir.Put(name, b)
		bounded(t, func(ctx context.Context) { exercise(t, ctx, dir, names...) })
	})
}

func FuzzNames(f *testing.F) {
	for _, name := range []string{segmentName(1), segmentName(1 << 60), spanName(1, 4, 9), spanName(1<<40, 1<<50, 1), headsName(12), "00000001.seg.tmp", "1-2.3.span", "MANIFEST.copy.tmp", "-.span", "../00000001.seg"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if id, ok := segmentID(name); ok && segmentName(id) != name {
			t.Errorf("segment %d is not %q", id, name)
		}
		if first, last, generation, ok := parseSpanName(name); ok && (spanName(first, last, generation) != name || first > last) {
			t.Errorf("span %d-%d.%d is not %q", first, last, generation, name)
		}
		if generation, ok := headsGeneration(name); ok && headsName(generation) != name {
			t.Errorf("heads %d are not %q", generation, name)
		}
		if (isPart(name) || ours(name)) && strings.ContainsAny(name, "/\\\x00") {
			t.Errorf("%q is a path", name)
		}
		if isPart(name) && ours(name) {
			t.Errorf("%q holds records, and does not", name)
		}
	})
}
