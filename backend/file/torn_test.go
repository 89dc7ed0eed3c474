package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// clock stands still a little less than real ones.
func clock() func() time.Time {
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	return func() time.Time { at = at.Add(1234567); return at }
}

// openMem opens a store in memory.
func openMem(f *faultfs.FS, opts *Options) (*backend.Backend, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Clock == nil {
		o.Clock = clock()
	}
	return openWith(context.Background(), o, func(bool) (disk.FS, error) { return f, nil })
}

func mustOpenMem(t testing.TB, f *faultfs.FS, opts *Options) *backend.Backend {
	t.Helper()
	b, err := openMem(f, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// stat returns one of the engine's figures.
func stat(t testing.TB, b *backend.Backend, name string) int64 {
	t.Helper()
	for _, s := range b.Stats() {
		if s.Name == name {
			return s.Value
		}
	}
	t.Fatalf("no figure %q", name)
	return 0
}

// mustBeClean scans all of the store.
func mustBeClean(t testing.TB, b *backend.Backend) {
	t.Helper()
	report, err := b.Scan(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Anomalies) > 0 {
		t.Fatalf("a clean store is reported with %v", report.Anomalies)
	}
}

// saved returns the bytes of what was set aside, by name.
func saved(f *faultfs.FS) map[string][]byte {
	out := map[string][]byte{}
	for _, name := range f.Names() {
		if strings.HasPrefix(name, quarantineDir+"/") {
			out[name] = f.Bytes(name)
		}
	}
	return out
}

func TestATailTornAtAnyByteIsSavedAndCutAndTheStoreGoesOn(t *testing.T) {
	f := new(faultfs.FS)
	b := mustOpenMem(t, f, nil)
	for i := range 5 {
		appendOne(t, b, fmt.Sprintf("s%d", i%2), fmt.Sprintf("acknowledged %d", i))
	}
	before, acked := f.Clone(), mustContents(t, b)
	start := int64(0)
	for _, s := range b.Stats() {
		if s.Name == "log_bytes" {
			start = s.Value
		}
	}
	batch := backend.Batch{Stream: "s0", Expected: backend.Any, Records: []backend.Record{
		{Type: "a", Payload: []byte("torn one")}, {Type: "b", Payload: bytes.Repeat([]byte{0xab}, 100)}, {Type: "c"}}}
	if _, err := b.Append(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
	name := segmentName(1)
	all := mustContents(t, b)
	group := slices.Clone(f.Bytes(name)[start:stat(t, b, "log_bytes")])
	for cut := range len(group) + 1 {
		crashed := before.Crash(faultfs.None)
		copy(crashed.Bytes(name)[start:], group[:cut])
		want := acked
		if len(bytes.TrimRight(group[cut:], "\x00")) == 0 { // the padding is all that is missing
			want = all
		}
		torn := bytes.TrimRight(group[:cut], "\x00")
		if len(want) > len(acked) || torn == nil {
			torn = []byte{}
		}
		reopenTorn(t, crashed, fmt.Sprintf("cut at %d", cut), want, torn)
	}
}

// reopenTorn opens a crashed store twice, appending in between. torn, if not nil, is what
// must have been set aside.
func reopenTorn(t *testing.T, f *faultfs.FS, what string, want []string, torn []byte) {
	t.Helper()
	for round := range 2 {
		b, err := openMem(f, nil)
		if err != nil {
			t.Fatalf("%s, round %d: %v", what, round, err)
		}
		if got := mustContents(t, b); !slices.Equal(got, want) {
			t.Fatalf("%s, round %d: %d records %q\nwant %q", what, round, len(got), got, want)
		}
		mustBeClean(t, b)
		if round == 0 {
			checkSaved(t, f, what, torn)
			appendOne(t, b, "s1", "after the crash")
			want = mustContents(t, b)
		}
		b.Close()
	}
}

func checkSaved(t *testing.T, f *faultfs.FS, what string, torn []byte) {
	t.Helper()
	files := saved(f)
	if torn == nil || len(torn) == 0 && len(files) == 0 {
		return
	}
	for _, b := range files {
		if bytes.Equal(b, torn) && len(files) == 1 {
			return
		}
	}
	t.Fatalf("%s: the torn bytes are not what is in quarantine: %d files", what, len(files))
}

func TestAPayloadThatHoldsGroupHeadersIsNeverTakenForGroups(t *testing.T) {
	f := new(faultfs.FS)
	b := mustOpenMem(t, f, nil)
	appendOne(t, b, "s", "first")
	seg := f.Bytes(segmentName(1))
	stolen := slices.Clone(seg[headerSize : headerSize+groupSize+64]) // a real header of this life, from elsewhere
	binary.LittleEndian.PutUint64(stolen[8:], 99)
	before := f.Clone()
	acked := mustContents(t, b)
	start := stat(t, b, "log_bytes")
	var payload []byte
	for range 40 {
		payload = append(payload, stolen...)
		payload = append(payload, seg[headerSize:headerSize+groupSize]...)
	}
	appendOne(t, b, "s", string(payload))
	group := slices.Clone(f.Bytes(segmentName(1))[start:stat(t, b, "log_bytes")])
	mustBeClean(t, b)
	for shift := range groupAlign { // the copies at every alignment
		for _, drop := range []int{0, 4, 60, 1000} { // a torn beginning
			crashed := before.Crash(faultfs.None)
			at := crashed.Bytes(segmentName(1))[start:]
			copy(at[shift:], group)
			clear(at[:drop+1])
			reopenTorn(t, crashed, fmt.Sprintf("shift %d drop %d", shift, drop), acked, nil)
		}
	}
}

func TestSegmentsFollowOneAnother(t *testing.T) {
	f := new(faultfs.FS)
	opts := &Options{SegmentBytes: 8 << 10, keepLog: true}
	b := mustOpenMem(t, f, opts)
	for i := range 300 {
		appendOne(t, b, fmt.Sprintf("s%d", i%11), strings.Repeat("x", i))
	}
	appendOne(t, b, "big", strings.Repeat("y", 50_000))
	appendOne(t, b, "s1", "after the big one")
	before := mustContents(t, b)
	if n := stat(t, b, "segments"); n < 10 {
		t.Fatalf("%d segments", n)
	}
	mustBeClean(t, b)
	b.Close()
	b = mustOpenMem(t, f, opts)
	if after := mustContents(t, b); !slices.Equal(before, after) {
		t.Fatalf("%d records before, %d after", len(before), len(after))
	}
	mustBeClean(t, b)
}
