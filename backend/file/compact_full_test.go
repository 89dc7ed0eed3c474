package file

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/faultfs"
)

// fillDisk appends to streams until the disk takes no more, not even a small record, or
// until that is enough, and adds up how many each then has.
func fillDisk(t *testing.T, b *backend.Backend, have map[string]int, streams int, enough func() bool) {
	t.Helper()
	ctx := context.Background()
	for i, size, refused := 0, 4<<10, 0; refused < 3 && !enough(); i++ {
		batch := backend.Batch{Stream: fmt.Sprintf("stream-%02d", i%streams), Expected: backend.Any}
		for range 8 {
			batch.Records = append(batch.Records, backend.Record{Payload: make([]byte, size)})
		}
		_, err := b.Append(ctx, batch)
		switch {
		case err == nil:
			have[batch.Stream] += len(batch.Records)
		case !errors.Is(err, backend.ErrNoSpace):
			t.Fatal(err)
		case size > 64:
			size /= 4
		default:
			refused++
		}
	}
}

// Half of the streams of a store that has filled its disk are deleted. Compact finds no
// room for a span as it would make one, and packs what is smallest first.
func TestACutOnAFullDiskGivesItsSpaceBack(t *testing.T) {
	ctx := context.Background()
	f := new(faultfs.FS)
	const streams = 16
	opts := &Options{SegmentBytes: 256 << 10, keepLog: true}
	s, b := openInside(t, f, opts)
	have := map[string]int{}
	for _, more := range []int64{12 << 20, 6 << 20, 4 << 20, 3 << 20, 2 << 20, 1 << 20} { // a span each, the largest first
		to := f.Used() + more
		fillDisk(t, b, have, streams, func() bool { return f.Used() > to })
		seals(t, s)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, b = openInside(t, f, opts) // which makes a reserve
	size := f.Used() + 2<<20
	f.Limit(size)
	fillDisk(t, b, have, streams, func() bool { return false })
	if used := f.Used(); used < size/10*9 || f.Content(reserveName) == nil {
		t.Fatalf("%d bytes are used, of %d: %v", used, size, f.Names())
	}
	var cut backend.Cut
	for i := range streams / 2 {
		cut.Floors = append(cut.Floors, backend.StreamFloor{Stream: fmt.Sprintf("stream-%02d", 2*i), Delete: true})
	}
	if _, err := b.Compact(ctx, cut); err != nil {
		t.Fatalf("with %d bytes of room, a reserve of %d: %v", size-f.Used(), len(f.Content(reserveName)), err)
	}
	if used := f.Used(); used > size/10*6 {
		t.Errorf("%d bytes are used still, of %d", used, size)
	}
	check := func(b *backend.Backend, what string) {
		t.Helper()
		for name, n := range have {
			want := n
			if int(name[len(name)-1]-'0')%2 == 0 {
				want = 0
			}
			got, err := readAll(b, backend.Query{Stream: name})
			if err != nil || len(got) != want {
				t.Errorf("%s: %s has %d records, want %d: %v", what, name, len(got), want, err)
			}
		}
		mustBeClean(t, b)
	}
	check(b, "compacted")
	appendOne(t, b, "stream-01", "there is room again")
	have["stream-01"]++
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, b = openInside(t, f.Crash(faultfs.None), opts)
	check(b, "after a crash")
}
